"""Positions of key points in their heat maps, to a fraction of a pixel."""

from __future__ import annotations

import torch
from torch import Tensor


def heatmap_peaks(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Locate the maximum of each heat map.

    Args:
        maps: B K H W; Gaussians whose center may lie between pixels, or empty maps.

    Returns:
        Points B K 2, (x, y) in pixels, and whether a map has a maximum above zero, B K bool.
    """
    width = maps.shape[-1]
    peak, place = maps.flatten(2).max(2)
    x, y = place % width, place // width
    rows = maps.gather(2, y[..., None, None].expand(-1, -1, 1, width)).squeeze(2)  # B K W, the row through the peak
    columns = maps.gather(3, x[..., None, None].expand(-1, -1, maps.shape[2], 1)).squeeze(3)  # B K H
    return torch.stack([_vertex(rows, x), _vertex(columns, y)], -1), peak > 0


def _vertex(values: Tensor, place: Tensor) -> Tensor:
    """Maximum of a Gaussian sampled at whole pixels, values B K N, near its highest sample *place* B K.

    The logarithm of a Gaussian is a parabola: three samples give its vertex exactly. A map that is no Gaussian there
    (an empty one, a single pixel) keeps the whole pixel.
    """
    middle = place.clamp(1, values.shape[-1] - 2)
    before, at, after = (values.gather(-1, middle[..., None] + k).squeeze(-1) for k in (-1, 0, 1))
    positive = torch.minimum(torch.minimum(before, at), after) > 0
    before, at, after = (torch.where(positive, part, 1).double().log() for part in (before, at, after))
    bend = 2 * at - before - after
    offset = (after - before) / (2 * bend.clamp(min=1e-6))
    vertex = middle + torch.where(positive & (bend > 1e-6), offset, place - middle)
    return torch.minimum(torch.maximum(vertex, place - 1), place + 1).float()  # at most a pixel outside the map
