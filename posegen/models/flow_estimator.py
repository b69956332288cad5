"""F, the global flow field estimator (GFLA section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ConfigError, InputError
from ..registry import FLOW_ESTIMATORS
from . import published
from .layers import INIT_GAIN, NormKind, Skip, Up, encoder, initialize


class FlowPyramid(nn.Module):
    """The network of every flow estimator: an encoder, and a decoder that gives flows and masks at some levels.

    Args:
        channels: of what it sees.
        origins: images that each location may come from; there is a flow and a mask for each.
        levels: resolutions with attention, coarse to fine; level k means the image's size / 2^k.
        base_width: channels at level 1.
        max_width: most channels at any level.
        depth: encoder blocks; images must be multiples of 2^depth in both directions.
        init_gain: gain of the orthogonal initialization of all layers but the flow and mask heads; 0.02 as published.
            Before an instance norm the scale of a weight changes nothing but its effective learning rate, so a larger
            gain lets a larger learning rate train steadily.
        norm: ``"instance"`` as published, or ``"group"``.
    """

    def __init__(
        self,
        channels: int,
        origins: int = 1,
        levels: Sequence[int] = (3, 2),
        base_width: int = 32,
        max_width: int = 256,
        depth: int = 5,
        init_gain: float = INIT_GAIN,
        norm: NormKind = "instance",
    ) -> None:
        super().__init__()
        self.levels = tuple(sorted(levels, reverse=True))
        if not self.levels or self.levels[-1] < 1 or self.levels[0] >= depth:
            raise ConfigError(f"levels of the flow must lie between 1 and depth - 1 = {depth - 1}, got {[*levels]}")
        self.depth, self.origins = depth, origins
        widths = [channels, *(min(base_width * 2**k, max_width) for k in range(depth))]  # widths[k]: level k
        self.encoder = encoder(widths, norm)
        decoded = range(depth - 1, self.levels[-1] - 1, -1)
        self.decoder = nn.ModuleDict(
            {str(k): Up(widths[k + 1], widths[k], hidden=widths[k], kind=norm) for k in decoded}
        )
        self.skip = nn.ModuleDict({str(k): Skip(widths[k]) for k in decoded})
        self.to_flow = nn.ModuleDict({str(k): nn.Conv2d(widths[k], 2 * origins, 3, padding=1) for k in self.levels})
        self.to_mask = nn.ModuleDict({str(k): nn.Conv2d(widths[k], origins, 3, padding=1) for k in self.levels})
        initialize(self, init_gain)
        initialize(self.to_flow)
        initialize(self.to_mask)

    def encode(self, x: Tensor) -> list[Tensor]:
        """*x* and what each encoder block makes of it: maps by level.

        Raises:
            InputError: a size that cannot be halved *depth* times, or leaves nothing to normalize over.
        """
        self._check_size(*x.shape[-2:])
        encoded = [x]
        for encode in self.encoder:
            encoded.append(encode(encoded[-1]))
        return encoded

    def decode(self, encoded: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Flows B 2·origins h w in pixels of h×w, and masks B origins h w in [0, 1], coarse to fine."""
        flows, masks = [], []
        x = encoded[-1]
        for level, up in self.decoder.items():
            x = up(x) + self.skip[level](encoded[int(level)])
            if level in self.to_flow:
                # half precision cannot hold a flow to a tenth of a pixel
                with torch.autocast(x.device.type, enabled=False):
                    full = x.to(torch.promote_types(x.dtype, torch.float32))
                    flows.append(self.to_flow[level](full))
                    masks.append(torch.sigmoid(self.to_mask[level](full)))
        return flows, masks

    def _check_size(self, height: int, width: int) -> None:
        step = 2**self.depth
        if height % step or width % step or min(height, width) < 2 * step:
            raise InputError(
                f"height and width must be multiples of {step} and at least {2 * step}, got {height}×{width}"
            )


@FLOW_ESTIMATORS.register_module()
class FlowEstimator(FlowPyramid):
    """Predicts, for each target location, where its content lies in the source (w) and whether it does (m).

    Args:
        structure_channels: S, channels of a structure.
        image_channels: channels of an image.
        levels, base_width, max_width, depth, init_gain, norm: see :class:`FlowPyramid`.
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
        channels = image_channels + 2 * structure_channels
        super().__init__(channels, 1, levels, base_width, max_width, depth, init_gain, norm)
        self.structure_channels, self.image_channels = structure_channels, image_channels

    def forward(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Flows w and masks m of a source image B 3 H W in [-1, 1] and two structures B S H W.

        Returns:
            Flows, one B 2 h w a level, in pixels of h×w; masks, one B 1 h w a level in [0, 1]. Coarse to fine.

        Raises:
            InputError: a size that cannot be halved *depth* times, or leaves nothing to normalize over.
        """
        return self.decode(self.encode(torch.cat([source, source_structure, target_structure], dim=1)))
