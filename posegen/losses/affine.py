"""Regularization of the flow: neighboring locations move affinely (GFLA, arXiv 2003.00696, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..ops import affine_residual
from ..registry import LOSSES
from .base import Loss, LossInputs


@LOSSES.register_module()
class AffineRegularization(Loss):
    """Σ over levels of the mean squared residual of the best affine fit to each n×n window of sampling coordinates.

    Args:
        kernel_sizes: n at each level, coarse to fine, as in the attention of that level.
        weight: factor in the total; published: 0.01 in the flow stage, 0.0025 after.
    """

    looks_at = "flow"

    def __init__(self, kernel_sizes: Sequence[int] = (3, 5), weight: float = 1.0) -> None:
        super().__init__(weight)
        self.kernel_sizes = tuple(kernel_sizes)

    def forward(self, inputs: LossInputs) -> Tensor:
        windows = zip(inputs.out.flows, self.kernel_sizes, strict=True)
        return torch.stack([affine_residual(flow.float(), size).mean() for flow, size in windows]).sum()
