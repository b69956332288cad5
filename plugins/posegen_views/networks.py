"""F and G for views: the structure is no map but a vector, spread over the map (``spec: views``)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from posegen.errors import InputError
from posegen.models import FlowPyramid, LocalAttentionRenderer, Renderer, published
from posegen.models.layers import GROUP, INIT_GAIN, NormKind, Residual, Up, initialize
from posegen.models.layers import norm as make_norm
from posegen.models.renderer import encode_all
from posegen.registry import FLOW_ESTIMATORS, RENDERERS


@FLOW_ESTIMATORS.register_module()
class ViewFlowEstimator(FlowPyramid):
    """Predicts flows and masks from the source image and the turn from the source view to the target view.

    The encoder sees the source image alone. At the bottleneck source view − target view is spread over the map and
    concatenated, and a residual block follows.

    Under an instance norm what is constant over the map is lost, so the turn passes by side paths and borders only:
    that is the published network. ``norm="group"`` keeps it.

    Args:
        structure_channels: S, channels of a view; published: 21.
        image_channels: channels of an image.
        levels, base_width, max_width, depth, init_gain, norm: see :class:`posegen.models.FlowPyramid`.
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
        super().__init__(image_channels, 1, levels, base_width, max_width, depth, init_gain, norm)
        self.structure_channels, self.image_channels = structure_channels, image_channels
        deepest = min(base_width * 2 ** (depth - 1), max_width)
        self.turn = with_norms(Residual(deepest + structure_channels, deepest), norm)
        initialize(self.turn, init_gain)

    def forward(self, source: Tensor, source_structure: Tensor, target_structure: Tensor) -> tuple[list, list]:
        """Flows w and masks m of a source image B 3 H W in [-1, 1] and two views B S 1 1.

        Returns:
            Flows, one B 2 h w a level, in pixels of h×w; masks, one B 1 h w a level in [0, 1]. Coarse to fine.

        Raises:
            InputError: a size that cannot be halved *depth* times, or leaves nothing to normalize over.
        """
        *shallow, deepest = self.encode(source)
        turn = spread(source_structure - target_structure, deepest.shape[-2:])
        return self.decode([*shallow, self.turn(torch.cat([deepest, turn], dim=1))])


@RENDERERS.register_module()
class ViewRenderer(Renderer):
    """Renders the target from its view, taking source features along the flow through local attention.

    The view is repeated to a small map, which Up blocks enlarge to the decoder's first level: one block more than there
    are *spread_widths*, so the small map is H / 2^(depth + blocks) high; as published H / 32.

    Args:
        structure_channels: S, channels of a view; published: 21.
        spread_widths: channels between the Up blocks.
        levels, kernel_sizes, base_width, max_width, depth, image_channels, reduction, init_gain, norm: see
            :class:`posegen.models.Renderer`.
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
        reduction: Literal["mean", "sum"] = "mean",
        init_gain: float = INIT_GAIN,
        norm: NormKind = "instance",
    ) -> None:
        self.spread_widths = tuple(spread_widths)  # before the base class makes the target's path
        super().__init__(
            structure_channels,
            levels,
            kernel_sizes,
            base_width,
            max_width,
            depth,
            image_channels,
            reduction,
            init_gain,
            norm,
        )

    def _target_encoder(self) -> nn.ModuleList:
        widths = [self.structure_channels, *self.spread_widths, self.widths[self.depth]]
        return nn.ModuleList(with_norms(Up(a, b, hidden=a), self.norm) for a, b in itertools.pairwise(widths))

    forward = LocalAttentionRenderer.forward  # its target's path alone is another

    def _target_features(self, source: Tensor, target_structure: Tensor) -> Tensor:
        """From a view B S 1 1.

        Raises:
            InputError: H or W of the source is no multiple of 2^(depth + Up blocks of the target's path).
        """
        view = spread(target_structure, self._view_map(*source.shape[-2:]))
        return encode_all(self.target_encoder, view)[-1]

    def _view_map(self, height: int, width: int) -> tuple[int, int]:
        """The size of the map to which the view is repeated."""
        step = 2 ** (self.depth + len(self.target_encoder))
        if height % step or width % step or min(height, width) < 2 * step:
            raise InputError(
                f"height and width must be multiples of {step} and at least {2 * step}, got {height}×{width}"
            )
        return height // step, width // step


def spread(view: Tensor, size: Sequence[int]) -> Tensor:
    """A vector B S 1 1 at every place of a map B S h w."""
    return view.expand(-1, -1, *size)


def with_norms(block: nn.Module, kind: NormKind) -> nn.Module:
    """A block, Residual or Up, with norms of *kind*; a view's channels need not be whole groups of 16.

    Under ``"group"`` channels that are none are one group, all together.
    """
    if kind == "instance":
        return block
    for name in ("norm1", "norm2"):
        channels = getattr(block, name).num_features
        whole = channels % GROUP == 0
        setattr(block, name, make_norm(channels, kind) if whole else nn.GroupNorm(1, channels))
    return block
