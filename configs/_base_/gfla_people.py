# GFLA on pairs (arXiv 2003.00696): shared by all configs of pairs. Weights and rates are the published ones.
_base_ = "runtime.py"

structure = dict(type="HeatmapEncoder", layout="openpose18", sigma=6)  # sigma in pixels of the network's input

model = dict(
    type="PairModel",
    flow_estimator=dict(
        type="FlowEstimator", structure_channels=18, levels="${levels}", base_width=32, max_width=256, depth=5
    ),
    renderer=dict(
        type="LocalAttentionRenderer",
        structure_channels=18,
        levels="${levels}",
        kernel_sizes="${kernel_sizes}",
        base_width=64,
        max_width=512,
        depth=3,
        reduction="mean",
    ),
)

trainer = dict(
    type="PairTrainer",
    autocast=False,
    discriminator=dict(type="ResidualDiscriminator"),
    feature_network=dict(type="VGG19Features", weights="${feature_weights}"),
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(type="Adam", lr=1e-4, betas=(0.0, 0.999)),
            lr_schedule="constant",
            lr_scale=dict(),
            clip_gradient=None,
            losses=dict(
                correctness=dict(type="SamplingCorrectness", levels="${levels}", weight=20),
                regularization=dict(type="AffineRegularization", kernel_sizes="${kernel_sizes}", weight=0.01),
            ),
        ),
        dict(
            name="full",
            iters="${full_iters}",
            train=["flow_estimator", "renderer"],
            optimizer=dict(type="Adam", lr=1e-4, betas=(0.0, 0.999)),
            lr_schedule="constant",
            lr_scale=dict(),
            clip_gradient=None,
            discriminator_optimizer=dict(type="Adam", lr=1e-5, betas=(0.0, 0.999)),
            losses=dict(
                correctness=dict(type="SamplingCorrectness", levels="${levels}", weight=5),
                regularization=dict(type="AffineRegularization", kernel_sizes="${kernel_sizes}", weight=0.0025),
                reconstruction=dict(type="ReconstructionLoss", weight=5),
                perceptual=dict(type="PerceptualLoss", weight=0.5),
                style=dict(type="StyleLoss", weight=500),
                adversarial=dict(type="AdversarialLoss", weight=2),
            ),
        ),
    ],
)

train_dataloader = dict(
    batch_size="${batch_size}",
    num_workers=4,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type="EndlessSampler"),
    collate_fn=dict(type="posegen.collate_pairs"),
)
val_dataloader = dict(
    batch_size="${batch_size}",
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="posegen.collate_pairs"),
)
test_dataloader = dict(
    batch_size="${batch_size}",
    num_workers=2,
    sampler=dict(type="DefaultSampler", shuffle=False),
    collate_fn=dict(type="posegen.collate_pairs"),
)
val_evaluator = [dict(type="PSNR"), dict(type="SSIM"), dict(type="L1")]
test_evaluator = [dict(type="PSNR"), dict(type="SSIM"), dict(type="L1")]
