"""Reconstruction loss: pixels of the generated image against the target (GFLA, arXiv 2003.00696, section 3.2)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..registry import LOSSES
from .base import Loss, LossInputs
from .weighting import foreground_weights, weighted_mean

DIFFERENCES = {1: F.l1_loss, 2: F.mse_loss}


@LOSSES.register_module()
class ReconstructionLoss(Loss):
    """Mean difference of generated and target image, in units of [-1, 1]. Published: absolute, weight 5.

    Args:
        weight: factor in the total.
        power: 1: absolute difference, as published; 2: squared difference, the one that PSNR measures.
        of: ``"image"``, the result; ``"generated"``, what a composing renderer generated beside the pixels it kept.
        background: weight of a pixel of the background, where a pixel of the batch's ``foreground`` weighs 1; the
            weighted mean of each image, then over images. 1: all pixels weigh the same, as published.

    Raises:
        ConfigError: *power*, *of* or *background* is out of its range; *background* is not 1, and the data has no
            foreground.
    """

    def __init__(self, weight: float = 1.0, power: int = 1, of: str = "image", background: float = 1.0) -> None:
        super().__init__(weight)
        if power not in DIFFERENCES:
            raise ConfigError(f"ReconstructionLoss: power must be 1 or 2, got {power!r}")
        if of not in ("image", "generated"):
            raise ConfigError(f"ReconstructionLoss: of must be 'image' or 'generated', got {of!r}")
        if background < 0:
            raise ConfigError(f"ReconstructionLoss: background must be 0 or more, got {background!r}")
        self.power, self.of, self.background = power, of, background

    def forward(self, inputs: LossInputs) -> Tensor:
        image = getattr(inputs.out, self.of)
        if image is None:
            raise ConfigError("ReconstructionLoss of the generated image needs a renderer that composes images")
        difference = DIFFERENCES[self.power]
        if self.background == 1:
            return difference(image.float(), inputs.batch.target)
        pixels = difference(image.float(), inputs.batch.target, reduction="none")
        return weighted_mean(pixels, foreground_weights(inputs.batch, self.background, type(self).__name__))
