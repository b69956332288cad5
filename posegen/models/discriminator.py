"""Residual discriminators of images and of clips (``spec: losses, clips``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..registry import DISCRIMINATORS
from . import published
from .layers import Down, act, act_, add_spectral_norm, initialize


@DISCRIMINATORS.register_module()
class ResidualDiscriminator(nn.Module):
    """Judges patches of an image: real or generated. Spectral norm on every convolution.

    Args:
        widths: channels after each Down block; each halves the size.
        image_channels: channels of an image.
    """

    published = published.discriminator_rules()

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 128), image_channels: int = 3) -> None:
        super().__init__()
        self.down = down_blocks(image_channels, widths)
        self.to_logits = nn.Conv2d(widths[-1], 1, 1)
        initialize(self)
        add_spectral_norm(self)

    def forward(self, image: Tensor) -> Tensor:
        """Logits B 1 h w of images B 3 H W in [-1, 1]: one a patch, high for real."""
        for down in self.down:
            image = down(image)
        return self.to_logits(act(image))


@DISCRIMINATORS.register_module()
class DifferenceDiscriminator(ResidualDiscriminator):
    """Judges the motion in a few frames: the image discriminator's design on their differences (``spec: faces``).

    Args:
        widths: as in :class:`ResidualDiscriminator`.
        image_channels: channels of a frame.
        frames: that follow each other; one difference less.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 128), image_channels: int = 3, frames: int = 3) -> None:
        super().__init__(widths, image_channels * (frames - 1))
        self.frames = frames

    def forward(self, clip: Tensor) -> Tensor:
        """Logits B 1 h w of clips B T 3 H W in [-1, 1] of ``frames`` frames."""
        return super().forward((clip[:, 1:] - clip[:, :-1]).flatten(1, 2))


@DISCRIMINATORS.register_module()
class TemporalDiscriminator(nn.Module):
    """Judges a few frames by 3-D convolutions, then 2-D ones with time folded into channels (``spec: clips, dance``).

    Args:
        widths: channels after each 3-D Down block; each takes two frames off, and halves the size.
        folded_widths: channels after each of the 2-D Down blocks that follow.
        image_channels: channels of a frame.
        frames: T, that follow each other; more than twice the number of 3-D blocks.
    """

    published = published.discriminator_rules(
        r"block\d+|encoder\d+", lambda name: int(name[-1]) + (2 if name.startswith("encoder") else 0)
    )

    def __init__(
        self,
        widths: Sequence[int] = (32, 64),
        folded_widths: Sequence[int] = (128, 128),
        image_channels: int = 3,
        frames: int = 6,
    ) -> None:
        super().__init__()
        self.frames = frames
        folded = widths[-1] * (frames - 2 * len(widths))
        self.down = nn.ModuleList(
            [*down_blocks(image_channels, widths, Down3d), *down_blocks(folded, folded_widths, first_hidden=folded)]
        )
        self.to_logits = nn.Conv2d(folded_widths[-1], 1, 1)
        initialize(self)
        add_spectral_norm(self)

    def forward(self, clip: Tensor) -> Tensor:
        """Logits B 1 h w of clips B T 3 H W in [-1, 1] of ``frames`` frames."""
        x = clip.transpose(1, 2)  # B C T H W
        for down in self.down:
            if isinstance(down, Down) and x.dim() == 5:
                x = x.flatten(1, 2)
            x = down(x)
        return self.to_logits(act(x))


class Down3d(nn.Module):
    """a→b at half the size and two frames less: act, conv3×3×3, act, conv3×4×4; side: pool 3×2×2, 1×1×1."""

    def __init__(self, a: int, b: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(a, hidden, 3, padding=1)
        self.conv2 = nn.Conv3d(hidden, b, (3, 4, 4), stride=(1, 2, 2), padding=(0, 1, 1))
        self.side = nn.Conv3d(a, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        """B b T-2 H/2 W/2 from B a T H W."""
        return self.conv2(act_(self.conv1(act(x)))) + self.side(F.avg_pool3d(x, (3, 2, 2), stride=(1, 2, 2)))


def down_blocks(
    channels: int, widths: Sequence[int], kind: type[nn.Module] = Down, first_hidden: int | None = None
) -> nn.ModuleList:
    """Down blocks one after the other; inside each the input's width, in the first *first_hidden*, or its output's."""
    hidden = [first_hidden or widths[0], *widths[:-1]]
    return nn.ModuleList(kind(a, b, h) for a, b, h in zip([channels, *widths[:-1]], widths, hidden, strict=True))
