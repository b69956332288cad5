"""Photometric loss: the source warped along the flow against the target, where the true flow is not known."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..ops import warp
from ..registry import LOSSES
from .base import Loss, LossInputs

SMOOTH = 1e-4
"""Added under the square root, so that the loss is smooth at 0."""


@LOSSES.register_module()
class PhotometricLoss(Loss):
    """Mean √(d² + 10⁻⁴) of the source warped along the finest flow and the target, over a pyramid of both.

    The gradient of bilinear sampling reaches no further than a pixel; halved images let it reach further.

    Args:
        scales: number of resolutions, each half the one before; their losses are averaged.
        weight: factor in the total.

    Raises:
        ConfigError: *scales* is less than 1.
    """

    looks_at = "flow"

    def __init__(self, scales: int = 4, weight: float = 1.0) -> None:
        super().__init__(weight)
        if scales < 1:
            raise ConfigError(f"PhotometricLoss: scales must be 1 or more, got {scales}")
        self.scales = scales

    def forward(self, inputs: LossInputs) -> Tensor:
        warped, target = warp(inputs.batch.source, inputs.out.flows[-1].float()), inputs.batch.target
        terms = [_difference(warped, target)]
        for _ in range(self.scales - 1):
            warped, target = F.avg_pool2d(warped, 2), F.avg_pool2d(target, 2)
            terms.append(_difference(warped, target))
        return torch.stack(terms).mean()


def _difference(first: Tensor, second: Tensor) -> Tensor:
    return ((first - second).square() + SMOOTH).sqrt().mean()
