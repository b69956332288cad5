# Ablation: every target location attends to the whole source; no flow (docs/method.md).
_base_ = "local_attention.py"

renderer = "GlobalAttentionRenderer"
flow_iters = 0
full_iters = 500  # the total of both stages of the other ablations

model = dict(flow_estimator=None)

_full = _base_.trainer.stages[1]
_full.train = ["renderer"]
_full.lr_scale = dict()
for _name in ("correctness", "limbs", "regularization"):
    _full.losses.pop(_name)  # there is no flow

trainer = dict(stages=[_full])
