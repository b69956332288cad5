"""The blocks of every network, pre-activation throughout (``spec: blocks``). a, b: channels in and out; h: hidden."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint

from ..errors import ConfigError
from ..ops.convolution import convolve
from ..ops.local_attention import SLOPE


def act(x: Tensor) -> Tensor:
    """LeakyReLU(0.1)."""
    return F.leaky_relu(x, SLOPE)


def act_(x: Tensor) -> Tensor:
    """The same in place, on what nothing else looks at: a third less is kept for the backward pass."""
    return F.leaky_relu_(x, SLOPE)


class Convolution(nn.Conv2d):
    """``nn.Conv2d`` of stride 1, computed by :func:`convolve`. Weights, names and numbers as there.

    Attributes:
        direct: True leaves the choice to torch.
    """

    direct = False

    def __init__(
        self, a: int, b: int, size: int, padding: int = 0, padding_mode: Literal["zeros", "reflect"] = "zeros"
    ) -> None:
        super().__init__(a, b, size, padding=padding, padding_mode=padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        """B b H W of B a H W."""
        return self.inside(self.bordered(x))

    def bordered(self, x: Tensor) -> Tensor:
        """*x* with the border that :meth:`inside` asks for; *x* itself where that is of zeros."""
        return x if self.padding_mode == "zeros" else F.pad(x, [int(self.padding[0])] * 4, mode=self.padding_mode)

    def inside(self, bordered: Tensor) -> Tensor:
        """The convolution of what :meth:`bordered` gave."""
        padding = int(self.padding[0]) if self.padding_mode == "zeros" else 0
        return (F.conv2d if self.direct else convolve)(bordered, self.weight, self.bias, padding=padding)


class Block(nn.Module):
    """What the blocks share: norm, act and convolution in one, which keeps one map for the backward pass, not two.

    Attributes:
        recompute: what norm and act make of a map, as large as the map, is made again in the backward pass, by the same
            kernels: gradients are the same to the last bit, and no convolution is computed again. False keeps it.
    """

    recompute = True

    def act_conv(self, conv: nn.Module, x: Tensor, norm: nn.Module | None = None) -> Tensor:
        """norm (where there is one), act, conv."""

        def run(x: Tensor) -> Tensor:
            if isinstance(conv, Convolution) and conv.padding_mode != "zeros" and norm is None:
                return conv.inside(act_(conv.bordered(x)))
            return conv(act(x) if norm is None or isinstance(norm, nn.Identity) else act_(norm(x)))

        needs_gradient = x.requires_grad or any(parameter.requires_grad for parameter in conv.parameters())
        if not (self.recompute and needs_gradient and torch.is_grad_enabled()) or torch.compiler.is_compiling():
            return run(x)
        return checkpoint(run, x, use_reentrant=False, preserve_rng_state=False)


NormKind = Literal["instance", "group"]
GROUP = 16  # channels


class InstanceNorm(nn.InstanceNorm2d):
    """``nn.InstanceNorm2d``, computed as a group norm whose groups are single channels.

    The same numbers, by a kernel that takes a fraction of the time on a CPU (docs/performance.md).
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)


def norm(channels: int, kind: NormKind = "instance") -> nn.Module:
    """The norm of a block, with affine parameters.

    ``"instance"``, as published, takes each channel's mean and contrast over the image away, and with them the absolute
    colors of the source. ``"group"`` does so for groups of 16 channels together, which keeps them.

    Raises:
        ConfigError: another kind, or channels that are no whole groups.
    """
    if kind == "instance":
        return InstanceNorm(channels, affine=True)
    if kind != "group":
        raise ConfigError(f"norm must be 'instance' or 'group', got {kind!r}")
    if channels % GROUP:
        raise ConfigError(f"norm='group' needs widths that are multiples of {GROUP}, got {channels} channels")
    return nn.GroupNorm(channels // GROUP, channels)


def channels_last(x: Tensor) -> Tensor:
    """A map B C H W with its channels side by side in memory, as all that follow from it will have them.

    Without gradients that is the faster layout on a CPU; a backward pass is slower in it (docs/performance.md).
    """
    return x.contiguous(memory_format=torch.channels_last)


def upsample_conv(a: int, b: int) -> nn.ConvTranspose2d:
    """Transposed 3×3 convolution of stride 2: exactly twice the size."""
    return nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=1)


INIT_GAIN = 0.02


def initialize(module: nn.Module, gain: float = INIT_GAIN) -> None:
    """Convolutions orthogonal with *gain* (published: 0.02), biases 0; norms stay at 1 and 0."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)):
            nn.init.orthogonal_(part.weight, gain=gain)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


class Encode(Block):
    """a→b at half the size: norm (unless *input_norm* is False), act, conv4×4 stride 2, norm, act, conv3×3."""

    def __init__(self, a: int, b: int, kind: NormKind = "instance", input_norm: bool = True) -> None:
        super().__init__()
        self.norm1 = norm(a, kind) if input_norm else nn.Identity()
        self.conv1 = nn.Conv2d(a, b, 4, stride=2, padding=1)
        self.norm2, self.conv2 = norm(b, kind), Convolution(b, b, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act_conv(self.conv1, x, self.norm1)
        return self.act_conv(self.conv2, x, self.norm2)


def encoder(widths: Sequence[int], kind: NormKind = "instance") -> nn.ModuleList:
    """Encode blocks, one between two neighboring *widths*; the first takes images or structures.

    Those are no groups of channels, and in a fixed range anyway: under ``"group"`` the first block leaves them as they
    are.
    """
    steps = enumerate(itertools.pairwise(widths))
    return nn.ModuleList(Encode(a, b, kind, input_norm=i > 0 or kind == "instance") for i, (a, b) in steps)


class Residual(Block):
    """a→b at the same size: norm, act, conv3×3, norm, act, conv3×3, beside the identity (a 1×1 conv if a ≠ b)."""

    def __init__(self, a: int, b: int, kind: NormKind = "instance") -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(a, kind), Convolution(a, a, 3, padding=1)
        self.norm2, self.conv2 = norm(a, kind), Convolution(a, b, 3, padding=1)
        self.side = nn.Identity() if a == b else nn.Conv2d(a, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        main = self.act_conv(self.conv1, x, self.norm1)
        return self.act_conv(self.conv2, main, self.norm2) + self.side(x)


class Up(Block):
    """a→b at twice the size: norm, act, conv3×3 (a→h), norm, act, transposed conv, beside a transposed conv."""

    def __init__(self, a: int, b: int, hidden: int, kind: NormKind = "instance") -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(a, kind), Convolution(a, hidden, 3, padding=1)
        self.norm2, self.conv2 = norm(hidden, kind), upsample_conv(hidden, b)
        self.side = upsample_conv(a, b)

    def forward(self, x: Tensor) -> Tensor:
        main = self.act_conv(self.conv1, x, self.norm1)
        return self.act_conv(self.conv2, main, self.norm2) + self.side(x)


class Skip(Block):
    """act, conv3×3 with reflected border: what the encoder hands to the decoder at the same resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Convolution(channels, channels, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.act_conv(self.conv, x)


class ToImage(Block):
    """act, conv3×3 with reflected border, tanh: an image in [-1, 1]."""

    def __init__(self, channels: int, image_channels: int = 3) -> None:
        super().__init__()
        self.conv = Convolution(channels, image_channels, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.act_conv(self.conv, x).tanh()


class Down(nn.Module):
    """a→b at half the size, spectral norm and no other: act, conv3×3 (a→h), act, conv4×4 stride 2; side: pool, 1×1."""

    def __init__(self, a: int, b: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = Convolution(a, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, b, 4, stride=2, padding=1)
        self.side = nn.Conv2d(a, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(act_(self.conv1(act(x)))) + self.side(F.avg_pool2d(x, 2))


def add_spectral_norm(module: nn.Module) -> None:
    """Put spectral norm on every convolution of *module*; call after :func:`initialize`."""
    for part in list(module.modules()):
        if isinstance(part, (nn.Conv2d, nn.Conv3d)):
            spectral_norm(part)
