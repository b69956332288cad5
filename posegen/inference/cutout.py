"""Another background for an opaque photograph: the figure is cut out of it, and out of what is generated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..data import Keypoints
from ..data.estimators import Segment
from ..data.images import Background, Color, Photograph, compose
from ..errors import InputError

FAINTEST = 0.5
"""Least value of a mask that shows a figure somewhere."""


@dataclass(frozen=True)
class Cutout:
    """A background that replaces that of an opaque photograph.

    The model sees the figure in front of one color. The figure is cut out of the result by its pose, and put in front
    of the background: so nothing stays where it stood before.

    Args:
        background: a color, or an image that is scaled and cropped to the photograph.
        segment: finds the pixels of a figure by its key points.
    """

    background: Background
    segment: Segment

    @property
    def color(self) -> Color:
        """Return the color that the model sees behind the figure: the background's, or the mean of its pixels."""
        if not isinstance(self.background, np.ndarray):
            return self.background
        red, green, blue = self.background.reshape(-1, 3).mean(0).round().astype(int).tolist()
        return red, green, blue

    def cut(self, photograph: Photograph, keypoints: Keypoints, name: str) -> Photograph:
        """Return a photograph whose figure stands in front of one color.

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
        alpha = self.alpha(photograph.image, keypoints)
        if alpha.max() < FAINTEST * 255:
            raise InputError(f"{name}: no figure is found at its key points, so none can be cut out; leave "
                             "the background as it is, or give other key points")  # fmt: skip
        return Photograph(compose(photograph.image, alpha, self.color), alpha, self.color)

    def alpha(self, image: np.ndarray, keypoints: Keypoints) -> np.ndarray:
        """Return where a figure is in an image: uint8 H W, 255 is the figure."""
        return (self.segment(image, keypoints) * 255).round().clip(0, 255).astype(np.uint8)
