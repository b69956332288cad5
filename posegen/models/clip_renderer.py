"""G of clips (arXiv 2008.12606): a frame is rendered from the previous frame and a reference."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..ops import Reduction
from ..records import Origins
from ..registry import RENDERERS
from . import published
from .base import Renderer
from .layers import INIT_GAIN, NormKind, ToImage, encode, encoder, initialize
from .local_attention_renderer import check_levels, decoder, local_attention, renderer_widths


@RENDERERS.register_module()
class ClipRenderer(Renderer):
    """Render a frame of a clip from its structure, the previous frame and a reference.

    There are two source encoders and, at each level, two attention blocks, whose blends are added. Arguments as
    :class:`LocalAttentionRenderer`.
    """

    origins = 2
    published = published.renderer_rules(
        encoders={
            "source_previous": "previous_encoder",
            "source_reference": "reference_encoder",
            "target": "target_encoder",
        },
        attentions={"attn_p": "attention_previous", "attn_r": "attention_reference"},
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
        self.previous_encoder = encoder([image_channels, *widths[1:]], norm)
        self.reference_encoder = encoder([image_channels, *widths[1:]], norm)
        self.attention_previous = local_attention(widths, levels, kernel_sizes, reduction)
        self.attention_reference = local_attention(widths, levels, kernel_sizes, reduction)
        initialize(self, init_gain)
        initialize(self.to_image)
        initialize(self.attention_previous)
        initialize(self.attention_reference)

    def forward(
        self, previous: Tensor, reference: Tensor, target_structure: Tensor, flows: Origins, masks: Origins
    ) -> Tensor:
        """Render the frame, B 3 H W in [-1, 1].

        Args:
            previous, reference: B 3 H W in [-1, 1].
            target_structure: B S H W.
            flows, masks: for each origin a list, one per level with attention, coarse to fine, as F returns them.
        """
        features_p = encode(self.previous_encoder, previous)
        features_r = encode(self.reference_encoder, reference)
        w_p, m_p = (dict(zip(self.flow_levels, maps.previous, strict=True)) for maps in (flows, masks))
        w_r, m_r = (dict(zip(self.flow_levels, maps.reference, strict=True)) for maps in (flows, masks))
        out = encode(self.target_encoder, target_structure)[-1]
        for k in range(self.depth, 0, -1):
            if k in w_p:
                attended_p = self.attention_previous[str(k)](features_p[k], out, w_p[k])
                attended_r = self.attention_reference[str(k)](features_r[k], out, w_r[k])
                from_previous = (1 - m_p[k]) * out + m_p[k] * attended_p
                from_reference = (1 - m_r[k]) * out + m_r[k] * attended_r
                out = from_previous + from_reference
            out = self.up[str(k)](self.residual[str(k)](out))
        return self.to_image(out)
