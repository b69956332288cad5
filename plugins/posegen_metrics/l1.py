"""Mean absolute difference."""

from __future__ import annotations

from torch import Tensor

from posegen.evaluation import PairMetric
from posegen.records import PairBatch, Transfer
from posegen.registry import METRICS


@METRICS.register_module()
class L1(PairMetric):
    """``l1``: mean absolute difference of result and target, images on a scale of 0 to 1."""

    higher_is_better = {"l1": False}

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """``l1`` of each image."""
        difference = (out.image.double() - batch.target.double()).abs()
        return {"l1": difference.flatten(1).mean(1) / 2}  # images are in [-1, 1]
