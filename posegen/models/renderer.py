"""G, the local neural texture renderer (GFLA section 3.2), for pairs and for clips, and the paper's ablations of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, cat, nn

from ..errors import ConfigError
from ..ops import LocalAttention, sample_bilinear
from ..registry import RENDERERS
from . import published
from .layers import INIT_GAIN, NormKind, Residual, ToImage, Up, encoder, initialize


class Renderer(nn.Module):
    """What all renderers share: an encoder for each image they look at, one for the target, a decoder with attention.

    Args:
        structure_channels: S, channels of a structure.
        levels: resolutions with attention, coarse to fine; level k means the image's size / 2^k.
        kernel_sizes: n of the local attention at each of these levels; what attends otherwise has no use for it.
        base_width: channels at level 1.
        max_width: most channels at any level.
        depth: levels of the encoders.
        image_channels: channels of an image.
        reduction: ``"mean"`` as published, or ``"sum"``; see :class:`posegen.ops.LocalAttention`.
        init_gain: gain of the orthogonal initialization of all layers but attention and the last; 0.02 as published.
        norm: ``"instance"`` as published, or ``"group"``, which keeps the source's absolute colors.

    Attributes:
        flow_levels: where it wants a flow and a mask; none: it takes no flow.
    """

    attends = True
    takes_flow = True
    origins = 1  # images it looks at

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
        if len(levels) != len(kernel_sizes) or list(levels) != sorted(levels, reverse=True):
            raise ConfigError(f"levels, coarse to fine, and kernel_sizes must match: {[*levels]}, {[*kernel_sizes]}")
        if not levels or levels[-1] < 1 or levels[0] > depth:
            raise ConfigError(f"levels of the renderer must lie between 1 and depth = {depth}, got {[*levels]}")
        self.depth, self.reduction, self.norm = depth, reduction, norm
        self.structure_channels, self.image_channels = structure_channels, image_channels
        self.sizes = dict(zip(levels, kernel_sizes, strict=True)) if self.attends else {}  # by level
        self.flow_levels = tuple(levels) if self.takes_flow else ()
        widths = [min(base_width * 2 ** max(k - 1, 0), max_width) for k in range(depth + 1)]
        self.widths = widths  # by level
        self.target_encoder = self._target_encoder()
        self.residual = nn.ModuleDict({str(k): Residual(widths[k], widths[k], norm) for k in range(depth, 0, -1)})
        self.up = nn.ModuleDict(
            {str(k): Up(widths[k], widths[k - 1], hidden=widths[k], kind=norm) for k in range(depth, 0, -1)}
        )
        self.to_image = ToImage(widths[0], image_channels)
        self._look_at_images()
        initialize(self, init_gain)
        initialize(self.to_image)
        for name, row in self.named_children():
            if name.startswith("attention"):
                initialize(row)

    def _target_encoder(self) -> nn.ModuleList:
        return encoder([self.structure_channels, *self.widths[1:]], self.norm)

    def _image_encoder(self) -> nn.ModuleList:
        return encoder([self.image_channels, *self.widths[1:]], self.norm)

    def _attention(self) -> nn.ModuleDict:
        return nn.ModuleDict({str(k): self._block(self.widths[k], n) for k, n in self.sizes.items()})

    def _block(self, channels: int, kernel_size: int) -> nn.Module:
        return LocalAttention(channels, kernel_size, reduction=self.reduction)

    def _look_at_images(self) -> None:
        """Make the encoders of the images, and the attention to them."""
        self.source_encoder = self._image_encoder()
        self.attention = self._attention()

    def _target_features(self, source: Tensor, target_structure: Tensor) -> Tensor:
        """What the decoder begins with, B C h w; *source* gives the size, where the structure has none of its own."""
        return encode_all(self.target_encoder, target_structure)[-1]

    def _decode(self, out: Tensor, attend: Callable[[str, Tensor], Tensor]) -> Tensor:
        """The image from the target's features: at each level with attention first *attend*, then a residual block."""
        for level, up in self.up.items():
            if int(level) in self.sizes:
                out = attend(level, out)
            out = up(self.residual[level](out))
        return self.to_image(out)


def encode_all(encoders: nn.ModuleList, x: Tensor) -> list[Tensor]:
    """*x* and its features, by level."""
    features = [x]
    for encode in encoders:
        features.append(encode(features[-1]))
    return features


def by_level(levels: Sequence[int], flows: Sequence[Tensor], masks: Sequence[Tensor]) -> Mapping[str, Any]:
    """Flow and mask of each level."""
    return {str(level): pair for level, *pair in zip(levels, flows, masks, strict=True)}


@RENDERERS.register_module()
class LocalAttentionRenderer(Renderer):
    """Renders the target from its structure, taking source features along the flow through local attention.

    Arguments as :class:`Renderer`.
    """

    published = published.renderer_rules(
        encoders={"source": "source_encoder", "target": "target_encoder"}, attentions={"attn": "attention"}
    )

    def encode_source(self, source: Tensor) -> list[Tensor]:
        """What is computed of a source B 3 H W alone, for many calls of :meth:`forward`."""
        return encode_all(self.source_encoder, source)

    def forward(
        self,
        source: Tensor,
        source_structure: Tensor,
        target_structure: Tensor,
        flows: Sequence[Tensor],
        masks: Sequence[Tensor],
        source_features: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """The target image, B 3 H W in [-1, 1].

        Args:
            source: B 3 H W in [-1, 1].
            source_structure: unused here; F has seen it.
            target_structure: B S H W.
            flows, masks: one a level with attention, coarse to fine, as F gives them.
            source_features: what :meth:`encode_source` makes of *source*; None: it is computed here.
        """
        out = self._target_features(source, target_structure)
        if source_features is None:
            source_features = encode_all(self.source_encoder, source)
        motion = by_level(self.flow_levels, flows, masks)

        def attend(level: str, out: Tensor) -> Tensor:
            w, m = motion[level]
            attended = self.attention[level](source_features[int(level)], out, w)
            return (1 - m) * out + m * attended

        return self._decode(out, attend)


@RENDERERS.register_module()
class ClipRenderer(Renderer):
    """Renders a frame of a clip from its structure, the frame before and a reference (``spec: clips``).

    Two encoders and, at each level, two attention blocks, whose blends are added. Arguments as :class:`Renderer`.
    """

    published = published.renderer_rules(
        encoders={
            "source_previous": "previous_encoder",
            "source_reference": "reference_encoder",
            "target": "target_encoder",
        },
        attentions={"attn_p": "attention_previous", "attn_r": "attention_reference"},
    )

    origins = 2

    def _look_at_images(self) -> None:
        self.previous_encoder, self.reference_encoder = self._image_encoder(), self._image_encoder()
        self.attention_previous, self.attention_reference = self._attention(), self._attention()

    def forward(self, previous: Tensor, reference: Tensor, target_structure: Tensor, flows: Any, masks: Any) -> Tensor:
        """The frame, B 3 H W in [-1, 1].

        Args:
            previous, reference: images B 3 H W in [-1, 1].
            target_structure: B S H W.
            flows, masks: :class:`posegen.records.Origins` of lists, one tensor a level with attention, coarse to fine.
        """
        previous_features = encode_all(self.previous_encoder, previous)
        reference_features = encode_all(self.reference_encoder, reference)
        motion_p = by_level(self.flow_levels, flows.previous, masks.previous)
        motion_r = by_level(self.flow_levels, flows.reference, masks.reference)

        def attend(level: str, out: Tensor) -> Tensor:
            (w_p, m_p), (w_r, m_r) = motion_p[level], motion_r[level]
            attended_p = self.attention_previous[level](previous_features[int(level)], out, w_p)
            attended_r = self.attention_reference[level](reference_features[int(level)], out, w_r)
            return ((1 - m_p) * out + m_p * attended_p) + ((1 - m_r) * out + m_r * attended_r)

        return self._decode(self._target_features(reference, target_structure), attend)


# The paper's ablations (GFLA section 4.3) ---------------------------------------------------------------------


class BilinearSampling(nn.Module):
    """Source features warped along the flow, with no kernel."""

    def forward(self, source_features: Tensor, target_features: Tensor, flow: Tensor) -> Tensor:
        """B C H W from maps B C H W and a flow B 2 H W in pixels of those maps."""
        return sample_bilinear(source_features, flow).to(target_features.dtype)


@RENDERERS.register_module()
class BilinearRenderer(Renderer):
    """Ablation: features are warped by the flow alone. Arguments as :class:`Renderer`; kernel sizes mean nothing."""

    forward = LocalAttentionRenderer.forward  # its attention block alone is another

    def _block(self, channels: int, kernel_size: int) -> nn.Module:
        return BilinearSampling()


class GlobalAttention(nn.Module):
    """Every target location attends to all source locations: softmax of the scaled similarity of projected features.

    torch's fused attention works it off in tiles: no matrix of all locations by all locations is kept.

    Args:
        channels: of source and of target features.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, source_features: Tensor, target_features: Tensor) -> Tensor:
        """B C H W from maps B C H W."""
        query, key = self.query(target_features), self.key(source_features)
        maps = (query, key, source_features)
        # B 1 HW C: one head; torch's tiled kernel wants channels to lie side by side
        q, k, v = (x.flatten(2).transpose(1, 2).unsqueeze(1).contiguous() for x in maps)
        attended = F.scaled_dot_product_attention(q, k, v)
        return attended.squeeze(1).transpose(1, 2).unflatten(2, target_features.shape[-2:])


@RENDERERS.register_module()
class GlobalAttentionRenderer(Renderer):
    """Ablation: no flow; attended features are added. Arguments as :class:`Renderer`; kernel sizes mean nothing."""

    takes_flow = False

    def _block(self, channels: int, kernel_size: int) -> nn.Module:
        return GlobalAttention(channels)

    def forward(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor, flows: Any = (), masks: Any = ()
    ) -> Tensor:
        """The target image, as :meth:`LocalAttentionRenderer.forward`, without flows and masks."""
        source_features = encode_all(self.source_encoder, source)

        def attend(level: str, out: Tensor) -> Tensor:
            return out + self.attention[level](source_features[int(level)], out)

        return self._decode(self._target_features(source, target_structure), attend)


@RENDERERS.register_module()
class BaselineRenderer(Renderer):
    """Ablation: a plain encoder-decoder on source image and both structures, with no flow and no attention.

    Arguments as :class:`Renderer`; levels and kernel sizes mean nothing here.
    """

    attends = takes_flow = False

    def _target_encoder(self) -> nn.ModuleList:
        return encoder([self.image_channels + 2 * self.structure_channels, *self.widths[1:]], self.norm)

    def _look_at_images(self) -> None:
        pass  # the one encoder sees everything

    def forward(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor, flows: Any = (), masks: Any = ()
    ) -> Tensor:
        """The target image, as :meth:`LocalAttentionRenderer.forward`, without flows and masks."""
        everything = cat([source, source_structure, target_structure], dim=1)
        return self._decode(encode_all(self.target_encoder, everything)[-1], lambda level, out: out)
