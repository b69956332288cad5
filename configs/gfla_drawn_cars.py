# GFLA on drawn cars from 18 azimuths and 3 elevations (docs/views.md).
_base_ = "gfla_paperdoll.py"

kind = "car"
batch_size = 4
flow_iters = 400
full_iters = 30
largest_turn = 2  # in steps of 20°, in either direction
matches = 64  # known surface points per pair; not published, and ShapeNet files have none
structure = dict(_delete_=True, type="ViewEncoder")
renderer = "ViewRenderer"

model = dict(
    # published: instance norm, which removes values that are constant over a map, such as a view
    flow_estimator=dict(type="ViewFlowEstimator", structure_channels=21, norm="group"),
    renderer=dict(structure_channels=21, spread_widths=[]),  # published: [64], at 256×256
)
_stages = _base_.trainer.stages
for _stage, _weight in zip(_stages[:2], (2, 6), strict=True):
    _stage.losses.points = dict(type="MatchedPoints", weight=_weight)  # not published
    _stage.losses.pop("limbs")  # a car has no limbs
    _stage.losses.regularization.weight *= 10  # under an orthographic camera each face moves affinely
_stages[0].optimizer.lr = 1e-3  # 2e-3 for dolls; with a group norm nothing is learned at that rate

trainer = dict(stages=_stages)

_data = dict(
    _delete_=True,
    type="DrawnSolids",
    kind="${kind}",
    largest_turn="${largest_turn}",
    matches="${matches}",
    structure="${structure}",
    size="${size}",
)
train_dataloader = dict(dataset=dict(length="${train_length}", seed=1, **_data))
val_dataloader = dict(dataset=dict(length="${test_length}", seed=2, **_data))
test_dataloader = dict(dataset=dict(length="${test_length}", seed=3, **_data))
