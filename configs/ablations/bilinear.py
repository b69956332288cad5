# Ablation: features are warped by the flow alone, with no kernel (docs/ablations.md).
_base_ = "local_attention.py"

renderer = "BilinearRenderer"
