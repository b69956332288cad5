"""G, the local neural texture renderer (GFLA section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from ..errors import ConfigError
from ..ops import LocalAttention
from ..registry import RENDERERS
from .layers import INIT_GAIN, NormKind, Residual, ToImage, Up, encoder, initialise


@RENDERERS.register_module()
class LocalAttentionRenderer(nn.Module):
    """Renders the target from its structure, taking source features along the flow through local attention.

    Args:
        structure_channels: S, channels of a structure.
        levels: resolutions with attention, coarse to fine; level k means the image's size / 2^k.
        kernel_sizes: n of the local attention at each of these levels.
        base_width: channels at level 1.
        max_width: most channels at any level.
        depth: levels of the encoders.
        image_channels: channels of an image.
        reduction: ``"mean"`` as published, or ``"sum"``; see :class:`posegen.ops.LocalAttention`.
        norm: ``"instance"`` as published, or ``"group"``, which keeps the source's absolute colours.
        init_gain: gain of the orthogonal initialisation of all layers but attention and the last; 0.02 as published.
    """

    def __init__(
        self,
        structure_channels: int,
        levels: Sequence[int] = (3, 2),
        kernel_sizes: Sequence[int] = (3, 5),
        base_width: int = 64,
        max_width: int = 512,
        depth: int = 3,
        image_channels: int = 3,
        reduction: Literal["mean", "sum"] = "mean",
        init_gain: float = INIT_GAIN,
        norm: NormKind = "instance",
    ) -> None:
        super().__init__()
        self.depth = depth
        if len(levels) != len(kernel_sizes) or list(levels) != sorted(levels, reverse=True):
            raise ConfigError(f"levels, coarse to fine, and kernel_sizes must match: {[*levels]}, {[*kernel_sizes]}")
        if not levels or levels[-1] < 1 or levels[0] > depth:
            raise ConfigError(f"levels of the renderer must lie between 1 and depth = {depth}, got {[*levels]}")
        self.attended_levels = tuple(levels)
        sizes = dict(zip(levels, kernel_sizes, strict=True))
        widths = [min(base_width * 2 ** max(k - 1, 0), max_width) for k in range(depth + 1)]  # widths[k]: level k
        self.source_encoder = encoder([image_channels, *widths[1:]], norm)
        self.target_encoder = encoder([structure_channels, *widths[1:]], norm)
        levels = range(depth, 0, -1)
        self.attention = nn.ModuleDict(
            {str(k): LocalAttention(widths[k], sizes[k], reduction=reduction) for k in levels if k in sizes}
        )
        self.residual = nn.ModuleDict({str(k): Residual(widths[k], widths[k], norm) for k in levels})
        self.up = nn.ModuleDict({str(k): Up(widths[k], widths[k - 1], hidden=widths[k], kind=norm) for k in levels})
        self.to_image = ToImage(widths[0], image_channels)
        initialise(self, init_gain)
        initialise(self.attention)
        initialise(self.to_image)

    def forward(
        self, source: Tensor, target_structure: Tensor, flows: Sequence[Tensor], masks: Sequence[Tensor]
    ) -> Tensor:
        """The target image, B 3 H W in [-1, 1].

        Args:
            source: B 3 H W in [-1, 1].
            target_structure: B S H W.
            flows, masks: one a level with attention, coarse to fine, as F gives them.
        """
        source_features = [source]  # by level
        for encode in self.source_encoder:
            source_features.append(encode(source_features[-1]))

        out = target_structure
        for encode in self.target_encoder:
            out = encode(out)

        remaining = iter(zip(flows, masks, strict=True))
        for level, up in self.up.items():
            if level in self.attention:
                w, m = next(remaining)
                attended = self.attention[level](source_features[int(level)], out, w)
                out = (1 - m) * out + m * attended
            out = up(self.residual[level](out))
        return self.to_image(out)
