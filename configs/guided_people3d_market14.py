# The shipped model "people3d", which was trained on drawn people, goes on with photographs: Market-1501 with 14 points
# an image, 128×64. The points are converted to the model's 18; the face has none.
#   posegen prepare market ARCHIVE data/market14 --keypoints market-points14-train.csv market-points14-test.csv
#   posegen train configs/guided_people3d_market14.py
_base_ = "guided_people3d.py"

data_root = "data/market14"
load_from = "people3d"
flow_iters = 0  # F alone
full_iters = 3_200  # F and G together
val_limit = 256
test_limit = 2_000

_adam = dict(type="Adam", betas=(0.9, 0.99), fused=True)
trainer = dict(
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(lr=5e-4, **_adam),
            lr_schedule="cosine",
            clip_gradient=5,
            losses=dict(correctness=dict(type="SamplingCorrectness", levels=[2, 0], only="${levels}", weight=5)),
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
                reconstruction=dict(type="ReconstructionLoss", weight=5),
                generated=dict(type="ReconstructionLoss", weight=2, of="generated"),
                perceptual=dict(type="PerceptualLoss", weight=0.5, layers=["relu1_2", "relu2_2", "relu3_3", "relu4_3"]),
            ),
        ),
    ],
)

_data = dict(
    _delete_=True,
    type="AnnotatedPairs",
    root="${data_root}",
    prefix="market",
    listed="lsp14",
    structure="${structure}",
    size="${size}",
)
_test = dict(split="test", foreground=dict(type="BodyMask", layout="openpose18"), **_data)
train_dataloader = dict(num_workers=1, dataset=dict(split="train", **_data))
val_dataloader = dict(num_workers=0, dataset=dict(limit="${val_limit}", **_test))
test_dataloader = dict(num_workers=0, dataset=dict(limit="${test_limit}", **_test))

_features = dict(type="FeatureDistance", network=dict(type="VGG16Features", weights="${feature_weights}"))
val_evaluator = [dict(type="PSNR"), dict(type="SSIM"), dict(type="L1"), dict(type="ForegroundSSIM"), _features]
test_evaluator = val_evaluator
train_cfg = dict(val_interval=800)
default_hooks = dict(checkpoint=dict(interval=100))
custom_hooks = [dict(type="SampleSheets", interval=800)]
