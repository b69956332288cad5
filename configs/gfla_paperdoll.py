# GFLA on paper dolls, drawn on the fly: no download. What `make demo` trains, in minutes on two CPU cores.
_base_ = "_base_/gfla_people.py"

data_root = ""  # unused: nothing is read
batch_size = 8
flow_iters = 600
full_iters = 200
feature_weights = "random"  # seeded; enough for the flow to learn
train_length = 1_000_000  # pairs, each drawn when it is asked for
test_length = 64

size = (64, 64)  # H, W
levels = [2, 1]
kernel_sizes = [3, 3]
structure = dict(sigma=3)
trainer = dict(discriminator=dict(widths=(32, 64, 128)))

_data = dict(type="PaperDolls", structure="${structure}", size="${size}")
train_dataloader = dict(num_workers=1, dataset=dict(length="${train_length}", seed=1, **_data))
val_dataloader = dict(num_workers=0, dataset=dict(length="${test_length}", seed=2, **_data))
test_dataloader = dict(num_workers=0, dataset=dict(length="${test_length}", seed=3, **_data))
val_evaluator = [dict(type="PSNR"), dict(type="SSIM"), dict(type="L1"), dict(type="FlowError")]
test_evaluator = [dict(type="PSNR"), dict(type="SSIM"), dict(type="L1"), dict(type="FlowError")]
