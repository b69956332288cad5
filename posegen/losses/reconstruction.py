"""Reconstruction loss: pixels of the generated image against the target (GFLA, arXiv 2003.00696, section 3.2)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..registry import LOSSES
from .base import Loss, LossInputs

DIFFERENCES = {1: F.l1_loss, 2: F.mse_loss}


@LOSSES.register_module()
class ReconstructionLoss(Loss):
    """Mean difference of generated and target image, in units of [-1, 1]. Published: absolute, weight 5.

    Args:
        weight: factor in the total.
        power: 1: absolute difference, as published; 2: squared difference, the one that PSNR measures.
        of: ``"image"``, the result; ``"generated"``, what a composing renderer generated beside the pixels it kept.

    Raises:
        ConfigError: *power* or *of* is neither.
    """

    def __init__(self, weight: float = 1.0, power: int = 1, of: str = "image") -> None:
        super().__init__(weight)
        if power not in DIFFERENCES:
            raise ConfigError(f"ReconstructionLoss: power must be 1 or 2, got {power!r}")
        if of not in ("image", "generated"):
            raise ConfigError(f"ReconstructionLoss: of must be 'image' or 'generated', got {of!r}")
        self.power, self.of = power, of

    def forward(self, inputs: LossInputs) -> Tensor:
        image = getattr(inputs.out, self.of)
        if image is None:
            raise ConfigError("ReconstructionLoss of the generated image needs a renderer that composes images")
        return DIFFERENCES[self.power](image.float(), inputs.batch.target)
