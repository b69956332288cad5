"""The part of a photograph that a model sees: all of it, padded, or a crop around the figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..data import Keypoints
from .retarget import UNNOTICED, Placement

CROP = ("auto", "figure", "none")
"""Parts of a photograph that a model sees.

- ``figure``: a crop around the figure, in its own pose and in the target's.
- ``none``: all of it, padded to the model's proportions.
- ``auto``: all of it if it has the model's proportions and the figure fills a good part of it, else ``figure``.
"""
LEAST_SHARE = 0.4
"""Share of a side of the photograph from which on a figure fills a good part of it."""
FARTHEST = 0.5
"""Farthest place outside of the photograph that a crop follows a pose to, as a share of its side."""


@dataclass(frozen=True)
class Window:
    """A rectangle of a picture in whole pixels, which may reach beyond it.

    Args:
        left, top: of the upper-left corner.
        width, height: one or more.
    """

    left: int
    top: int
    width: int
    height: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """Cut the window out of an image H W …; beyond the image its edge is repeated."""
        rows = np.clip(np.arange(self.top, self.top + self.height), 0, image.shape[0] - 1)
        columns = np.clip(np.arange(self.left, self.left + self.width), 0, image.shape[1] - 1)
        if rows[0] + self.height - 1 == rows[-1] and columns[0] + self.width - 1 == columns[-1]:
            return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return image[rows[:, None], columns]

    def shift(self, keypoints: Keypoints) -> Keypoints:
        """Return key points in pixels of the window."""
        points = keypoints.points - np.array([self.left, self.top], np.float32)
        return replace(keypoints, points=points, frame=(self.height, self.width))

    def within(self, placement: Placement) -> Window:
        """Return the same window in pixels of the frame from which a placement brings targets."""
        left, top = placement.inverse(self.left, self.top)
        right, bottom = placement.inverse(self.left + self.width, self.top + self.height)
        return Window(round(left), round(top), max(1, round(right - left)), max(1, round(bottom - top)))


def whole_window(size: tuple[int, int], proportions: tuple[int, int]) -> Window:
    """Return the smallest window of *proportions* (H, W) around a picture of *size* (H, W), the picture in its middle.

    A picture of nearly these proportions is its own window.
    """
    height, width = size
    stretched = (width / height) / (proportions[1] / proportions[0])
    if 1 / UNNOTICED <= stretched <= UNNOTICED:
        return Window(0, 0, width, height)
    if stretched > 1:
        height = round(width * proportions[0] / proportions[1])
    else:
        width = round(height * proportions[1] / proportions[0])
    return Window((size[1] - width) // 2, (size[0] - height) // 2, width, height)


def figure_window(
    size: tuple[int, int], proportions: tuple[int, int], poses: Sequence[Keypoints], margin: float
) -> Window:
    """Return a window of *proportions* (H, W) around poses in pixels of a picture of *size* (H, W).

    It lies inside of the picture where it can, and is never larger than :func:`whole_window`.
    """
    places = np.concatenate([pose.points[pose.present] for pose in poses])
    whole = whole_window(size, proportions)
    if not len(places):
        return whole
    sides = np.array([size[1], size[0]])
    places = np.clip(places, -FARTHEST * sides, (1 + FARTHEST) * sides)
    low, high = places.min(0), places.max(0)
    around = margin * np.maximum(high - low, 1)
    low, high = low - around, high + around
    height = max(high[1] - low[1], (high[0] - low[0]) * proportions[0] / proportions[1])
    height = max(1, round(min(height, whole.height)))
    width = max(1, round(height * whole.width / whole.height))
    left, top = ((low + high) / 2 - np.array([width, height]) / 2).round().astype(int).tolist()
    return Window(_inside(left, width, size[1]), _inside(top, height, size[0]), width, height)


def _inside(start: int, length: int, side: int) -> int:
    """Move an interval into [0, side] if it fits; else center it."""
    return min(max(start, 0), side - length) if length <= side else (side - length) // 2


def choose_window(
    size: tuple[int, int],
    proportions: tuple[int, int],
    source: Keypoints,
    targets: Sequence[Keypoints],
    crop: str,
    margin: float,
) -> Window:
    """Return what a model sees of a picture.

    Args:
        size: (H, W) of the picture.
        proportions: (H, W) of pictures as the model takes them.
        source: pose of the figure in the picture.
        targets: its other poses, in pixels of the picture.
        crop: one of :data:`CROP`.
        margin: that of the layout of the poses.
    """
    whole = whole_window(size, proportions)
    if crop == "none" or (crop == "auto" and whole == Window(0, 0, size[1], size[0]) and _fills(source, size)):
        return whole
    return figure_window(size, proportions, [source, *targets], margin)


def _fills(pose: Keypoints, size: tuple[int, int]) -> bool:
    width, height = np.ptp(pose.points[pose.present], axis=0)
    return bool(width >= LEAST_SHARE * size[1] or height >= LEAST_SHARE * size[0])
