# Guided GFLA on drawn faces that talk, blink and turn (docs/faces.md).
_base_ = "_base_/guided_clips.py"

batch_size = 4
train_frames = 2
flow_iters = 55
full_iters = 25

structure_channels = 84
structure = dict(type="FaceLandmarkEncoder", sigma=2, divisor=0.1)  # divisor as in gfla_drawn_faces.py
prior = dict(type="LandmarkFlow", layout="ibug68")

trainer = dict(previous_frame="generated")

_data = dict(type="DrawnFaces", structure="${structure}", size="${size}")
train_dataloader = dict(dataset=dict(length="${train_length}", frames="${train_frames}", seed=1, **_data))
val_dataloader = dict(dataset=dict(length="${test_length}", frames=3, seed=2, **_data))
test_dataloader = dict(dataset=dict(length="${test_length}", frames=3, seed=3, **_data))
