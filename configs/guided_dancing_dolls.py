# Guided GFLA on dancing paper dolls, drawn on the fly (docs/dance.md).
_base_ = "_base_/guided_clips.py"

batch_size = 4
train_frames = 3
flow_iters = 120
full_iters = 100

structure_channels = 20
structure = dict(type="DanceStructureEncoder", sigma=3, skeleton_peak=1.0)  # published: 6, 255
prior = dict(type="PartFlow", layout="human36m")

trainer = dict(previous_frame="true")

_data = dict(type="DancingDolls", structure="${structure}", size="${size}")
train_dataloader = dict(dataset=dict(length="${train_length}", frames="${train_frames}", seed=1, **_data))
val_dataloader = dict(dataset=dict(length="${test_length}", frames=6, seed=2, **_data))
test_dataloader = dict(dataset=dict(length="${test_length}", frames=6, seed=3, **_data))
