# Ablations of guided GFLA, one addition after the other, in one budget (docs/method.md#guided-gfla-not-published):
# the published method.
_base_ = "../gfla_paperdoll.py"

flow_iters = 250
full_iters = 250
