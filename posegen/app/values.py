"""Between the page's values, plain data as it goes over the wire, and what the studio takes and gives."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..data import KeypointLayout, Keypoints
from ..data.generated import marks
from ..errors import InputError
from ..inference import as_keypoints
from .explain import Origin, explain_point
from .studio import SOURCE, Made


def pose_value(keypoints: Keypoints, size: tuple[int, int]) -> dict[str, Any]:
    """A pose as the editor takes it, in pixels of a picture of that size (H, W)."""
    return {"width": size[1], "height": size[0], "points": pose_points(keypoints, size)}


def pose_points(keypoints: Keypoints, size: tuple[int, int]) -> list[list[float]]:
    """[x, y, present] a point. A missing one lies in the middle, where it can be taken hold of."""
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    points = np.where(keypoints.present[:, None], keypoints.points, middle)
    return [
        [round(float(x), 2), round(float(y), 2), int(present)]
        for (x, y), present in zip(points, keypoints.present, strict=True)
    ]


def keypoints_of(value: Any, layout: KeypointLayout) -> Keypoints:
    """The key points of an editor's value. It comes from a browser, and may be anything.

    Raises:
        InputError: no pose of the layout.
    """
    points = value.get("points") if isinstance(value, dict) else None
    if not isinstance(points, list) or len(points) != len(layout):
        raise InputError(f"the page sent no pose of {len(layout)} points")
    try:
        return as_keypoints(points, layout)
    except OverflowError as error:
        raise InputError(f"a number that the page sent is too large: {error}") from error


def numbers_of(value: Any, choices: Mapping[str, Sequence[str]]) -> tuple[int, ...]:
    """The classes that a choices editor's value names, one a choice. It comes from a browser, and may be anything.

    Raises:
        InputError: no such classes.
    """
    numbers = value.get("numbers") if isinstance(value, dict) else None
    counts = [len(names) for names in choices.values()]
    if not isinstance(numbers, list) or len(numbers) != len(counts):
        raise InputError(f"the page sent no {' and '.join(choices)}")
    if not all(type(n) is int and 0 <= n < count for n, count in zip(numbers, counts, strict=True)):
        raise InputError(f"the page sent {' and '.join(choices)} that there are not: {str(numbers)[:100]}")
    return tuple(numbers)


def layout_value(layout: KeypointLayout) -> dict[str, Any]:
    """A layout as the editor takes it."""
    return {
        "names": list(layout.names),
        "partner": [*layout.partner],
        "connections": [[*pair] for pair in layout.limbs],
        "colors": [[*color] for color in layout.colors],
    }


def picture_address(picture: np.ndarray, generated: bool = False) -> str:
    """A picture, uint8 H W 3, as a PNG in an address of its own (``data:``).

    Args:
        picture: the picture.
        generated: whether its metadata say that it was generated.
    """
    return "data:image/png;base64," + base64.b64encode(png(picture, generated)).decode()


def png(picture: np.ndarray, generated: bool) -> bytes:
    """A PNG file. Arguments as of :func:`picture_address`."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "png", compress_level=1, **(marks("PNG") if generated else {}))
    return content.getvalue()


def made_value(named: Mapping[str, Made]) -> dict[str, Any]:
    """What models made of one input, by their names, as the viewer takes it."""
    return {"models": [_model_value(name, made) for name, made in named.items()]}


def _model_value(name: str, made: Made) -> dict[str, Any]:
    height, width = made.size
    layers = {caption: picture_address(picture, caption != SOURCE) for caption, picture in made.layers.items()}
    return {"name": name, "width": width, "height": height, "layers": layers}


def origins_value(made: Made, x: float, y: float) -> dict[str, Any]:
    """Where a point of a result comes from, at each level, as the viewer takes it.

    Raises:
        InputError: the point lies outside.
    """
    if not made.levels:
        return {"levels": [], "text": "This model has no flow: there is no one place in the source to show."}
    levels = []
    for level in made.levels:
        origin = explain_point(level, x, y, made.size)
        rows, columns = level.flow.shape[-2:]
        levels.append({"title": f"{columns}×{rows}", **(_not_finite() if origin is None else _origin_value(origin))})
    return {"levels": levels}


def _not_finite() -> dict[str, Any]:
    return {"text": "the flow is not a finite number here; has the training diverged?", "source": None, "taps": []}


def _origin_value(origin: Origin) -> dict[str, Any]:
    return {
        "text": describe(origin),
        "cell": origin.cell,
        "place": origin.place,
        "source": origin.source,
        "taps": [[tap.x, tap.y, tap.weight] for tap in origin.taps],
    }


def describe(origin: Origin) -> str:
    """An origin in words."""
    (x, y), (u, v), (right, down) = origin.place, origin.source, origin.flow
    return (
        f"({x:.1f}, {y:.1f}) of the result comes from ({u:.1f}, {v:.1f}) of the source: flow ({right:+.1f}, "
        f"{down:+.1f}) px; {100 * origin.warped:.0f}% warped, {100 * (1 - origin.warped):.0f}% made up"
    )
