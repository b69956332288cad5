# Ablations of guided GFLA: flow and mask at full resolution.
_base_ = "guided_3_composing.py"

model = dict(flow_estimator=dict(full_resolution=True))
