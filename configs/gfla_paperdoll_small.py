# Paper dolls for the model that comes with the package, less than 8 MB in half precision: F is narrower at its deepest
# level. Training and scores: docs/experiments/paperdolls.md.
_base_ = "gfla_paperdoll_hour.py"

flow_iters = 5000
full_iters = 1500
renderer_iters = 2000

model = dict(flow_estimator=dict(max_width=192))  # published: 256
