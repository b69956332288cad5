"""Photometric loss: the source warped along the flow against the target, where the true flow is not known."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..ops import warp
from ..registry import LOSSES
from .base import Loss, LossInputs
from .weighting import foreground_weights, weighted_mean

SMOOTH = 1e-4
"""Added under the square root, so that the loss is smooth at 0."""


@LOSSES.register_module()
class PhotometricLoss(Loss):
    """Mean √(d² + 10⁻⁴) of the source warped along the finest flow and the target, over a pyramid of both.

    The gradient of bilinear sampling reaches no further than a pixel; halved images let it reach further.

    Args:
        scales: number of resolutions, each half the one before; their losses are averaged.
        weight: factor in the total.
        background: weight of a pixel of the background, where a pixel of the batch's ``foreground`` weighs 1; the
            weighted mean of each image, then over images. 1: all pixels weigh the same.
        masked: weigh each pixel by the finest mask m as well, that is, by how visible the model takes it to be. No
            gradient reaches the mask, which would be 0 everywhere; other losses teach it.

    Raises:
        ConfigError: *scales* is less than 1, or *background* less than 0; *background* is not 1, and the data has no
            foreground.
    """

    looks_at = "flow"

    def __init__(self, scales: int = 4, weight: float = 1.0, background: float = 1.0, masked: bool = False) -> None:
        super().__init__(weight)
        if scales < 1:
            raise ConfigError(f"PhotometricLoss: scales must be 1 or more, got {scales}")
        if background < 0:
            raise ConfigError(f"PhotometricLoss: background must be 0 or more, got {background!r}")
        self.scales, self.background, self.masked = scales, background, masked

    def forward(self, inputs: LossInputs) -> Tensor:
        warped, target = warp(inputs.batch.source, inputs.out.flows[-1].float()), inputs.batch.target
        return photometric_difference(warped, target, self._weights(inputs), self.scales)

    def _weights(self, inputs: LossInputs) -> Tensor | None:
        """Return the weights of pixels, B 1 H W; None if all weigh the same."""
        weights = None
        if self.background != 1:
            weights = foreground_weights(inputs.batch, self.background, type(self).__name__)
        if self.masked:
            size = inputs.batch.target.shape[-2:]
            mask = F.interpolate(inputs.out.masks[-1].detach().float(), size=size, mode="bilinear", align_corners=False)
            weights = mask if weights is None else weights * mask
        return weights


def photometric_difference(warped: Tensor, target: Tensor, weights: Tensor | None, scales: int) -> Tensor:
    """Compute the loss of images B C H W, see :class:`PhotometricLoss`; *weights* B 1 H W, or None."""
    terms = [_difference(warped, target, weights)]
    for _ in range(scales - 1):
        warped, target = F.avg_pool2d(warped, 2), F.avg_pool2d(target, 2)
        weights = None if weights is None else F.avg_pool2d(weights, 2)
        terms.append(_difference(warped, target, weights))
    return torch.stack(terms).mean()


def _difference(first: Tensor, second: Tensor, weights: Tensor | None) -> Tensor:
    difference = ((first - second).square() + SMOOTH).sqrt()
    return difference.mean() if weights is None else weighted_mean(difference, weights)
