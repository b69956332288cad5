"""Residual discriminators of images (GFLA, arXiv 2003.00696) and of clips (arXiv 2008.12606)."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from ..registry import DISCRIMINATORS
from . import published
from .base import Discriminator
from .layers import Down, act, add_spectral_norm, initialize


@DISCRIMINATORS.register_module()
class ResidualDiscriminator(Discriminator):
    """Judge patches of an image: real or generated. Spectral norm on every convolution.

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
        """Return logits B 1 h w, one per patch, of images B 3 H W in [-1, 1]."""
        for down in self.down:
            image = down(image)
        return self.to_logits(act(image))


@DISCRIMINATORS.register_module()
class DifferenceDiscriminator(Discriminator):
    """Judge the motion in consecutive frames: the image discriminator's design on their differences; for faces.

    Args:
        widths: as in :class:`ResidualDiscriminator`.
        image_channels: channels of a frame.
        frames: number of consecutive frames; there is one difference less.
    """

    published = published.discriminator_rules()

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 128), image_channels: int = 3, frames: int = 3) -> None:
        super().__init__()
        self.frames = frames
        self.down = down_blocks(image_channels * (frames - 1), widths)
        self.to_logits = nn.Conv2d(widths[-1], 1, 1)
        initialize(self)
        add_spectral_norm(self)

    def forward(self, clip: Tensor) -> Tensor:
        """Return logits B 1 h w of clips B T 3 H W in [-1, 1] of ``frames`` frames."""
        x = (clip[:, 1:] - clip[:, :-1]).flatten(1, 2)
        for down in self.down:
            x = down(x)
        return self.to_logits(act(x))


@DISCRIMINATORS.register_module()
class TemporalDiscriminator(Discriminator):
    """Judge consecutive frames by 3-D convolutions, then 2-D ones with time folded into channels; for dance.

    Args:
        widths: channels after each 3-D Down block; each removes two frames and halves the size.
        folded_widths: channels after each of the 2-D Down blocks that follow.
        image_channels: channels of a frame.
        frames: T, number of consecutive frames; more than twice the number of 3-D blocks.

    Raises:
        ConfigError: fewer frames.
    """

    published = published.discriminator_rules()

    def __init__(
        self,
        widths: Sequence[int] = (32, 64),
        folded_widths: Sequence[int] = (128, 128),
        image_channels: int = 3,
        frames: int = 6,
    ) -> None:
        super().__init__()
        if frames <= 2 * len(widths):
            raise ConfigError(f"frames must be more than twice the number of widths, got {frames} for {[*widths]}")
        self.frames, self.blocks = frames, len(widths)
        folded = widths[-1] * (frames - 2 * len(widths))
        self.down = nn.ModuleList(
            [*down_blocks(image_channels, widths, Down3d), *down_blocks(folded, folded_widths, first_hidden=folded)]
        )
        self.to_logits = nn.Conv2d(folded_widths[-1], 1, 1)
        initialize(self)
        add_spectral_norm(self)

    def forward(self, clip: Tensor) -> Tensor:
        """Return logits B 1 h w of clips B T 3 H W in [-1, 1] of ``frames`` frames."""
        x = clip.transpose(1, 2)  # B C T H W
        for down in self.down:
            if isinstance(down, Down) and x.dim() == 5:
                x = x.flatten(1, 2)
            x = down(x)
        return self.to_logits(act(x))


class Down3d(nn.Module):
    """a→b at half the size and two frames less: act, conv3×3×3, act, conv3×4×4; side: pool 3×2×2, conv1×1×1."""

    def __init__(self, a: int, b: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(a, hidden, 3, padding=1)
        self.conv2 = nn.Conv3d(hidden, b, (3, 4, 4), stride=(1, 2, 2), padding=(0, 1, 1))
        self.side = nn.Conv3d(a, b, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return B b T-2 H/2 W/2 from B a T H W."""
        return self.conv2(act(self.conv1(act(x)))) + self.side(F.avg_pool3d(x, (3, 2, 2), stride=(1, 2, 2)))


def down_blocks(
    channels: int, widths: Sequence[int], kind: type[nn.Module] = Down, first_hidden: int | None = None
) -> nn.ModuleList:
    """Build Down blocks.

    Each block's hidden width is its input width; the first block's is *first_hidden*, by default its output width.
    """
    hidden = [first_hidden or widths[0], *widths[:-1]]
    return nn.ModuleList(kind(a, b, h) for a, b, h in zip([channels, *widths[:-1]], widths, hidden, strict=True))
