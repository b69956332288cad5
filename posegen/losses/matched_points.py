"""A loss of flows from points that are known in both images (not published)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..registry import LOSSES
from .step import Loss, Step


@LOSSES.register_module()
class MatchedPoints(Loss):
    """How far the flow at points of the target is from where the source has them, in pixels of the flow.

    The sampling correctness sees only as far as its window. Where annotations of both images know the same points (the
    ``matches`` of :class:`posegen.records.Pair`), they say how far the flow has to lead. The loss is the mean absolute
    difference, x and y added, over the points of a pair that are present and lie within the target image, summed over
    levels, its mean over pairs. A pair without such a point counts as 0.

    Args:
        weight: factor in the total.
    """

    looks_at = "flow"

    def forward(self, step: Step) -> Tensor:
        matches = step.batch.matches
        if matches is None:
            raise ConfigError("MatchedPoints needs data with matches: points that annotations of both images know")
        points, sources = matches.split(2, dim=-1)
        height, width = step.batch.target.shape[-2:]
        edge = points.new_tensor([width, height]) - 0.5
        present = matches.isfinite().all(-1) & ((points >= -0.5) & (points <= edge)).all(-1)
        moved = sources - points
        terms = [point_error(flow.float(), points, moved, present, (height, width)) for flow in step.out.flows]
        return torch.stack(terms).sum()


def point_error(flow: Tensor, points: Tensor, moved: Tensor, present: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean absolute difference, x and y added, between a flow and known motions, in pixels of the flow.

    Args:
        flow: B 2 h w in pixels of h×w.
        points: B N 2, (x, y) in pixels of the image.
        moved: B N 2, where each point comes from less where it is, in pixels of the image.
        present: B N, bool; points that are not may have any value.
        size: (H, W) of the image.

    Returns:
        A scalar: each pair's own mean over its points first, so that half a batch in each of two processes weighs as
        the whole in one; a pair without points counts as 0.
    """
    full = points.new_tensor([size[1], size[0]])
    grid = torch.where(present[..., None], (points + 0.5) * (2 / full) - 1, 0)
    found = F.grid_sample(flow, grid[:, :, None], padding_mode="border", align_corners=False)
    scale = points.new_tensor([flow.shape[-1], flow.shape[-2]]) / full
    wanted = torch.where(present[..., None], moved * scale, 0)
    error = (found.squeeze(3).transpose(1, 2) - wanted).abs().sum(-1) * present  # B N
    return (error.sum(1) / present.sum(1).clamp(min=1)).mean()
