# GFLA on people in three dimensions, 256×192: networks, losses and rates as published for DeepFashion, whose pictures
# have about this size. Draw the training pairs once:
#   posegen prepare people3d data/people3d_256 --pairs 20000 --size 256x192
#   posegen train configs/gfla_people3d_256.py --cfg-options store=data/people3d_256
_base_ = "gfla_people3d.py"

size = (256, 192)  # H, W
levels = [3, 2]
kernel_sizes = [3, 5]

trainer = dict(discriminator=dict(_delete_=True, type="ResidualDiscriminator"))
