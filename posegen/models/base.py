"""Base classes of the networks: attributes that the rest of the package reads, with defaults."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ConfigError, InputError
from .published import Rule


class FlowEstimatorBase(nn.Module):
    """Base of flow estimators, of F.

    ``forward`` returns flows and masks, lists of one per level, coarse to fine: B 2 h w in pixels of h×w, and B 1 h w
    in [0, 1]. Two origins have two lists each, as :class:`posegen.records.Origins`. The arguments of ``forward``:

    - for pairs ``source, source_structure, target_structure``
    - for clips ``previous, previous_structure, reference, reference_structure, target_structure``

    Attributes:
        levels: resolutions with a flow and a mask, coarse to fine; level k is the image's size / 2^k.
        origins: images that a location may come from: 1 for pairs; 2 for clips (previous frame and reference).
        published: rules that name the published model's weights, see :mod:`posegen.models.published`.
    """

    levels: tuple[int, ...] = ()
    origins: int = 1
    published: Sequence[Rule] = ()


class Renderer(nn.Module):
    """Base of renderers, of G.

    ``forward`` returns the target image, B 3 H W in [-1, 1], or a :class:`posegen.records.Composition`. The arguments
    of ``forward``:

    - for pairs ``source, source_structure, target_structure, flows, masks``
    - for clips ``previous, reference, target_structure, flows, masks``

    Attributes:
        flow_levels: levels at which the renderer takes a flow and a mask; empty: it takes none.
        origins: images that it takes content from: 1 for pairs; 2 for clips (previous frame and reference).
        structure_channels: S, channels of a structure.
        image_channels: channels of an image.
        global_structure: a structure is B S 1 1, not B S H W.
        published: rules that name the published model's weights, see :mod:`posegen.models.published`.
    """

    flow_levels: tuple[int, ...] = ()
    origins: int = 1
    structure_channels: int
    image_channels: int = 3
    global_structure: bool = False
    published: Sequence[Rule] = ()


class Discriminator(nn.Module):
    """Base of discriminators; ``forward`` returns logits B 1 h w, high for real.

    Attributes:
        frames: consecutive frames that it judges; 1: an image B 3 H W; more: a clip B T 3 H W.
        blocks: number of Down blocks that the published model calls ``block0``, ``block1``, …
        published: rules that name the published model's weights, see :mod:`posegen.models.published`.
    """

    frames: int = 1
    blocks: int = 1
    published: Sequence[Rule] = ()


class GenerativeModel(nn.Module):
    """Base of complete models: F and G.

    Attributes:
        precision: type in which images are generated without gradients; set by :func:`posegen.load_model`.
    """

    precision: torch.dtype = torch.float32

    def in_precision(self, device: torch.device) -> AbstractContextManager[Any]:
        """Return the context in which networks generate."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16)


def check_parts(flow_estimator: FlowEstimatorBase | None, renderer: Renderer, origins: int) -> None:
    """Check that F and G fit each other.

    Raises:
        ConfigError: F or G takes another number of images than *origins*, or their levels differ.
    """
    for part in (flow_estimator, renderer):
        if part is not None and part.origins != origins:
            kinds = {1: "pairs, of one source", 2: "clips, of the previous frame and a reference"}
            raise ConfigError(
                f"{type(part).__name__} is made for {kinds[part.origins]}; the model is one of {kinds[origins]}"
            )
    name = type(renderer).__name__
    given = () if flow_estimator is None else tuple(flow_estimator.levels)
    taken = tuple(renderer.flow_levels)
    if taken and flow_estimator is None:
        raise ConfigError(f"the renderer {name} takes a flow: the model needs a flow_estimator")
    if given and not taken:
        raise ConfigError(f"the renderer {name} takes no flow: set flow_estimator=None")
    if given != taken:
        raise ConfigError(f"the flow has levels {[*given]}, the renderer attends at {[*taken]}: make them equal")


def check_image(name: str, image: Tensor, renderer: Renderer) -> None:
    """Raise InputError where *image* is not B C H W with the channels of *renderer*."""
    if image.dim() != 4 or image.shape[1] != renderer.image_channels:
        raise InputError(f"{name} must be B {renderer.image_channels} H W, got shape {tuple(image.shape)}")


def check_structure(name: str, structure: Tensor, image: Tensor, renderer: Renderer) -> None:
    """Raise InputError where *structure* does not fit *renderer* or *image* (B 3 H W)."""
    size = (1, 1) if renderer.global_structure else tuple(image.shape[-2:])
    wanted = (image.shape[0], renderer.structure_channels, *size)
    if tuple(structure.shape) != wanted:
        raise InputError(f"{name} must have shape {wanted} (B S H W) to fit the image, got {tuple(structure.shape)}")


def check_size(image: Tensor, halvings: int) -> None:
    """Raise InputError where an image B 3 H W cannot be halved *halvings* times to two pixels or more."""
    height, width = image.shape[-2:]
    step = 2**halvings
    if height % step or width % step or min(height, width) < 2 * step:
        raise InputError(f"width and height must be multiples of {step} and at least {2 * step}, got {width}×{height}")
