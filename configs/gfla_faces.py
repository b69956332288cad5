# GFLA on faces (arXiv 2008.12606): one flow estimator for the previous frame and the reference.
_base_ = "_base_/clips.py"

data_root = "data/faces"  # holds train_data, train_keypoints, test_data, test_keypoints
batch_size = 8
flow_iters = 200_000
full_iters = 400_000
feature_weights = "imagenet"  # or "random", or the path of torchvision's VGG-19 file
train_frames = 30  # frames per training clip; trained in chunks of 6

size = (256, 256)  # H, W
levels = [3, 2]
kernel_sizes = [3, 5]
flow_estimator = "JointFlowEstimator"
structure_channels = 16
structure = dict(type="FaceStructureEncoder")

trainer = dict(previous_frame="generated", temporal_discriminator=dict(type="DifferenceDiscriminator", frames=3))

_data = dict(type="FaceClips", root="${data_root}", structure="${structure}", size="${size}")
train_dataloader = dict(dataset=dict(split="train", length="${train_frames}", **_data))
val_dataloader = dict(dataset=dict(split="test", length=6, limit=16, **_data))
test_dataloader = dict(dataset=dict(split="test", **_data))
