"""The complete model of pairs: a source image and two structures → a target image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..records import Composition, Transfer
from ..registry import FLOW_ESTIMATORS, MODELS, RENDERERS
from .base import FlowEstimatorBase, GenerativeModel, Renderer, check_image, check_parts, check_structure


@MODELS.register_module()
class PairModel(GenerativeModel):
    """GFLA (arXiv 2003.00696): a flow estimator F and a renderer G.

    Args:
        flow_estimator: config of F, of kind flow estimator; None for a renderer that takes no flow.
        renderer: config of G, of kind renderer.

    Raises:
        ConfigError: F and G have different levels.
    """

    def __init__(self, flow_estimator: Any, renderer: Any) -> None:
        super().__init__()
        self.flow_estimator: FlowEstimatorBase | None = FLOW_ESTIMATORS.build_part(flow_estimator)
        self.renderer: Renderer = RENDERERS.build_part(renderer)
        check_parts(self.flow_estimator, self.renderer, origins=1)

    def forward(self, source: Tensor, source_structure: Tensor, target_structure: Tensor) -> Transfer:
        """Generate the target image with its flows and masks; arguments as in :meth:`transfer`."""
        flows, masks = self.estimate(source, source_structure, target_structure)
        rendered = self.renderer(source, source_structure, target_structure, flows, masks)
        if isinstance(rendered, Composition):
            return Transfer(rendered.image, flows, masks, rendered.generated)
        return Transfer(rendered, flows, masks)

    def estimate(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Predict flows and masks; none without F."""
        if self.flow_estimator is None:
            return [], []
        return self.flow_estimator(source, source_structure, target_structure)

    @torch.no_grad()
    def transfer(self, source: Tensor, source_structure: Tensor, target_structure: Tensor) -> Transfer:
        """Move a source into the target's structure, without gradients.

        Args:
            source: B 3 H W in [-1, 1]; H and W multiples of 2^depth of F (32 as published), at least twice that.
            source_structure, target_structure: B S H W.

        Raises:
            InputError: shapes that do not fit together, or a size that the networks cannot halve often enough.
        """
        check_image("source", source, self.renderer)
        check_structure("source_structure", source_structure, source, self.renderer)
        check_structure("target_structure", target_structure, source, self.renderer)
        with self.in_precision(source.device):
            out = self(source, source_structure, target_structure)
        return replace(out, image=out.image.to(source.dtype))
