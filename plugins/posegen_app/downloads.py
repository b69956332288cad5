"""Files of what the page shows: a zip archive of all of it, and a result that says how it was made."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from posegen.data.generated import COMMENT, SOFTWARE, SOURCE_TYPE
from posegen.data.images import WHITE, Background, decode_image
from posegen.errors import DataError
from posegen.inference.framing import Window

from .gallery import OWN
from .page_model import MAX_PHOTOGRAPH, MAX_SIDE, RESULT, Output
from .values import layer_mark, png

KEYWORD = "posegen"
"""Keyword of the text in a PNG file that says how a result was made."""


@dataclass(frozen=True)
class ShownResult:
    """The results that the page shows.

    Args:
        outputs: by model name.
        picture: the source, uint8 H W 3.
        structures: contents of the JSON files of the structures, by file name without ending.
    """

    outputs: Mapping[str, Output]
    picture: np.ndarray
    structures: Mapping[str, Any]


@dataclass(frozen=True)
class ClipFile:
    """A generated clip.

    Args:
        content: the MP4 file.
        poses: content of its JSON file; None: its structures are not key points.
        picture: the source, uint8 H W 3.
    """

    content: bytes
    poses: dict[str, Any] | None
    picture: np.ndarray


def archive(shown: ShownResult, clip: ClipFile | None, notes: Mapping[str, Any]) -> bytes:
    """Build the zip file: ``MODEL/LAYER.png``, ``STRUCTURE.json``, ``clip.mp4``, ``clip.json`` and ``about.json``.

    Args:
        shown: the results.
        clip: the last clip; left out if its source is not that of the results.
        notes: additional entries of ``about.json``.
    """
    if clip is not None and not np.array_equal(clip.picture, shown.picture):
        clip = None
    texts = dict(shown.structures)
    if clip is not None and clip.poses is not None:
        texts["clip"] = clip.poses
    texts["about"] = {"software": SOFTWARE, "comment": COMMENT, "digital source type": SOURCE_TYPE, **notes}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as file:
        for name, output in shown.outputs.items():
            for caption, picture in output.layers.items():
                layer = _result(output) if caption == RESULT else png(picture, layer_mark(output, caption))
                file.writestr(f"{name}/{caption.replace(' ', '_')}.png", layer)
        for name, text in texts.items():
            file.writestr(f"{name}.json", json.dumps(text, indent=1, ensure_ascii=False))
        if clip is not None:
            file.writestr("clip.mp4", clip.content)
    return content.getvalue()


@dataclass(frozen=True)
class SavedResult:
    """Content of a result that the page saved.

    Args:
        structures: structures by the names of :class:`ShownResult`.
        source: the source, a PNG in base64.
        background: name of the background.
        behind: the picture that is the background, a PNG in base64; empty: it is none.
        photograph: the photograph from which the source was cut, a PNG in base64; empty: there is none.
        window: left, top, width and height of the source in the photograph.
    """

    structures: Mapping[str, Any]
    source: str
    background: str = OWN
    behind: str = ""
    photograph: str = ""
    window: Any = None

    def picture(self) -> np.ndarray:
        """Return the source, uint8 H W 3.

        Raises:
            DataError: it is damaged.
        """
        return _decoded(self.source, "source", MAX_SIDE**2)

    def place(self) -> tuple[np.ndarray, Window] | tuple[None, None]:
        """Return the photograph, uint8 H W 3, and the part of it that is the source; None and None without one.

        Raises:
            DataError: they are damaged.
        """
        if not self.photograph:
            return None, None
        numbers = self.window if isinstance(self.window, list) else []
        in_range = len(numbers) == 4 and all(type(n) is int and abs(n) <= 4 * MAX_PHOTOGRAPH for n in numbers)
        if not in_range or min(numbers[2:]) < 1 or numbers[2] * numbers[3] > 4 * MAX_PHOTOGRAPH**2:
            raise DataError("the result", "its place in the photograph is damaged")
        return _decoded(self.photograph, "photograph", MAX_PHOTOGRAPH**2), Window(*numbers)

    def background_picture(self) -> Background:
        """Return the background: a picture, uint8 H W 3, or white.

        Raises:
            DataError: it is damaged.
        """
        return _decoded(self.behind, "background", MAX_PHOTOGRAPH**2) if self.behind else WHITE


def _decoded(text: str, name: str, most_pixels: int) -> np.ndarray:
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise DataError("the result", f"its {name} is damaged: {error}") from error
    return decode_image(content, "the result", most_pixels)


def _encoded(picture: np.ndarray) -> str:
    return base64.b64encode(png(picture)).decode()


def _result(output: Output, texts: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Return a result as a PNG file, with the photograph's detail if it has one, as the page shows it."""
    picture = output.in_detail()[0] if output.has_detail else output.layers[RESULT]
    return png(picture, output.mark(resize_back=output.has_detail), texts)


def result_png(shown: ShownResult, title: str) -> bytes:
    """Return the first model's result as a PNG file whose text says how it was made: the page can go on from it.

    Args:
        shown: the results.
        title: title of the page.
    """
    name, output = next(iter(shown.outputs.items()))
    made: dict[str, Any] = {
        "page": title,
        "model": name,
        "structures": shown.structures,
        "source": _encoded(shown.picture),
    }
    sample, window = output.sample, output.sample.window
    if sample.photograph is not None and window is not None:
        made["photograph"] = _encoded(sample.photograph)
        made["window"] = [window.left, window.top, window.width, window.height]
    if (backdrop := sample.backdrop) is not None:
        made["background"] = backdrop.name
        if isinstance(behind := backdrop.cutout.background, np.ndarray):
            made["behind"] = _encoded(behind)
    return _result(output, {KEYWORD: json.dumps(made)})


def read_result(path: Path) -> SavedResult | None:
    """Read how a result was made from its file; None: it is no result that the page saved."""
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            made = json.loads(str(picture.info.get(KEYWORD, "null")))
    except (OSError, ValueError, SyntaxError):
        return None
    structures = made.get("structures") if isinstance(made, dict) else None
    if not isinstance(structures, dict) or not {"source_structure", "target_structure"} <= structures.keys():
        return None
    source, background, behind, photograph = (
        str(made.get(name, "")) for name in ("source", "background", "behind", "photograph")
    )
    return SavedResult(structures, source, background or OWN, behind, photograph, made.get("window"))
