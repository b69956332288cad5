# GFLA on arrows that move. Complete in itself: nothing but posegen and this package need be installed.
default_scope = "posegen"

data_root = ""  # unused: nothing is read
batch_size = 8
flow_iters = 600
full_iters = 100
feature_weights = "random"  # seeded; enough for the flow to learn
train_length = 100_000
test_length = 32

size = (32, 32)  # H, W
levels = [2, 1]
kernel_sizes = [3, 3]
structure = dict(type="CornerEncoder", layout="arrow", radius=4)

model = dict(
    type="PairModel",
    flow_estimator=dict(
        type="FlowEstimator", structure_channels=5, levels="${levels}", base_width=32, max_width=128, depth=3,
        init_gain=0.5,
    ),
    renderer=dict(
        type="LocalAttentionRenderer", structure_channels=5, levels="${levels}", kernel_sizes="${kernel_sizes}",
        base_width=32, max_width=128, depth=2, norm="group", reduction="sum", init_gain=0.5,
    ),
)  # fmt: skip

_regularization = dict(type="AffineRegularization", kernel_sizes="${kernel_sizes}", weight=0.01)
trainer = dict(
    type="PairTrainer",
    autocast=False,
    discriminator=dict(type="ResidualDiscriminator", widths=(32, 64)),
    feature_network=dict(type="VGG19Features", weights="${feature_weights}"),
    stages=[
        dict(
            name="flow",
            iters="${flow_iters}",
            train=["flow_estimator"],
            optimizer=dict(type="Adam", lr=1e-3),
            losses=dict(
                correctness=dict(type="SamplingCorrectness", levels="${levels}", weight=20),
                regularization=_regularization,
            ),
        ),
        dict(
            name="full",
            iters="${full_iters}",
            train=["flow_estimator", "renderer"],
            optimizer=dict(type="Adam", lr=1e-3),
            lr_scale=dict(flow_estimator=0.02),
            discriminator_optimizer=dict(type="Adam", lr=1e-4),
            losses=dict(
                correctness=dict(type="SamplingCorrectness", levels="${levels}", weight=20),
                regularization=_regularization,
                reconstruction=dict(type="ReconstructionLoss", weight=10),
                perceptual=dict(type="PerceptualLoss", layers=["relu1_1", "relu2_1"], weight=0.5),
                adversarial=dict(type="AdversarialLoss", weight=0.1),
            ),
        ),
    ],
)

_data = dict(type="MovingShapes", structure="${structure}", size="${size}")
_collate = dict(type="posegen.collate_pairs")
_in_order = dict(type="DefaultSampler", shuffle=False)
train_dataloader = dict(
    batch_size="${batch_size}",
    num_workers=0,
    drop_last=True,
    sampler=dict(type="EndlessSampler"),
    collate_fn=_collate,
    dataset=dict(length="${train_length}", seed=1, **_data),
)
val_dataloader = dict(
    batch_size="${batch_size}",
    num_workers=0,
    sampler=_in_order,
    collate_fn=_collate,
    dataset=dict(length="${test_length}", seed=2, **_data),
)
test_dataloader = dict(
    batch_size="${batch_size}",
    num_workers=0,
    sampler=_in_order,
    collate_fn=_collate,
    dataset=dict(length="${test_length}", seed=3, **_data),
)
val_evaluator = [dict(type="ShapeColor"), dict(type="FlowError")]
test_evaluator = [dict(type="ShapeColor"), dict(type="PSNR"), dict(type="FlowError")]

train_cfg = dict(type="StagedTrainLoop", val_interval=500)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(constructor="StageOptimizers")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=200, max_keep_ckpts=2),
    sampler_seed=None,
)
custom_hooks = [dict(type="SampleSheets", interval=200)]
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
