# GFLA on drawn faces that talk, blink and turn (docs/faces.md).
_base_ = "_base_/drawn_clips.py"

batch_size = 3
train_frames = 3
flow_iters = 450
full_iters = 50

flow_estimator = "JointFlowEstimator"
structure_channels = 16
structure = dict(type="FaceStructureEncoder", divisor=0.1)  # published: 3, at 256×256

# A head moves as a whole, and an instance norm removes values that are constant over a map (published: instance).
model = dict(flow_estimator=dict(norm="group"))

_stages = _base_.trainer.stages
for _stage, _weight in zip(_stages, (2, 6), strict=True):
    _stage.losses.points = dict(type="MatchedPoints", weight=_weight)  # landmarks; not published

_stages[0].optimizer.lr = 8e-4  # 2e-3 for dolls; with a group norm nothing is learned at that rate

trainer = dict(
    stages=_stages,
    previous_frame="generated",
    temporal_discriminator=dict(type="DifferenceDiscriminator", widths=(32, 64, 128), frames=3),
)

_data = dict(type="DrawnFaces", frames="${train_frames}", structure="${structure}", size="${size}")
train_dataloader = dict(dataset=dict(length="${train_length}", seed=1, **_data))
val_dataloader = dict(dataset=dict(length="${test_length}", seed=2, **_data))
test_dataloader = dict(dataset=dict(length="${test_length}", seed=3, **_data))
