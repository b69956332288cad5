# GFLA on people in three dimensions, 128×64: networks, losses and rates as published for Market-1501, whose pictures
# have this size. Draw the training pairs once:
#   posegen prepare people3d data/people3d --pairs 20000 --size 128x64
#   posegen train configs/gfla_people3d.py --cfg-options store=data/people3d
_base_ = "_base_/gfla_people.py"

data_root = ""  # unused: no files are read but those of the store
store = None  # folder of drawn training pairs; None: they are drawn when they are asked for
batch_size = 8
flow_iters = 200_000
full_iters = 400_000
feature_weights = "imagenet"  # or "random", or the path of torchvision's VGG-19 file
train_length = 20_000  # a store holds at least as many
test_length = 256

size = (128, 64)  # H, W
levels = [2]
kernel_sizes = [3]

trainer = dict(discriminator=dict(widths=(32, 64, 128)))

_data = dict(type="People3D", structure="${structure}", size="${size}")
train_dataloader = dict(dataset=dict(length="${train_length}", seed=1, store="${store}", **_data))
val_dataloader = dict(dataset=dict(length="${test_length}", seed=2, **_data))
test_dataloader = dict(dataset=dict(length="${test_length}", seed=3, **_data))
test_evaluator = [
    dict(type="PSNR"),
    dict(type="SSIM"),
    dict(type="L1"),
    dict(type="FlowError"),
    dict(type="MaskQuality"),
]
