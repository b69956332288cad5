# Shared by the configs of drawn clips: 64×64, minutes on two CPU cores. Differences from the published settings, and
# their reasons, are those of paper dolls: docs/experiments/paperdolls.md.
_base_ = "clips.py"

data_root = ""  # not used: no files are read
batch_size = 2
flow_iters = 200
full_iters = 40
feature_weights = "random"  # seeded; enough for the flow to learn
train_length = 100_000  # clips, each drawn on request
test_length = 16
train_frames = 6
flow_lr_scale = 0.02

size = (64, 64)  # H, W
levels = [2, 1]
kernel_sizes = [3, 3]

model = dict(
    flow_estimator=dict(depth=4, init_gain=0.5),
    renderer=dict(base_width=32, norm="group", reduction="sum", init_gain=0.5),
)
trainer = dict(
    autocast="auto",
    discriminator=dict(widths=(32, 64, 128)),
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(type="Adam", lr=2e-3, betas=(0.9, 0.99), fused=True),
            lr_schedule="cosine",
            losses=dict(
                correctness=dict(
                    type="SamplingCorrectness", levels="${levels}", only=[1], weight=20, masked="${masked}"
                ),
                regularization=dict(type="AffineRegularization", kernel_sizes="${kernel_sizes}", weight=0.01),
            ),
        ),
        dict(
            name="full",
            iters="${full_iters}",
            train=["flow_estimator", "renderer"],
            optimizer=dict(type="Adam", lr=1e-3, betas=(0.5, 0.999), fused=True),
            lr_scale=dict(flow_estimator="${flow_lr_scale}"),
            lr_schedule="cosine",
            discriminator_optimizer=dict(type="Adam", lr=1e-4, betas=(0.5, 0.999), fused=True),
            losses=dict(
                correctness=dict(
                    type="SamplingCorrectness", levels="${levels}", only=[1], weight=60, masked="${masked}"
                ),
                regularization=dict(type="AffineRegularization", kernel_sizes="${kernel_sizes}", weight=0.03),
                reconstruction=dict(type="ReconstructionLoss", weight=10),
                perceptual=dict(type="PerceptualLoss", layers=["relu1_1", "relu2_1"], weight=0.5),
                style=dict(type="StyleLoss", layers=["relu2_1"], weight=20),
                adversarial=dict(type="AdversarialLoss", weight=0.1),
                temporal_adversarial=dict(type="TemporalAdversarialLoss", weight=0.1),
            ),
        ),
    ],
)

train_dataloader = dict(num_workers=0)
val_dataloader = dict(num_workers=0)
test_dataloader = dict(num_workers=0)
train_cfg = dict(val_interval=1000)
val_evaluator = [dict(type="PSNR"), dict(type="SSIM"), dict(type="L1"), dict(type="FlowError")]
test_evaluator = [
    dict(type="PSNR"),
    dict(type="SSIM"),
    dict(type="L1"),
    dict(type="FlowError"),
    dict(type="MaskQuality"),
    dict(type="TemporalConsistency"),
]
default_hooks = dict(checkpoint=dict(interval=200))
custom_hooks = [dict(type="SampleSheets", interval=200)]
