# GFLA on photographs of a turntable (COIL-20, COIL-100): training views every 10°, the views between them held out.
# Not published: the flow of a turn, and keeping the source's own pixels (docs/views.md#photographs-of-a-turntable).
_base_ = "_base_/gfla_people.py"

data_root = "data/coil-20-proc.zip"  # the archive, or the unpacked folder
batch_size = 16
flow_iters = 1_600  # F alone, by the warped source
full_iters = 2_400  # F and G together; all of it takes 25 minutes of one core
largest_turn = 10  # degrees between source and target in training; held-out views are 5° away
feature_weights = "random"  # unused: no loss looks at features

size = (64, 64)  # H, W
levels = [2]  # of the attention; flow and mask have level 0 as well
kernel_sizes = [3]
structure = dict(_delete_=True, type="AngleEncoder", azimuths=72, harmonics=4)

model = dict(
    flow_estimator=dict(
        _delete_=True,
        type="TurnFlowEstimator",
        structure_channels=8,
        levels=[2, 0],
        base_width=16,
        max_width=128,
        depth=4,
        init_gain=0.5,
        norm="group",
    ),
    renderer=dict(
        _delete_=True,
        type="ComposingViewRenderer",
        structure_channels=8,
        levels="${levels}",
        kernel_sizes="${kernel_sizes}",
        base_width=16,
        init_gain=0.5,
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
            losses=dict(photometric=dict(type="PhotometricLoss", weight=1)),
        ),
        dict(
            name="full",
            iters="${full_iters}",
            train=["flow_estimator", "renderer"],
            optimizer=dict(lr=1e-3, **_adam),
            lr_schedule="cosine",
            clip_gradient=5,
            losses=dict(
                photometric=dict(type="PhotometricLoss", weight=1),
                reconstruction=dict(type="ReconstructionLoss", weight=3),
                squared=dict(type="ReconstructionLoss", weight=6, power=2),
                generated=dict(type="ReconstructionLoss", weight=1, of="generated"),
            ),
        ),
    ],
)

_data = dict(type="Turntable", root="${data_root}", structure="${structure}", size="${size}")
train_dataloader = dict(num_workers=0, dataset=dict(split="train", largest_turn="${largest_turn}", **_data))
val_dataloader = dict(num_workers=0, dataset=dict(split="test", limit=64, **_data))
test_dataloader = dict(num_workers=0, dataset=dict(split="test", **_data))

train_cfg = dict(val_interval=800)
default_hooks = dict(checkpoint=dict(interval=400))
custom_hooks = [dict(type="SampleSheets", interval=1000)]

_baselines = [
    dict(type="Baseline", of=of, metric=dict(type=name)) for of in ("source", "warped") for name in ("PSNR", "SSIM")
]
val_evaluator = [dict(type="PSNR"), dict(type="SSIM"), *_baselines]
test_evaluator = [dict(type="PSNR"), dict(type="SSIM"), dict(type="L1"), *_baselines]
