# Ablation: a plain encoder-decoder on source image and both structures; no flow, no attention (docs/method.md).
_base_ = "global_attention.py"

renderer = "BaselineRenderer"
