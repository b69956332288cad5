"""Inputs of a model, with what they were made from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..data import Keypoints
from ..data.images import Photograph
from .cutout import Cutout
from .framing import Window


@dataclass(frozen=True)
class Prepared:
    """A source and a target as the network takes them.

    Args:
        source: 3 H W in [-1, 1].
        source_structure: S H W (or S 1 1).
        target_structure: S H W (or S 1 1).
        name: name of the source.
        photograph: the source before it was prepared.
        window: part of the photograph that the network sees.
        target: key points of *target_structure*, in pixels of its image; None: it is of another kind.
        cutout: background of the result; None: the one that the model generates.
    """

    source: Tensor
    source_structure: Tensor
    target_structure: Tensor
    name: str
    photograph: Photograph
    window: Window
    target: Keypoints | None = None
    cutout: Cutout | None = None
