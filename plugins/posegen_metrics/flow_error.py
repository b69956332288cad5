"""The end-point error of the flow, where the data set knows the exact one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from posegen.evaluation import PairMetric
from posegen.ops import resize_flow
from posegen.records import PairBatch, Transfer
from posegen.registry import METRICS


@METRICS.register_module()
class FlowError(PairMetric):
    """How far the finest flow is from the exact one, over the visible foreground, in pixels of the image.

    - ``epe``: mean end-point error, of each image, then the mean.
    - ``epe_zero``: the same of a zero flow, which is how far things move.
    - ``epe_ratio``: the quotient of the two means: 1 = no better than no flow, 0 = exact.
    - ``within_2px``: share of the pixels, 0 to 1, whose error is at most the threshold (the name carries it).

    Nothing is measured where the data set knows no exact flow, or the model has none. An image without
    visible foreground is left out.

    Args:
        threshold: in pixels of the image.
        prefix: see :class:`PairMetric`.
    """

    def __init__(self, threshold: float = 2.0, prefix: str = "") -> None:
        super().__init__(prefix)
        self.threshold = threshold
        self.within = f"within_{threshold:g}px"
        self.units = {"epe": "px", "epe_zero": "px"}
        self.higher_is_better = {"epe": False, "epe_ratio": False, self.within: True}

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """``epe``, ``epe_zero`` and ``within_…px`` of each image."""
        if batch.flow is None or not out.flows:
            return {}
        exact = batch.flow.double()
        height, width = exact.shape[-2:]
        flow = resize_flow(out.flows[-1].double(), (height, width))
        error = torch.linalg.vector_norm(flow - exact, dim=1, keepdim=True)
        counts = torch.ones_like(error)
        for known in (batch.visible, batch.foreground):
            counts = counts if known is None else counts * known
        return {
            "epe": _mean(error, counts),
            "epe_zero": _mean(torch.linalg.vector_norm(exact, dim=1, keepdim=True), counts),
            self.within: _mean((error <= self.threshold).double(), counts),
        }

    def compute_metrics(self, results: list[list[dict[str, Any]]]) -> dict[str, float]:
        """Means, and ``epe_ratio``: of the means, for an image where nothing moves has no own one."""
        values = super().compute_metrics(results)
        if values.get("epe_zero", 0) > 0:
            values["epe_ratio"] = values["epe"] / values["epe_zero"]
        return values


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of each image, B; NaN (0 / 0) where nothing has weight."""
    return (values * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)
