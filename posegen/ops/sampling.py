"""Sampling feature maps along a flow field. Outside the map every tap clamps to the border, each on its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sampling_positions(flow: Tensor) -> Tensor:
    """Where each location samples: ``l + w(l)``.

    Args:
        flow: B 2 h w, pixels of h×w; channel 0 to the right, channel 1 down.

    Returns:
        B 2 h w, pixel coordinates (x, y), the centre of the first pixel at 0. At least float32: half-precision types
        cannot hold a position to a fraction of a pixel.
    """
    flow = flow.to(torch.promote_types(flow.dtype, torch.float32))
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)
    return flow + torch.stack(torch.meshgrid(x, y, indexing="xy"))


def sample_bilinear(source: Tensor, flow: Tensor, margin: int = 0) -> Tensor:
    """Sample a map along a flow with bilinear interpolation.

    Args:
        source: B C H W.
        flow: B 2 h w in pixels of the source (h, w may differ from H, W where only positions matter).
        margin: the source has this many extra pixels on every side; position 0 lies *margin* pixels inside it.

    Returns:
        B C h w.
    """
    x, y = (sampling_positions(flow) + margin).unbind(1)
    height, width = source.shape[-2:]
    grid = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], dim=3)
    # A half-precision grid would move positions by a tenth of a pixel: the map is raised to the grid's precision.
    return F.grid_sample(source.to(grid.dtype), grid, mode="bilinear", padding_mode="border", align_corners=True)


def sample_gaussian(source: Tensor, flow: Tensor, size: int = 4, sigma: float = 2.0) -> Tensor:
    """Sample a map along a flow with a Gaussian window of size×size taps, weights normalised to 1.

    A wider window than bilinear: its gradient sees further, which is why the sampling correctness loss uses it (GFLA
    section 3.1 and ``spec: losses``).

    Args:
        source: B C H W.
        flow: B 2 h w in pixels of the source.
        size: taps in each direction, even.
        sigma: standard deviation in pixels.

    Returns:
        B C h w.
    """
    positions = sampling_positions(flow)
    first = positions.detach().floor() - (size // 2 - 1)
    taps = first.unsqueeze(1) + torch.arange(size, device=flow.device, dtype=first.dtype).view(1, -1, 1, 1, 1)
    window = torch.softmax(-((taps - positions.unsqueeze(1)) ** 2) / (2 * sigma**2), dim=1)  # B size 2 h w
    weights = window[:, :, None, 1] * window[:, None, :, 0]  # B size size h w, rows first
    return weighted_gather(source, first, weights)


def weighted_gather(source: Tensor, first: Tensor, weights: Tensor) -> Tensor:
    """For each location, the weighted sum of a window of whole pixels of a map, indices clamped to the map.

    Args:
        source: B C H W.
        first: B 2 h w, (x, y) of each window's first pixel, whole numbers; no gradient.
        weights: B rows columns h w.

    Returns:
        B C h w. Gradients reach *source* and *weights*. The taps are gathered and summed in one fused step
        (``embedding_bag``): no patch is ever built.
    """
    batch, channels, height, width = source.shape
    rows, columns, out_height, out_width = weights.shape[1:]
    # Clamped while still floating point: a wild flow must not overflow the integer, a NaN one must not become an index.
    reach = max(height, width) + max(rows, columns)
    first = first.nan_to_num(0).clamp(-reach, reach).long()
    x = (first[:, 0, :, :, None] + torch.arange(columns, device=source.device)).clamp(0, width - 1)  # B h w columns
    y = (first[:, 1, :, :, None] + torch.arange(rows, device=source.device)).clamp(0, height - 1)  # B h w rows
    offset = torch.arange(batch, device=source.device).view(-1, 1, 1, 1) * (height * width)
    index = (offset + y * width).unsqueeze(-1) + x.unsqueeze(-2)  # B h w rows columns
    table = source.permute(0, 2, 3, 1).reshape(-1, channels)
    gathered = F.embedding_bag(
        index.reshape(-1, rows * columns),
        table,
        mode="sum",
        per_sample_weights=weights.permute(0, 3, 4, 1, 2).reshape(-1, rows * columns).to(table.dtype),
    )
    return gathered.view(batch, out_height, out_width, channels).permute(0, 3, 1, 2)


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a flow B 2 h w to *size* (H, W) bilinearly, its values rescaled to pixels of the new size."""
    height, width = flow.shape[-2:]
    x, y = F.interpolate(flow, size=size, mode="bilinear", align_corners=False).unbind(1)
    return torch.stack([x * (size[1] / width), y * (size[0] / height)], dim=1)


def warp(source: Tensor, flow: Tensor) -> Tensor:
    """A source image moved along a flow.

    Args:
        source: B 3 H W. flow: B 2 h w in pixels of h×w; it is resized to the image.

    Returns:
        B 3 H W.
    """
    height, width = source.shape[-2:]
    return sample_bilinear(source, resize_flow(flow, (height, width)))
