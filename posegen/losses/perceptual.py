"""Perceptual loss: the generated image looks like the target to a feature network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..errors import InputError
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
        return torch.stack([mean_difference(generated, target) for generated, target in pairs]).sum()


def mean_difference(first: Tensor, second: Tensor) -> Tensor:
    """The mean absolute difference, as ``l1_loss``, which keeps both tensors for the backward pass: this keeps signs,
    a byte each, so that features of a target image need no memory once they were looked at."""
    if first.shape != second.shape:
        raise InputError(f"features differ in shape: {tuple(first.shape)} and {tuple(second.shape)}")
    return _MeanDifference.apply(first.float(), second.float())


class _MeanDifference(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, first: Tensor, second: Tensor) -> Tensor:
        greater, less = (kind(first, second).view(torch.int8) for kind in (torch.gt, torch.lt))
        ctx.save_for_backward(greater.sub_(less))
        del less
        parts = zip(first.split(1), second.split(1), strict=True)  # image by image: less memory at a time
        return torch.stack([(one - other).abs_().mean() for one, other in parts]).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (signs,) = ctx.saved_tensors
        share = signs.to(gradient.dtype).mul_(gradient / signs.numel())
        return share if ctx.needs_input_grad[0] else None, -share if ctx.needs_input_grad[1] else None
