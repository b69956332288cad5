"""Mean absolute difference."""

from __future__ import annotations

import torch
from torch import Tensor

from posegen.evaluation import ImageBatch, ImageMetric
from posegen.registry import METRICS


@METRICS.register_module()
class L1(ImageMetric):
    """``l1``, in [0, 1]: mean absolute difference of generated and true image, on a scale of 0 to 1."""

    higher_is_better = {"l1": False}

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """Compute ``l1`` of each image."""
        difference = (images.generated - images.target).abs()
        return {"l1": difference.flatten(1).mean(1, dtype=torch.float64)}
