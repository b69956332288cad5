"""G that keeps pixels: the source's own where they are visible, generated ones elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..ops import Reduction, sample_bilinear
from ..records import Composition, Origins
from ..registry import RENDERERS
from .base import Renderer
from .layers import INIT_GAIN, NormKind, Residual, ToImage, Upsampling, conv3x3, encode, encoder, initialize
from .local_attention_renderer import check_levels, decoder, local_attention, renderer_widths


class KeptSource(NamedTuple):
    """An image that pixels are taken from.

    Attributes:
        image: B 3 H W in [-1, 1].
        flows, masks: one per level, coarse to fine, level 0 included, as F returns them.
    """

    image: Tensor
    flows: Sequence[Tensor]
    masks: Sequence[Tensor]


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
        return self.compose(target_structure, [KeptSource(source, flows, masks)])

    def compose(self, target_structure: Tensor, sources: Sequence[KeptSource]) -> Composition:
        """Compose the target image from one or several sources; each fills what those before it leave open.

        The share of a source is its mask, times 1 - m of each source before it. Sources have the encoder and the
        attention in common.
        """
        features = [encode(self.source_encoder, source.image) for source in sources]
        w = [dict(zip(self.flow_levels, source.flows, strict=True)) for source in sources]
        m = _shares([dict(zip(self.flow_levels, source.masks, strict=True)) for source in sources])
        kept = _total(
            share[0] * sample_bilinear(s.image, flow[0]) for s, flow, share in zip(sources, w, m, strict=True)
        )
        mask = _total(share[0] for share in m)
        seen = torch.cat([kept, mask], dim=1)
        out = encode(self.target_encoder, torch.cat([target_structure, seen], dim=1))[-1]
        for k in range(self.depth, 0, -1):
            if k in w[0]:
                attended = [self.attention[str(k)](f[k], out, flow[k]) for f, flow in zip(features, w, strict=True)]
                open_share = 1 - _total(share[k] for share in m)
                out = open_share * out + _total(share[k] * a for share, a in zip(m, attended, strict=True))
            out = self.up[str(k)](self.residual[str(k)](out))

        out = self.enter(torch.cat([out, seen.to(out.dtype)], dim=1))
        generated = self.to_image(self.finish(out)).float()
        return Composition(kept + (1 - mask) * generated, generated)


@RENDERERS.register_module()
class ComposingClipRenderer(Renderer):
    """Compose a frame of a clip with one :class:`ComposingRenderer` for both origins.

    Pixels are kept from the reference, which has lost nothing; where the reference does not show them, from the
    previous frame: ``image = m_r · warp(reference, w_r) + (1 - m_r) · (m_p · warp(previous, w_p) + (1 - m_p) ·
    generated)``.

    Args:
        composer: the renderer of pairs, or its config.
    """

    origins = 2

    def __init__(self, composer: Any) -> None:
        super().__init__()
        self.composer: ComposingRenderer = RENDERERS.build_part(composer)
        self.structure_channels, self.image_channels = self.composer.structure_channels, self.composer.image_channels
        self.flow_levels = self.composer.flow_levels

    def forward(
        self, previous: Tensor, reference: Tensor, target_structure: Tensor, flows: Origins, masks: Origins
    ) -> Composition:
        """Compose the frame; arguments as of :meth:`ClipRenderer.forward`."""
        from_reference = KeptSource(reference, flows.reference, masks.reference)
        from_previous = KeptSource(previous, flows.previous, masks.previous)
        return self.composer.compose(target_structure, [from_reference, from_previous])


def _shares(masks: Sequence[Mapping[int, Tensor]]) -> list[dict[int, Tensor]]:
    """Return the share of each source by level: its mask where those before it leave the location open."""
    shares = [dict(masks[0])]
    for mask in masks[1:]:
        shares.append({k: m * (1 - _total(share[k] for share in shares)) for k, m in mask.items()})
    return shares


def _total(parts: Iterable[Tensor]) -> Tensor:
    """Add tensors."""
    return torch.stack([*parts]).sum(0)
