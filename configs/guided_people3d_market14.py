# The shipped model "people3d", which was trained on drawn people, goes on with photographs: Market-1501 with 14 points
# an image, 128×64. The points are converted to the model's 18: a nose in the middle of the head, no eyes and ears.
#   posegen prepare market ARCHIVE data/market14 --keypoints market-points14-train.csv market-points14-test.csv
#   posegen train configs/guided_people3d_market14.py
_base_ = "guided_market14.py"

load_from = "people3d"
flow_iters = 0
full_iters = 3_200

structure = dict(layout="openpose18", sigma=4, subpixel=True)
model = dict(
    flow_estimator=dict(structure_channels=18, prior=dict(type="TurningPartFlow", layout="openpose18"), full_width=32),
    renderer=dict(structure_channels=18, max_width=512),
)

_listed = dict(listed="lsp14")
_test = dict(foreground=dict(layout="openpose18"), **_listed)
train_dataloader = dict(dataset=_listed)
val_dataloader = dict(dataset=_test)
test_dataloader = dict(dataset=_test)
train_cfg = dict(val_interval=800)
custom_hooks = [dict(type="SampleSheets", interval=800)]
