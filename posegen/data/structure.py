"""What every structure encoder can do: say where things should go, and draw itself."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from .keypoints import KeypointLayout, Keypoints


@runtime_checkable
class StructureEncoder(Protocol):
    """Turns key points into the structure a network sees."""

    channels: int
    layout: KeypointLayout

    def encode(self, keypoints: Keypoints, size: tuple[int, int]) -> Tensor:
        """The structure, S H W, of points given in pixels of an image of *size* (H, W)."""
        ...

    def draw(self, structure: Tensor) -> np.ndarray:
        """A picture of a structure S H W: uint8, H W 3, RGB."""
        ...
