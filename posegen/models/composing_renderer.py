"""G that keeps pixels: the source's own where they are visible, generated ones elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..ops import Reduction, sample_bilinear
from ..records import Composition
from ..registry import RENDERERS
from .base import Renderer
from .layers import INIT_GAIN, NormKind, Residual, ToImage, Upsampling, conv3x3, encode, encoder, initialize
from .local_attention_renderer import check_levels, decoder, local_attention, renderer_widths


@RENDERERS.register_module()
class ComposingRenderer(Renderer):
    """Render as :class:`LocalAttentionRenderer` does, and keep the pixels of the source that are visible in the target.

    At full resolution ``image = m · warp(source, w) + (1 - m) · generated``, with the flow w and the mask m of level 0.
    The last block sees the warped source and the mask, so that what is generated continues what is kept.

    Args:
        structure_channels: S, channels of a structure.
        levels: resolutions with attention, coarse to fine; level k is the image's size / 2^k. Beside these the renderer
            takes the flow and mask of level 0.
        kernel_sizes: n, the patch size of the local attention, at each of the levels.
        base_width: channels at level 1.
        max_width: largest number of channels at any level.
        depth: levels of the encoders.
        image_channels: channels of an image.
        reduction: ``"mean"`` or ``"sum"``; see :class:`posegen.ops.LocalAttention`.
        init_gain: gain of the orthogonal initialization of all layers but attention and the last.
        norm: ``"instance"`` or ``"group"``, which keeps the absolute colors of the source.
        upsampling: ``"transposed"`` convolutions, as published, or ``"resize"`` and convolve, without checkerboard.
    """

    def __init__(
        self,
        structure_channels: int,
        levels: Sequence[int] = (2, 1),
        kernel_sizes: Sequence[int] = (3, 3),
        base_width: int = 64,
        max_width: int = 512,
        depth: int = 3,
        image_channels: int = 3,
        reduction: Reduction = "sum",
        init_gain: float = INIT_GAIN,
        norm: NormKind = "group",
        upsampling: Upsampling = "resize",
    ) -> None:
        super().__init__()
        check_levels(levels, kernel_sizes, depth)
        self.structure_channels, self.image_channels = structure_channels, image_channels
        self.flow_levels, self.depth = (*levels, 0), depth
        widths = renderer_widths(base_width, max_width, depth)
        self.target_encoder = encoder([structure_channels + image_channels + 1, *widths[1:]], norm)
        self.source_encoder = encoder([image_channels, *widths[1:]], norm)
        self.attention = local_attention(widths, levels, kernel_sizes, reduction)
        self.residual, self.up = decoder(widths, norm, upsampling)
        self.enter = conv3x3(widths[0] + image_channels + 1, widths[0])
        self.finish = Residual(widths[0], widths[0], norm)
        self.to_image = ToImage(widths[0], image_channels)
        initialize(self, init_gain)
        initialize(self.to_image)
        initialize(self.attention)

    def forward(
        self,
        source: Tensor,
        source_structure: Tensor,
        target_structure: Tensor,
        flows: Sequence[Tensor],
        masks: Sequence[Tensor],
    ) -> Composition:
        """Compose the target image; arguments as of :meth:`LocalAttentionRenderer.forward`."""
        features = encode(self.source_encoder, source)
        w, m = dict(zip(self.flow_levels, flows, strict=True)), dict(zip(self.flow_levels, masks, strict=True))
        warped = sample_bilinear(source, w[0])
        kept = torch.cat([m[0] * warped, m[0]], dim=1)
        out = encode(self.target_encoder, torch.cat([target_structure, kept], dim=1))[-1]
        for k in range(self.depth, 0, -1):
            if k in w:
                attended = self.attention[str(k)](features[k], out, w[k])
                out = (1 - m[k]) * out + m[k] * attended
            out = self.up[str(k)](self.residual[str(k)](out))

        out = self.enter(torch.cat([out, kept.to(out.dtype)], dim=1))
        generated = self.to_image(self.finish(out)).float()
        return Composition(m[0] * warped + (1 - m[0]) * generated, generated)
