"""Smoothness of the flow, except at edges of the image (Godard et al., CVPR 2017, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..ops import resize_flow
from ..registry import LOSSES
from .base import Loss, LossInputs

SMOOTH = 1e-3
"""Added under the square root, so that the loss is smooth at 0."""


@LOSSES.register_module()
class FlowSmoothness(Loss):
    """Mean √(|∂w|² + 10⁻³)·exp(−edge·|∂I|) of the finest flow w and the target I, over both axes, less its minimum.

    ∂ is the difference of neighboring pixels at the image's resolution. |∂w|² is summed over x and y of the flow, in
    pixels of the image; |∂I| is the mean over channels, in units of [-1, 1]. The flow may change where the target has
    an edge, such as the border of a limb.

    Args:
        edge: decay of the weight with the image's gradient; 0: edges do not matter.
        weight: factor in the total.
    """

    looks_at = "flow"

    def __init__(self, edge: float = 10.0, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.edge = edge

    def forward(self, inputs: LossInputs) -> Tensor:
        target = inputs.batch.target
        flow = resize_flow(inputs.out.flows[-1].float(), (target.shape[-2], target.shape[-1]))
        return flow_smoothness(flow, target, self.edge)


def flow_smoothness(flow: Tensor, image: Tensor, edge: float) -> Tensor:
    """Compute the loss of a flow B 2 H W and an image B C H W of one size: a scalar, see :class:`FlowSmoothness`."""
    terms = []
    for axis in (-2, -1):
        change = (flow.diff(dim=axis).square().sum(1) + SMOOTH).sqrt() - SMOOTH**0.5
        terms.append((change * torch.exp(-edge * image.diff(dim=axis).abs().mean(1))).mean())
    return torch.stack(terms).sum()
