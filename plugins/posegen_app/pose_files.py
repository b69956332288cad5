"""Key-point files: those the page writes, of one pose or a clip, and those that plugins read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from posegen.data import KeypointLayout, Keypoints, StructureEncoder
from posegen.errors import DataError, InputError
from posegen.files import natural_order, read_json
from posegen.inference import as_keypoints, read_keypoints

MAX_SIDE = 1 << 16
"""Maximum side, in pixels, of the picture that a file says its points count pixels of."""
MAX_BYTES = 16 << 20
"""Maximum size of a file; a clip of 120 frames of 68 points takes 0.3 MB."""


def read_clip_poses(paths: Sequence[Path], encoder: StructureEncoder, limit: int) -> list[Keypoints]:
    """Read the poses of a clip: one file that the page wrote, or one key-point file a frame, ordered by name.

    Args:
        paths: the files.
        encoder: its layout is the layout of the points.
        limit: maximum number of frames.

    Returns:
        Key points, with their ``frame`` where the file knows it.

    Raises:
        DataError: no pose, more than *limit* frames, or broken files, all named at once.
    """
    poses = read_page_file(paths[0], encoder.layout) if len(paths) == 1 else None
    if poses is None:
        _check_length(len(paths), limit)
        poses = _read_each(sorted(paths, key=natural_order), encoder)
    _check_length(len(poses), limit)
    return poses


def _check_length(frames: int, limit: int) -> None:
    if not 1 <= frames <= limit:
        raise DataError("the files", f"{frames} poses; a clip has 1 to {limit}", "Give one key-point file a frame.")


def _read_each(paths: Sequence[Path], encoder: StructureEncoder) -> list[Keypoints]:
    poses, problems = [], []
    for path in paths:
        try:
            poses.append(read_keypoints(path, encoder.layout))
        except DataError as error:
            problems += [f"{path.name}: {problem}" for problem in error.problems] or [str(error)]
    if problems:
        raise DataError("the files", problems)
    return poses


def read_page_file(path: Path, layout: KeypointLayout) -> list[Keypoints] | None:
    """Read a file that :func:`page_file` wrote; None: it has another format.

    Raises:
        DataError: the file is broken, or of another layout.
    """
    if path.suffix.lower() != ".json":
        return None
    content = read_json(path, MAX_BYTES)
    if not (isinstance(content, dict) and "layout" in content and ("points" in content or "frames" in content)):
        return None
    if content["layout"] != layout.name:
        raise DataError(path, f"has points of layout {content['layout']!r}, this model takes {layout.name!r}")
    size: Any = (content.get("height"), content.get("width"))
    if not all(type(side) is int and 0 < side <= MAX_SIDE for side in size):
        raise DataError(path, "'width' and 'height' must be those of the picture whose pixels the points count")
    frames = content["frames"] if "frames" in content else [content["points"]]
    if not isinstance(frames, list):
        raise DataError(path, "'frames' must be a list of poses")
    poses, problems = [], []
    for index, points in enumerate(frames):
        try:
            poses.append(replace(as_keypoints(points, layout), frame=size))
        except (InputError, OverflowError) as error:  # an integer may be too large for a float
            problems.append(f"frame {index}: {error}")
    if problems:
        raise DataError(path, problems)
    return poses


def page_file(poses: Sequence[Keypoints], layout: KeypointLayout, size: tuple[int, int]) -> dict[str, Any]:
    """Build the content of a JSON file of poses in pixels of a picture of that size (H, W)."""
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
