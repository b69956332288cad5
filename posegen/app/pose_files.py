"""Files of poses: the page's own, of one pose or of a clip's, and those that plugins read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import KeypointLayout, Keypoints, StructureEncoder
from ..errors import DataError, InputError
from ..files import natural_order, read_json
from ..inference import as_keypoints, read_keypoints

LONGEST_FRAME = 1 << 16
"""Pixels of a side of the picture that a file's points count pixels of."""
MOST_BYTES = 16 << 20
"""Of a file of poses; a clip of 120 frames of 68 points takes 0.3 MB."""


@dataclass(frozen=True)
class Poses:
    """Key points in order, and the size (H, W) of the picture whose pixels they count; None: the file does not say."""

    keypoints: list[Keypoints]
    frame: tuple[int, int] | None = None


def read_poses(paths: Sequence[Path], encoder: StructureEncoder, most: int) -> Poses:
    """The poses of a clip: one of our files, or one file a frame that a plugin reads, in the order of their names.

    Args:
        paths: the files.
        encoder: whose layout the points are wanted in.
        most: frames that a clip may have.

    Raises:
        DataError: no file, more than *most* frames; and all that is wrong with the files, at once.
    """
    if len(paths) == 1 and (own := read_own(paths[0], encoder.layout)) is not None:
        found = own
    else:
        if len(paths) > most:
            raise DataError("the files", f"{len(paths)} frames, a clip here has at most {most}")
        read = _read_each(sorted(paths, key=natural_order), encoder)
        frames = {keypoints.frame for keypoints in read}
        found = Poses(read, frames.pop() if len(frames) == 1 else None)
    if not found.keypoints:
        raise DataError("the files", "no pose in them", "Give one file of key points a frame, or a clip's poses.json.")
    if len(found.keypoints) > most:
        raise DataError("the files", f"{len(found.keypoints)} frames, a clip here has at most {most}")
    return found


def _read_each(paths: Sequence[Path], encoder: StructureEncoder) -> list[Keypoints]:
    found, problems = [], []
    for path in paths:
        try:
            found.append(read_keypoints(path, encoder, None))
        except DataError as error:
            problems += [f"{path.name}: {problem}" for problem in error.problems] or [str(error)]
    if problems:
        raise DataError("the files", problems)
    return found


def read_own(path: Path, layout: KeypointLayout) -> Poses | None:
    """The poses of a file that the page wrote; None: it is another one.

    Raises:
        DataError: it is of our format, and broken, or of another layout.
    """
    if path.suffix.lower() != ".json":
        return None
    content = read_json(path, MOST_BYTES)
    if not (isinstance(content, dict) and "layout" in content and ("points" in content or "frames" in content)):
        return None
    if content["layout"] != layout.name:
        raise DataError(path, f"has points of layout {content['layout']!r}, this model takes {layout.name!r}")
    size = (content.get("height"), content.get("width"))
    if not all(type(side) is int and 0 < side <= LONGEST_FRAME for side in size):
        raise DataError(path, "'width' and 'height' are those of the picture that the points count pixels of")
    frames = content["frames"] if "frames" in content else [content["points"]]
    if not isinstance(frames, list):
        raise DataError(path, "'frames' is a list of poses")
    found, problems = [], []
    for number, points in enumerate(frames):
        try:
            found.append(as_keypoints(points, layout))
        except (InputError, OverflowError) as error:  # a whole number may be too large for a float
            problems.append(f"frame {number}: {error}")
    if problems:
        raise DataError(path, problems)
    return Poses(found, size)  # type: ignore[arg-type]


def own_file(poses: Sequence[Keypoints], layout: KeypointLayout, size: tuple[int, int]) -> dict[str, Any]:
    """What :func:`read_own` reads: poses in pixels of a picture of that size (H, W); of one alone, ``points``."""
    rows = [np.c_[np.round(pose.points, 2), pose.present].tolist() for pose in poses]
    content = {"points": rows[0]} if len(rows) == 1 else {"frames": rows}
    return {
        "layout": layout.name,
        "width": size[1],
        "height": size[0],
        "columns": ["x", "y", "present"],
        "names": list(layout.names),
        **content,
    }
