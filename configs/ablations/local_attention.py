# The paper's full model, in the budget of the ablations (docs/method.md).
_base_ = "../gfla_paperdoll.py"

renderer = "LocalAttentionRenderer"
flow_iters = 250
full_iters = 250
