"""The blocks of all networks, pre-activation throughout (docs/method.md). a, b: channels in and out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ..errors import ConfigError
from ..ops.local_attention import SLOPE

INIT_GAIN = 0.02
"""Gain of the orthogonal initialization, as published."""
GROUP = 16
"""Channels of a group under ``norm="group"``."""

Upsampling = Literal["transposed", "resize"]
NormKind = Literal["instance", "group"]


def act(x: Tensor) -> Tensor:
    """LeakyReLU(0.1)."""
    return F.leaky_relu(x, SLOPE)


def norm(channels: int, kind: NormKind = "instance") -> nn.Module:
    """Build the norm of a block, with affine parameters.

    ``"instance"``, as published, removes the mean and contrast of each channel over the image, and with them the
    absolute colors of the source. ``"group"`` normalizes groups of 16 channels together, which keeps them; all channels
    together where their number is not a multiple of 16.

    Raises:
        ConfigError: another kind.
    """
    if kind == "instance":  # GroupNorm with one channel per group is an instance norm and runs faster on a CPU.
        return nn.GroupNorm(channels, channels)
    if kind != "group":
        raise ConfigError(f"norm must be 'instance' or 'group', got {kind!r}")
    return nn.GroupNorm(1 if channels % GROUP else channels // GROUP, channels)


def conv3x3(a: int, b: int, padding_mode: Literal["zeros", "reflect"] = "zeros") -> nn.Conv2d:
    """Build a 3×3 convolution that keeps the size."""
    return nn.Conv2d(a, b, 3, padding=1, padding_mode=padding_mode)


class Enlarge(nn.Module):
    """Resize a map bilinearly to exactly twice its size."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def upsample_conv(a: int, b: int, upsampling: Upsampling = "transposed") -> nn.Module:
    """Build a 3×3 convolution to exactly twice the size: transposed, as published, or after resizing.

    Raises:
        ConfigError: another kind of upsampling.
    """
    if upsampling == "resize":
        return nn.Sequential(Enlarge(), conv3x3(a, b))
    if upsampling != "transposed":
        raise ConfigError(f"upsampling must be 'transposed' or 'resize', got {upsampling!r}")
    return nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1)


def initialize(module: nn.Module, gain: float = INIT_GAIN) -> None:
    """Initialize convolutions orthogonal with *gain*, biases with 0; norms stay at 1 and 0."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)):
            nn.init.orthogonal_(part.weight, gain=gain)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def add_spectral_norm(module: nn.Module) -> None:
    """Put spectral norm on every convolution of *module*; call after :func:`initialize`."""
    for part in list(module.modules()):
        if isinstance(part, (nn.Conv2d, nn.Conv3d)):
            spectral_norm(part)


# Blocks of F and G --------------------------------------------------------------------------------------------


def norm_act_conv(x: Tensor, norm: nn.Module | None, conv: nn.Module) -> Tensor:
    """Apply norm (None: no norm), activation and convolution."""
    return conv(act(x if norm is None else norm(x)))


class Block(nn.Module):
    """Base of the blocks of F and G.

    Attributes:
        norm_act_conv: computes :func:`norm_act_conv`, unless :func:`posegen.acceleration.recompute_activations`
            replaces it.
    """

    norm_act_conv: Callable[[Tensor, nn.Module | None, nn.Module], Tensor] = staticmethod(norm_act_conv)


class Encode(Block):
    """a→b at half the size: norm (unless *input_norm* is False), act, conv4×4 stride 2, norm, act, conv3×3."""

    def __init__(self, a: int, b: int, kind: NormKind = "instance", input_norm: bool = True) -> None:
        super().__init__()
        self.norm1 = norm(a, kind) if input_norm else nn.Identity()
        self.conv1 = nn.Conv2d(a, b, 4, stride=2, padding=1)
        self.norm2, self.conv2 = norm(b, kind), conv3x3(b, b)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_act_conv(x, self.norm1, self.conv1)
        return self.norm_act_conv(x, self.norm2, self.conv2)


class Residual(Block):
    """a→b at the same size: norm, act, conv3×3, norm, act, conv3×3; side: identity (a 1×1 convolution if a ≠ b)."""

    def __init__(self, a: int, b: int, kind: NormKind = "instance") -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(a, kind), conv3x3(a, a)
        self.norm2, self.conv2 = norm(a, kind), conv3x3(a, b)
        self.side = nn.Identity() if a == b else nn.Conv2d(a, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        main = self.norm_act_conv(x, self.norm1, self.conv1)
        return self.norm_act_conv(main, self.norm2, self.conv2) + self.side(x)


class Up(Block):
    """a→b at twice the size: norm, act, conv3×3, norm, act, convolution to twice the size; side: likewise."""

    def __init__(
        self, a: int, b: int, hidden: int, kind: NormKind = "instance", upsampling: Upsampling = "transposed"
    ) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(a, kind), conv3x3(a, hidden)
        self.norm2, self.conv2 = norm(hidden, kind), upsample_conv(hidden, b, upsampling)
        self.side = upsample_conv(a, b, upsampling)

    def forward(self, x: Tensor) -> Tensor:
        main = self.norm_act_conv(x, self.norm1, self.conv1)
        return self.norm_act_conv(main, self.norm2, self.conv2) + self.side(x)


class Skip(Block):
    """act, conv3×3 with reflected border: connects encoder and decoder at the same resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels, channels, "reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.norm_act_conv(x, None, self.conv)


class ToImage(Block):
    """act, conv3×3 with reflected border, tanh: an image in [-1, 1]."""

    def __init__(self, channels: int, image_channels: int = 3) -> None:
        super().__init__()
        self.conv = conv3x3(channels, image_channels, "reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.norm_act_conv(x, None, self.conv).tanh()


def encoder(widths: Sequence[int], kind: NormKind = "instance") -> nn.ModuleList:
    """Build one Encode block between each two neighboring *widths*; the first takes images or structures.

    Their channels form no groups, and their values have a fixed range: under ``"group"`` the first block does not
    normalize them.
    """
    steps = enumerate(itertools.pairwise(widths))
    return nn.ModuleList(Encode(a, b, kind, input_norm=i > 0 or kind == "instance") for i, (a, b) in steps)


def encode(blocks: nn.ModuleList, x: Tensor) -> list[Tensor]:
    """Return *x* and the output of each block, indexed by level: level k has resolution H / 2^k."""
    features = [x]
    for block in blocks:
        features.append(block(features[-1]))
    return features


# Block of the discriminators ----------------------------------------------------------------------------------


class Down(nn.Module):
    """a→b at half the size, without norm: act, conv3×3 (a→hidden), act, conv4×4 stride 2; side: pool 2×2, conv1×1."""

    def __init__(self, a: int, b: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(a, hidden)
        self.conv2 = nn.Conv2d(hidden, b, 4, stride=2, padding=1)
        self.side = nn.Conv2d(a, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(act(self.conv1(act(x)))) + self.side(F.avg_pool2d(x, 2))
