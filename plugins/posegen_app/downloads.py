"""Zip archive of everything the page shows: pictures, poses, the clip, and what they are."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from posegen.data.generated import COMMENT, SOFTWARE, SOURCE_TYPE

from .page_model import SOURCE, Output
from .values import png


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
                file.writestr(f"{name}/{caption.replace(' ', '_')}.png", png(picture, caption != SOURCE))
        for name, text in texts.items():
            file.writestr(f"{name}.json", json.dumps(text, indent=1, ensure_ascii=False))
        if clip is not None:
            file.writestr("clip.mp4", clip.content)
    return content.getvalue()
