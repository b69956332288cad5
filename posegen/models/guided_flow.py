"""Guided F: start from the motion that the key points tell, and learn what is left of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from ..ops import resize_flow, sample_bilinear
from ..registry import FLOW_ESTIMATORS, FLOW_PRIORS
from .base import FlowEstimatorBase, check_size
from .flow_estimator import decode_features, decoder, flow_widths
from .layers import INIT_GAIN, NormKind, Residual, act, conv3x3, encode, encoder, initialize
from .priors import FlowPrior, PriorFlow, blend

PIXELS = 16.0
"""Flow in pixels is divided by this where a network sees it."""
SCORES = 8.0
"""Scores of candidates are divided by this where a network sees them, and limited to ± 2 of these."""
STEP = 4.0
"""Outputs of the last convolution are multiplied by this: pixels of residual flow, scores, logits of the mask."""


@FLOW_ESTIMATORS.register_module()
class GuidedFlowEstimator(FlowEstimatorBase):
    """Refine a flow prior at full resolution: choose among its candidates, add a residual, and decide what is visible.

    The pyramid of the published F sees, beside its usual inputs, the prior's flow, cover and visibility and the source
    moved along the prior. Its finest features meet the source moved along each candidate at the image's own resolution,
    so that motion ends at the edge of a sleeve. An untrained network returns the prior.

    Args:
        structure_channels: S, channels of a structure.
        prior: config of the flow prior.
        levels: resolutions with a flow and a mask; level k is the image's size / 2^k. The finest must be 0.
        base_width: channels at level 1.
        max_width: largest number of channels at any level.
        depth: number of encoder blocks; width and height of images must be multiples of 2^depth.
        full_width: channels at full resolution.
        image_channels: channels of an image.
        init_gain: gain of the orthogonal initialization of all layers but the last.
        norm: ``"instance"`` or ``"group"``.

    Raises:
        ConfigError: *levels* does not end at 0, or a level lies beyond *depth*.
    """

    def __init__(
        self,
        structure_channels: int,
        prior: Any,
        levels: Sequence[int] = (2, 1, 0),
        base_width: int = 32,
        max_width: int = 256,
        depth: int = 4,
        full_width: int = 32,
        image_channels: int = 3,
        init_gain: float = INIT_GAIN,
        norm: NormKind = "instance",
    ) -> None:
        super().__init__()
        self.levels, self.depth = tuple(sorted(levels, reverse=True)), depth
        if not self.levels or self.levels[-1] != 0 or self.levels[0] >= depth:
            raise ConfigError(f"levels of a guided flow end at 0 and lie below depth = {depth}, got {[*levels]}")
        self.prior: FlowPrior = FLOW_PRIORS.build_part(prior)
        count = self.prior.candidates
        seen = 2 * image_channels + 2 * structure_channels + 4  # images, structures, prior: flow, cover, visible
        widths = [seen, *flow_widths(base_width, max_width, depth)]
        self.encoder = encoder(widths, norm)
        self.decoder, self.skip = decoder(widths, [1], norm)
        self.enter = conv3x3(widths[1] + image_channels * count + count + 1, full_width)
        self.refine = Residual(full_width, full_width, norm)
        self.correct = conv3x3(full_width, count + 3)  # scores, residual flow, mask
        initialize(self, init_gain)
        nn.init.zeros_(self.correct.weight)

    def forward(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Predict flows w and masks m; arguments, results and errors as of :class:`FlowEstimator`."""
        check_size(source, self.depth)
        prior = self.prior(source_structure, target_structure)
        features = self._features(source, source_structure, target_structure, prior)
        seen = [features, source, self._moved(source, prior), *self._scaled(prior)]
        x = self.refine(self.enter(torch.cat([x.to(features.dtype) for x in seen], dim=1)))
        correction = STEP * self.correct(act(x)).float()
        scores, residual, mask = correction.split([self.prior.candidates, 2, 1], dim=1)

        w = blend(prior.candidates, prior.scores + scores) + residual
        m = torch.sigmoid(torch.logit(prior.visible, eps=0.03) + mask)
        sizes = [(w.shape[-2] >> k, w.shape[-1] >> k) for k in self.levels]
        return [resize_flow(w, size) for size in sizes], [F.adaptive_avg_pool2d(m, size) for size in sizes]

    def _features(self, source: Tensor, source_structure: Tensor, target_structure: Tensor, prior: PriorFlow) -> Tensor:
        """Features of the pyramid at full resolution, B C H W."""
        guide = [sample_bilinear(source, prior.flow), prior.flow / PIXELS, prior.cover, prior.visible]
        encoded = encode(self.encoder, torch.cat([source, source_structure, target_structure, *guide], dim=1))
        finest = decode_features(encoded, self.decoder, self.skip)["1"]
        return F.interpolate(finest, scale_factor=2.0, mode="bilinear", align_corners=False)

    def _moved(self, source: Tensor, prior: PriorFlow) -> Tensor:
        """The source moved along each candidate but the background, B 3(N-1) H W."""
        candidates = prior.candidates[:, :-1]
        count = candidates.shape[1]
        moved = sample_bilinear(source.repeat_interleave(count, dim=0), candidates.flatten(0, 1))
        return moved.unflatten(0, (-1, count)).flatten(1, 2)

    @staticmethod
    def _scaled(prior: PriorFlow) -> tuple[Tensor, Tensor]:
        return (prior.scores / SCORES).clamp(-2, 2), prior.visible
