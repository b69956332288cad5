# Paper dolls for a little over an hour on two CPU cores; results in docs/experiments/paperdolls.md.
_base_ = "gfla_paperdoll.py"

flow_iters = 6500
full_iters = 2500
renderer_iters = 2000  # only G, with fixed flow: a step costs a quarter of one before
test_length = 256
flow_lr_scale = 0.2

val_dataloader = dict(dataset=dict(length=64))
train_cfg = dict(val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000, max_keep_ckpts=2))
custom_hooks = [dict(type="SampleSheets", interval=2000)]
