# Loops, hooks and logs. "${name}" is replaced by the top-level value of that name, after overrides.
default_scope = "posegen"

train_cfg = dict(type="StagedTrainLoop", val_interval=5000, max_skipped=10)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(constructor="StageOptimizers")  # each stage configures its own optimizer

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=5000, max_keep_ckpts=3),
    sampler_seed=None,
    statistics=dict(type="TrainingStatistics"),
    status=dict(type="RunStatusFile"),
    progress=dict(type="ProgressLine"),
)
custom_hooks = [dict(type="SampleSheets", interval=1000)]
log_processor = dict(by_epoch=False, window_size=50)
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")])
env_cfg = dict(cudnn_benchmark=True, dist_cfg=dict(backend="nccl"))
randomness = dict(seed=0)
