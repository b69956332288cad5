# GFLA on paper dolls, drawn on the fly: the config of `make demo`, six minutes on two CPU cores. Differences from the
# published settings are marked; docs/experiments/paperdolls.md gives the reasons.
_base_ = "_base_/gfla_people.py"

data_root = ""  # not used: no files are read
batch_size = 8
flow_iters = 560
full_iters = 120
renderer_iters = 0  # not published: a third stage that trains only G
feature_weights = "random"  # seeded; enough for the flow to learn
train_length = 1_000_000  # pairs, each drawn on request
test_length = 64

flow_lr_scale = 0.02  # F's learning rate in the full stage, as a factor

size = (64, 64)  # H, W
levels = [2, 1]  # published for 256×256: 3, 2
kernel_sizes = [3, 3]  # published: 3, 5
structure = dict(sigma=3, subpixel=True)  # published: 6, whole pixels, at 256×256

renderer = "LocalAttentionRenderer"

model = dict(
    flow_estimator=dict(depth=4, init_gain=0.5),  # published: 5, 0.02; 64 pixels halved five times leave only 2×2
    renderer=dict(
        type="${renderer}", base_width=32, norm="group", reduction="sum", init_gain=0.5
    ),  # published: 64, instance, mean, 0.02
)
trainer = dict(
    autocast="auto",  # bfloat16 if the processor supports it natively
    discriminator=dict(widths=(32, 64, 128)),  # as published for Market-1501
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(type="Adam", lr=2e-3, betas=(0.9, 0.99), fused=True),  # published: 1e-4, (0, 0.999)
            lr_schedule="cosine",  # published: constant
            losses=dict(
                correctness=dict(type="SamplingCorrectness", levels="${levels}", only=[1], weight=20),  # published: all
                limbs=dict(type="LimbFlow", layout="openpose18", thickness=2, weight=2),  # not published
                regularization=dict(type="AffineRegularization", kernel_sizes="${kernel_sizes}", weight=0.01),
            ),
        ),
        dict(
            name="full",
            iters="${full_iters}",
            train=["flow_estimator", "renderer"],
            optimizer=dict(type="Adam", lr=1e-3, betas=(0.5, 0.999), fused=True),  # published: 1e-4, (0, 0.999)
            lr_scale=dict(flow_estimator="${flow_lr_scale}"),  # published: 1
            lr_schedule="cosine",
            discriminator_optimizer=dict(type="Adam", lr=1e-4, betas=(0.5, 0.999), fused=True),  # published: 1e-5
            losses=dict(
                correctness=dict(type="SamplingCorrectness", levels="${levels}", only=[1], weight=60),  # published: 5
                limbs=dict(type="LimbFlow", layout="openpose18", thickness=2, weight=6),  # not published
                regularization=dict(  # published: 0.0025
                    type="AffineRegularization", kernel_sizes="${kernel_sizes}", weight=0.03
                ),
                reconstruction=dict(type="ReconstructionLoss", weight=10),  # published: 5
                # published: relu3_1, relu4_1 and relu5_1 too
                perceptual=dict(type="PerceptualLoss", layers=["relu1_1", "relu2_1"], weight=0.5),
                style=dict(type="StyleLoss", layers=["relu2_1"], weight=20),  # published: 500, four deeper layers
                adversarial=dict(type="AdversarialLoss", weight=0.1),  # published: 2
            ),
        ),
        dict(
            name="renderer",
            iters="${renderer_iters}",
            train=["renderer"],
            optimizer=dict(type="Adam", lr=1e-3, betas=(0.5, 0.999), fused=True),
            lr_schedule="cosine",
            losses=dict(
                reconstruction=dict(type="ReconstructionLoss", weight=10),
                squared=dict(type="ReconstructionLoss", weight=20, power=2),
            ),
        ),
    ],
)

_data = dict(type="PaperDolls", structure="${structure}", size="${size}")
train_dataloader = dict(num_workers=0, dataset=dict(length="${train_length}", seed=1, **_data))
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
