# The paper-doll recipe at the size of a file that ships with the package: F narrower at its deepest level, half
# precision when shared, less than 8 MB. How it was made and what it scores: docs/experiments/paperdolls.md.
_base_ = "gfla_paperdoll_hour.py"

flow_iters = 5000
full_iters = 1500
renderer_iters = 2000

model = dict(flow_estimator=dict(max_width=192))  # published: 256
