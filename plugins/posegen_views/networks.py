"""F and G for views: the structure is a vector, not a map, and is spread over a map (docs/views.md)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posegen.models import ComposingRenderer, FlowEstimatorBase, Renderer, published
from posegen.models.base import check_size
from posegen.models.flow_estimator import apply_head, decode, flow_widths, heads, initialize_flow, sorted_levels
from posegen.models.flow_estimator import decoder as flow_decoder
from posegen.models.layers import (
    INIT_GAIN,
    NormKind,
    Residual,
    ToImage,
    Up,
    act,
    conv3x3,
    encode,
    encoder,
    initialize,
)
from posegen.models.local_attention_renderer import check_levels, decoder, local_attention, renderer_widths
from posegen.ops import Reduction, resize_flow
from posegen.records import Composition
from posegen.registry import FLOW_ESTIMATORS, RENDERERS


@FLOW_ESTIMATORS.register_module()
class ViewFlowEstimator(FlowEstimatorBase):
    """Predict flows and masks from the source image and the difference of the two views.

    The encoder sees the source image alone. At the bottleneck source view − target view is spread over the map and
    concatenated, and a residual block follows.

    Under an instance norm a value that is constant over the map is lost, so the view only passes through side paths and
    borders: that is the published network. ``norm="group"`` keeps it.

    Args:
        structure_channels: S, channels of a view; published: 21.
        levels, base_width, max_width, depth, image_channels, init_gain, norm: see
            :class:`posegen.models.FlowEstimator`.
    """

    published = [
        *published.flow_rules("flow_net"),
        *published.block_rules(r"flow_net\.cat\.model\.0", "turn"),
    ]

    def __init__(
        self,
        structure_channels: int,
        levels: Sequence[int] = (3, 2),
        base_width: int = 32,
        max_width: int = 256,
        depth: int = 5,
        image_channels: int = 3,
        init_gain: float = INIT_GAIN,
        norm: NormKind = "instance",
    ) -> None:
        super().__init__()
        self.levels, self.depth = sorted_levels(levels, depth), depth
        widths = [image_channels, *flow_widths(base_width, max_width, depth)]
        self.encoder = encoder(widths, norm)
        self.decoder, self.skip = flow_decoder(widths, self.levels, norm)
        self.to_flow = heads(widths, self.levels, channels=2)
        self.to_mask = heads(widths, self.levels, channels=1)
        initialize_flow(self, init_gain)
        self.turn = Residual(widths[-1] + structure_channels, widths[-1], norm)
        initialize(self.turn, init_gain)

    def forward(self, source: Tensor, source_structure: Tensor, target_structure: Tensor) -> tuple[list, list]:
        """Predict flows w and masks m.

        Args:
            source: B 3 H W in [-1, 1].
            source_structure, target_structure: views, B S 1 1.

        Returns:
            Flows, B 2 h w per level, in pixels of h×w; masks, B 1 h w per level, in [0, 1]. Coarse to fine.

        Raises:
            InputError: width or height is not a multiple of 2^depth, or too small.
        """
        check_size(source, self.depth)
        *shallow, deepest = encode(self.encoder, source)
        turn = spread(source_structure - target_structure, deepest.shape[-2:])
        deepest = self.turn(torch.cat([deepest, turn], dim=1))
        features = decode([*shallow, deepest], self.decoder, self.skip)
        w = [apply_head(self.to_flow[str(k)], features[k]) for k in self.levels]
        m = [torch.sigmoid(apply_head(self.to_mask[str(k)], features[k])) for k in self.levels]
        return w, m


@RENDERERS.register_module()
class ViewRenderer(Renderer):
    """Render the target from its view, taking source features along the flow through local attention.

    The view is repeated to a small map, which Up blocks enlarge to the decoder's first level: one block more than there
    are *spread_widths*, so the height of the small map is H / 2^(depth + blocks); as published H / 32.

    Args:
        structure_channels: S, channels of a view; published: 21.
        spread_widths: channels between the Up blocks.
        levels, kernel_sizes, base_width, max_width, depth, image_channels, reduction, init_gain, norm: see
            :class:`posegen.models.LocalAttentionRenderer`.
    """

    global_structure = True
    published = [
        *published.renderer_rules(encoders={"source": "source_encoder"}, attentions={"attn": "attention"}),
        *published.block_rules(r"target\.block0", "target_encoder.0"),
        *published.block_rules(r"target\.block1", "target_encoder.1"),
    ]

    def __init__(
        self,
        structure_channels: int,
        levels: Sequence[int] = (3, 2),
        kernel_sizes: Sequence[int] = (3, 5),
        base_width: int = 64,
        max_width: int = 512,
        depth: int = 3,
        image_channels: int = 3,
        spread_widths: Sequence[int] = (64,),
        reduction: Reduction = "mean",
        init_gain: float = INIT_GAIN,
        norm: NormKind = "instance",
    ) -> None:
        super().__init__()
        check_levels(levels, kernel_sizes, depth)
        self.structure_channels, self.image_channels = structure_channels, image_channels
        self.flow_levels, self.depth = tuple(levels), depth
        widths = renderer_widths(base_width, max_width, depth)
        spreading = itertools.pairwise([structure_channels, *spread_widths, widths[depth]])
        self.target_encoder = nn.ModuleList(Up(a, b, hidden=a, kind=norm) for a, b in spreading)
        self.residual, self.up = decoder(widths, norm)
        self.to_image = ToImage(widths[0], image_channels)
        self.source_encoder = encoder([image_channels, *widths[1:]], norm)
        self.attention = local_attention(widths, levels, kernel_sizes, reduction)
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
    ) -> Tensor:
        """Render the target image, B 3 H W in [-1, 1].

        Args:
            source: B 3 H W in [-1, 1].
            source_structure: unused; F has seen it.
            target_structure: a view, B S 1 1.
            flows, masks: one per level with attention, coarse to fine, as F returns them.

        Raises:
            InputError: H or W is not a multiple of 2^(depth + Up blocks of the target's path), or too small.
        """
        halvings = self.depth + len(self.target_encoder)
        check_size(source, halvings)
        features = encode(self.source_encoder, source)
        w, m = dict(zip(self.flow_levels, flows, strict=True)), dict(zip(self.flow_levels, masks, strict=True))
        view = spread(target_structure, [side // 2**halvings for side in source.shape[-2:]])
        out = encode(self.target_encoder, view)[-1]
        for k in range(self.depth, 0, -1):
            if k in w:
                attended = self.attention[str(k)](features[k], out, w[k])
                out = (1 - m[k]) * out + m[k] * attended
            out = self.up[str(k)](self.residual[str(k)](out))
        return self.to_image(out)


def spread(view: Tensor, size: Sequence[int]) -> Tensor:
    """Repeat a vector B S 1 1 at every place of a map B S h w."""
    return view.expand(-1, -1, *size)


TURN_UNIT = math.radians(10)
"""Turn that is 1 at the network's input, and of which a predicted field is the flow."""
START_MASK = 2.0
"""Bias of the mask's logit: an untrained network shows the source."""


@FLOW_ESTIMATORS.register_module()
class TurnFlowEstimator(FlowEstimatorBase):
    """Predict the flow of a turn of any angle, up to full resolution: nothing moves without a turn.

    Under an orthographic camera a point of a turntable moves by ``sin Δ · a + (1 - cos Δ) · b``, where a and b depend
    on the point alone. The network predicts both fields, at half resolution, so that turns between those of the
    training have flows between theirs. An untrained network returns a flow of zero and a mask of 0.88.

    Args:
        structure_channels: S, channels of a view of :class:`AngleEncoder`, of which the first two are cosine and sine.
        levels: resolutions with a flow and a mask; level k is the image's size / 2^k.
        base_width, max_width, depth, image_channels, init_gain, norm: see :class:`posegen.models.FlowEstimator`.

    Raises:
        ConfigError: there is no level, or one lies beyond *depth*.
    """

    def __init__(
        self,
        structure_channels: int,
        levels: Sequence[int] = (2, 0),
        base_width: int = 32,
        max_width: int = 256,
        depth: int = 4,
        image_channels: int = 3,
        init_gain: float = INIT_GAIN,
        norm: NormKind = "group",
    ) -> None:
        super().__init__()
        self.levels, self.depth = sorted_levels(levels, depth, finest=0), depth
        widths = [image_channels, *flow_widths(base_width, max_width, depth)]
        self.encoder = encoder(widths, norm)
        self.turn = Residual(widths[-1] + structure_channels + 2, widths[-1], norm)
        self.decoder, self.skip = flow_decoder(widths, [1], norm)
        self.residual = Residual(widths[1], widths[1], norm)
        self.head = conv3x3(widths[1], 5)  # a, b, mask
        initialize(self, init_gain)
        nn.init.zeros_(self.head.weight)

    def forward(self, source: Tensor, source_structure: Tensor, target_structure: Tensor) -> tuple[list, list]:
        """Predict flows w and masks m; see :meth:`ViewFlowEstimator.forward`."""
        check_size(source, self.depth)
        turn = turn_of(source_structure, target_structure)
        *shallow, deepest = encode(self.encoder, source)
        known = spread(torch.cat([source_structure, turn], dim=1), deepest.shape[-2:])
        deepest = self.turn(torch.cat([deepest, known.to(deepest.dtype)], dim=1))
        features = self.residual(decode([*shallow, deepest], self.decoder, self.skip)[1])
        a, b, logit = apply_head(self.head, act(features)).split([2, 2, 1], dim=1)

        w = turn[:, :1] * a + turn[:, 1:] * b
        m = torch.sigmoid(START_MASK + logit)
        height, width = source.shape[-2:]
        sizes = [(height >> k, width >> k) for k in self.levels]
        return [resize_flow(w, size) for size in sizes], [_resize_mask(m, size) for size in sizes]


def _resize_mask(mask: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(mask, size=size, mode="bilinear", align_corners=False)


def turn_of(source: Tensor, target: Tensor) -> Tensor:
    """Compute sin Δ and 1 - cos Δ of the turn from source to target, B 2 1 1, both 1 for a turn of 10°.

    Args:
        source, target: views B S 1 1 of :class:`AngleEncoder`.
    """
    (cos_s, sin_s), (cos_t, sin_t) = (view[:, :2].split(1, dim=1) for view in (source, target))
    sine, cosine = sin_t * cos_s - cos_t * sin_s, cos_t * cos_s + sin_t * sin_s
    return torch.cat([sine / math.sin(TURN_UNIT), (1 - cosine) / (1 - math.cos(TURN_UNIT))], dim=1)


@RENDERERS.register_module()
class ComposingViewRenderer(ComposingRenderer):
    """:class:`posegen.models.ComposingRenderer` for a structure that is a view, B S 1 1, spread over the image."""

    global_structure = True

    def forward(
        self,
        source: Tensor,
        source_structure: Tensor,
        target_structure: Tensor,
        flows: Sequence[Tensor],
        masks: Sequence[Tensor],
    ) -> Composition:
        """Compose the target image; arguments as of :meth:`ViewRenderer.forward`."""
        return super().forward(source, source_structure, spread(target_structure, source.shape[-2:]), flows, masks)
