# Ablations of guided GFLA: the published method, with a flow that starts at the prior, at half resolution.
_base_ = "guided_1_published.py"

model = dict(
    flow_estimator=dict(
        _delete_=True,
        type="GuidedFlowEstimator",
        structure_channels=18,
        prior=dict(type="PartFlow", layout="openpose18"),
        levels="${levels}",
        base_width=32,
        max_width=128,
        depth=4,
        full_resolution=False,
        init_gain=0.5,
        norm="group",
    )
)
