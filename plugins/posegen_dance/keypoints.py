"""Read key points of dancers, always as Human3.6M's 17 points in pixels of the image.

*Cleaned* points are 17 in Human3.6M's order; the form of their files is not documented, so three are read:
OpenPose's JSON with 17 points instead of 18, text, and an array of a whole video. (0, 0) is a missing point in all.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from posegen_people.layouts import OPENPOSE_18
from posegen_people.pose_formats import openpose_keypoints, read_poses

from posegen import files
from posegen.data import Keypoints
from posegen.data.estimators import Figure
from posegen.data.pose_files import PoseFile, PoseFrame, kept_json
from posegen.errors import DataError

from .layouts import HUMAN36M, human36m_from_openpose

COUNT = len(HUMAN36M)
LARGEST = 1e6
"""Pixels; a coordinate beyond is damage."""


def read_human36m(path: str | Path) -> Keypoints | PoseFile | None:
    """Read cleaned points (JSON or text), or any file that the people plugin reads, converted.

    Returns:
        None for a file of another format.

    Raises:
        DataError: the file is of one of these formats and broken, or holds nobody.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".txt":
        return read_text(path)
    if suffix == ".json" and _is_cleaned(data := kept_json(path)):
        return _cleaned(data["people"], path)
    found = read_poses(path, OPENPOSE_18)
    return None if found is None else PoseFile([_converted(frame) for frame in found.frames])


def _converted(frame: PoseFrame) -> PoseFrame:
    def figures(min_score: float) -> list[Figure]:
        found = []
        for figure in frame.figures(min_score):
            points = human36m_from_openpose(figure.keypoints)
            kept = figure.keypoints.listed, figure.keypoints.frame, figure.keypoints.notes
            listed, size, notes = kept
            keypoints = replace(points, listed=listed, frame=size, notes=notes)
            found.append(Figure(keypoints, points.present * figure.scores[figure.keypoints.present].mean()))
        return found

    return PoseFrame(figures, frame.name)


def read_cleaned_json(path: str | Path) -> Keypoints:
    """Read cleaned points in OpenPose's form: ``people[·].pose_keypoints_2d``, 17 × (x, y, score).

    Nobody in the file: all points are missing. Of several people: the one with the most points found.

    Raises:
        DataError: not such a file, or broken.
    """
    return _cleaned(_people(files.read_json(path, files.MOST_OF_A_FRAME), path), path)


def read_openpose_json(path: str | Path) -> Keypoints:
    """Read OpenPose's 18 or 25 points, and convert them. Nobody in the file: all points are missing.

    Raises:
        DataError: not such a file, or broken.
    """
    data = files.read_json(path, files.MOST_OF_A_FRAME)
    return human36m_from_openpose(openpose_keypoints(data, path)) if _people(data, path) else _nobody()


def read_text(path: str | Path) -> Keypoints:
    """Read cleaned points as text: 17 lines ``x y`` or ``x y score``, with blanks or commas between.

    Raises:
        DataError: not such a file; names the line.
    """
    rows = []
    for row, line in enumerate(files.read_text(path, files.MOST_OF_A_FRAME).split("\n"), 1):
        fields = line.replace(",", " ").split()
        if not fields:
            continue
        try:
            values = [float(field) for field in fields]
        except ValueError as error:
            raise DataError(path, f"row {row}: not numbers: {line[:40]!r}") from error
        if len(values) not in (2, 3):
            raise DataError(path, f"row {row}: {len(values)} numbers, expected x y or x y score")
        rows.append([*values, 1.0][:3])
    return _from_rows(np.array(rows, np.float64).reshape(-1, 3), path, "the file")


def read_array(path: str | Path, frames: int) -> list[Keypoints]:
    """Read cleaned points of a whole video: a NumPy array, T 17 2 (x, y) or T 17 3 (x, y, score), one row a frame.

    Args:
        frames: how many the video has.

    Raises:
        DataError: not an array file, another shape, another number of frames, what is not finite.
    """
    files.check_file(path, files.MOST_OF_A_LIST)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # a header that lies about the size allocates nothing
    except Exception as error:  # a damaged header raises what Python's parser, zip files and mmap raise
        raise DataError(path, f"not a NumPy array: {error}") from error
    shape: tuple[int, ...] = getattr(array, "shape", ())
    if len(shape) != 3 or shape[0] != frames or shape[1] != COUNT or shape[2] not in (2, 3):
        raise DataError(path, f"is {'×'.join(map(str, shape)) or 'no array'}, expected {frames}×{COUNT}×2 or ×3")
    if array.dtype.kind not in "iuf":
        raise DataError(path, f"holds {array.dtype}, not numbers")
    rows = np.ones((frames, COUNT, 3))
    rows[:, :, : shape[2]] = array
    return [_from_rows(rows[t], path, f"frame {t}") for t in range(frames)]


def _is_cleaned(data: Any) -> bool:
    """Return whether JSON has OpenPose's form with as many numbers as Human3.6M's points need."""
    people = data.get("people") if isinstance(data, dict) else None
    if not isinstance(people, list) or not people or not isinstance(people[0], dict):
        return False
    values = people[0].get("pose_keypoints_2d")
    return isinstance(values, list) and len(values) == 3 * COUNT


def _people(data: Any, where: str | Path) -> list[Any]:
    people = data.get("people") if isinstance(data, dict) else None
    if not isinstance(people, list):
        raise DataError(where, "not OpenPose's JSON: it has no list 'people'")
    return people


def _nobody() -> Keypoints:
    return Keypoints(np.zeros((COUNT, 2)), np.zeros(COUNT))


def _cleaned(people: list[Any], where: str | Path) -> Keypoints:
    found = []
    for i, person in enumerate(people):
        values = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
        what = f"people[{i}].pose_keypoints_2d"
        if not isinstance(values, list) or len(values) != 3 * COUNT:
            size = f"{len(values)} numbers" if isinstance(values, list) else "no list"
            raise DataError(where, f"{what}: {size}, expected {3 * COUNT} ({COUNT} points in Human3.6M's order)")
        bad = [value for value in values if type(value) not in (int, float)]
        if bad:
            raise DataError(where, f"{what}: {bad[0]!r} is not a number")
        rows = np.array([min(max(value, -2 * LARGEST), 2 * LARGEST) for value in values]).reshape(-1, 3)
        found.append((_from_rows(rows, where, what), rows[:, 2].sum()))
    if not found:
        return _nobody()
    return max(found, key=lambda each: (each[0].present.sum(), each[1]))[0]


def _from_rows(rows: np.ndarray, where: str | Path, what: str) -> Keypoints:
    """Convert rows (x, y, score) to points. DataError: not 17 rows, or numbers outside the range of pixels."""
    if len(rows) != COUNT:
        raise DataError(where, f"{what}: {len(rows)} points, expected {COUNT}")
    bad = np.flatnonzero(~(np.abs(rows) < LARGEST).all(1))
    if len(bad):
        values = ", ".join(f"{value:g}" for value in rows[bad[0]])
        raise DataError(where, f"{what}: point {bad[0] + 1} is ({values}), which is no place in an image")
    return Keypoints(rows[:, :2], (rows[:, 2] > 0) & (rows[:, :2] != 0).any(1))
