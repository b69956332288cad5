# GFLA on dancing people, FashionVideo (arXiv 2008.12606): two flow estimators.
_base_ = "_base_/clips.py"

data_root = "data/dance_fashion"  # holds train_256, test_256
batch_size = 8
flow_iters = 200_000
full_iters = 400_000
feature_weights = "imagenet"  # or "random", or the path of torchvision's VGG-19 file
train_frames = 30  # frames per training clip; trained in chunks of 6

size = (256, 256)  # H, W
levels = [3, 2]
kernel_sizes = [3, 5]
flow_estimator = "SeparateFlowEstimators"
structure_channels = 20
structure = dict(type="DanceStructureEncoder", sigma=6)

trainer = dict(previous_frame="true", temporal_discriminator=dict(type="TemporalDiscriminator", frames=6))

_data = dict(type="DanceClips", root="${data_root}", structure="${structure}", size="${size}")
train_dataloader = dict(dataset=dict(split="train", length="${train_frames}", **_data))
val_dataloader = dict(dataset=dict(split="test", length=6, limit=16, **_data))
test_dataloader = dict(dataset=dict(split="test", **_data))
