"""Random motion of an image and its key points together."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from posegen.data import Keypoints
from posegen.registry import AUGMENTATIONS


@dataclass(frozen=True)
class Motion:
    """Rotation by ``angle`` degrees (clockwise on the screen) and ``scale`` about the image's center,
    then a ``shift`` (x, y) in pixels."""

    angle: float
    shift: tuple[float, float]
    scale: float

    def matrix(self, size: tuple[int, int]) -> np.ndarray:
        """Return the 2×3 matrix that moves a point of an image of *size* (H, W); pixel centers are whole numbers."""
        center = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
        cosine, sine = np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))
        turn = self.scale * np.array([[cosine, -sine], [sine, cosine]])
        return np.column_stack([turn, center + self.shift - turn @ center])


@AUGMENTATIONS.register_module()
class PublishedAugmentation:
    """The published augmentation of Market-1501's training pairs; for training only.

    The source image is rotated by ±``rotation``, shifted by ±``shift`` each way and scaled by ``scale``, all
    drawn evenly. The target image gets another draw, of which a fifth of the angle, half of the shift
    and no scale are taken. What comes from outside the image is gray. Image and key points are moved by one and
    the same matrix, about the image's center; pixels are interpolated bilinearly.

    Args:
        rotation: degrees.
        shift: pixels of the size the net sees.
        scale: smallest and largest factor.
        fill: gray level 0..255.
    """

    def __init__(
        self,
        rotation: float = 5.0,
        shift: float = 5.0,
        scale: tuple[float, float] = (0.95, 1.05),
        fill: int = 128,
    ) -> None:
        self.rotation = rotation
        self.shift = shift
        self.scale = scale
        self.fill = fill

    def source(self, image: np.ndarray, keypoints: Keypoints, rng: np.random.Generator) -> tuple[np.ndarray, Keypoints]:
        """Move a source image, uint8 H W 3, and its points by a draw from *rng*."""
        return self.move(image, keypoints, self.draw(rng))

    def target(self, image: np.ndarray, keypoints: Keypoints, rng: np.random.Generator) -> tuple[np.ndarray, Keypoints]:
        """Move a target image, uint8 H W 3, and its points by a smaller draw from *rng*."""
        drawn = self.draw(rng)
        return self.move(image, keypoints, Motion(drawn.angle / 5, (drawn.shift[0] / 2, drawn.shift[1] / 2), scale=1.0))

    def draw(self, rng: np.random.Generator) -> Motion:
        """Draw a motion uniformly from the ranges; always takes four numbers from *rng*."""
        angle = rng.uniform(-self.rotation, self.rotation)
        scale = rng.uniform(*self.scale)
        x, y = rng.uniform(-self.shift, self.shift, 2)
        return Motion(float(angle), (float(x), float(y)), float(scale))

    def move(self, image: np.ndarray, keypoints: Keypoints, motion: Motion) -> tuple[np.ndarray, Keypoints]:
        """Move an image and its points by the same matrix."""
        height, width = image.shape[:2]
        matrix = motion.matrix((height, width))
        moved = cv2.warpAffine(
            image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(self.fill,) * image.shape[2]
        )
        return moved, keypoints.transform(matrix)
