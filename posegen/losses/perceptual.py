"""Perceptual loss: the generated image looks like the target to a feature network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..registry import LOSSES
from .step import Loss, Step


@LOSSES.register_module()
class PerceptualLoss(Loss):
    """Σ over layers of the mean absolute difference of features. Published weight: 0.5.

    Args:
        layers: of the feature network.
        weight: factor in the total.
    """

    def __init__(
        self,
        layers: Sequence[str] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
        weight: float = 1.0,
    ) -> None:
        super().__init__(weight)
        self.layers = tuple(layers)
        self.needs = {"generated": self.layers, "target": self.layers}

    def forward(self, step: Step) -> Tensor:
        pairs = [(step.features("generated", layer), step.features("target", layer)) for layer in self.layers]
        return torch.stack([F.l1_loss(generated, target).float() for generated, target in pairs]).sum()
