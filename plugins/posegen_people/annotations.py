"""Read the key-point files and lists of people data sets.

Lists (Market-1501, DeepFashion): :func:`read_annotations`, :func:`parse_pairs`, :func:`flat_name`. One subject's
points, converted to the layout that is asked for: :func:`coco_keypoints`. Files of any format are read by
:mod:`posegen_people.pose_formats`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Container, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from posegen.data import KeypointLayout, Keypoints
from posegen.data.keypoints import lacking_points, select_keypoints
from posegen.data.pose_files import LARGEST, is_missing, is_number, own_content, shortened
from posegen.errors import DataError, some_names
from posegen.files import check_name, read_text, written_whole

from .layouts import BODY_25, COCO_17, LAYOUTS, OPENPOSE_18

ANNOTATION_HEADER = ["name", "keypoints_y", "keypoints_x"]
PAIRS_HEADER = ["from", "to"]
MISSING = -1


class PairRow(NamedTuple):
    """A row of a pair list: its line in the file, counted from 1, and the two image names."""

    row: int
    source: str
    target: str


# Lists of Market-1501 and DeepFashion


def read_annotations(path: str | Path, layout: KeypointLayout) -> dict[str, Keypoints]:
    """Read an annotation list: key points by image name.

    The list: ``name:keypoints_y:keypoints_x``, as many numbers as *layout* has points, in pixels, −1 = missing.

    Raises:
        DataError: all bad rows at once, each with its line in the file.
    """
    annotations, problems = parse_annotations(path, layout)
    if problems:
        raise DataError(path, problems)
    return annotations


def parse_annotations(path: str | Path, layout: KeypointLayout) -> tuple[dict[str, Keypoints], list[str]]:
    """Read an annotation list like :func:`read_annotations`; return bad rows as a list of problems.

    A bad row whose name can be read stands among the annotations without a point, so that pairs that use it
    are not reported as well. A file that is not such a list at all, or a list of another layout, is a DataError.
    """
    rows, problems = _read_rows(path, ":", ANNOTATION_HEADER)
    _check_counts(path, rows, layout)
    annotations: dict[str, Keypoints] = {}
    for row, (name, *columns) in rows:
        keypoints = Keypoints(np.zeros((len(layout), 2)), np.zeros(len(layout)))
        try:
            check_name(name)
            y, x = (_numbers(text, ANNOTATION_HEADER[i], len(layout)) for i, text in enumerate(columns, 1))
            keypoints = Keypoints(np.stack([x, y], 1), (x != MISSING) & (y != MISSING))
            _check_same(annotations.get(name), keypoints, name)
        except ValueError as error:
            problems.append(f"row {row}: {error}")
        annotations.setdefault(name, keypoints)
    if not rows and not problems:
        problems.append("row 2: the list is empty")
    return annotations, problems


def listed_layout(path: str | Path) -> KeypointLayout | None:
    """Return the layout of an annotation list by its number of points; None if no layout of people has so many.

    Raises:
        DataError: the file cannot be read or has another header.
    """
    rows, _ = _read_rows(path, ":", ANNOTATION_HEADER)
    return next((one for one in LAYOUTS if rows and len(one) == _count(rows[0][1][1])), None)


def _check_counts(path: str | Path, rows: Sequence[tuple[int, list[str]]], layout: KeypointLayout) -> None:
    """Raise one DataError, not one problem a row, if first and last row have the same wrong number of points."""
    counts = {_count(fields[1]) for _, fields in (*rows[:1], *rows[-1:])}
    if len(counts) != 1 or (count := counts.pop()) in (0, len(layout)):
        return
    fitting = " and ".join(repr(one.name) for one in LAYOUTS if len(one) == count)
    number = f"{ANNOTATION_HEADER[1]} has {count} numbers, {len(layout)} expected, the points of {layout.name!r}"
    told = f"the layout of {count} points is {fitting}" if fitting else f"no layout of people has {count} points"
    known = ", ".join(f"{one.name} ({len(one)})" for one in LAYOUTS)
    raise DataError(
        path, f"row {rows[0][0]}: {number}; {told}", f"Set structure.layout to the list's. Layouts: {known}."
    )


def _count(text: str) -> int:
    """Return the length of a JSON list; 0: it is none."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return 0
    return len(values) if isinstance(values, list) else 0


def parse_pairs(path: str | Path, annotated: Container[str] | None = None) -> tuple[list[PairRow], list[str]]:
    """Read a pair list (``from,to``): source and target image name of each row, and problems of the bad rows.

    Args:
        annotated: the names that have key points; a pair with another one is a bad row. None: not checked.

    Raises:
        DataError: the file cannot be read or has another header.
    """
    rows, problems = _read_rows(path, ",", PAIRS_HEADER)
    pairs = []
    for row, names in rows:
        try:
            for name in names:
                check_name(name)
                if annotated is not None and name not in annotated:
                    raise ValueError(f"image {name!r} has no key points in the annotation list")
            pairs.append(PairRow(row, *names))
        except ValueError as error:
            problems.append(f"row {row}: {error}")
    if not rows and not problems:
        problems.append("row 2: the list is empty")
    return pairs, problems


def flat_name(path: str | PurePath) -> str:
    """Return the name that DeepFashion's lists give to a file of the download.

    ``img_highres/MEN/Denim/id_00000080/01_1_front.jpg`` is ``fashionMENDenimid0000008001_1front.jpg``.

    Raises:
        ValueError: fewer than the four last parts of such a path.
    """
    parts = PurePath(path).parts[-4:]
    if len(parts) < 4:
        raise ValueError(f"not a path of DeepFashion's download, GROUP/KIND/ID/FILE: {str(path)!r}")
    group, kind, identity, file = parts
    number, _, rest = file.partition("_")
    return f"fashion{group}{kind}{identity.replace('_', '')}{number}_{rest.replace('_', '')}"


def _read_rows(path: str | Path, delimiter: str, header: list[str]) -> tuple[list[tuple[int, list[str]]], list[str]]:
    """Return line number and fields of the rows that are as wide as the header, and problems of the others.

    A line is a row: no field of these lists holds a line break, so one stray quote cannot swallow the rest.
    """
    lines = read_text(path).splitlines()
    first, *rest = lines or [""]
    if (found := split_fields(first, delimiter)) != header:
        raise DataError(path, f"row 1: the header is {delimiter.join(found)!r}, it must be {delimiter.join(header)!r}")
    rows, problems = [], []
    for row, line in enumerate(rest, 2):
        if not line.strip():
            continue
        fields = split_fields(line, delimiter)
        if len(fields) == len(header):
            rows.append((row, fields))
        else:
            problems.append(f"row {row}: {len(fields)} fields, {len(header)} expected: {line[:80]!r}")
    return rows, problems


def split_fields(line: str, delimiter: str) -> list[str]:
    """Split a line of a list."""
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return [line]


def _numbers(text: str, column: str, expected: int) -> np.ndarray:
    """Parse a JSON list of *expected* numbers. ValueError: anything else."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{column} is not a JSON list: {text[:40]!r}") from error
    if not isinstance(values, list) or len(values) != expected:
        count = f"{len(values)} numbers" if isinstance(values, list) else f"{text[:40]!r}"
        raise ValueError(f"{column} has {count}, {expected} expected")
    for value in values:
        if not is_number(value):
            raise ValueError(f"{column} has {shortened(value)}, which is no number between ±{LARGEST:,}")
    return np.array(values, np.float64)


def _check_same(known: Keypoints | None, keypoints: Keypoints, name: str) -> None:
    if known is not None and not np.array_equal(known.points, keypoints.points):
        raise ValueError(f"image {name!r} stands in the list before, with other key points")


# One subject's points


def _converted(keypoints: Keypoints, names: Sequence[str], layout: KeypointLayout, where: str | Path) -> Keypoints:
    """Convert points with *names* to a layout. DataError: see :func:`check_points`."""
    check_points(names, layout, where)
    return select_keypoints(keypoints, names, layout)


def check_points(names: Sequence[str], layout: KeypointLayout, where: str | Path) -> None:
    """Raise DataError if *names* are those of a layout of people that lacks points of another one.

    A file that names other points itself leaves those missing that it does not have.
    """
    own = next((one for one in LAYOUTS if set(one.names) == set(names)), None)
    if own is not None and (lacking := lacking_points(own.names, layout)):
        problem = (
            f"the points of layout {own.name!r} have no counterpart of {some_names(lacking)}, "
            f"which {layout.name!r} needs"
        )
        fitting = [one.name for one in LAYOUTS if not lacking_points(own.names, one)]
        raise DataError(where, problem, f"Layouts that these points can be converted to: {', '.join(fitting)}.")


def write_openpose(path: Path, keypoints: Keypoints) -> Path:
    """Write the points of one person as OpenPose does; :mod:`posegen_people.pose_formats` reads them.

    Args:
        path: of the file, without its ending, ``.json``.
        keypoints: OpenPose's 18 points, in pixels; of their frame, where they know it, the size is written, too.

    Returns:
        The file.
    """
    file = path.with_name(f"{path.name}.json")
    with written_whole(file, to_disk=False) as temporary:
        temporary.write_text(openpose_json(keypoints), encoding="utf-8")
    return file


def write_own(path: Path, keypoints: Keypoints, layout: KeypointLayout) -> Path:
    """Write the points of one person in posegen's own format, which names the layout.

    Args:
        path: of the file, without its ending, ``.json``.
        keypoints: in pixels of their frame.
        layout: their layout.

    Returns:
        The file.
    """
    assert keypoints.frame is not None
    file = path.with_name(f"{path.name}.json")
    with written_whole(file, to_disk=False) as temporary:
        temporary.write_text(json.dumps(own_content([keypoints], layout, keypoints.frame)), encoding="utf-8")
    return file


def openpose_json(keypoints: Keypoints) -> str:
    """Format OpenPose's 18 points of one person as OpenPose does, to 0.001 pixels; without points, no person."""
    scores = keypoints.present.astype(float)
    triples = np.column_stack([np.where(keypoints.present[:, None], keypoints.points, 0), scores])
    person = {"pose_keypoints_2d": [round(number, 3) for number in triples.ravel().tolist()]}
    size = {} if keypoints.frame is None else dict(zip(("canvas_height", "canvas_width"), keypoints.frame, strict=True))
    return json.dumps({"people": [person] if keypoints.present.any() else [], **size})


def coco_keypoints(
    values: Any,
    where: str | Path,
    names: Sequence[str] = COCO_17.names,
    what: str = "keypoints",
    layout: KeypointLayout = OPENPOSE_18,
) -> Keypoints:
    """Convert COCO's ``keypoints`` (x, y, visibility: 0 = missing, 1 and 2 = present) to a layout.

    Args:
        names: what the category calls its points; those the layout does not have are left out, those it has and a
            category with names of its own has not are missing.
        what: where in the file, for the error.
        layout: layout of the result.

    Raises:
        DataError: another number of points; what is not a number; COCO's points, and the layout has others.
    """
    rows = triples(values, (len(names),), where, what)
    return _converted(Keypoints(rows[:, :2], rows[:, 2] > 0), spaced(names), layout, where)


def spaced(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of points as layouts have them, ``left elbow``, from COCO's and MMPose's ``left_elbow``."""
    return tuple(name.replace("_", " ") for name in names)


def triples(values: Any, counts: Collection[int], where: str | Path, what: str) -> np.ndarray:
    """Parse a flat list of (x, y, score) as K 3, K one of *counts*; a point with null or NaN is missing, (0, 0, 0).

    Raises:
        DataError: anything else.
    """
    if not isinstance(values, list) or len(values) not in [3 * count for count in counts]:
        size = f"{len(values)} numbers" if isinstance(values, list) else "no list"
        expected = " or ".join(f"{3 * count} ({count} points)" for count in counts)
        raise DataError(where, f"{what}: {size}, expected {expected}{_whose(values, counts)}")
    bad = [value for value in values if not (is_number(value) or is_missing(value))]
    if bad:
        raise DataError(where, f"{what}: {shortened(bad[0])} is no number between ±{LARGEST:,}")
    rows = np.array(values, np.float64).reshape(-1, 3)  # None becomes NaN
    rows[np.isnan(rows).any(axis=1)] = 0
    return rows


def _whose(values: Any, counts: Collection[int]) -> str:
    """Name the format that has this number of points."""
    if not isinstance(values, list):
        return ""
    if len(values) == 3 * len(COCO_17):
        return "; so many are COCO's 17 points, which are called 'keypoints'"
    if len(values) in (3 * len(OPENPOSE_18), 3 * len(BODY_25)) and len(COCO_17) in counts:
        return "; so many are OpenPose's, which are called 'pose_keypoints_2d'"
    flat = len(values) in [2 * count for count in counts]
    return "; each point is x, y and a score (0: missing), all in one list" if flat or len(values) in counts else ""


def category_names(categories: Sequence[dict[str, Any]]) -> dict[Any, Sequence[str]]:
    """Return the names of the points of each COCO category by id; COCO's 17 names if it has none.

    Raises:
        ValueError: what it says are no names.
    """
    found = {category.get("id"): category.get("keypoints") or COCO_17.names for category in categories}
    for category, names in found.items():
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"category {category!r}: its 'keypoints' must be a list of names")
    return found
