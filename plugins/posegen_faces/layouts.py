"""The 68 landmarks of a face (iBUG 300-W), and their files. Right and left are the face's own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from posegen.data.keypoints import KeypointLayout, Keypoints
from posegen.errors import DataError
from posegen.files import MOST_OF_A_FRAME, read_text, written_whole

Color = tuple[int, int, int]

# Name, number of points, color: in the order of the points.
GROUPS: tuple[tuple[str, int, Color], ...] = (
    ("jaw", 17, (200, 200, 200)),  # from the right ear over the chin to the left ear
    ("right eyebrow", 5, (255, 170, 0)),  # from outside to inside
    ("left eyebrow", 5, (255, 255, 0)),  # from inside to outside
    ("nose bridge", 4, (0, 255, 85)),  # downwards
    ("nose base", 5, (0, 255, 170)),  # from right to left
    ("right eye", 6, (0, 170, 255)),  # outer corner, upper lid, inner corner, lower lid
    ("left eye", 6, (0, 85, 255)),  # inner corner, upper lid, outer corner, lower lid
    ("outer lip", 12, (255, 0, 85)),  # right corner, upper, left corner, lower
    ("inner lip", 8, (255, 0, 255)),  # the same
)

PARTNER = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    27, 28, 29, 30,
    35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46,
    39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55,
    64, 63, 62, 61, 60, 67, 66, 65,
)  # fmt: skip

CURVES = (
    tuple(range(17)),
    tuple(range(17, 22)),
    tuple(range(22, 27)),
    tuple(range(27, 31)),
    tuple(range(31, 36)),
    (*range(36, 42), 36),
    (*range(42, 48), 42),
    (*range(48, 60), 48),
    (*range(60, 68), 60),
)

_REST = (
    (-0.74, -0.06), (-0.72, 0.14), (-0.66, 0.33), (-0.57, 0.50), (-0.46, 0.66), (-0.34, 0.79), (-0.22, 0.89),
    (-0.11, 0.95), (0.00, 0.97), (0.11, 0.95), (0.22, 0.89), (0.34, 0.79), (0.46, 0.66), (0.57, 0.50), (0.66, 0.33),
    (0.72, 0.14), (0.74, -0.06), (-0.50, -0.26), (-0.40, -0.29), (-0.31, -0.29), (-0.21, -0.27), (-0.12, -0.22),
    (0.12, -0.22), (0.21, -0.27), (0.31, -0.29), (0.40, -0.29), (0.50, -0.26), (0.00, -0.03), (0.00, 0.09),
    (0.00, 0.20), (0.00, 0.32), (-0.11, 0.35), (-0.05, 0.37), (0.00, 0.38), (0.05, 0.37), (0.11, 0.35),
    (-0.44, -0.06), (-0.35, -0.13), (-0.23, -0.12), (-0.14, -0.03), (-0.23, 0.01), (-0.35, 0.00), (0.14, -0.03),
    (0.23, -0.12), (0.35, -0.13), (0.44, -0.06), (0.35, 0.00), (0.23, 0.01), (-0.23, 0.57), (-0.16, 0.52),
    (-0.07, 0.50), (0.00, 0.52), (0.07, 0.50), (0.16, 0.52), (0.23, 0.57), (0.15, 0.64), (0.07, 0.67), (0.00, 0.68),
    (-0.07, 0.67), (-0.15, 0.64), (-0.21, 0.57), (-0.11, 0.57), (0.00, 0.56), (0.11, 0.57), (0.21, 0.57),
    (0.10, 0.59), (0.00, 0.59), (-0.10, 0.59),
)  # fmt: skip
"""Mean of the landmarks of 200 faces of DrawnFaces that look ahead, the mouth all but shut, in their units."""

IBUG_68 = KeypointLayout(
    name="ibug68",
    names=tuple(f"{name} {i}" for name, count, _ in GROUPS for i in range(1, count + 1)),
    partner=PARTNER,
    limbs=tuple(pair for curve in CURVES for pair in itertools.pairwise(curve)),
    colors=tuple(color for _, count, color in GROUPS for _ in range(count)),
    rest=_REST,
    margin=0.5,  # hair, ears and shoulders: landmarks take about half of a side in FaceForensics' and drawn pictures
)

LAYOUTS = (IBUG_68,)

LARGEST = 1e6  # pixels; a coordinate beyond is no place in an image


def read_landmarks(path: str | Path) -> Keypoints:
    """Read a file of 68 rows ``x,y``: landmarks in pixels of the image, all present.

    A landmark may lie outside the image. Blank lines at the end are ignored.

    Raises:
        DataError: the file cannot be read, has another number of rows, or rows that are not two finite numbers: all
            bad rows at once, each with its line.
    """
    lines = read_text(path, MOST_OF_A_FRAME).rstrip().splitlines()
    rows, problems = _parse_rows(lines)
    if len(lines) != len(IBUG_68):
        problems.append(f"{len(lines)} rows, {len(IBUG_68)} expected")
    if problems:
        raise DataError(path, problems, "A file of landmarks has 68 rows 'x,y'.")
    return Keypoints(np.array(rows), np.ones(len(IBUG_68)))


def _parse_rows(lines: Sequence[str]) -> tuple[list[list[float]], list[str]]:
    rows, problems = [], []
    for number, line in enumerate(lines, 1):
        try:
            values = [float(text) for text in line.split(",")]
        except ValueError:
            values = []
        if len(values) == 2 and all(math.isfinite(value) and abs(value) < LARGEST for value in values):
            rows.append(values)
        else:
            problems.append(f"row {number}: {line[:40]!r} is not two finite numbers 'x,y'")
    return rows, problems


def write_landmarks(path: Path, keypoints: Keypoints) -> Path:
    """Write 68 landmarks as :func:`read_landmarks` reads them, to 0.001 pixels.

    Args:
        path: of the file, without its ending, ``.txt``.
        keypoints: landmarks in pixels of the image.

    Returns:
        The file.

    Raises:
        DataError: landmarks are missing; the format has no place for that.
    """
    if not keypoints.present.all():
        raise DataError(path, f"{int((~keypoints.present).sum())} of {len(IBUG_68)} landmarks are missing")
    file = path.with_name(f"{path.name}.txt")
    with written_whole(file, to_disk=False) as temporary:
        np.savetxt(temporary, keypoints.points, fmt="%.3f", delimiter=",")
    return file
