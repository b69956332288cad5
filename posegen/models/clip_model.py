"""The complete model of clips: a reference image and a sequence of structures → a clip, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..records import Animation, Composition, Frame, Origins
from ..registry import FLOW_ESTIMATORS, MODELS, RENDERERS
from .base import FlowEstimatorBase, GenerativeModel, Renderer, check_image, check_parts, check_structure


@MODELS.register_module()
class ClipModel(GenerativeModel):
    """GFLA for clips (arXiv 2008.12606): each frame is generated from the previous frame and a reference.

    Args:
        flow_estimator: config of F, of kind flow estimator, for both origins.
        renderer: config of G, of kind renderer, for both origins.

    Raises:
        ConfigError: F and G have different levels.
    """

    def __init__(self, flow_estimator: Any, renderer: Any) -> None:
        super().__init__()
        self.flow_estimator: FlowEstimatorBase = FLOW_ESTIMATORS.build_part(flow_estimator)
        self.renderer: Renderer = RENDERERS.build_part(renderer)
        check_parts(self.flow_estimator, self.renderer, origins=2)

    def forward(
        self,
        previous: Tensor,
        previous_structure: Tensor,
        reference: Tensor,
        reference_structure: Tensor,
        target_structure: Tensor,
    ) -> Frame:
        """Generate a frame. Images B 3 H W in [-1, 1], structures B S H W; for the first frame previous = reference."""
        flows, masks = self.flow_estimator(
            previous, previous_structure, reference, reference_structure, target_structure
        )
        rendered = self.renderer(previous, reference, target_structure, flows, masks)
        if isinstance(rendered, Composition):
            return Frame(rendered.image, flows, masks, rendered.generated)
        return Frame(rendered, flows, masks)

    @torch.no_grad()
    def frames(self, reference: Tensor, reference_structure: Tensor, structures: Iterable[Tensor]) -> Iterator[Frame]:
        """Generate a clip frame by frame, without gradients; only the previous frame is kept in memory.

        Args:
            reference: B 3 H W in [-1, 1]; H and W multiples of 2^depth of F (32 as published), at least twice that.
            reference_structure: B S H W.
            structures: B S H W per frame.

        Raises:
            InputError: shapes that do not fit together, or a size that the networks cannot halve often enough.
        """
        check_image("reference", reference, self.renderer)
        check_structure("reference_structure", reference_structure, reference, self.renderer)
        previous, previous_structure = reference, reference_structure
        for number, structure in enumerate(structures):
            check_structure(f"structure {number}", structure, reference, self.renderer)
            with self.in_precision(reference.device):
                frame = self(previous, previous_structure, reference, reference_structure, structure)
            frame.image = frame.image.to(reference.dtype)
            yield frame
            previous, previous_structure = frame.image, structure

    @torch.no_grad()
    def animate(self, reference: Tensor, reference_structure: Tensor, structures: Tensor) -> Animation:
        """Generate a whole clip at once, without gradients.

        Args:
            reference, reference_structure: as in :meth:`frames`.
            structures: B T S H W, T at least 1.

        Returns:
            ``frames`` B T 3 H W, ``flows`` and ``masks``; see :class:`posegen.records.Animation`.

        Raises:
            InputError: as :meth:`frames`; a clip without frames.
        """
        if structures.dim() != 5 or not structures.shape[1]:
            raise InputError(f"structures must be B T S H W with T ≥ 1, got {tuple(structures.shape)}")
        return join(list(self.frames(reference, reference_structure, structures.unbind(1))))


def join(frames: list[Frame]) -> Animation:
    """Stack frames to a clip."""

    def levels(maps: list[list[Tensor]]) -> list[Tensor]:
        return [torch.stack(level, dim=1) for level in zip(*maps, strict=True)]

    def origins(both: list[Origins]) -> Origins:
        return Origins(levels([one.previous for one in both]), levels([one.reference for one in both]))

    return Animation(
        torch.stack([frame.image for frame in frames], dim=1),
        origins([frame.flows for frame in frames]),
        origins([frame.masks for frame in frames]),
    )
