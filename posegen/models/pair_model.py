"""The complete model: one source image and two structures → one target image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, InputError
from ..records import Transfer
from ..registry import FLOW_ESTIMATORS, MODELS, RENDERERS


@MODELS.register_module()
class PairModel(nn.Module):
    """GFLA: a flow estimator F and a renderer G.

    Args:
        flow_estimator: config of F, of kind flow estimator.
        renderer: config of G, of kind renderer.

    Raises:
        ConfigError: F and G have other levels.
    """

    def __init__(self, flow_estimator: Any, renderer: Any) -> None:
        super().__init__()
        self.flow_estimator = FLOW_ESTIMATORS.build_part(flow_estimator)
        self.renderer = RENDERERS.build_part(renderer)
        flows: Any = getattr(self.flow_estimator, "levels", None)
        attended: Any = getattr(self.renderer, "attended_levels", None)
        if flows and attended and tuple(flows) != tuple(attended):
            raise ConfigError(f"the flow has levels {[*flows]}, the renderer attends at {[*attended]}: make them equal")

    def forward(self, source: Tensor, source_structure: Tensor, target_structure: Tensor) -> Transfer:
        """The target image with the flows and masks it was made with; shapes as in :meth:`transfer`."""
        flows, masks = self.flow_estimator(source, source_structure, target_structure)
        image = self.renderer(source, target_structure, flows, masks)
        return Transfer(image, flows, masks)

    @torch.no_grad()
    def transfer(self, source: Tensor, source_structure: Tensor, target_structure: Tensor) -> Transfer:
        """Move a source into the target's structure; no gradient is kept.

        Args:
            source: B 3 H W in [-1, 1]; H and W multiples of 2^depth of F (32 as published), at least twice that.
            source_structure, target_structure: B S H W.

        Raises:
            InputError: shapes that do not fit together, or a size the networks cannot halve often enough.
        """
        self._check(source, source_structure, target_structure)
        return self(source, source_structure, target_structure)

    def _check(self, source: Tensor, source_structure: Tensor, target_structure: Tensor) -> None:
        if source.dim() != 4:
            raise InputError(f"source must be B C H W, got shape {tuple(source.shape)}")
        channels = getattr(self.flow_estimator, "image_channels", 3)
        if source.shape[1] != channels:
            raise InputError(f"source must have {channels} channels, got shape {tuple(source.shape)}")
        if source_structure.shape != target_structure.shape:
            raise InputError(
                f"structures differ: source {tuple(source_structure.shape)}, target {tuple(target_structure.shape)}"
            )
        channels = getattr(self.flow_estimator, "structure_channels", None)
        if source_structure.dim() != 4 or channels not in (None, source_structure.shape[1]):
            raise InputError(
                f"structures must be B S H W with S = {channels or 'any'}, got {tuple(source_structure.shape)}"
            )
        if source_structure.shape[0] != source.shape[0] or source_structure.shape[-2:] != source.shape[-2:]:
            raise InputError(
                f"source is {tuple(source.shape)} but its structure {tuple(source_structure.shape)}: "
                "batch, height and width must be the same"
            )
