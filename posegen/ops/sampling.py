"""Sample feature maps along a flow field. Outside the map, each tap is clamped to the border separately."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

MANY_CHANNELS = 16
"""Channels from which a map is sampled by gathering its taps; ``grid_sample`` is faster with fewer."""


def sampling_positions(flow: Tensor) -> Tensor:
    """Return the position that each location samples, ``l + w(l)``.

    Args:
        flow: B 2 h w, pixels of h×w; channel 0 to the right, channel 1 down.

    Returns:
        B 2 h w, pixel coordinates (x, y), the center of the first pixel at 0. At least float32: half-precision types do
        not hold fractions of a pixel.
    """
    flow = flow.to(torch.promote_types(flow.dtype, torch.float32))
    height, width = flow.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)
    return flow + torch.stack(torch.meshgrid(x, y, indexing="xy"))


def sample_bilinear(source: Tensor, flow: Tensor, margin: int = 0) -> Tensor:
    """Sample a map along a flow by bilinear interpolation.

    Args:
        source: B C H W.
        flow: B 2 h w in pixels of the source.
        margin: width of a border that was added to the source on every side; positions do not count it.

    Returns:
        B C h w.
    """
    positions = sampling_positions(flow) + margin
    # grid_sample needs one type; a half-precision grid would move positions by a tenth of a pixel.
    source = source.to(positions.dtype)
    return (sample_by_gather if source.shape[1] >= MANY_CHANNELS else sample_by_grid)(source, positions)


def sample_by_grid(source: Tensor, positions: Tensor) -> Tensor:
    """Sample a map B C H W at positions B 2 h w, in pixels, by ``grid_sample``: B C h w."""
    x, y = positions.unbind(1)
    height, width = source.shape[-2:]
    grid = torch.stack([x * (2 / max(width - 1, 1)) - 1, y * (2 / max(height - 1, 1)) - 1], dim=3)
    return F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=True)


def sample_by_gather(source: Tensor, positions: Tensor) -> Tensor:
    """Compute :func:`sample_by_grid` with all channels of a tap at once: twice as fast on a CPU with many channels."""
    floor = positions.detach().floor()
    x, y = (positions - floor).unbind(1)
    across = torch.stack([1 - x, x], dim=1)
    down = torch.stack([1 - y, y], dim=1)
    return weighted_gather(source, floor, down[:, :, None] * across[:, None])


def sample_gaussian(source: Tensor, flow: Tensor, size: int = 4, sigma: float = 2.0) -> Tensor:
    """Sample a map along a flow with a Gaussian window of size×size taps, weights normalized to 1.

    The window is wider than a bilinear one, so its gradient reaches further: the sampling correctness loss uses it
    (GFLA, arXiv 2003.00696, section 3.1; docs/method.md).

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
    """Sum a weighted window of pixels of a map for each location, indices clamped to the map.

    Args:
        source: B C H W.
        first: B 2 h w, (x, y) of the first pixel of each window, whole numbers; no gradient.
        weights: B rows columns h w.

    Returns:
        B C h w, with gradients for *source* and *weights*. Taps are gathered and summed in one fused step, without
        building patches.
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
    weights = weights.permute(0, 3, 4, 1, 2).reshape(-1, rows * columns).to(table.dtype)
    gathered = weighted_rows(table, index.reshape(-1, rows * columns), weights)
    return gathered.view(batch, out_height, out_width, channels).permute(0, 3, 1, 2)


def weighted_rows(table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
    """Sum the rows of a table that each row of *index* names: ``Σ_k weights_k · table[index_k]``.

    This is ``embedding_bag`` with another backward pass. PyTorch's adds to the table bag by bag; this one sorts the
    pairs by row of the table and is one more ``embedding_bag``: four times faster, and deterministic.

    Args:
        table: M C. index: N K, rows of the table. weights: N K, of the table's type.

    Returns:
        N C, with first derivatives for *table* and *weights*.
    """
    if torch.is_grad_enabled() and (table.requires_grad or weights.requires_grad):
        return _WeightedRows.apply(table, index, weights)
    return F.embedding_bag(index, table, mode="sum", per_sample_weights=weights)


class _WeightedRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(table, index, weights)
        return F.embedding_bag(index, table, mode="sum", per_sample_weights=weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        table, index, weights = ctx.saved_tensors
        gradient = gradient.contiguous()
        of_table = _gradient_of_table(index, weights, gradient, len(table)) if ctx.needs_input_grad[0] else None
        of_weights = _gradient_of_weights(table, index, weights, gradient) if ctx.needs_input_grad[2] else None
        return of_table, None, of_weights


def _gradient_of_table(index: Tensor, weights: Tensor, gradient: Tensor, rows: int) -> Tensor:
    """Sum, for each row of the table, the weighted gradients of all outputs that read it."""
    named, order = torch.sort(index.flatten().int(), stable=True)
    starts = torch.searchsorted(named, torch.arange(rows, dtype=named.dtype, device=named.device))
    bags = order // index.shape[1]
    return F.embedding_bag(bags, gradient, starts, mode="sum", per_sample_weights=weights.flatten()[order])


def _gradient_of_weights(table: Tensor, index: Tensor, weights: Tensor, gradient: Tensor) -> Tensor:
    """Multiply each gradient with each row that it was summed from, by PyTorch's fused backward pass."""
    with torch.enable_grad():
        weights = weights.detach().requires_grad_()
        out = F.embedding_bag(index, table.detach(), mode="sum", per_sample_weights=weights)
    return torch.autograd.grad(out, weights, gradient)[0]


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a flow B 2 h w to *size* (H, W) bilinearly, its values rescaled to pixels of the new size."""
    height, width = flow.shape[-2:]
    x, y = F.interpolate(flow, size=size, mode="bilinear", align_corners=False).unbind(1)
    return torch.stack([x * (size[1] / width), y * (size[0] / height)], dim=1)


def warp(source: Tensor, flow: Tensor) -> Tensor:
    """Warp a source image along a flow.

    Args:
        source: B 3 H W. flow: B 2 h w in pixels of h×w; resized to the image.

    Returns:
        B 3 H W.
    """
    height, width = source.shape[-2:]
    return sample_bilinear(source, resize_flow(flow, (height, width)))
