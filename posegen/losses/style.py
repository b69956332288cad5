"""Style loss: Gram matrices of features (GFLA, arXiv 2003.00696, section 3.2; Gatys et al., CVPR 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..registry import LOSSES
from .base import Loss, LossInputs


@LOSSES.register_module()
class StyleLoss(Loss):
    """Σ over layers of the mean absolute difference of Gram matrices. Published weight: 500.

    Args:
        layers: of the feature network.
        weight: factor in the total.
    """

    def __init__(
        self, layers: Sequence[str] = ("relu2_2", "relu3_4", "relu4_4", "relu5_2"), weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        self.layers = tuple(layers)
        self.needs = {"generated": self.layers, "target": self.layers}

    def forward(self, inputs: LossInputs) -> Tensor:
        pairs = [(inputs.features("generated", layer), inputs.features("target", layer)) for layer in self.layers]
        return torch.stack([F.l1_loss(gram(generated), gram(target)) for generated, target in pairs]).sum()


def gram(features: Tensor) -> Tensor:
    """Compute Gram matrices B C C of features B C H W, divided by C·H·W, in float32: sums of squares overflow half."""
    flat = features.float().permute(0, 2, 3, 1).flatten(1, 2)  # a view in the channels-last layout: no copy
    return flat.transpose(1, 2) @ flat / features[0].numel()
