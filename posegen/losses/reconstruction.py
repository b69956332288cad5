"""Reconstruction: the generated image is the target, pixel by pixel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..registry import LOSSES
from .step import Loss, Step


@LOSSES.register_module()
class ReconstructionLoss(Loss):
    """Mean absolute difference of generated and target image, in units of [-1, 1]. Published weight: 5."""

    def forward(self, step: Step) -> Tensor:
        return F.l1_loss(step.out.image.float(), step.batch.target)
