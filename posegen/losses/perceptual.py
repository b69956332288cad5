"""Perceptual loss: features of the generated image against the target (GFLA, arXiv 2003.00696, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import InputError
from ..registry import LOSSES
from .base import Loss, LossInputs


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

    def forward(self, inputs: LossInputs) -> Tensor:
        pairs = [(inputs.features("generated", layer), inputs.features("target", layer)) for layer in self.layers]
        return torch.stack([mean_difference(generated, target) for generated, target in pairs]).sum()


def mean_difference(first: Tensor, second: Tensor) -> Tensor:
    """Compute ``l1_loss(first, second)``, keeping one byte per number for the backward pass instead of both tensors."""
    if first.shape != second.shape:
        raise InputError(f"features differ in shape: {tuple(first.shape)} and {tuple(second.shape)}")
    return _MeanDifference.apply(first.float(), second.float())


class _MeanDifference(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        ctx.save_for_backward((first > second).char() - (first < second).char())
        images = zip(first.split(1), second.split(1), strict=True)  # one at a time: less memory
        return torch.stack([(a - b).abs_().mean() for a, b in images]).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (signs,) = ctx.saved_tensors
        share = signs.to(gradient.dtype).mul_(gradient / signs.numel())
        return share if ctx.needs_input_grad[0] else None, -share if ctx.needs_input_grad[1] else None
