# Guided GFLA on drawn faces, driven by landmarks alone: the model "drawnfaces" that comes with posegen, docs/faces.md.
_base_ = "guided_drawn_faces.py"

flow_iters = 250
full_iters = 500

structure = dict(image_edges=False)  # whatever is behind a photographed face
test_dataloader = dict(dataset=dict(frames=24))
