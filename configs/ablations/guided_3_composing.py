# Ablations of guided GFLA: the prior, and a renderer that keeps the source's own pixels.
_base_ = "guided_2_prior.py"

flow_levels = [2, 1, 0]  # of flow and mask; the renderer composes at level 0
flow_kernel_sizes = [3, 3, 3]

model = dict(
    flow_estimator=dict(levels="${flow_levels}"),
    renderer=dict(
        _delete_=True,
        type="ComposingRenderer",
        structure_channels=18,
        levels="${levels}",
        kernel_sizes="${kernel_sizes}",
        base_width=32,
        norm="group",
        reduction="sum",
        init_gain=0.5,
    ),
)

_matching = dict(type="SamplingCorrectness", levels="${flow_levels}", only=[1])
_limbs = dict(type="LimbFlow", layout="openpose18", thickness=2)
_affine = dict(type="AffineRegularization", kernel_sizes="${flow_kernel_sizes}")
_adam = dict(type="Adam", fused=True)
_image = dict(
    reconstruction=dict(type="ReconstructionLoss", weight=10),
    generated=dict(type="ReconstructionLoss", weight=3, of="generated"),
    perceptual=dict(type="PerceptualLoss", layers=["relu1_1", "relu2_1"], weight=0.5),
    style=dict(type="StyleLoss", layers=["relu2_1"], weight=20),
    adversarial=dict(type="AdversarialLoss", weight=0.1),
)
_flow_stage = dict(
    name="flow",
    iters="${flow_iters}",
    train=["flow_estimator"],
    optimizer=dict(lr=2e-3, betas=(0.9, 0.99), **_adam),
    lr_schedule="cosine",
)
_full_stage = dict(
    name="full",
    iters="${full_iters}",
    train=["flow_estimator", "renderer"],
    optimizer=dict(lr=1e-3, betas=(0.5, 0.999), **_adam),
    lr_scale=dict(flow_estimator="${flow_lr_scale}"),
    lr_schedule="cosine",
    discriminator_optimizer=dict(lr=1e-4, betas=(0.5, 0.999), **_adam),
)
trainer = dict(
    stages=[
        dict(
            losses=dict(
                correctness=dict(weight=20, **_matching),
                limbs=dict(weight=2, **_limbs),
                regularization=dict(weight=0.01, **_affine),
            ),
            **_flow_stage,
        ),
        dict(
            losses=dict(
                correctness=dict(weight=60, **_matching),
                limbs=dict(weight=6, **_limbs),
                regularization=dict(weight=0.03, **_affine),
                **_image,
            ),
            **_full_stage,
        ),
    ]
)
