"""Loss of flows at points that are annotated in both images (this project's own, docs/method.md)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..registry import LOSSES
from .base import Loss, LossInputs


@LOSSES.register_module()
class MatchedPoints(Loss):
    """Σ over levels of the mean absolute error of the flow at matched points, x and y added, in pixels of the flow.

    The gradient of the sampling correctness reaches no further than its window. Points annotated in both images (the
    ``matches`` of :class:`posegen.records.Pair`) give the displacement at any distance. The mean is over the points of
    a pair that are present and lie within the target image, then over pairs; a pair without such points counts as 0.

    Args:
        weight: factor in the total.
    """

    looks_at = "flow"

    def forward(self, inputs: LossInputs) -> Tensor:
        matches = inputs.batch.matches
        if matches is None:
            raise ConfigError("MatchedPoints needs data with matches: points annotated in both images")
        points, sources = matches.split(2, dim=-1)
        height, width = inputs.batch.target.shape[-2:]
        edge = points.new_tensor([width, height]) - 0.5
        present = matches.isfinite().all(-1) & ((points >= -0.5) & (points <= edge)).all(-1)
        moved = sources - points
        terms = [point_error(flow.float(), points, moved, present, (height, width)) for flow in inputs.out.flows]
        return torch.stack(terms).sum()


def point_error(flow: Tensor, points: Tensor, moved: Tensor, present: Tensor, size: tuple[int, int]) -> Tensor:
    """Compute the mean absolute difference, x and y added, between a flow and known displacements.

    Args:
        flow: B 2 h w in pixels of h×w.
        points: B N 2, (x, y) in pixels of the image.
        moved: B N 2, the position in the source minus the position in the target, in pixels of the image.
        present: B N, bool; absent points may have any value.
        size: (H, W) of the image.

    Returns:
        A scalar in pixels of the flow: the mean over the points of each pair, then over pairs, so that a batch split
        over two processes gives the same value; a pair without points counts as 0.
    """
    full = points.new_tensor([size[1], size[0]])
    grid = torch.where(present[..., None], (points + 0.5) * (2 / full) - 1, 0)
    found = F.grid_sample(flow, grid[:, :, None], padding_mode="border", align_corners=False)
    scale = points.new_tensor([flow.shape[-1], flow.shape[-2]]) / full
    wanted = torch.where(present[..., None], moved * scale, 0)
    error = (found.squeeze(3).transpose(1, 2) - wanted).abs().sum(-1) * present  # B N
    return (error.sum(1) / present.sum(1).clamp(min=1)).mean()
