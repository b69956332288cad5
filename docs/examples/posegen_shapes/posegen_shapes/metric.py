"""A metric: the color of the shape."""

from __future__ import annotations

from torch import Tensor

from posegen.evaluation import PairMetric
from posegen.records import PairBatch, Transfer
from posegen.registry import METRICS


@METRICS.register_module()
class ShapeColor(PairMetric):
    """``color_error``: mean absolute difference of colors, 0 to 255, on the shape only.

    Data sets without foreground masks are not measured.
    """

    units = {"color_error": "levels"}
    higher_is_better = {"color_error": False}

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """Return ``color_error`` of each image; NaN for an image without a shape."""
        if batch.foreground is None:
            return {}
        difference = (out.image - batch.target).abs().mean(1, keepdim=True) * 127.5
        shape = batch.foreground
        return {"color_error": (difference * shape).flatten(1).sum(1) / shape.flatten(1).sum(1)}
