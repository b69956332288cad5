"""The residual discriminator (``spec: losses``)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..registry import DISCRIMINATORS
from .layers import Down, act, add_spectral_norm, initialise


@DISCRIMINATORS.register_module()
class ResidualDiscriminator(nn.Module):
    """Judges patches of an image: real or generated. Spectral norm on every convolution.

    Args:
        widths: channels after each Down block; each halves the size.
        image_channels: channels of an image.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 128, 128), image_channels: int = 3) -> None:
        super().__init__()
        inputs = [image_channels, *widths[:-1]]
        hidden = [widths[0], *widths[:-1]]  # the input's width, except in the first block
        self.down = nn.ModuleList(Down(a, b, h) for a, b, h in zip(inputs, widths, hidden, strict=True))
        self.to_logits = nn.Conv2d(widths[-1], 1, 1)
        initialise(self)
        add_spectral_norm(self)

    def forward(self, image: Tensor) -> Tensor:
        """Logits B 1 h w of images B 3 H W in [-1, 1]: one a patch, high for real."""
        for down in self.down:
            image = down(image)
        return self.to_logits(act(image))
