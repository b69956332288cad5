"""What every structure encoder can do: say where things should go, and draw itself; and what a data set has."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from ..errors import ConfigError
from ..records import Pair
from .keypoints import KeypointLayout, Keypoints


@runtime_checkable
class StructureEncoder(Protocol):
    """Turns key points into the structure a network sees.

    One that also looks at the photograph itself has a true attribute ``uses_image``, and its ``encode`` takes it, uint8
    H W 3 of *size*, as a third argument, or None where there is none. :func:`encode_structure` calls either.
    """

    channels: int
    layout: KeypointLayout

    def encode(self, keypoints: Keypoints, size: tuple[int, int]) -> Tensor:
        """The structure, S H W, of points given in pixels of an image of *size* (H, W)."""
        ...

    def draw(self, structure: Tensor) -> np.ndarray:
        """A picture of a structure S H W: uint8, H W 3, RGB."""
        ...


@runtime_checkable
class PairDataset(Protocol):
    """What every data set of pairs has.

    A data set of photographs may have a static method more, which ``posegen infer`` then calls on the photographs it
    is given, so that the network sees them as in training; without it they are resized as a whole:

        prepare(image, keypoints, size, options) -> (image, keypoints)

    ``image`` uint8 H W 3 of any size; ``size`` (H, W) of the image that is returned, whose pixels the returned points
    count; ``options``: the arguments that the config gives the data set. It lists those that it looks at as
    ``prepare_options``: they go with a model that is shared.

    One whose pairs show whole image files may have a method ``files() -> {name of a pair: (source, target)}``: paths of
    the originals. ``posegen test --protocol`` then scores against these, resized as the protocol says; without it,
    against the targets as the data set gives them.
    """

    structure: StructureEncoder
    """What encoded the pairs' structures: it draws them on the sheets of samples."""

    def __len__(self) -> int:
        """The number of pairs."""
        ...

    def __getitem__(self, index: int) -> Pair:
        """The pair at a number."""
        ...


def encode_structure(
    encoder: StructureEncoder, keypoints: Keypoints, size: tuple[int, int], image: np.ndarray | None
) -> Tensor:
    """The structure, S H W, by an encoder that looks at images or by one that does not.

    Args:
        encoder: of the structure.
        keypoints: in pixels of an image of *size* (H, W).
        image: that image, uint8 H W 3; None where there is none.
    """
    if getattr(encoder, "uses_image", False):
        return encoder.encode(keypoints, size, image)  # type: ignore[call-arg]
    return encoder.encode(keypoints, size)


def structure_of(dataset: Any) -> StructureEncoder:
    """The structure encoder that draws a data set's structures.

    Raises:
        ConfigError: the data set has none.
    """
    structure = getattr(dataset, "structure", None)
    if not callable(getattr(structure, "draw", None)):
        raise ConfigError(
            f"the data set {type(dataset).__name__} has no attribute 'structure' with a method 'draw': sheets of "
            "samples cannot show its structures\nGive it one (posegen.data.PairDataset says what a data set has)."
        )
    return structure  # type: ignore[return-value]
