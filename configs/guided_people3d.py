# Guided GFLA on people in three dimensions, 128×64, drawn on the fly: no download. Drawing takes longer than a training
# step, so draw the training pairs once, in parallel (minutes to hours; can be interrupted and continued):
#   posegen prepare people3d data/people3d --pairs 20000 --size 128x64
#   posegen train configs/guided_people3d.py --cfg-options store=data/people3d
_base_ = "guided_paperdoll.py"

store = None  # folder of drawn training pairs; None: they are drawn when they are asked for
flow_iters = 4000
full_iters = 8000
train_length = 20_000  # a store holds at least as many
test_length = 64

size = (128, 64)  # H, W
structure = dict(sigma=4)

_data = dict(type="People3D", structure="${structure}", size="${size}")
train_dataloader = dict(num_workers=2, dataset=dict(length="${train_length}", seed=1, store="${store}", **_data))
val_dataloader = dict(dataset=dict(length="${test_length}", seed=2, **_data))
test_dataloader = dict(dataset=dict(length="${test_length}", seed=3, **_data))
default_hooks = dict(checkpoint=dict(interval=1000))
custom_hooks = [dict(type="SampleSheets", interval=1000)]
