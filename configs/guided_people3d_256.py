# Guided GFLA on people in three dimensions, 256×192: meant for a GPU. Draw the training pairs once:
#   posegen prepare people3d data/people3d_256 --pairs 20000 --size 256x192
#   posegen train configs/guided_people3d_256.py --cfg-options store=data/people3d_256
_base_ = "guided_people3d.py"

train_length = 20_000
flow_iters = 10_000
full_iters = 30_000
size = (256, 192)  # H, W
structure = dict(sigma=8)
model = dict(flow_estimator=dict(depth=5))  # 8×6 at the bottom, as 128×64 has with 4
