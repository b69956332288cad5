# The paper-doll recipe for an hour and a half on two CPU cores; figures and curve in docs/paperdolls.md.
_base_ = "gfla_paperdoll.py"

flow_iters = 6500
full_iters = 2500
renderer_iters = 2000
test_length = 256
flow_lr_scale = 0.2

# Not published: at last G alone, on the flow as it is. A step costs a quarter of one of the stage before.
_stages = _base_.trainer.stages
_stages.append(
    dict(
        name="renderer",
        iters="${renderer_iters}",
        train=["renderer"],
        optimizer=dict(type="Adam", lr=1e-3, betas=(0.5, 0.999), fused=True),
        lr_schedule="cosine",
        losses=dict(
            reconstruction=dict(type="ReconstructionLoss", weight=10),
            squared=dict(type="ReconstructionLoss", weight=20, power=2),
        ),
    )
)
trainer = dict(stages=_stages)

val_dataloader = dict(dataset=dict(length=64))
train_cfg = dict(val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000, max_keep_ckpts=2))
custom_hooks = [dict(type="SampleSheets", interval=2000)]
