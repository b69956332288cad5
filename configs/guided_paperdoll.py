# Guided GFLA on paper dolls, drawn on the fly: no download. The flow starts where the key points say, and the source's
# own pixels are kept where they are visible. Not published: docs/method.md#guided-gfla-not-published
_base_ = "_base_/gfla_people.py"

data_root = ""  # unused: nothing is read
batch_size = 8
flow_iters = 400  # F alone, on exact flow and visibility
full_iters = 450  # F and G together
feature_weights = "random"  # unused: no loss looks at features
train_length = 1_000_000  # pairs, each drawn when it is asked for
test_length = 64

size = (64, 64)  # H, W
levels = [2]  # of the attention; flow and mask have level 0 as well
kernel_sizes = [3]
structure = dict(sigma=3, subpixel=True)

model = dict(
    flow_estimator=dict(
        _delete_=True,
        type="GuidedFlowEstimator",
        structure_channels=18,
        prior=dict(type="PartFlow", layout="openpose18"),
        levels=[2, 0],
        base_width=32,
        max_width=128,
        depth=4,
        init_gain=0.5,
        norm="group",
    ),
    renderer=dict(
        type="ComposingRenderer", base_width=32, norm="group", reduction="sum", init_gain=0.5, upsampling="resize"
    ),
)

_adam = dict(type="Adam", betas=(0.9, 0.99), fused=True)
trainer = dict(
    autocast="auto",  # bfloat16 where the processor computes in it natively
    discriminator=None,
    feature_network=None,
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(lr=2e-3, **_adam),
            lr_schedule="cosine",
            clip_gradient=5,
            losses=dict(
                flow=dict(type="ExactFlowLoss", weight=1),
                visibility=dict(type="ExactVisibilityLoss", weight=1),
            ),
        ),
        dict(
            name="full",
            iters="${full_iters}",
            train=["flow_estimator", "renderer"],
            optimizer=dict(lr=1e-3, **_adam),
            lr_scale=dict(flow_estimator=0.3),
            lr_schedule="cosine",
            clip_gradient=5,
            losses=dict(
                flow=dict(type="ExactFlowLoss", weight=0.3),
                visibility=dict(type="ExactVisibilityLoss", weight=2),
                reconstruction=dict(type="ReconstructionLoss", weight=3),
                squared=dict(type="ReconstructionLoss", weight=6, power=2),
                generated=dict(type="ReconstructionLoss", weight=1, of="generated"),
            ),
        ),
    ],
)

_data = dict(type="PaperDolls", structure="${structure}", size="${size}")
train_dataloader = dict(num_workers=1, persistent_workers=True, dataset=dict(length="${train_length}", seed=1, **_data))
val_dataloader = dict(num_workers=0, dataset=dict(length="${test_length}", seed=2, **_data))
test_dataloader = dict(num_workers=0, dataset=dict(length="${test_length}", seed=3, **_data))
val_evaluator = [dict(type="PSNR"), dict(type="SSIM"), dict(type="L1"), dict(type="FlowError")]
test_evaluator = [
    dict(type="PSNR"),
    dict(type="SSIM"),
    dict(type="L1"),
    dict(type="FlowError"),
    dict(type="MaskQuality"),
]

default_hooks = dict(checkpoint=dict(interval=400))
custom_hooks = [dict(type="SampleSheets", interval=400)]
