"""Key-point files of a clip that were uploaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from posegen.data import Keypoints, StructureEncoder
from posegen.errors import DataError
from posegen.files import natural_order
from posegen.inference import read_clip, read_keypoints


def read_clip_poses(paths: Sequence[Path], encoder: StructureEncoder, limit: int) -> list[Keypoints]:
    """Read the poses of a clip: one file of all frames, or one key-point file a frame, ordered by name.

    Args:
        paths: the files.
        encoder: its layout is the layout of the points.
        limit: maximum number of frames.

    Returns:
        Key points, with their ``frame`` where the file knows it.

    Raises:
        DataError: no pose, more than *limit* frames, or broken files, all named at once.
    """
    if len(paths) != 1 or encoder.layout is None:
        _check_length(len(paths), limit)
        return _read_each(sorted(paths, key=natural_order), encoder)
    poses = read_clip(paths[0], encoder.layout)
    _check_length(len(poses), limit)
    if nobody := [f"nobody in frame {number}" for number, pose in enumerate(poses, 1) if not pose.present.any()]:
        raise DataError(paths[0], nobody)
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
