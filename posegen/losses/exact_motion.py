"""Losses of flow and mask where the data knows the exact ones (drawn data; not published)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..ops import resize_flow
from ..registry import LOSSES
from .base import Loss, LossInputs


@LOSSES.register_module()
class ExactFlowLoss(Loss):
    """Mean end-point error of the finest flow over visible pixels, in pixels of the image.

    Args:
        background: weight of a pixel of the background, where a pixel of the foreground weighs 1.
        weight: factor in the total.
    """

    looks_at = "flow"

    def __init__(self, background: float = 0.1, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.background = background

    def forward(self, inputs: LossInputs) -> Tensor:
        batch = inputs.batch
        if batch.flow is None or batch.visible is None or batch.foreground is None:
            raise ConfigError("ExactFlowLoss needs data with exact flow, visibility and foreground (drawn data)")
        flow = resize_flow(inputs.out.flows[-1].float(), (batch.flow.shape[-2], batch.flow.shape[-1]))
        error = ((flow - batch.flow).square().sum(1, keepdim=True) + 1e-3).sqrt()  # smooth at 0
        weights = batch.visible * (self.background + (1 - self.background) * batch.foreground)
        return ((error * weights).flatten(1).sum(1) / weights.flatten(1).sum(1).clamp(min=1)).mean()


@LOSSES.register_module()
class ExactVisibilityLoss(Loss):
    """Binary cross-entropy of the finest mask against exact visibility, mean over the image.

    Args:
        weight: factor in the total.
    """

    looks_at = "flow"

    def forward(self, inputs: LossInputs) -> Tensor:
        visible = inputs.batch.visible
        if visible is None:
            raise ConfigError("ExactVisibilityLoss needs data with exact visibility (drawn data)")
        mask = F.interpolate(
            inputs.out.masks[-1].float(), size=visible.shape[-2:], mode="bilinear", align_corners=False
        )
        return F.binary_cross_entropy(mask.clamp(1e-4, 1 - 1e-4), visible)
