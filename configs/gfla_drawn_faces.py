# GFLA on drawn faces that talk, blink and turn: no download; docs/faces.md.
_base_ = "_base_/drawn_clips.py"

flow_estimator = "JointFlowEstimator"
structure_channels = 16
structure = dict(type="FaceStructureEncoder", divisor=0.75)  # published: 3, at 256×256

_stages = _base_.trainer.stages
for _stage in _stages:
    _stage.losses.correctness.only = None  # all levels, as published: a face moves further than one level sees

trainer = dict(
    stages=_stages,
    previous_frame="generated",
    temporal_discriminator=dict(type="DifferenceDiscriminator", widths=(32, 64, 128), frames=3),
)

_data = dict(type="DrawnFaces", frames="${train_frames}", structure="${structure}", size="${size}")
train_dataloader = dict(dataset=dict(length="${train_length}", seed=1, **_data))
val_dataloader = dict(dataset=dict(length="${test_length}", seed=2, **_data))
test_dataloader = dict(dataset=dict(length="${test_length}", seed=3, **_data))
