# GFLA on dancing people, iPER: like FashionVideo, with foreground masks for the sampling correctness.
_base_ = "gfla_dance_fashion.py"

data_root = "data/dance_iper"
masked = True

train_dataloader = dict(dataset=dict(masks="${masked}"))
