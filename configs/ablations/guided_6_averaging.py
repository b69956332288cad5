# Ablations of guided GFLA: tested with the moving average of the weights.
_base_ = "guided_5_exact_losses.py"

custom_hooks = [dict(type="EMAHook", momentum=0.02)]
