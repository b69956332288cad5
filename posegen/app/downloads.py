"""Everything the page shows, as files: pictures, the poses, the clip, and what they are."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.generated import COMMENT, SOFTWARE, SOURCE_TYPE
from .studio import SOURCE, Made
from .values import png


@dataclass(frozen=True)
class Shown:
    """What the page shows: ``named``, what models made, by their names; ``picture``, the source, uint8 H W 3, that they
    made it of; ``structures``, what goes into JSON files, by their names: those that they made it with."""

    named: Mapping[str, Made]
    picture: np.ndarray
    structures: Mapping[str, Any]


@dataclass(frozen=True)
class ClipFile:
    """A clip that was made: the MP4 file; its poses as the page reads them, None where they were no key points; and the
    source, uint8 H W 3, that it was made of."""

    content: bytes
    poses: dict[str, Any] | None
    picture: np.ndarray


def archive(shown: Shown, clip: ClipFile | None, notes: Mapping[str, Any]) -> bytes:
    """A zip file of everything.

    Args:
        shown: the results.
        clip: the last one, if there is one; it is left out where it was made of another source than the results.
        notes: what about.json says beside what generated it.

    Returns:
        The file: ``MODEL/LAYER.png``, a JSON file a structure, ``clip.mp4``, ``clip.json`` and ``about.json``.
    """
    if clip is not None and not np.array_equal(clip.picture, shown.picture):
        clip = None
    texts = dict(shown.structures)
    if clip is not None and clip.poses is not None:
        texts["clip"] = clip.poses
    texts["about"] = {"software": SOFTWARE, "comment": COMMENT, "digital source type": SOURCE_TYPE, **notes}
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as file:
        for name, made in shown.named.items():
            for caption, picture in made.layers.items():
                file.writestr(f"{name}/{caption.replace(' ', '_')}.png", png(picture, caption != SOURCE))
        for name, text in texts.items():
            file.writestr(f"{name}.json", json.dumps(text, indent=1, ensure_ascii=False))
        if clip is not None:
            file.writestr("clip.mp4", clip.content)
    return content.getvalue()


def encoded(content: bytes) -> str:
    """A file's content as text, for a browser."""
    return base64.b64encode(content).decode()
