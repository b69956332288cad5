"""Flow estimators of clips: where each location of a frame lies in the previous frame, and in the reference."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..records import Origins
from ..registry import FLOW_ESTIMATORS
from . import published
from .flow_estimator import FlowEstimator, FlowPyramid
from .layers import INIT_GAIN, NormKind


@FLOW_ESTIMATORS.register_module()
class JointFlowEstimator(FlowPyramid):
    """One net for both flows, which sees everything (``spec: clips, faces``).

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
        channels = 2 * image_channels + 3 * structure_channels
        super().__init__(channels, 2, levels, base_width, max_width, depth, init_gain, norm)

    def forward(
        self,
        previous: Tensor,
        previous_structure: Tensor,
        reference: Tensor,
        reference_structure: Tensor,
        target_structure: Tensor,
    ) -> tuple[Origins, Origins]:
        """Flows and masks from both origins; images B 3 H W in [-1, 1], structures B S H W.

        Returns:
            Flows, a list an origin, one B 2 h w a level, in pixels of h×w; masks, one B 1 h w a level in [0, 1]. Coarse
            to fine.
        """
        seen = [target_structure, previous, previous_structure, reference, reference_structure]
        flows, masks = self.decode(self.encode(torch.cat(seen, dim=1)))
        return (
            Origins([flow[:, :2] for flow in flows], [flow[:, 2:] for flow in flows]),
            Origins([mask[:, :1] for mask in masks], [mask[:, 1:] for mask in masks]),
        )


@FLOW_ESTIMATORS.register_module()
class SeparateFlowEstimators(nn.Module):
    """Two nets of the pair model's kind, one for the previous frame, one for the reference (``spec: clips, dance``).

    Arguments as :class:`FlowEstimator`, for both.
    """

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
        self.depth, self.levels, self.origins = depth, self.reference.levels, 2

    def forward(
        self,
        previous: Tensor,
        previous_structure: Tensor,
        reference: Tensor,
        reference_structure: Tensor,
        target_structure: Tensor,
    ) -> tuple[Origins, Origins]:
        """Flows and masks, as :meth:`JointFlowEstimator.forward`."""
        flows_p, masks_p = self.previous(previous, previous_structure, target_structure)
        flows_r, masks_r = self.reference(reference, reference_structure, target_structure)
        return Origins(flows_p, flows_r), Origins(masks_p, masks_r)
