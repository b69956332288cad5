# GFLA on dancing paper dolls, drawn on the fly (docs/dance.md).
_base_ = "_base_/drawn_clips.py"

flow_iters = 450
full_iters = 80

flow_estimator = "SeparateFlowEstimators"
structure_channels = 20
structure = dict(type="DanceStructureEncoder", sigma=3, skeleton_peak=1.0)  # published: 6, 255

_stages = _base_.trainer.stages
for _stage, _weight in zip(_stages, (2, 6), strict=True):
    _stage.losses.limbs = dict(type="LimbFlow", layout="human36m", thickness=2, weight=_weight)  # not published

trainer = dict(
    stages=_stages,
    previous_frame="true",
    temporal_discriminator=dict(type="TemporalDiscriminator", widths=(32, 64), folded_widths=(128,), frames=6),
)

_data = dict(type="DancingDolls", frames="${train_frames}", structure="${structure}", size="${size}")
train_dataloader = dict(dataset=dict(length="${train_length}", seed=1, **_data))
val_dataloader = dict(dataset=dict(length="${test_length}", seed=2, **_data))
test_dataloader = dict(dataset=dict(length="${test_length}", seed=3, **_data))
