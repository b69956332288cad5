"""Local attention as published: patches are built, tap by tap. Slow; for tests and benchmarks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .local_attention import SLOPE, LocalAttention
from .sampling import sample_by_grid, sampling_positions


def patches(source: Tensor, flow: Tensor, size: int) -> Tensor:
    """Return the size×size patch of *source* B C H W around each ``l + w(l)``: B C size² H W, taps row by row."""
    radius = size // 2
    shifts = [(x, y) for y in range(-radius, radius + 1) for x in range(-radius, radius + 1)]
    positions = sampling_positions(flow)
    return torch.stack([sample_by_grid(source, positions + flow.new_tensor(s).view(1, 2, 1, 1)) for s in shifts], dim=2)


def local_attention_by_patches(block: LocalAttention, source: Tensor, target: Tensor, flow: Tensor) -> Tensor:
    """Compute ``block(source, target, flow)`` from patches of both maps."""
    size = block.kernel_size
    source_patches = patches(source, flow, size)
    target_patches = patches(target, torch.zeros_like(flow), size)
    both = torch.cat([target_patches, source_patches], dim=1)  # B 2C n² H W
    hidden = torch.einsum("bcthw,oct->bohw", both, block.patch_conv.weight.flatten(2))
    assert block.patch_conv.bias is not None
    hidden = hidden + block.patch_conv.bias.view(1, -1, 1, 1)
    kernel = torch.softmax(block.kernel_conv(F.leaky_relu(hidden, SLOPE)), dim=1)
    attended = (source_patches * kernel.unsqueeze(1)).sum(2)
    return attended / size**2 if block.reduction == "mean" else attended
