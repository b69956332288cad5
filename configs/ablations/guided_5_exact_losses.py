# Ablations of guided GFLA: flow and mask learn from the exact ones, and no longer from features and key points.
_base_ = "guided_4_full_resolution.py"

_adam = dict(type="Adam", fused=True)
trainer = dict(
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(lr=2e-3, betas=(0.9, 0.99), **_adam),
            lr_schedule="cosine",
            clip_gradient=5,
            losses=dict(
                flow=dict(type="ExactFlowLoss", weight=1), visibility=dict(type="ExactVisibilityLoss", weight=1)
            ),
        ),
        dict(
            name="full",
            iters="${full_iters}",
            train=["flow_estimator", "renderer"],
            optimizer=dict(lr=1e-3, betas=(0.5, 0.999), **_adam),
            lr_scale=dict(flow_estimator=0.3),
            lr_schedule="cosine",
            clip_gradient=5,
            discriminator_optimizer=dict(lr=1e-4, betas=(0.5, 0.999), **_adam),
            losses=dict(
                flow=dict(type="ExactFlowLoss", weight=1),
                visibility=dict(type="ExactVisibilityLoss", weight=3),
                reconstruction=dict(type="ReconstructionLoss", weight=10),
                generated=dict(type="ReconstructionLoss", weight=3, of="generated"),
                perceptual=dict(type="PerceptualLoss", layers=["relu1_1", "relu2_1"], weight=0.5),
                style=dict(type="StyleLoss", layers=["relu2_1"], weight=20),
                adversarial=dict(type="AdversarialLoss", weight=0.1),
            ),
        ),
    ]
)
