# Guided GFLA on paper dolls, for three quarters of an hour on two cores: one trains, one draws. The model "paperdolls"
# that comes with posegen is this one.
_base_ = "guided_paperdoll.py"

flow_iters = 1_500
full_iters = 3_000
test_length = 256

val_dataloader = dict(dataset=dict(length=64))
train_cfg = dict(val_interval=1_000)
default_hooks = dict(checkpoint=dict(interval=250))
custom_hooks = [dict(type="SampleSheets", interval=1_000)]
