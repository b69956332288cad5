"""The complete model: one source image and two structures → one target image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, InputError
from ..records import Transfer
from ..registry import FLOW_ESTIMATORS, MODELS, RENDERERS
from .layers import channels_last


@MODELS.register_module()
class PairModel(nn.Module):
    """GFLA: a flow estimator F and a renderer G.

    Args:
        flow_estimator: config of F, of kind flow estimator; None for a renderer that takes no flow.
        renderer: config of G, of kind renderer.

    Raises:
        ConfigError: F and G have other levels.
    """

    def __init__(self, flow_estimator: Any, renderer: Any) -> None:
        super().__init__()
        self.flow_estimator = FLOW_ESTIMATORS.build_part(flow_estimator)
        self.renderer = RENDERERS.build_part(renderer)
        check_parts(self.flow_estimator, self.renderer, origins=1)

    def forward(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor, encoded: Any = None
    ) -> Transfer:
        """The target image with the flows and masks it was made with; arguments as in :meth:`transfer`."""
        flows, masks = self.estimate(source, source_structure, target_structure)
        known = () if encoded is None else (encoded,)
        image = self.renderer(source, source_structure, target_structure, flows, masks, *known)
        return Transfer(image, flows, masks)

    def estimate(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Flows and masks; none where there is no F."""
        if self.flow_estimator is None:
            return [], []
        return self.flow_estimator(source, source_structure, target_structure)

    @torch.no_grad()
    def encode_source(self, source: Tensor) -> Any:
        """What G computes of a source alone, for many calls of :meth:`transfer`; None: its renderer has no such part.

        Args:
            source: as of :meth:`transfer`.

        Raises:
            InputError: the shape does not fit the renderer.
        """
        check_image("source", source, self.renderer)
        encode = getattr(self.renderer, "encode_source", None)
        return None if encode is None else encode(channels_last(source))

    @torch.no_grad()
    def transfer(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor, encoded: Any = None
    ) -> Transfer:
        """Move a source into the target's structure; no gradient is kept.

        Args:
            source: B 3 H W in [-1, 1]; H and W multiples of 2^depth of F (32 as published), at least twice that.
            source_structure, target_structure: B S H W.
            encoded: what :meth:`encode_source` makes of *source*, with the same weights; None: it is computed here.

        Raises:
            InputError: shapes that do not fit together, or a size the networks cannot halve often enough.
        """
        self._check(source, source_structure, target_structure)
        inputs = map(channels_last, (source, source_structure, target_structure))
        return self(*inputs) if encoded is None else self(*inputs, encoded)

    def _check(self, source: Tensor, source_structure: Tensor, target_structure: Tensor) -> None:
        check_image("source", source, self.renderer)
        check_structure("source_structure", source_structure, source, self.renderer)
        check_structure("target_structure", target_structure, source, self.renderer)


def check_parts(flow_estimator: Any, renderer: Any, origins: int) -> None:
    """Raise ConfigError where F or G looks at another number of images than *origins*, or they differ in levels.

    A part that does not say how many images it looks at is taken to fit.
    """
    for part in (flow_estimator, renderer):
        count = getattr(part, "origins", origins)
        if part is not None and count != origins:
            kinds = {1: "pairs, of one source", 2: "clips, of the previous frame and a reference"}
            raise ConfigError(f"{type(part).__name__} is made for {kinds[count]}; the model is one of {kinds[origins]}")
    given = tuple(getattr(flow_estimator, "levels", ()))
    taken = tuple(getattr(renderer, "flow_levels", given))
    if taken and flow_estimator is None:
        raise ConfigError(f"the renderer {type(renderer).__name__} takes a flow: the model needs a flow_estimator")
    if given and not taken:
        raise ConfigError(f"the renderer {type(renderer).__name__} takes no flow: set flow_estimator=None")
    if given != taken:
        raise ConfigError(f"the flow has levels {[*given]}, the renderer attends at {[*taken]}: make them equal")


def check_image(name: str, image: Tensor, renderer: Any) -> None:
    """Raise InputError where *image* is not B C H W with the renderer's channels."""
    channels = getattr(renderer, "image_channels", 3)
    if image.dim() != 4 or image.shape[1] != channels:
        raise InputError(f"{name} must be B {channels} H W, got shape {tuple(image.shape)}")


def check_structure(name: str, structure: Tensor, image: Tensor, renderer: Any) -> None:
    """Raise InputError where *structure* does not fit the renderer, or *image* (B 3 H W)."""
    channels = getattr(renderer, "structure_channels", structure.shape[1] if structure.dim() > 1 else None)
    size = (1, 1) if getattr(renderer, "global_structure", False) else tuple(image.shape[-2:])
    wanted = (image.shape[0], channels, *size)
    if tuple(structure.shape) != wanted:
        raise InputError(f"{name} must have shape {wanted} (B S H W) to fit the image, got {tuple(structure.shape)}")
