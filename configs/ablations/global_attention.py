# Ablation: every target location attends to the whole source; no flow (docs/ablations.md).
_base_ = "local_attention.py"

renderer = "GlobalAttentionRenderer"
flow_iters = 0
full_iters = 800  # as many in all as where there is a flow

model = dict(flow_estimator=None)
trainer = dict(
    stages=[
        dict(
            name="full",
            iters="${full_iters}",
            train=["renderer"],
            optimizer=dict(type="Adam", lr=1e-3, betas=(0.5, 0.999), fused=True),
            lr_schedule="cosine",
            discriminator_optimizer=dict(type="Adam", lr=1e-4, betas=(0.5, 0.999), fused=True),
            losses=dict(
                reconstruction=dict(type="ReconstructionLoss", weight=10),
                perceptual=dict(type="PerceptualLoss", layers=["relu1_1", "relu2_1"], weight=0.5),
                style=dict(type="StyleLoss", layers=["relu2_1"], weight=20),
                adversarial=dict(type="AdversarialLoss", weight=0.1),
            ),
        ),
    ]
)
