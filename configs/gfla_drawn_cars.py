# GFLA on drawn cars seen from 18 azimuths and 3 elevations: no download; docs/views.md.
_base_ = "gfla_paperdoll.py"

kind = "car"
batch_size = 4
flow_iters = 400
full_iters = 30
largest_turn = 2  # steps of 20°, each way
matches = 64  # known points of the surface; not published, and files of views have none
structure = dict(_delete_=True, type="ViewEncoder")
renderer = "ViewRenderer"

model = dict(
    # an instance norm takes away what is constant over a map, as a view is: groups keep it (published: instance)
    flow_estimator=dict(type="ViewFlowEstimator", structure_channels=21, norm="group"),
    renderer=dict(structure_channels=21, spread_widths=[]),  # published: [64], at 256×256
)
_stages = _base_.trainer.stages
for _stage, _weight in zip(_stages[:2], (2, 6), strict=True):
    _stage.losses.points = dict(type="MatchedPoints", weight=_weight)  # not published
    _stage.losses.pop("limbs")  # a car has none
    _stage.losses.regularization.weight *= 10  # seen from afar, each face of a solid moves affinely
_stages[0].optimizer.lr = 1e-3  # 2e-3 for dolls; drawn faces, under a group norm too, learned nothing with that

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
