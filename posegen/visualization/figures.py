"""Draw key points over the photograph they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..data.keypoints import KeypointLayout, Keypoints

THICKNESS = 1 / 60
"""Width of limbs, in lengths of the longer side of the box around a figure."""


def draw_figures(image: np.ndarray, figures: Sequence[Keypoints], layout: KeypointLayout) -> np.ndarray:
    """Draw figures over an image, each with its number if there are several.

    Args:
        image: uint8 H W 3, RGB.
        figures: key points in pixels of the image; the first one is number 1.
        layout: layout of the points.

    Returns:
        uint8 H W 3, RGB.
    """
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    for number, figure in reversed(list(enumerate(figures, 1))):
        present = figure.points[figure.present]
        if not len(present):
            continue
        width = max(round(THICKNESS * float(np.ptp(present, axis=0).max())), 1)
        for start, end in layout.limbs:
            if figure.present[start] and figure.present[end]:
                draw.line([tuple(figure.points[start]), tuple(figure.points[end])], layout.colors[end], width)
        for (x, y), color in zip(present, np.array(layout.colors)[figure.present], strict=True):
            draw.ellipse([x - width, y - width, x + width, y + width], tuple(map(int, color)), (0, 0, 0))
        if len(figures) > 1:
            x, y = present[present[:, 1].argmin()]
            font = ImageFont.load_default(max(6 * width, 12))
            place = (float(x), max(float(y) - 2 * width, 14))
            draw.text(place, str(number), (255, 255, 255), font, "mb", stroke_width=2, stroke_fill=(0, 0, 0))
    return np.asarray(picture)
