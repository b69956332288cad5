"""Content-aware local attention (GFLA, arXiv 2003.00696, section 3.2) without building patches.

For each target location l, an n×n kernel k(l) is predicted from the target patch around l and the source patch around
``l + w(l)``; the output is the k-weighted mean (or sum) of the source patch. Two identities keep the n² patches
implicit (docs/method.md; ``reference.py`` builds the patches, for tests and benchmarks):

1. Bilinear sampling commutes with a convolution of whole-pixel taps, so the source half of the kernel predictor's
   first layer is convolved once at native resolution and then sampled along the flow.
2. All taps at a location share one fractional offset, so the kernel convolved with the 2×2 bilinear weights is an
   (n+1)×(n+1) kernel on whole pixels: one weighted gather.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .sampling import sample_bilinear, sampling_positions, weighted_gather

SLOPE = 0.1
"""Negative slope of LeakyReLU, throughout the method."""

Convolve = Callable[..., Tensor]
Reduction = Literal["mean", "sum"]


class LocalAttention(nn.Module):
    """Local attention: warp source features along a flow, with a kernel predicted for each location.

    Args:
        channels: C, of source and target features.
        kernel_size: n, odd; side of the local patch.
        hidden: width of the kernel prediction net M.
        reduction: ``"mean"``, as published: (1/n²)·Σ k·P; ``"sum"``: Σ k·P, a true weighted average, which keeps
            attended features as strong as the target features they are blended with.

    Attributes:
        convolve: computes the convolutions of M; ``F.conv2d``, unless :func:`posegen.acceleration.accelerate` replaces
            it.

    Raises:
        ConfigError: an even *kernel_size*, or an unknown *reduction*.
    """

    convolve: Convolve = staticmethod(F.conv2d)

    def __init__(self, channels: int, kernel_size: int, hidden: int = 128, reduction: Reduction = "mean") -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size must be odd, got {kernel_size}")
        if reduction not in ("mean", "sum"):
            raise ConfigError(f"reduction must be 'mean' or 'sum', got {reduction!r}")
        self.kernel_size = kernel_size
        self.reduction = reduction
        self.patch_conv = nn.Conv2d(2 * channels, hidden, kernel_size)  # target channels first
        self.kernel_conv = nn.Conv2d(hidden, kernel_size**2, 1)

    def forward(self, source_features: Tensor, target_features: Tensor, flow: Tensor) -> Tensor:
        """Return attended source features, B C H W, from maps B C H W and a flow B 2 H W in pixels of these maps."""
        kernel = self.kernel(source_features, target_features, flow)
        return attend(source_features, flow, kernel, self.reduction)

    def kernel(self, source_features: Tensor, target_features: Tensor, flow: Tensor) -> Tensor:
        """Return the kernels k(l): B n² H W, summing to 1 over the taps, row by row."""
        patch_conv = self.patch_conv.weight, self.patch_conv.bias
        hidden = first_layer(source_features, target_features, flow, *patch_conv, self.convolve)
        return torch.softmax(self.kernel_conv(F.leaky_relu(hidden, SLOPE, inplace=True)), dim=1)


def first_layer(
    source: Tensor, target: Tensor, flow: Tensor, weight: Tensor, bias: Tensor | None, convolve: Convolve = F.conv2d
) -> Tensor:
    """Apply the first layer of M to all target patches and flow-sampled source patches (identity 1).

    Args:
        source: B C H W. target: B C H W. flow: B 2 H W.
        weight: hidden 2C n n, target channels first. bias: hidden.
        convolve: computes ``F.conv2d``.

    Returns:
        B hidden H W.
    """
    radius = weight.shape[-1] // 2
    target_weight, source_weight = weight.split([target.shape[1], source.shape[1]], dim=1)
    from_target = convolve(F.pad(target, [radius] * 4, mode="replicate"), target_weight, bias)
    # Padded by twice the radius, the convolved map reaches far enough that clamping a position on it is the same as
    # clamping each tap of the patch.
    convolved = convolve(F.pad(source, [2 * radius] * 4, mode="replicate"), source_weight)
    return from_target + sample_bilinear(convolved, flow, margin=radius)


def attend(source: Tensor, flow: Tensor, kernel: Tensor, reduction: Reduction = "mean") -> Tensor:
    """Weight the source patches by their kernels and sum them up (identity 2).

    Args:
        source: B C H W. flow: B 2 H W. kernel: B n² H W, taps row by row.
        reduction: ``"mean"`` divides by n².

    Returns:
        B C H W.
    """
    size = round(kernel.shape[1] ** 0.5)
    positions = sampling_positions(flow)
    floor = positions.detach().floor()
    x, y = (positions - floor).to(kernel.dtype)[:, :, None, None].unbind(1)  # fractions, B 1 1 H W
    kernel = _spread(_spread(kernel.unflatten(1, (size, size)), x, dim=2), y, dim=1)  # B n+1 n+1 H W
    if reduction == "mean":
        kernel = kernel / size**2
    return weighted_gather(source, floor - size // 2, kernel)


def _spread(kernel: Tensor, fraction: Tensor, dim: int) -> Tensor:
    """Spread each tap over its two neighboring pixels along *dim*; the result has one tap more."""
    end = [0, 0] * (kernel.dim() - dim - 1) + [0, 1]
    start = [0, 0] * (kernel.dim() - dim - 1) + [1, 0]
    return F.pad(kernel * (1 - fraction), end) + F.pad(kernel * fraction, start)
