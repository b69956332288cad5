# GFLA on Market-1501, 128×64, as published: attention at level 2 with 3×3 kernels. 12,926,471 parameters.
_base_ = "_base_/gfla_people.py"

data_root = "data/market"  # holds train/, test/, market-pairs-*.csv and market-annotation-*.csv
batch_size = 8
flow_iters = 200_000
full_iters = 400_000
feature_weights = "imagenet"  # or "random", or the path of torchvision's VGG-19 file

size = (128, 64)  # H, W
levels = [2]
kernel_sizes = [3]

trainer = dict(discriminator=dict(widths=(32, 64, 128)))

_data = dict(
    type="AnnotatedPairs",
    root="${data_root}",
    prefix="market",
    structure="${structure}",
    size="${size}",
)
train_dataloader = dict(dataset=dict(split="train", augmentation=dict(type="PublishedAugmentation"), **_data))
val_dataloader = dict(dataset=dict(split="test", limit=256, **_data))
test_dataloader = dict(dataset=dict(split="test", **_data))
