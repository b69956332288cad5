"""The complete model of clips: one reference image and a row of structures → a clip, frame after frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..records import Animation, Frame, Origins
from ..registry import FLOW_ESTIMATORS, MODELS, RENDERERS
from .layers import channels_last
from .pair_model import check_image, check_parts, check_structure


@MODELS.register_module()
class ClipModel(nn.Module):
    """GFLA for clips (arXiv 2008.12606): each frame is made from the frame before it and a reference.

    Args:
        flow_estimator: config of F, of kind flow estimator, for both origins.
        renderer: config of G, of kind renderer, that looks at both.

    Raises:
        ConfigError: F and G have other levels.
    """

    def __init__(self, flow_estimator: Any, renderer: Any) -> None:
        super().__init__()
        self.flow_estimator = FLOW_ESTIMATORS.build_part(flow_estimator)
        self.renderer = RENDERERS.build_part(renderer)
        check_parts(self.flow_estimator, self.renderer, origins=2)

    def forward(
        self,
        previous: Tensor,
        previous_structure: Tensor,
        reference: Tensor,
        reference_structure: Tensor,
        target_structure: Tensor,
    ) -> Frame:
        """One frame. Images B 3 H W in [-1, 1], structures B S H W; for the first frame previous = reference."""
        flows, masks = self.flow_estimator(
            previous, previous_structure, reference, reference_structure, target_structure
        )
        return Frame(self.renderer(previous, reference, target_structure, flows, masks), flows, masks)

    @torch.no_grad()
    def frames(self, reference: Tensor, reference_structure: Tensor, structures: Iterable[Tensor]) -> Iterator[Frame]:
        """The frames of a clip one after the other, for clips longer than memory: nothing older than the last is kept.

        Args:
            reference: B 3 H W in [-1, 1]; H and W multiples of 2^depth of F (32 as published), at least twice that.
            reference_structure: B S H W.
            structures: one B S H W a frame.

        Raises:
            InputError: shapes that do not fit together, or a size the networks cannot halve often enough.
        """
        check_image("reference", reference, self.renderer)
        check_structure("reference_structure", reference_structure, reference, self.renderer)
        reference, reference_structure = channels_last(reference), channels_last(reference_structure)
        previous, previous_structure = reference, reference_structure
        for number, structure in enumerate(structures):
            check_structure(f"structure {number}", structure, reference, self.renderer)
            structure = channels_last(structure)
            frame = self(previous, previous_structure, reference, reference_structure, structure)
            yield frame
            previous, previous_structure = frame.image, structure

    @torch.no_grad()
    def animate(self, reference: Tensor, reference_structure: Tensor, structures: Tensor) -> Animation:
        """A whole clip at once; no gradient is kept.

        Args:
            reference, reference_structure: as in :meth:`frames`.
            structures: B T S H W, T of at least 1.

        Returns:
            ``frames`` B T 3 H W, ``flows`` and ``masks``; see :class:`posegen.records.Animation`.

        Raises:
            InputError: as :meth:`frames`; a clip without frames.
        """
        if structures.dim() != 5 or not structures.shape[1]:
            raise InputError(f"structures must be B T S H W with frames in it, got {tuple(structures.shape)}")
        return join(list(self.frames(reference, reference_structure, structures.unbind(1))))


def join(frames: list[Frame]) -> Animation:
    """Frames as one clip."""

    def levels(maps: list[list[Tensor]]) -> list[Tensor]:
        return [torch.stack(level, dim=1) for level in zip(*maps, strict=True)]

    def origins(both: list[Origins]) -> Origins:
        return Origins(levels([one.previous for one in both]), levels([one.reference for one in both]))

    return Animation(
        torch.stack([frame.image for frame in frames], dim=1),
        origins([frame.flows for frame in frames]),
        origins([frame.masks for frame in frames]),
    )
