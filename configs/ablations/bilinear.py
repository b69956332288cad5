# Ablation: features are warped by the flow only, without kernels (docs/method.md).
_base_ = "local_attention.py"

renderer = "BilinearRenderer"
