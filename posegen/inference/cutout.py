"""Another background for an opaque photograph: the figure is cut out of it, and out of what is generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from ..data import Keypoints
from ..data.estimators import Segment
from ..data.images import WHITE, Background, Color, Photograph, compose, read_background, resize_image
from ..data.keypoints import RigidPart
from ..errors import InputError

FAINTEST = 0.5
"""Least value of a mask that shows a figure somewhere."""
FILL = "fill"
"""Name of the background that is the photograph's own, filled where the figure stood."""
FILLED_SIDE = 256
"""Longest side of the image in which a place is filled: what is filled has no detail."""
SEEN = 0.2
"""Value of a mask from which on a pixel shows something of the figure."""
BEHIND, BEFORE = 24, 64
"""Largest difference of a channel from the color behind a figure that shows nothing of the figure, and the least that
shows it alone; of 255."""
WIDEST = 32_767  # pixels: the widest line that OpenCV draws
RIM = 1 / 50
"""Width of the rim around a figure that is filled too, since masks are coarse; a share of the image's longer side."""


@dataclass(frozen=True)
class Cutout:
    """A background that replaces that of an opaque photograph.

    The model sees the figure in front of one color. The figure is cut out of the result by its pose, and put in front
    of the background: so nothing stays where it stood before.

    Args:
        background: a color, or an image that is scaled and cropped to the photograph.
        segment: finds the pixels of a figure by its key points.
        fills: the photograph itself, filled where the figure stood, takes the place of *background*.
        parts: rigid parts of the figure, whose limbs are never cut off a result.
    """

    background: Background
    segment: Segment
    fills: bool = False
    parts: Sequence[RigidPart] = ()

    @property
    def is_image(self) -> bool:
        """Return whether pixels of an image, such as the photograph, are behind the figure."""
        return self.fills or isinstance(self.background, np.ndarray)

    @cached_property
    def color(self) -> Color:
        """Return the color that the model sees behind the figure: the background's, or the mean of its pixels."""
        if not isinstance(self.background, np.ndarray):
            return self.background
        red, green, blue = self.background.reshape(-1, 3).mean(0).round().astype(int).tolist()
        return red, green, blue

    def cut(self, photograph: Photograph, keypoints: Keypoints, name: str) -> tuple[Photograph, Cutout]:
        """Return a photograph whose figure stands in front of one color, and the cutout of its results.

        Args:
            photograph: an opaque photograph.
            keypoints: of the figure, in pixels of the photograph.
            name: of the photograph in errors.

        Raises:
            InputError: no pixel of a figure is found.
        """
        if keypoints.listed:
            raise InputError(f"{name}: key points of a data set's list do not count pixels of the photograph, so the "
                             "figure cannot be cut out; leave the background as it is")  # fmt: skip
        figure = self.segment(photograph.image, keypoints)
        if figure.max() < FAINTEST:
            raise InputError(f"{name}: no figure is found at its key points, so none can be cut out; leave "
                             "the background as it is, or give other key points")  # fmt: skip
        own = replace(self, background=filled(photograph.image, figure), fills=False) if self.fills else self
        alpha = _to_alpha(figure)
        return Photograph(compose(photograph.image, alpha, own.color), alpha, own.color), own

    def alpha(self, image: np.ndarray, keypoints: Keypoints) -> np.ndarray:
        """Return where a figure is in a result: uint8 H W, 255 is the figure.

        Args:
            image: the result, in which the figure stands in front of :attr:`color`.
            keypoints: of the figure, in pixels of the image.
        """
        figure = self.segment(image, keypoints)
        return _to_alpha(np.maximum(figure, limbs_seen(image, keypoints, self.parts, self.color)))


def limbs_seen(image: np.ndarray, keypoints: Keypoints, parts: Sequence[RigidPart], color: Color) -> np.ndarray:
    """Return where the parts of a figure differ from the one color behind it: float32 H W, 0 to 1.

    A network that finds the pixels of people misses limbs that are blurred, or raised to the edge of the picture.

    Args:
        image: uint8 H W 3.
        keypoints: of the figure, in pixels of the image.
        parts: its parts; none is found if the first one, which measures the figure, has no length.
        color: the color behind the figure.
    """
    place = np.zeros(image.shape[:2], np.uint8)
    unit = parts[0].length(keypoints) if parts else None
    for part in parts:
        ends = part.ends(keypoints)
        if unit and ends is not None:
            start, end = (np.clip(one, -1e6, 1e6).round().astype(int).tolist() for one in ends)
            cv2.line(place, start, end, 1, min(max(1, round(2 * part.radius * unit)), WIDEST))
    left, top, width, height = cv2.boundingRect(place)
    box = np.s_[top : top + height, left : left + width]
    unlike = np.abs(image[box].astype(np.int16) - np.array(color, np.int16)).max(-1)
    seen = np.zeros(image.shape[:2], np.float32)
    seen[box] = place[box] * np.clip((unlike - BEHIND) / (BEFORE - BEHIND), 0, 1)
    return seen


def as_background(given: Background | str | Path | None) -> tuple[Background, bool]:
    """Return the background that is meant, and whether it is :data:`FILL`: then it is white for what is transparent.

    Args:
        given: a color, an image, text of a color, the path of an image, :data:`FILL`, or None: white.

    Raises:
        DataError: neither a color nor an image file, or the image cannot be read.
    """
    if given is None or (isinstance(given, str) and given == FILL):
        return WHITE, given is not None
    return (read_background(str(given)) if isinstance(given, (str, Path)) else given), False


def _to_alpha(mask: np.ndarray) -> np.ndarray:
    return (mask * 255).round().clip(0, 255).astype(np.uint8)


def filled(photograph: np.ndarray, figure: np.ndarray) -> np.ndarray:
    """Return a photograph, uint8 H W 3, without a figure: its place is filled smoothly from its surroundings.

    The filling is Telea's (An Image Inpainting Technique Based on the Fast Marching Method, 2004), by OpenCV.

    Args:
        photograph: uint8 H W 3.
        figure: mask of the figure, H W in [0, 1].
    """
    height, width = figure.shape
    rim = max(1, round(RIM * max(height, width)))
    place = cv2.dilate((figure > SEEN).astype(np.uint8), np.ones((2 * rim + 1, 2 * rim + 1), np.uint8))
    scale = min(1, FILLED_SIDE / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = resize_image(photograph, small[::-1])
    inner = cv2.inpaint(image, cv2.resize(place, small, interpolation=cv2.INTER_NEAREST), 5, cv2.INPAINT_TELEA)
    share = cv2.GaussianBlur(place.astype(np.float32), (0, 0), rim / 3)[..., None]
    whole = share * resize_image(inner, (height, width)) + (1 - share) * photograph
    return whole.round().astype(np.uint8)
