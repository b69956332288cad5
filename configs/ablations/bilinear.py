# Ablation: features are warped by the flow alone, with no kernel (docs/method.md).
_base_ = "local_attention.py"

renderer = "BilinearRenderer"
