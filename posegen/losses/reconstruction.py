"""Reconstruction: the generated image is the target, pixel by pixel."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..registry import LOSSES
from .step import Loss, Step

DIFFERENCES = {1: F.l1_loss, 2: F.mse_loss}


@LOSSES.register_module()
class ReconstructionLoss(Loss):
    """Mean difference of generated and target image, in units of [-1, 1]. Published: absolute, weight 5.

    Args:
        weight: factor in the total.
        power: 1: the absolute difference, as published; 2: its square, which is what PSNR judges.

    Raises:
        ConfigError: another power.
    """

    def __init__(self, weight: float = 1.0, power: int = 1) -> None:
        super().__init__(weight)
        if power not in DIFFERENCES:
            raise ConfigError(f"ReconstructionLoss: power must be 1 or 2, got {power!r}")
        self.power = power

    def forward(self, step: Step) -> Tensor:
        return DIFFERENCES[self.power](step.out.image.float(), step.batch.target)
