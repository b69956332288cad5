"""The end-point error of the flow, and how good the masks are, where the data set knows the exact ones."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
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


@METRICS.register_module()
class MaskQuality(PairMetric):
    """Whether the finest mask (1 = warp, 0 = generate) warps what the source shows and generates what it does not.

    Over the foreground, where the data set knows it, because any mask does for a background; else over the image:

    - ``mask_precision``, in [0, 1]: share of the pixels that are warped that are visible in the source.
    - ``mask_recall``, in [0, 1]: share of the visible pixels that are warped.

    NaN where nothing is warped, or nothing visible. A model may well generate what it could warp: a low recall is a
    choice, a low precision a mistake. Nothing is measured where visibility is not known, or the model has no mask.

    Args:
        threshold: a pixel whose mask, resized bilinearly to the image, is at least this is warped.
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"mask_precision": True, "mask_recall": True}

    def __init__(self, threshold: float = 0.5, prefix: str = "") -> None:
        super().__init__(prefix)
        self.threshold = threshold

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """``mask_precision`` and ``mask_recall`` of each image."""
        if batch.visible is None or not out.masks:
            return {}
        visible = batch.visible.double()
        mask = F.interpolate(out.masks[-1], size=visible.shape[-2:], mode="bilinear", align_corners=False)
        counts = torch.ones_like(visible) if batch.foreground is None else batch.foreground.double()
        warped = (mask >= self.threshold).double()
        return {"mask_precision": _mean(visible, counts * warped), "mask_recall": _mean(warped, counts * visible)}


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of each image, B; NaN (0 / 0) where nothing has weight."""
    return (values * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)
