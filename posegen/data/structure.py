"""Structure encoders: from key points, or another description of a pose, to the tensor a network sees."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ..errors import ConfigError
from .keypoints import KeypointLayout


class StructureEncoder(ABC):
    """Base class of structure encoders. A subclass sets ``channels`` and implements :meth:`encode` and :meth:`draw`.

    Attributes:
        channels: number of channels S of a structure.
        layout: layout of the key points that are encoded; None for an encoder of something else, which commands that
            read key points refuse.
        sees_image: whether :meth:`encode` looks at the image. If not, the frames of a video are decoded only once, for
            their key points.
        choices: only for an encoder without a layout whose input is a tuple of class numbers: the names of the classes
            by quantity, ``{"azimuth": ("0°", "20°", ...)}``. ``posegen app`` shows a slider for each quantity.
    """

    channels: int
    layout: KeypointLayout = None  # type: ignore[assignment]  # see above; most encoders have one
    sees_image: bool = True
    choices: Mapping[str, tuple[str, ...]] = {}

    @abstractmethod
    def encode(self, pose: Any, size: tuple[int, int], image: np.ndarray | None = None) -> Tensor:
        """Encode a pose as a structure S H W (or S 1 1), float32.

        Args:
            pose: :class:`Keypoints` in pixels of an image of *size*; without a layout, whatever the encoder takes.
            size: (H, W) of the structure.
            image: the photograph the pose belongs to, uint8 H W 3 of *size*; None if there is none. Most encoders do
                not look at it.
        """

    @abstractmethod
    def draw(self, structure: Tensor) -> np.ndarray:
        """Draw a structure S H W as an image: uint8, H W 3, RGB."""

    def decode(self, structure: Tensor) -> Any:
        """Recover the pose from a structure S H W, key points in pixels of the structure; None if it cannot be done.

        ``posegen app`` edits examples of the test set by it, and ``posegen example`` writes their key points.
        """
        return None

    def mirror(self, structure: Tensor) -> Tensor | None:
        """Return the structure S H W of the mirror image, or None if the encoder does not know it.

        :func:`posegen.testing.check_structure_encoder` compares with it. Without it, channels are exchanged like the
        key points where there is one channel a point.
        """
        return None

    def require_layout(self, layout: KeypointLayout, dataset: str) -> None:
        """Raise ConfigError if this encoder does not take the key points that a data set has.

        Args:
            layout: layout of the key points of the data set.
            dataset: name of the data set's class, for the message.
        """
        if self.layout is None or self.layout.names != layout.names:
            own = "no key points" if self.layout is None else f"key points of layout {self.layout.name!r}"
            raise ConfigError(
                f"{dataset} has key points of layout {layout.name!r}, but the structure encoder {type(self).__name__} "
                f"takes {own}"
            )
