"""Conversion between the page's values, plain data for the browser, and those of :mod:`posegen_app.page_model`."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from posegen.data import KeypointLayout, Keypoints
from posegen.data.generated import Mark, marks
from posegen.errors import InputError
from posegen.inference import as_keypoints
from posegen.inference.retarget import RETARGET

from .explanation import Origin, explain_point
from .page_model import RESULT, SOURCE, Output

FITS = ("automatically", "not at all", "size and place", "size, place and limbs")
"""Names of :data:`posegen.inference.retarget.RETARGET` on the page."""

RING = 0.3
"""Radius of the circle of several missing points in a pose editor, as a share of the picture's shorter side."""


def pose_value(keypoints: Keypoints, size: tuple[int, int]) -> dict[str, Any]:
    """Convert a pose in pixels of a picture of that size (H, W) to the value of the pose editor."""
    return {"width": size[1], "height": size[0], "points": pose_points(keypoints, size)}


def pose_points(keypoints: Keypoints, size: tuple[int, int]) -> list[list[float]]:
    """List [x, y, present] for each point; missing ones are around the middle, where each can be dragged."""
    middle = np.array([(size[1] - 1) / 2, (size[0] - 1) / 2])
    missing = np.flatnonzero(~keypoints.present.astype(bool))
    points = np.array(keypoints.points, np.float64)
    turns = 2 * np.pi * np.arange(len(missing)) / max(len(missing), 1)
    ring = RING * min(size) * min(1, len(missing) - 1) * np.stack([np.sin(turns), -np.cos(turns)], 1)
    points[missing] = middle + ring
    return np.c_[np.round(points.astype(np.float64), 2), keypoints.present].tolist()


def keypoints_of(value: Any, layout: KeypointLayout) -> Keypoints:
    """Convert the pose editor's value, which a browser may have set to anything.

    Raises:
        InputError: not a pose of the layout.
    """
    points = value.get("points") if isinstance(value, dict) else None
    if not isinstance(points, list) or len(points) != len(layout):
        raise InputError(f"the page sent no pose of {len(layout)} points")
    try:
        return as_keypoints(points, layout)
    except OverflowError as error:
        raise InputError(f"the page sent a number that is too large: {error}") from error


def numbers_of(value: Any, choices: Mapping[str, Sequence[str]]) -> tuple[int, ...]:
    """Convert the choices editor's value, class numbers, which a browser may have set to anything.

    Raises:
        InputError: not one class of each choice.
    """
    numbers = value.get("numbers") if isinstance(value, dict) else None
    counts = [len(names) for names in choices.values()]
    if not isinstance(numbers, list) or len(numbers) != len(counts):
        raise InputError(f"the page sent no {' and '.join(choices)}")
    if not all(type(n) is int and 0 <= n < count for n, count in zip(numbers, counts, strict=True)):
        raise InputError(f"the page sent invalid {' and '.join(choices)}: {str(numbers)[:100]}")
    return tuple(numbers)


def sent(event: Any, name: str) -> Any:
    """Return a value that a browser sent with an event; None: it sent none."""
    try:
        return getattr(event, name)
    except (AttributeError, TypeError):
        return None


def selected(items: Sequence[Any], event: Any) -> Any:
    """Return the chosen item of a picker from an event, which a browser may have sent anything with.

    Raises:
        InputError: there is no such item.
    """
    index = sent(event, "index")
    if type(index) is not int or not 0 <= index < len(items):
        raise InputError("the page sent no choice")
    return items[index]


def way_to_fit(name: str) -> str:
    """Return the one of :data:`posegen.inference.retarget.RETARGET` that has a name of :data:`FITS`.

    Raises:
        InputError: none has.
    """
    if name not in FITS:
        raise InputError("the page sent no way to fit poses")
    return RETARGET[FITS.index(name)]


def layout_value(layout: KeypointLayout) -> dict[str, Any]:
    """Convert a layout for the pose editor."""
    return {
        "names": list(layout.names),
        "partner": [*layout.partner],
        "connections": [[*pair] for pair in layout.limbs],
        "colors": [[*color] for color in layout.colors],
    }


def data_address(content: bytes, media_type: str) -> str:
    """Encode a file as a ``data:`` address for a browser."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def picture_address(picture: np.ndarray, mark: Mark | None = None) -> str:
    """Encode a picture as a PNG in a ``data:`` address; arguments as of :func:`png`."""
    return data_address(png(picture, mark), "image/png")


def png(picture: np.ndarray, mark: Mark | None = None, texts: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Encode a picture as PNG.

    Args:
        picture: uint8 H W 3, or H W 4 with alpha.
        mark: what the metadata of a generated picture say; None: it is not generated.
        texts: further texts of a generated picture by keyword, ASCII.
    """
    content = io.BytesIO()
    options = {} if mark is None else marks("PNG", mark)
    for keyword, text in texts.items():
        options["pnginfo"].add_text(keyword, text)
    Image.fromarray(picture).save(content, "png", compress_level=1, **options)
    return content.getvalue()


def outputs_value(outputs: Mapping[str, Output]) -> dict[str, Any]:
    """Convert the outputs of models for the same input, by model name, for the viewer."""
    return {"models": [_output_value(name, output) for name, output in outputs.items()], "key": _key(outputs)}


def _output_value(name: str, output: Output) -> dict[str, Any]:
    height, width = output.size
    layers = {
        caption: picture_address(picture, layer_mark(output, caption)) for caption, picture in output.layers.items()
    }
    return {"name": name, "width": width, "height": height, "layers": layers, "has_detail": output.has_detail}


def detail_value(outputs: Mapping[str, Output]) -> dict[str, Any]:
    """Convert the results and sources with the photograph's detail, by model name, for the viewer."""
    models = [_pair_value(output) if output.has_detail else None for output in outputs.values()]
    return {"models": models, "key": _key(outputs)}


def photograph_value(outputs: Mapping[str, Output]) -> dict[str, str]:
    """Convert the photograph with the first model's result in it, for the viewer."""
    output = next(iter(outputs.values()))
    address = picture_address(output.in_photograph(), output.mark(resize_back=True))
    return {"address": address, "key": _key(outputs)}


def _key(outputs: Mapping[str, Output]) -> str:
    """Return a text that tells results from others."""
    digest = hashlib.blake2b(digest_size=8)
    for output in outputs.values():
        for layer in (RESULT, SOURCE):
            digest.update(output.layers[layer].tobytes())
    return digest.hexdigest()


def _pair_value(output: Output) -> dict[str, str]:
    result, source = output.in_detail()
    return {"result": picture_address(result, output.mark(resize_back=True)), "source": picture_address(source)}


def layer_mark(output: Output, caption: str) -> Mark | None:
    """Return what the metadata of a layer say; None: it is not generated."""
    return None if caption == SOURCE else output.mark(resize_back=False)


def origins_value(output: Output, x: float, y: float) -> dict[str, Any]:
    """Find the origin of a point of a result at each level, for the viewer.

    Raises:
        InputError: the point lies outside of the result.
    """
    if not output.levels:
        return {"levels": [], "text": "This model has no flow, so no single place of the source to show."}
    levels = []
    for level in output.levels:
        rows, columns = level.flow.shape[-2:]
        levels.append({"title": f"{columns}×{rows}", **_origin_value(explain_point(level, x, y, output.size))})
    return {"levels": levels}


def _origin_value(origin: Origin | None) -> dict[str, Any]:
    if origin is None:
        return {"text": "The flow is not finite here. Has training diverged?", "source": None, "taps": []}
    return {
        "text": str(origin),
        "cell": origin.cell,
        "place": origin.place,
        "source": origin.source,
        "taps": [[tap.x, tap.y, tap.weight] for tap in origin.taps],
    }
