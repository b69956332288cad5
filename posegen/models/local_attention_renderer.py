"""G, the local neural texture renderer (GFLA, arXiv 2003.00696, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..errors import ConfigError
from ..ops import LocalAttention, Reduction
from ..registry import RENDERERS
from . import published
from .base import Renderer
from .layers import INIT_GAIN, NormKind, Residual, ToImage, Up, Upsampling, encode, encoder, initialize


@RENDERERS.register_module()
class LocalAttentionRenderer(Renderer):
    """Render the target from its structure, taking source features along the flow through local attention.

    Args:
        structure_channels: S, channels of a structure.
        levels: resolutions with attention, coarse to fine; level k is the image's size / 2^k.
        kernel_sizes: n, the patch size of the local attention, at each of the levels.
        base_width: channels at level 1.
        max_width: largest number of channels at any level.
        depth: levels of the encoders.
        image_channels: channels of an image.
        reduction: ``"mean"``, as published, or ``"sum"``; see :class:`posegen.ops.LocalAttention`.
        init_gain: gain of the orthogonal initialization of all layers but attention and the last; 0.02 as published.
        norm: ``"instance"``, as published, or ``"group"``, which keeps the absolute colors of the source.
    """

    published: Sequence[published.Rule] = published.renderer_rules(
        encoders={"source": "source_encoder", "target": "target_encoder"}, attentions={"attn": "attention"}
    )

    def __init__(
        self,
        structure_channels: int,
        levels: Sequence[int] = (3, 2),
        kernel_sizes: Sequence[int] = (3, 5),
        base_width: int = 64,
        max_width: int = 512,
        depth: int = 3,
        image_channels: int = 3,
        reduction: Reduction = "mean",
        init_gain: float = INIT_GAIN,
        norm: NormKind = "instance",
    ) -> None:
        super().__init__()
        check_levels(levels, kernel_sizes, depth)
        self.structure_channels, self.image_channels = structure_channels, image_channels
        self.flow_levels, self.depth = tuple(levels), depth
        widths = renderer_widths(base_width, max_width, depth)
        self.target_encoder = encoder([structure_channels, *widths[1:]], norm)
        self.residual, self.up = decoder(widths, norm)
        self.to_image = ToImage(widths[0], image_channels)
        self.source_encoder = encoder([image_channels, *widths[1:]], norm)
        self.attention = self.build_attention(widths, levels, kernel_sizes, reduction)
        initialize(self, init_gain)
        initialize(self.to_image)
        initialize(self.attention)

    def build_attention(
        self, widths: Sequence[int], levels: Sequence[int], kernel_sizes: Sequence[int], reduction: Reduction
    ) -> nn.ModuleDict:
        """Build the block that moves source features, for each of *levels*; *widths* by level."""
        return local_attention(widths, levels, kernel_sizes, reduction)

    def forward(
        self,
        source: Tensor,
        source_structure: Tensor,
        target_structure: Tensor,
        flows: Sequence[Tensor],
        masks: Sequence[Tensor],
    ) -> Tensor:
        """Render the target image, B 3 H W in [-1, 1].

        Args:
            source: B 3 H W in [-1, 1].
            source_structure: unused; F has seen it.
            target_structure: B S H W.
            flows, masks: one per level with attention, coarse to fine, as F returns them.
        """
        features = encode(self.source_encoder, source)
        w, m = dict(zip(self.flow_levels, flows, strict=True)), dict(zip(self.flow_levels, masks, strict=True))
        out = encode(self.target_encoder, target_structure)[-1]
        for k in range(self.depth, 0, -1):
            if k in w:
                attended = self.attention[str(k)](features[k], out, w[k])
                out = (1 - m[k]) * out + m[k] * attended
            out = self.up[str(k)](self.residual[str(k)](out))
        return self.to_image(out)


# Parts that all renderers are built of ------------------------------------------------------------------------


def check_levels(levels: Sequence[int], kernel_sizes: Sequence[int], depth: int) -> None:
    """Raise ConfigError where levels are not coarse to fine, not among 1 … depth, or as many as *kernel_sizes*."""
    if len(levels) != len(kernel_sizes) or list(levels) != sorted(levels, reverse=True):
        raise ConfigError(f"levels, coarse to fine, and kernel_sizes must match: {[*levels]}, {[*kernel_sizes]}")
    if not levels or levels[-1] < 1 or levels[0] > depth:
        raise ConfigError(f"levels of the renderer must lie between 1 and depth = {depth}, got {[*levels]}")


def renderer_widths(base_width: int, max_width: int, depth: int) -> list[int]:
    """Return the channels at levels 0 … depth."""
    return [min(base_width * 2 ** max(k - 1, 0), max_width) for k in range(depth + 1)]


def decoder(
    widths: Sequence[int], kind: NormKind, upsampling: Upsampling = "transposed"
) -> tuple[nn.ModuleDict, nn.ModuleDict]:
    """Build the Residual and Up blocks by level, from the deepest to level 1; *widths* by level."""
    levels = range(len(widths) - 1, 0, -1)
    residual = nn.ModuleDict({str(k): Residual(widths[k], widths[k], kind) for k in levels})
    up = nn.ModuleDict(
        {str(k): Up(widths[k], widths[k - 1], hidden=widths[k], kind=kind, upsampling=upsampling) for k in levels}
    )
    return residual, up


def local_attention(
    widths: Sequence[int],
    levels: Sequence[int],
    kernel_sizes: Sequence[int],
    reduction: Reduction,
) -> nn.ModuleDict:
    """Build a local attention block for each of *levels*; *widths* by level."""
    sizes = zip(levels, kernel_sizes, strict=True)
    return nn.ModuleDict({str(k): LocalAttention(widths[k], n, reduction=reduction) for k, n in sizes})
