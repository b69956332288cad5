# GFLA on views of ShapeNet's cars (arXiv 2003.00696): a view is a one-hot vector of 18 azimuths and 3 elevations.
_base_ = "_base_/gfla_people.py"

data_root = "data/views"  # holds data_car.hdf5, id_car_train.txt, id_car_test.txt
category = "car"
batch_size = 8
flow_iters = 200_000
full_iters = 400_000
feature_weights = "imagenet"  # or "random", or the path of torchvision's VGG-19 file

size = (256, 256)  # H, W
levels = [3, 2]
kernel_sizes = [3, 5]
structure = dict(_delete_=True, type="ViewEncoder")

model = dict(
    flow_estimator=dict(type="ViewFlowEstimator", structure_channels=21),
    renderer=dict(type="ViewRenderer", structure_channels=21),
)

_data = dict(type="ViewPairs", root="${data_root}", category="${category}", structure="${structure}", size="${size}")
train_dataloader = dict(dataset=dict(split="train", **_data))
val_dataloader = dict(dataset=dict(split="test", limit=256, **_data))
test_dataloader = dict(dataset=dict(split="test", **_data))
