"""F, the global flow field estimator (GFLA, arXiv 2003.00696, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..registry import FLOW_ESTIMATORS
from . import published
from .base import FlowEstimatorBase, check_size
from .layers import INIT_GAIN, NormKind, Skip, Up, encode, encoder, initialize


@FLOW_ESTIMATORS.register_module()
class FlowEstimator(FlowEstimatorBase):
    """Predict, for each target location, where its content lies in the source (w) and whether it is visible there (m).

    Args:
        structure_channels: S, channels of a structure.
        levels: resolutions with a flow and a mask; level k is the image's size / 2^k.
        base_width: channels at level 1.
        max_width: largest number of channels at any level.
        depth: number of encoder blocks; width and height of images must be multiples of 2^depth.
        image_channels: channels of an image.
        init_gain: gain of the orthogonal initialization of all layers but the flow and mask heads; 0.02 as published.
            Before an instance norm the scale of a weight only changes its effective learning rate, so a larger gain
            allows a larger learning rate.
        norm: ``"instance"``, as published, or ``"group"``.
    """

    published = published.flow_rules("flow_net")

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
        widths = [image_channels + 2 * structure_channels, *flow_widths(base_width, max_width, depth)]
        self.encoder = encoder(widths, norm)
        self.decoder, self.skip = decoder(widths, self.levels, norm)
        self.to_flow = heads(widths, self.levels, channels=2)
        self.to_mask = heads(widths, self.levels, channels=1)
        initialize_flow(self, init_gain)

    def forward(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Predict flows w and masks m.

        Args:
            source: B 3 H W in [-1, 1].
            source_structure, target_structure: B S H W.

        Returns:
            Flows, B 2 h w per level, in pixels of h×w; masks, B 1 h w per level, in [0, 1]. Coarse to fine.

        Raises:
            InputError: width or height is not a multiple of 2^depth, or too small.
        """
        check_size(source, self.depth)
        encoded = encode(self.encoder, torch.cat([source, source_structure, target_structure], dim=1))
        features = decode(encoded, self.decoder, self.skip)
        w = [apply_head(self.to_flow[str(k)], features[k]) for k in self.levels]
        m = [torch.sigmoid(apply_head(self.to_mask[str(k)], features[k])) for k in self.levels]
        return w, m


# Parts that all flow estimators are built of ------------------------------------------------------------------


def sorted_levels(levels: Sequence[int], depth: int, finest: int = 1) -> tuple[int, ...]:
    """Return *levels* coarse to fine.

    Raises:
        ConfigError: there are none, or one is not among finest … depth - 1.
    """
    ordered = tuple(sorted(levels, reverse=True))
    if not ordered or ordered[-1] < finest or ordered[0] >= depth:
        raise ConfigError(f"levels of the flow must lie between {finest} and depth - 1 = {depth - 1}, got {[*levels]}")
    return ordered


def flow_widths(base_width: int, max_width: int, depth: int) -> list[int]:
    """Return the channels at levels 1 … depth."""
    return [min(base_width * 2**k, max_width) for k in range(depth)]


def decoder(widths: Sequence[int], levels: Sequence[int], kind: NormKind) -> tuple[nn.ModuleDict, nn.ModuleDict]:
    """Build the Up and Skip blocks by level, from the deepest but one to the finest with a flow; *widths* by level."""
    decoded = range(len(widths) - 2, levels[-1] - 1, -1)
    up = {str(k): Up(widths[k + 1], widths[k], hidden=widths[k], kind=kind) for k in decoded}
    return nn.ModuleDict(up), nn.ModuleDict({str(k): Skip(widths[k]) for k in decoded})


def heads(widths: Sequence[int], levels: Sequence[int], channels: int) -> nn.ModuleDict:
    """Build a 3×3 convolution to *channels* for each level; *widths* by level."""
    return nn.ModuleDict({str(k): nn.Conv2d(widths[k], channels, 3, padding=1) for k in levels})


def initialize_flow(network: nn.Module, gain: float) -> None:
    """Initialize a flow estimator with *gain*, its heads as published."""
    initialize(network, gain)
    initialize(network.to_flow)  # type: ignore[arg-type]
    initialize(network.to_mask)  # type: ignore[arg-type]


def decode(encoded: Sequence[Tensor], up: nn.ModuleDict, skip: nn.ModuleDict) -> dict[int, Tensor]:
    """Decode encoder features, by level, to decoder features by level, coarse to fine."""
    features, x = {}, encoded[-1]
    for level in up:
        x = up[level](x) + skip[level](encoded[int(level)])
        features[int(level)] = x
    return features


def apply_head(head: nn.Module, features: Tensor) -> Tensor:
    """Apply a flow or mask head in at least float32: bfloat16 does not hold a tenth of a pixel."""
    with torch.autocast(features.device.type, enabled=False):
        return head(features.to(torch.promote_types(features.dtype, torch.float32)))
