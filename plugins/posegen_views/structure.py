"""The structure of objects: a view, that is azimuth and elevation of the camera."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from posegen.data import StructureEncoder
from posegen.errors import InputError
from posegen.registry import STRUCTURE_ENCODERS

SIDE = 128  # pixels of a drawn view
PAPER, INK, FAINT, CAMERA, OBJECT = (246, 247, 250), (44, 48, 56), (196, 200, 208), (208, 64, 48), (120, 136, 164)


class View(NamedTuple):
    """Classes, from 0: ``azimuth``, once around the object, and ``elevation``."""

    azimuth: int
    elevation: int


@STRUCTURE_ENCODERS.register_module()
class ViewEncoder(StructureEncoder):
    """Encoder of a view as one-hot vectors of azimuth and elevation (docs/views.md).

    Args:
        azimuths: classes around the object; published: 18, every 20°.
        elevations: classes of height; published: 3.
        elevation_step: degrees between two of them; for drawings only.
    """

    def __init__(self, azimuths: int = 18, elevations: int = 3, elevation_step: float = 10) -> None:
        self.azimuths, self.elevations, self.elevation_step = azimuths, elevations, elevation_step
        self.channels = azimuths + elevations
        self.choices = {
            "azimuth": tuple(f"{round(k * 360 / azimuths)}°" for k in range(azimuths)),
            "elevation": tuple(f"{round(k * elevation_step)}°" for k in range(elevations)),
        }

    def encode(self, view: View | tuple[int, int], size: Any = None, image: np.ndarray | None = None) -> Tensor:
        """Return the structure, S 1 1, of the classes (azimuth, elevation).

        Raises:
            InputError: a class out of range.
        """
        azimuth, elevation = self.checked(view)
        structure = torch.zeros(self.channels, 1, 1)
        structure[[azimuth, self.azimuths + elevation]] = 1
        return structure

    def checked(self, view: View | tuple[int, int]) -> View:
        """Return a view whose classes exist; raise InputError for any other."""
        azimuth, elevation = view
        if not (0 <= azimuth < self.azimuths and 0 <= elevation < self.elevations):
            raise InputError(
                f"a view is an azimuth class of 0..{self.azimuths - 1} and an elevation class of "
                f"0..{self.elevations - 1}, got {azimuth} and {elevation}"
            )
        return View(azimuth, elevation)

    def decode(self, structure: Tensor) -> View:
        """Return the view of a structure S 1 1: the largest of the azimuths and of the elevations."""
        values = structure.flatten()
        return View(int(values[: self.azimuths].argmax()), int(values[self.azimuths :].argmax()))

    def draw(self, structure: Tensor) -> np.ndarray:
        """Draw a structure S 1 1: uint8, 128 128 3, RGB.

        A compass seen from above, an arrow from the camera to the object, whose front is to the right (azimuth 0) and
        whose left side is up; a gauge of the elevation; both in degrees.
        """
        view = self.decode(structure)
        picture = Image.new("RGB", (SIDE, SIDE), PAPER)
        pen = ImageDraw.Draw(picture)
        self._draw_compass(pen, view.azimuth)
        self._draw_gauge(pen, view.elevation)
        font = ImageFont.load_default(13)
        degrees = round(view.azimuth * 360 / self.azimuths), round(view.elevation * self.elevation_step)
        pen.text((SIDE / 2, SIDE - 20), f"{degrees[0]}° around, {degrees[1]}° up", fill=INK, font=font, anchor="ma")
        return np.asarray(picture)

    def _draw_compass(self, pen: ImageDraw.ImageDraw, azimuth: int) -> None:
        x, y, radius = 50, 54, 44

        def at(angle: float, distance: float) -> tuple[float, float]:
            return x + distance * math.cos(angle), y - distance * math.sin(angle)

        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=FAINT, width=2)
        for k in range(self.azimuths):
            angle = 2 * math.pi * k / self.azimuths
            pen.line((at(angle, radius - 5), at(angle, radius)), fill=FAINT, width=2)
        pen.polygon([(x - 12, y - 7), (x + 8, y - 7), (x + 15, y), (x + 8, y + 7), (x - 12, y + 7)], fill=OBJECT)
        angle = 2 * math.pi * azimuth / self.azimuths
        pen.line((at(angle, radius), at(angle, 22)), fill=CAMERA, width=4)
        pen.polygon([at(angle, 17), at(angle + 0.3, 27), at(angle - 0.3, 27)], fill=CAMERA)
        middle = at(angle, radius)
        pen.ellipse((middle[0] - 4, middle[1] - 4, middle[0] + 4, middle[1] + 4), fill=CAMERA)

    def _draw_gauge(self, pen: ImageDraw.ImageDraw, elevation: int) -> None:
        x, bottom, height = 112, 92, 76
        pen.line((x, bottom, x, bottom - height), fill=FAINT, width=2)
        for k in range(self.elevations):
            y = bottom - height * k / max(self.elevations - 1, 1)
            pen.line((x - 5, y, x + 5, y), fill=FAINT, width=2)
            if k == elevation:
                pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=CAMERA)


@STRUCTURE_ENCODERS.register_module()
class AngleEncoder(ViewEncoder):
    """Encoder of an azimuth as cosines and sines of its multiples, so that views between known ones are between them.

    A one-hot vector says nothing about classes that training never saw; here near angles have near structures. The
    channels are cos θ, sin θ, cos 2θ, sin 2θ, … A view has one elevation class, 0.

    Args:
        azimuths: classes around the object; 72: every 5°.
        harmonics: number of multiples of the angle.
    """

    def __init__(self, azimuths: int = 72, harmonics: int = 4) -> None:
        super().__init__(azimuths, elevations=1)
        self.harmonics, self.channels = harmonics, 2 * harmonics

    def encode(self, view: View | tuple[int, int], size: Any = None, image: np.ndarray | None = None) -> Tensor:
        """Return the structure, S 1 1, of the classes (azimuth, 0).

        Raises:
            InputError: a class out of range.
        """
        angle = 2 * math.pi * self.checked(view).azimuth / self.azimuths
        angles = angle * torch.arange(1, self.harmonics + 1, dtype=torch.float64)
        return torch.stack([angles.cos(), angles.sin()], 1).float().view(-1, 1, 1)

    def decode(self, structure: Tensor) -> View:
        """Return the view of a structure S 1 1, from its first two channels."""
        cosine, sine = structure.flatten()[:2].tolist()
        return View(round(math.atan2(sine, cosine) / (2 * math.pi) * self.azimuths) % self.azimuths, 0)
