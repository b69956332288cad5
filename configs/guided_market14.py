# Guided GFLA on Market-1501 with 14 points an image, 128×64: the flow starts where the key points say, and the source's
# own pixels are kept where they fit. Not published: docs/method.md#guided-gfla-not-published
_base_ = "gfla_market14.py"

flow_iters = 200
full_iters = 4_300

flow_levels = [2, 0]  # of flow and mask; the renderer composes at level 0

model = dict(
    flow_estimator=dict(
        _delete_=True,
        type="GuidedFlowEstimator",
        structure_channels=14,
        prior=dict(type="PartFlow", layout="lsp14"),
        levels="${flow_levels}",
        base_width=32,
        max_width=128,
        depth=4,
        full_width=16,
        init_gain=0.5,
        norm="group",
    ),
    renderer=dict(
        _delete_=True,
        type="ComposingRenderer",
        structure_channels=14,
        levels="${levels}",
        kernel_sizes="${kernel_sizes}",
        base_width=32,
        max_width=256,
        depth=3,
        reduction="sum",
        init_gain=0.5,
        norm="group",
        upsampling="resize",
    ),
)

_adam = dict(type="Adam", betas=(0.9, 0.99), fused=True)
trainer = dict(
    discriminator=None,
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(lr=5e-4, **_adam),
            lr_schedule="cosine",
            clip_gradient=5,
            losses=dict(
                correctness=dict(type="SamplingCorrectness", levels="${flow_levels}", only="${levels}", weight=5),
            ),
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
                structural=dict(type="StructuralLoss", weight=2),
            ),
        ),
    ],
)
