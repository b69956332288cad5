# Ablations of guided GFLA: configs/guided_paperdoll.py in the budget of the ablations: reconstruction alone teaches the
# image, and attention is at level 2 alone.
_base_ = "../guided_paperdoll.py"

flow_iters = 250
full_iters = 250
