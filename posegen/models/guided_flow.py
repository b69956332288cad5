"""Guided F: start from a flow prior computed from key points, and learn a correction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops import resize_flow, sample_bilinear
from ..records import Origins
from ..registry import FLOW_ESTIMATORS, FLOW_PRIORS
from .base import FlowEstimatorBase, check_size
from .flow_estimator import decode, decoder, flow_widths, sorted_levels
from .layers import INIT_GAIN, Enlarge, NormKind, Residual, act, conv3x3, encode, encoder, initialize
from .priors import FlowCandidates, FlowPrior, blend

FLOW_SCALE = 16.0
"""Divisor of flows, in pixels, at the network's input."""
SCORE_SCALE = 8.0
"""Divisor of candidates' scores at the network's input, where they are then clamped to [-2, 2]."""
OUTPUT_SCALE = 4.0
"""Factor of the head's outputs: scores, residual flow in pixels, logits of the mask."""


@FLOW_ESTIMATORS.register_module()
class GuidedFlowEstimator(FlowEstimatorBase):
    """Refine a flow prior at full resolution: correct the candidates' scores, add a residual flow, predict the mask.

    The encoder-decoder of :class:`FlowEstimator` takes, in addition to its usual inputs, the prior's flow, cover and
    visibility, and the source warped along that flow. Its finest features are enlarged to full resolution and merged
    with the source warped along each candidate, so that motion boundaries follow image edges. An untrained network
    returns the prior's flow.

    With ``full_resolution=False`` all of this happens at level 1, half the image's size, as in the published estimator,
    and finer levels are enlarged from it: for ablations.

    Args:
        structure_channels: S, channels of a structure.
        prior: config of the flow prior.
        levels: resolutions with a flow and a mask; level k is the image's size / 2^k.
        base_width: channels at level 1.
        max_width: largest number of channels at any level.
        depth: number of encoder blocks; width and height of images must be multiples of 2^depth.
        full_width: channels at the resolution of flow and mask.
        full_resolution: predict flow and mask at level 0; else at level 1.
        image_channels: channels of an image.
        init_gain: gain of the orthogonal initialization of all layers but the last.
        norm: ``"instance"`` or ``"group"``.

    Raises:
        ConfigError: there is no level, or one that lies beyond *depth*.
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
        full_resolution: bool = True,
        image_channels: int = 3,
        init_gain: float = INIT_GAIN,
        norm: NormKind = "instance",
    ) -> None:
        super().__init__()
        self.levels, self.depth = sorted_levels(levels, depth, finest=0), depth
        self.prior: FlowPrior = FLOW_PRIORS.build_part(prior)
        count = self.prior.count
        inputs = 2 * image_channels + 2 * structure_channels + 4  # images, structures, prior: flow, cover, visible
        widths = [inputs, *flow_widths(base_width, max_width, depth)]
        self.encoder = encoder(widths, norm)
        self.decoder, self.skip = decoder(widths, [1], norm)
        self.stride = 1 if full_resolution else 2
        self.enlarge = Enlarge() if full_resolution else nn.Identity()
        self.merge = conv3x3(widths[1] + image_channels * count + count + 1, full_width)
        self.residual = Residual(full_width, full_width, norm)
        self.head = conv3x3(full_width, count + 3)  # scores, residual flow, mask
        initialize(self, init_gain)
        nn.init.zeros_(self.head.weight)

    def forward(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Predict flows w and masks m; see :meth:`FlowEstimator.forward`."""
        check_size(source, self.depth)
        with _in_float32(source.device):
            prior = self.prior(source_structure, target_structure)
        features = self._features(source, source_structure, target_structure, prior)
        height, width = (side // self.stride for side in source.shape[-2:])
        source, prior = F.adaptive_avg_pool2d(source, (height, width)), prior.resize((height, width))
        inputs = [features, source, _warped_candidates(source, prior), *_score_inputs(prior)]
        merged = self.merge(torch.cat([part.to(features.dtype) for part in inputs], dim=1))
        output = OUTPUT_SCALE * self.head(act(self.residual(merged))).float()
        scores, residual_flow, mask_logits = output.split([self.prior.count, 2, 1], dim=1)

        w = blend(prior.flows, prior.scores + scores) + residual_flow
        m = torch.sigmoid(torch.logit(prior.visible, eps=0.03) + mask_logits)
        sizes = [((height * self.stride) >> k, (width * self.stride) >> k) for k in self.levels]
        return [resize_flow(w, size) for size in sizes], [_resize_mask(m, size) for size in sizes]

    def _features(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor, prior: FlowCandidates
    ) -> Tensor:
        """Compute features of the pyramid at the resolution of flow and mask, B C H W."""
        guide = [sample_bilinear(source, prior.flow), prior.flow / FLOW_SCALE, prior.cover, prior.visible]
        encoded = encode(self.encoder, torch.cat([source, source_structure, target_structure, *guide], dim=1))
        return self.enlarge(decode(encoded, self.decoder, self.skip)[1])


def _resize_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Average the pixels of a mask where it becomes smaller; interpolate where it becomes larger."""
    if size[0] <= mask.shape[-2]:
        return F.adaptive_avg_pool2d(mask, size)
    return F.interpolate(mask, size=size, mode="bilinear", align_corners=False)


@FLOW_ESTIMATORS.register_module()
class GuidedClipFlowEstimator(FlowEstimatorBase):
    """Estimate the flows to the previous frame and to the reference with one :class:`GuidedFlowEstimator`.

    Both are the flow from a target to a source, so both origins share the weights and pass the network as one batch.

    Args:
        estimator: the guided estimator, or its config.
    """

    origins = 2

    def __init__(self, estimator: Any) -> None:
        super().__init__()
        self.estimator: GuidedFlowEstimator = FLOW_ESTIMATORS.build_part(estimator)
        self.levels, self.depth = self.estimator.levels, self.estimator.depth

    def forward(
        self,
        previous: Tensor,
        previous_structure: Tensor,
        reference: Tensor,
        reference_structure: Tensor,
        target_structure: Tensor,
    ) -> tuple[Origins, Origins]:
        """Predict flows and masks; see :meth:`JointFlowEstimator.forward`."""
        flows, masks = self.estimator(
            torch.stack([previous, reference]).flatten(0, 1),
            torch.stack([previous_structure, reference_structure]).flatten(0, 1),
            torch.stack([target_structure, target_structure]).flatten(0, 1),
        )
        w, m = ([level.unflatten(0, (2, -1)).unbind(0) for level in maps] for maps in (flows, masks))
        return (
            Origins([p for p, _ in w], [r for _, r in w]),
            Origins([p for p, _ in m], [r for _, r in m]),
        )


def _in_float32(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context without autocast: bfloat16 does not hold a fraction of a pixel."""
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()  # an exported graph has no autocast
    return torch.autocast(device.type, enabled=False)


def _warped_candidates(source: Tensor, prior: FlowCandidates) -> Tensor:
    """Warp the source along each candidate except the background, B 3(N-1) H W."""
    flows = prior.flows[:, :-1]
    count = flows.shape[1]
    warped = sample_bilinear(source.repeat_interleave(count, dim=0), flows.flatten(0, 1))
    return warped.unflatten(0, (-1, count)).flatten(1, 2)


def _score_inputs(prior: FlowCandidates) -> tuple[Tensor, Tensor]:
    """Return scores scaled for the network, B N H W, and visibility, B 1 H W."""
    return (prior.scores / SCORE_SCALE).clamp(-2, 2), prior.visible
