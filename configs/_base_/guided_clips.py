# Guided GFLA on drawn clips, shared by dancing dolls and drawn faces: the flow starts where the key points say, and
# pixels of the reference and of the previous frame are kept where they are visible. Not published:
# docs/method.md#guided-gfla-not-published
_base_ = "drawn_clips.py"

levels = [2, 1]  # of the attention; flow and mask have level 0 as well

_estimator = dict(
    type="GuidedFlowEstimator",
    structure_channels="${structure_channels}",
    prior="${prior}",
    levels=[2, 1, 0],
    base_width=32,
    max_width=128,
    depth=4,
    init_gain=0.5,
    norm="group",
)
_composer = dict(
    type="ComposingRenderer",
    structure_channels="${structure_channels}",
    levels="${levels}",
    kernel_sizes="${kernel_sizes}",
    base_width=32,
    max_width=128,
    depth=3,
    norm="group",
    reduction="sum",
    init_gain=0.5,
    upsampling="resize",
)
model = dict(
    flow_estimator=dict(_delete_=True, type="GuidedClipFlowEstimator", estimator=_estimator),
    renderer=dict(_delete_=True, type="ComposingClipRenderer", composer=_composer),
)

_adam = dict(type="Adam", betas=(0.9, 0.99), fused=True)
trainer = dict(
    discriminator=None,
    feature_network=None,
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(lr=2e-3, **_adam),
            lr_schedule="cosine",
            clip_gradient=15,  # losses are summed over frames
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
            clip_gradient=15,  # losses are summed over frames
            losses=dict(
                flow=dict(type="ExactFlowLoss", weight=0.3),
                visibility=dict(type="ExactVisibilityLoss", weight=1),
                reconstruction=dict(type="ReconstructionLoss", weight=3),
                squared=dict(type="ReconstructionLoss", weight=6, power=2),
                generated=dict(type="ReconstructionLoss", weight=1, of="generated"),
            ),
        ),
    ],
)
