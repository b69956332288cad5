"""End-point error of the flow and quality of the masks, for data sets that know the exact ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from posegen.evaluation import PairMetric
from posegen.ops import resize_flow
from posegen.records import Animation, ClipBatch, PairBatch, Transfer, as_pairs
from posegen.registry import METRICS


@METRICS.register_module()
class FlowError(PairMetric):
    """End-point error of the finest flow over the visible foreground, in pixels of the image.

    - ``epe``: mean end-point error.
    - ``epe_zero``: mean end-point error of a zero flow, that is, the mean displacement.
    - ``epe_ratio``: ratio of the two means: 1 is the zero-flow baseline, 0 is exact.
    - ``within_2px``: share of the pixels, 0 to 1, whose error is at most the threshold (part of the name).

    Not measured without an exact flow in the data set or a flow in the model. Images without visible foreground are
    left out.

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
        """Compute ``epe``, ``epe_zero`` and ``within_…px`` of each image."""
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
        """Average, and compute ``epe_ratio`` from the means: single images may not move at all."""
        values = super().compute_metrics(results)
        if values.get("epe_zero", 0) > 0:
            values["epe_ratio"] = values["epe"] / values["epe_zero"]
        return values


@METRICS.register_module()
class MaskQuality(PairMetric):
    """Quality of the finest mask (1 = warp, 0 = generate) against visibility in the source.

    Over the foreground if the data set knows it, because any mask suits a background; else over the image:

    - ``mask_precision``, in [0, 1]: share of the warped pixels that are visible in the source.
    - ``mask_recall``, in [0, 1]: share of the visible pixels that are warped.

    Over all pixels of all images together, so that no threshold is chosen:

    - ``mask_hidden_ap``, in [0, 1]: average precision with which 1 − mask finds the pixels that are *not* visible in
      the source, Σ (R_k − R_{k−1})·P_k over descending scores; a mask without information gives their share. Masks are
      compared in half precision, which has 15,361 values in [0, 1], so that an image needs at most 0.25 MB until the
      end of the test.

    NaN if nothing is warped or visible. A model may generate pixels that it could warp, so a low recall is a choice and
    a low precision an error. Not measured if visibility is unknown or the model has no mask.

    Args:
        threshold: minimum mask, resized bilinearly to the image, of a warped pixel.
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"mask_precision": True, "mask_recall": True, "mask_hidden_ap": True}

    def __init__(self, threshold: float = 0.5, prefix: str = "") -> None:
        super().__init__(prefix)
        self.threshold = threshold

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """Compute ``mask_precision`` and ``mask_recall`` of each image."""
        if batch.visible is None or not out.masks:
            return {}
        visible = batch.visible.double()
        mask = _resized_mask(out, batch.visible)
        counts = torch.ones_like(visible) if batch.foreground is None else batch.foreground.double()
        warped = (mask >= self.threshold).double()
        return {"mask_precision": _mean(visible, counts * warped), "mask_recall": _mean(warped, counts * visible)}

    def process(self, data_batch: PairBatch | ClipBatch, data_samples: Sequence[Transfer | Animation]) -> None:
        """Measure a batch, and keep the histogram of each image for ``mask_hidden_ap``."""
        first = len(self.results)
        super().process(data_batch, data_samples)
        pairs, out = as_pairs(data_batch, *data_samples)
        if pairs.visible is None or not out.masks:
            return
        visible = pairs.visible.to(out.masks[-1].device)
        rows = [row for rows in self.results[first:] for row in rows]
        for row, mask, seen in zip(rows, _resized_mask(out, visible), visible, strict=True):
            row[HISTOGRAM] = _histogram(mask, seen)

    def compute_metrics(self, results: list[list[dict[str, Any]]]) -> dict[str, float]:
        """Average, and compute ``mask_hidden_ap`` from the histograms of all images."""
        histograms = [row.pop(HISTOGRAM) for rows in results for row in rows if HISTOGRAM in row]
        values = super().compute_metrics(results)
        if histograms:
            masks, seen, hidden = (np.concatenate(part) for part in zip(*histograms, strict=True))
            if hidden.any():
                values["mask_hidden_ap"] = _average_precision(masks, hidden, seen)
        return values


HISTOGRAM = "mask_histogram"
"""Key of a row of results, until the values are computed."""


def _resized_mask(out: Transfer, visible: Tensor) -> Tensor:
    """Resize the finest mask to the resolution at which visibility is known."""
    return F.interpolate(out.masks[-1].float(), size=visible.shape[-2:], mode="bilinear", align_corners=False)


def _histogram(mask: Tensor, visible: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count visible and hidden pixels of an image by mask, in half precision: values, ascending, and both counts."""
    values, index = torch.unique(mask.clamp(0, 1).half(), return_inverse=True)
    seen = torch.bincount(index.flatten(), (visible > 0.5).double().flatten(), minlength=len(values))
    count = torch.bincount(index.flatten(), minlength=len(values))
    return values.cpu().numpy(), seen.long().cpu().numpy(), (count - seen.long()).cpu().numpy()


def _average_precision(scores: np.ndarray, found: np.ndarray, wrong: np.ndarray) -> float:
    """Compute average precision of a ranking, lowest score first.

    Args:
        scores: N, in any order and possibly repeated.
        found, wrong: number of positives, of which there is one at least, and negatives of each score.
    """
    values, index = np.unique(scores, return_inverse=True)
    found, wrong = (np.bincount(index, count, minlength=len(values)) for count in (found, wrong))
    precision = found.cumsum() / (found + wrong).cumsum()
    return float((precision * found).sum() / found.sum())


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Compute the weighted mean of each image, B; NaN (0 / 0) without any weight."""
    return (values * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)
