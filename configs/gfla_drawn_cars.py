# GFLA on drawn cars seen from 18 azimuths and 3 elevations: no download; docs/views.md.
_base_ = "gfla_paperdoll.py"

kind = "car"
flow_iters = 1200
full_iters = 300
structure = dict(_delete_=True, type="ViewEncoder")
renderer = "ViewRenderer"

model = dict(
    flow_estimator=dict(type="ViewFlowEstimator", structure_channels=21),
    renderer=dict(structure_channels=21, view_depth=4),
)
trainer = dict(
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(type="Adam", lr=2e-3, betas=(0.9, 0.99), fused=True),
            lr_schedule="cosine",
            losses=dict(
                correctness=dict(type="SamplingCorrectness", levels="${levels}", weight=20),
                regularisation=dict(type="AffineRegularisation", kernel_sizes="${kernel_sizes}", weight=0.01),
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
                correctness=dict(type="SamplingCorrectness", levels="${levels}", weight=60),
                regularisation=dict(type="AffineRegularisation", kernel_sizes="${kernel_sizes}", weight=0.03),
                reconstruction=dict(type="ReconstructionLoss", weight=10),
                perceptual=dict(type="PerceptualLoss", layers=["relu1_1", "relu2_1"], weight=0.5),
                style=dict(type="StyleLoss", layers=["relu2_1"], weight=20),
                adversarial=dict(type="AdversarialLoss", weight=0.1),
            ),
        ),
    ]
)

_data = dict(_delete_=True, type="DrawnSolids", kind="${kind}", structure="${structure}", size="${size}")
train_dataloader = dict(dataset=dict(length="${train_length}", seed=1, **_data))
val_dataloader = dict(dataset=dict(length="${test_length}", seed=2, **_data))
test_dataloader = dict(dataset=dict(length="${test_length}", seed=3, **_data))
