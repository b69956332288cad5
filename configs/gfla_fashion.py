# GFLA on DeepFashion, 256×256, as published: attention at level 3 (3×3) and level 2 (5×5). 14,047,395 parameters.
_base_ = "_base_/gfla_people.py"

data_root = "data/fashion"  # holds train/, test/, fasion-pairs-*.csv and fasion-annotation-*.csv (spelled so)
batch_size = 8
flow_iters = 200_000
full_iters = 400_000
feature_weights = "imagenet"  # or "random", or the path of torchvision's VGG-19 file

size = (256, 256)  # H, W
levels = [3, 2]
kernel_sizes = [3, 5]

_data = dict(
    type="AnnotatedPairs",
    root="${data_root}",
    prefix="fasion",
    keypoint_frame=(256, 176),  # H, W in which the key points are given
    structure="${structure}",
    size="${size}",
)
train_dataloader = dict(dataset=dict(split="train", **_data))
val_dataloader = dict(dataset=dict(split="test", limit=256, **_data))
test_dataloader = dict(dataset=dict(split="test", **_data))
