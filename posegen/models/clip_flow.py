"""Flow estimators of clips (arXiv 2008.12606): flows from the previous frame and from the reference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..records import Origins
from ..registry import FLOW_ESTIMATORS
from . import published
from .base import FlowEstimatorBase, check_size
from .flow_estimator import (
    FlowEstimator,
    apply_head,
    decode,
    decoder,
    flow_widths,
    heads,
    initialize_flow,
    sorted_levels,
)
from .layers import INIT_GAIN, NormKind, encode, encoder


@FLOW_ESTIMATORS.register_module()
class JointFlowEstimator(FlowEstimatorBase):
    """One network for both flows, which sees both images and all structures; published for faces.

    Arguments as :class:`FlowEstimator`.
    """

    origins = 2
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
        widths = [2 * image_channels + 3 * structure_channels, *flow_widths(base_width, max_width, depth)]
        self.encoder = encoder(widths, norm)
        self.decoder, self.skip = decoder(widths, self.levels, norm)
        self.to_flow = heads(widths, self.levels, channels=2 * self.origins)
        self.to_mask = heads(widths, self.levels, channels=self.origins)
        initialize_flow(self, init_gain)

    def forward(
        self,
        previous: Tensor,
        previous_structure: Tensor,
        reference: Tensor,
        reference_structure: Tensor,
        target_structure: Tensor,
    ) -> tuple[Origins, Origins]:
        """Predict flows and masks from both images.

        Args:
            previous, reference: B 3 H W in [-1, 1].
            previous_structure, reference_structure, target_structure: B S H W.

        Returns:
            Flows, for each origin a list, B 2 h w per level, in pixels of h×w; masks, B 1 h w per level, in [0, 1].
            Coarse to fine.

        Raises:
            InputError: width or height is not a multiple of 2^depth, or too small.
        """
        check_size(previous, self.depth)
        seen = [target_structure, previous, previous_structure, reference, reference_structure]
        encoded = encode(self.encoder, torch.cat(seen, dim=1))
        features = decode(encoded, self.decoder, self.skip)
        w = [apply_head(self.to_flow[str(k)], features[k]) for k in self.levels]
        m = [torch.sigmoid(apply_head(self.to_mask[str(k)], features[k])) for k in self.levels]
        return (
            Origins([flows[:, :2] for flows in w], [flows[:, 2:] for flows in w]),
            Origins([masks[:, :1] for masks in m], [masks[:, 1:] for masks in m]),
        )


@FLOW_ESTIMATORS.register_module()
class SeparateFlowEstimators(FlowEstimatorBase):
    """Two networks of the pair model's kind, for the previous frame and for the reference; published for dance.

    Arguments as :class:`FlowEstimator`, for both.
    """

    origins = 2
    published = [
        *published.flow_rules("flow_net_previous", "previous."),
        *published.flow_rules("flow_net_reference", "reference."),
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
        arguments = (structure_channels, levels, base_width, max_width, depth, image_channels, init_gain, norm)
        self.previous = FlowEstimator(*arguments)
        self.reference = FlowEstimator(*arguments)
        self.levels, self.depth = self.reference.levels, depth

    def forward(
        self,
        previous: Tensor,
        previous_structure: Tensor,
        reference: Tensor,
        reference_structure: Tensor,
        target_structure: Tensor,
    ) -> tuple[Origins, Origins]:
        """Predict flows and masks, as :meth:`JointFlowEstimator.forward`."""
        flows_p, masks_p = self.previous(previous, previous_structure, target_structure)
        flows_r, masks_r = self.reference(reference, reference_structure, target_structure)
        return Origins(flows_p, flows_r), Origins(masks_p, masks_r)
