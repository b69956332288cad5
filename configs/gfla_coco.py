# GFLA on any data set with COCO key points: pairs by person_id or track_id, or an image and its mirror image.
_base_ = "_base_/gfla_people.py"

data_root = "data/coco"  # holds the images and the annotation files below
train_annotations = "${data_root}/train.json"
test_annotations = "${data_root}/test.json"
batch_size = 8
flow_iters = 200_000
full_iters = 400_000
feature_weights = "imagenet"  # or "random", or the path of torchvision's VGG-19 file

size = (256, 256)  # H, W
levels = [3, 2]
kernel_sizes = [3, 5]

_data = dict(type="CocoPairs", image_root="${data_root}", structure="${structure}", size="${size}")
train_dataloader = dict(dataset=dict(annotation_file="${train_annotations}", **_data))
val_dataloader = dict(dataset=dict(annotation_file="${test_annotations}", limit=256, **_data))
test_dataloader = dict(dataset=dict(annotation_file="${test_annotations}", **_data))
