# Ablation: a plain encoder-decoder on source image and both structures; no flow, no attention (docs/ablations.md).
_base_ = "global_attention.py"

renderer = "BaselineRenderer"
