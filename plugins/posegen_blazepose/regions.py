"""Square regions of an image, rotated with the subject, and the way between their pixels and those of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

MAX_REDUCTION = 2.0
"""Largest ratio of region to crop at which bilinear sampling skips no pixels."""


@dataclass(frozen=True)
class Region:
    """A square region of an image.

    Args:
        x, y: center in pixels of the image.
        side: length of a side in pixels.
        angle: rotation in radians, clockwise as seen in the image; 0: upright.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    @classmethod
    def whole(cls, image: np.ndarray) -> Region:
        """Return the smallest upright square around an image H W 3, with the same center."""
        height, width = image.shape[:2]
        return cls(width / 2, height / 2, max(height, width))

    @classmethod
    def standing(cls, foot: np.ndarray, head: np.ndarray, margin: float) -> Region:
        """Return the region around *foot* in which *head* lies straight above, at *margin* of the upper side."""
        x, y = head - foot
        return cls(float(foot[0]), float(foot[1]), 2 * float(np.hypot(x, y)) * margin, float(np.arctan2(x, -y)))

    @classmethod
    def around(cls, points: np.ndarray, left: np.ndarray, right: np.ndarray, margin: float) -> Region:
        """Return the region around the box of *points* N 2, *margin* times its longer side, *left* level with *right*.

        Args:
            points: points that it surrounds.
            left, right: points of the subject that lie on a horizontal line of the region.
            margin: ratio of the region's side to the longer side of the box.
        """
        low, high = points.min(0), points.max(0)
        x, y = right - left
        center = (low + high) / 2
        return cls(float(center[0]), float(center[1]), float((high - low).max()) * margin, float(np.arctan2(y, x)))

    def crop(self, image: np.ndarray, size: int, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
        """Return the region of an image, uint8 H W 3, as uint8 *size* *size* 3.

        Args:
            image: the image.
            size: side of the result in pixels.
            border: OpenCV's constant for what lies outside of the image; default: black.
        """
        matrix = self.matrix(size)
        ratio = self.side / size / MAX_REDUCTION
        if ratio > 1:  # average first
            left, top, right, bottom = self._box(image, margin=2 * ratio)
            image, scale = _reduced(image[top:bottom, left:right], ratio)
            matrix[:, 2] -= left, top
            matrix = matrix * scale[:, None]
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=border)

    def matrix(self, size: int) -> np.ndarray:
        """Return the affine matrix 2 3 from pixels of a crop of that size to pixels of the image."""
        step = self.side / size
        cos, sin = step * np.cos(self.angle), step * np.sin(self.angle)
        rotation = np.array([[cos, -sin], [sin, cos]])
        return np.column_stack([rotation, np.array([self.x, self.y]) - rotation @ np.full(2, size / 2)])

    def _box(self, image: np.ndarray, margin: float) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of the pixels around the region; all of the image if it has none there."""
        corners = self.to_image(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]))
        size = np.array(image.shape[1::-1])
        low = np.floor(corners.min(0) - margin).clip(0, size).astype(int)
        high = np.ceil(corners.max(0) + margin).clip(0, size).astype(int)
        if (low >= high).any():
            return 0, 0, int(size[0]), int(size[1])
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Convert points N 2 from shares of the region, 0 to 1, to pixels of the image."""
        matrix = self.matrix(1)
        return points @ matrix[:, :2].T + matrix[:, 2]


def tiles(height: int, width: int, sides: Sequence[float], overhang: float, smallest: int) -> list[Region]:
    """Return overlapping upright squares that cover an image.

    Args:
        height, width: size of the image in pixels.
        sides: sides of the squares, in lengths of the longer side of the image. A square as large as the image or
            larger is centered; smaller ones overlap by half.
        overhang: how far the outer squares of a grid hang over the edge, in their sides.
        smallest: least side in pixels; smaller squares are left out.
    """
    found = []
    for side in (share * max(height, width) for share in sides):
        if side >= max(height, width):
            found.append(Region(width / 2, height / 2, side))
        elif side >= smallest:
            centers = (_centers(length, side, overhang) for length in (height, width))
            rows, columns = centers
            found += [Region(x, y, side) for y in rows for x in columns]
    return found


def _centers(length: int, side: float, overhang: float) -> np.ndarray:
    """Return the centers of squares along a side of an image."""
    first = side * (0.5 - overhang)
    room = length - 2 * first
    return (
        np.array([length / 2]) if room <= 0 else np.linspace(first, length - first, int(np.ceil(2 * room / side)) + 1)
    )


def _reduced(image: np.ndarray, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Reduce an image by averaging; return it, and the scales (x, y) of its pixels."""
    height, width = image.shape[:2]
    size = max(round(width / ratio), 1), max(round(height / ratio), 1)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.array([size[0] / width, size[1] / height])
