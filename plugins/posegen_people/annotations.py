"""Read the key-point files and lists of people data sets.

Lists (Market-1501, DeepFashion): :func:`read_annotations`, :func:`parse_pairs`, :func:`flat_name`. One subject's
points, converted to the layout that is asked for: :func:`openpose_keypoints`, :func:`coco_keypoints`,
:func:`mmpose_keypoints`, or, whatever the file is, :func:`read_keypoints`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from posegen.data import KeypointLayout, Keypoints
from posegen.data.keypoints import lacking_points, select_keypoints
from posegen.errors import DataError
from posegen.files import check_name, read_json, read_text, written_whole

from .layouts import BODY_25, COCO_17, LAYOUTS, OPENPOSE_18, WHOLE_BODY_133

ANNOTATION_HEADER = ["name", "keypoints_y", "keypoints_x"]
PAIRS_HEADER = ["from", "to"]
MISSING = -1
LARGEST = 1_000_000
"""Pixels; a coordinate beyond is damage."""
LONGEST_FRAME = 1 << 16
"""Pixels of a side of the picture that a file says its points count pixels of."""

INDEX = "posegen: annotations by image"  # the key under which a COCO file that is kept has its index
MOST_NAMES = 5  # that an error lists
WHICH_IMAGE = (
    "Say which image is meant: `posegen transfer` and `interpolate` take the picture itself as TARGET, and such a list "
    "as --target-keypoints; `tools/infer.py` takes the picture as --target-image."
)
MMPOSE_LEAST_SCORE = 0.3
"""MMPose gives every point a place, seen or not; its own demos draw those from this score up."""


class _CocoIndex(NamedTuple):
    """Index of a COCO file: annotations by image id, images by file name, file names by their last part."""

    by_image: dict[Any, list[dict[str, Any]]]
    images: dict[str, dict[str, Any]]
    by_last_part: dict[str, list[str]]


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
    fitting = [repr(one.name) for one in LAYOUTS if len(one) == count]
    number = f"{ANNOTATION_HEADER[1]} has {count} numbers, {len(layout)} expected, the points of {layout.name!r}"
    hint = (
        f"The layout {' or '.join(fitting)} has {count} points: set structure.layout to it"
        if fitting
        else ("Layouts of people: " + ", ".join(f"{one.name} ({len(one)} points)" for one in LAYOUTS))
    )
    raise DataError(path, f"row {rows[0][0]}: {number}", f"{hint}.")


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
    if (found := _fields(first, delimiter)) != header:
        raise DataError(path, f"row 1: the header is {delimiter.join(found)!r}, it must be {delimiter.join(header)!r}")
    rows, problems = [], []
    for row, line in enumerate(rest, 2):
        if not line.strip():
            continue
        fields = _fields(line, delimiter)
        if len(fields) == len(header):
            rows.append((row, fields))
        else:
            problems.append(f"row {row}: {len(fields)} fields, {len(header)} expected: {line[:80]!r}")
    return rows, problems


def _fields(line: str, delimiter: str) -> list[str]:
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
        if not _is_number(value):
            raise ValueError(f"{column} has {_shortened(value)}, which is no number between ±{LARGEST:,}")
    return np.array(values, np.float64)


def _is_number(value: Any) -> bool:
    """Return whether a value is a finite number in the range of pixels. NaN compares as False."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST


def _shortened(value: Any) -> str:
    return repr(value)[:40]


def _check_same(known: Keypoints | None, keypoints: Keypoints, name: str) -> None:
    if known is not None and not np.array_equal(known.points, keypoints.points):
        raise ValueError(f"image {name!r} stands in the list before, with other key points")


# One subject's points


def openpose_keypoints(data: Any, where: str | Path, layout: KeypointLayout = OPENPOSE_18) -> Keypoints:
    """Return the points in OpenPose JSON: ``people[·].pose_keypoints_2d``, 18 or 25 × (x, y, score).

    Score 0 = missing. Of several people: the one with the most points found, then with the highest sum of
    scores. The size of their picture is ``canvas_width`` and ``canvas_height``, which editors of poses write;
    OpenPose itself does not say it.

    Raises:
        DataError: nobody in the file; another number of points; what is not a number; no points of that layout.
    """
    people = data["people"]
    if not isinstance(people, list) or not people:
        raise DataError(where, "nobody in the file: 'people' is empty")
    read = []
    for i, person in enumerate(people):
        values = person.get("pose_keypoints_2d", person.get("pose_keypoints")) if isinstance(person, dict) else None
        read.append(_triples(values, (len(OPENPOSE_18), len(BODY_25)), where, f"people[{i}].pose_keypoints_2d"))
    best = max(range(len(read)), key=lambda i: ((read[i][:, 2] > 0).sum(), read[i][:, 2].sum()))
    points = read[best]
    own = BODY_25 if len(points) == len(BODY_25) else OPENPOSE_18
    frame = _frame(data.get("canvas_width"), data.get("canvas_height"), where)
    found = Keypoints(points[:, :2], points[:, 2] > 0, frame=frame, chosen=_chosen(best, len(read)))
    return _converted(found, own.names, layout, where)


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
        problem = f"the points are those of layout {own.name!r}, without counterpart of {_some(lacking)}"
        fitting = [one.name for one in LAYOUTS if not lacking_points(own.names, one)]
        hint = f"The layout {layout.name!r} needs them. Layouts that these points can be converted to: "
        raise DataError(where, problem, f"{hint}{', '.join(fitting)}.")


def _chosen(best: int, count: int) -> str:
    return f"person {best + 1} of {count}" if count > 1 else ""


def _frame(width: Any, height: Any, where: str | Path) -> tuple[int, int] | None:
    """(H, W) of the picture whose pixels a file's points count; None if not given. DataError: not a size."""
    if width is None and height is None:
        return None
    if not all(type(side) is int and 0 < side <= LONGEST_FRAME for side in (width, height)):
        given = f"{_shortened(width)} wide and {_shortened(height)} high"
        raise DataError(where, f"the picture is {given}; give whole pixels, at most {LONGEST_FRAME:,}, or neither")
    return height, width


def write_openpose(path: Path, keypoints: Keypoints) -> Path:
    """Write the points of one person as OpenPose does; :func:`openpose_keypoints` reads them.

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
    triples = _triples(values, (len(names),), where, what)
    return _converted(Keypoints(triples[:, :2], triples[:, 2] > 0), spaced(names), layout, where)


def spaced(names: Sequence[str]) -> tuple[str, ...]:
    """Return names of points as layouts have them, ``left elbow``, from COCO's and MMPose's ``left_elbow``."""
    return tuple(name.replace("_", " ") for name in names)


def mmpose_keypoints(data: Any, where: str | Path, layout: KeypointLayout = OPENPOSE_18) -> Keypoints:
    """Return the points in MMPose's output: a list of instances, or a dict with ``instance_info`` of one frame.

    An instance has ``keypoints`` (K×2) and ``keypoint_scores``; a point is present from
    :data:`MMPOSE_LEAST_SCORE` up. The points' names are the file's own (``meta_info``), else COCO's 17,
    or COCO-WholeBody's 133. Of several instances: the one with the most points present, then with the highest sum of
    scores.

    Raises:
        DataError: nobody in the file; several frames; another number of points; what is not a number; no points of
            that layout.
    """
    names: tuple[str, ...] = ()
    if isinstance(data, dict):
        labels = (data.get("meta_info") or {}).get("keypoint_id2name") or {}
        names = spaced([labels[key] for key in sorted(labels, key=int)])
    counts = (len(names),) if names else (len(COCO_17), len(WHOLE_BODY_133))
    read = []
    for i, instance in enumerate(_mmpose_instances(data, where)):
        if not isinstance(instance, dict):
            raise DataError(where, f"instance {i} is not an object")
        read.append(_mmpose_points(instance, counts, where, f"instance {i}"))
    if not read:
        raise DataError(where, "nobody in the file: there are no instances")
    best = max(range(len(read)), key=lambda i: ((read[i][:, 2] >= MMPOSE_LEAST_SCORE).sum(), read[i][:, 2].sum()))
    points = read[best]
    found = Keypoints(points[:, :2], points[:, 2] >= MMPOSE_LEAST_SCORE, chosen=_chosen(best, len(read)))
    own = WHOLE_BODY_133 if len(points) == len(WHOLE_BODY_133) else COCO_17
    return _converted(found, names or own.names, layout, where)


def _mmpose_instances(data: Any, where: str | Path) -> list[Any]:
    entries = data["instance_info"] if isinstance(data, dict) else data
    frames = [entry for entry in entries if isinstance(entry, dict) and "instances" in entry]
    if len(frames) > 1:
        raise DataError(where, f"holds {len(frames)} frames", "Give the points of one frame.")
    return frames[0]["instances"] if frames else entries


def _mmpose_points(instance: dict[str, Any], counts: tuple[int, ...], where: str | Path, what: str) -> np.ndarray:
    points, scores = instance.get("keypoints"), instance.get("keypoint_scores")
    if not isinstance(points, list) or not isinstance(scores, list) or len(points) != len(scores):
        raise DataError(where, f"{what}: needs as many 'keypoint_scores' as 'keypoints'")
    flat = [v for point, score in zip(points, scores, strict=True) for v in (*_as_list(point), score)]
    return _triples(flat, counts, where, what)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _triples(values: Any, counts: tuple[int, ...], where: str | Path, what: str) -> np.ndarray:
    """Parse a flat list of (x, y, score) as K 3, K one of *counts*. DataError: anything else."""
    if not isinstance(values, list) or len(values) not in [3 * count for count in counts]:
        size = f"{len(values)} numbers" if isinstance(values, list) else "no list"
        expected = " or ".join(f"{3 * count} ({count} points)" for count in counts)
        raise DataError(where, f"{what}: {size}, expected {expected}{_whose(values, counts)}")
    bad = [value for value in values if not _is_number(value)]
    if bad:
        raise DataError(where, f"{what}: {_shortened(bad[0])} is no number between ±{LARGEST:,}")
    return np.array(values, np.float64).reshape(-1, 3)


def _whose(values: Any, counts: tuple[int, ...]) -> str:
    """Name the format that has this number of points."""
    if not isinstance(values, list):
        return ""
    if len(values) == 3 * len(COCO_17):
        return "; so many are COCO's 17 points, which are called 'keypoints'"
    if len(values) in (3 * len(OPENPOSE_18), 3 * len(BODY_25)) and counts == (len(COCO_17),):
        return "; so many are OpenPose's, which are called 'pose_keypoints_2d'"
    flat = len(values) in [2 * count for count in counts]
    return "; each point is x, y and a score (0: missing), all in one list" if flat or len(values) in counts else ""


# Whatever the file is


def read_keypoints(
    path: str | Path, image: str | Path | None = None, layout: KeypointLayout = OPENPOSE_18
) -> Keypoints | None:
    """Read the points of one subject from OpenPose, COCO or MMPose JSON, or an annotation list; else None.

    Args:
        image: the photograph, whose file name says which entry of a file that holds many is meant.
        layout: layout of people to which the points are converted.

    Raises:
        DataError: the file is of one of these formats and broken, or holds nothing, or too much, for *image*; or its
            points lack some of the layout.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        return _from_json(path, image, layout)
    if suffix == ".csv" and _fields(read_text(path).partition("\n")[0], ":") == ANNOTATION_HEADER:
        status = Path(path).stat()
        annotations, names = _indexed_annotations(str(path), status.st_mtime_ns, status.st_size, layout)
        return replace(annotations[_entry(names, path, image)], listed=True)
    return None


@lru_cache(maxsize=4)
def _indexed_annotations(
    path: str, _changed: int, _size: int, layout: KeypointLayout
) -> tuple[dict[str, Keypoints], dict[str, list[str]]]:
    """Read an annotation list, and its names by their last part; cached, since callers ask for thousands of images."""
    annotations = read_annotations(path, layout)
    return annotations, _by_last_part(annotations)


def _by_last_part(names: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(PurePath(name).name, []).append(name)
    return found


@lru_cache(maxsize=2)
def _kept_json(path: str, _changed: int, _size: int) -> Any:
    """Read a JSON file; cached, since callers ask for thousands of its images."""
    return read_json(path)


def _from_json(path: str | Path, image: str | Path | None, layout: KeypointLayout) -> Keypoints | None:
    if not Path(path).is_file():
        return _from_known_json(read_json(path), path, image, layout)  # raises
    status = Path(path).stat()
    data = _kept_json(str(path), status.st_mtime_ns, status.st_size)
    try:
        return _from_known_json(data, path, image, layout)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise DataError(path, f"damaged key-point file: {type(error).__name__}: {error}") from error


def _from_known_json(data: Any, path: str | Path, image: str | Path | None, layout: KeypointLayout) -> Keypoints | None:
    if isinstance(data, dict) and "people" in data:
        return openpose_keypoints(data, path, layout)
    if isinstance(data, dict) and "pose_keypoints_2d" in data:  # one of the people, alone
        return openpose_keypoints({**data, "people": [data]}, path, layout)
    if isinstance(data, dict) and "keypoints" in data and "keypoint_scores" not in data:  # one of COCO's annotations
        return coco_keypoints(data["keypoints"], path, layout=layout)
    if isinstance(data, dict) and "annotations" in data and "images" in data:
        return _from_coco(data, path, image, layout)
    if isinstance(data, dict) and isinstance(data.get("instance_info"), list):
        return mmpose_keypoints(data, path, layout)
    if isinstance(data, list) and all(
        isinstance(e, dict) and ("keypoint_scores" in e or "instances" in e) for e in data
    ):
        return mmpose_keypoints(data, path, layout)
    return None


def _from_coco(data: dict[str, Any], path: str | Path, image: str | Path | None, layout: KeypointLayout) -> Keypoints:
    """Return the subject with the most points among the annotations of *image*."""
    if not isinstance(data.get(INDEX), _CocoIndex):  # data is kept, and asked for image by image
        by_image: dict[Any, list[dict[str, Any]]] = {}
        for entry in data["annotations"]:
            by_image.setdefault(entry["image_id"], []).append(entry)
        images = {entry["file_name"]: entry for entry in data["images"]}
        data[INDEX] = _CocoIndex(by_image, images, _by_last_part(images))
    by_image, images, by_last_part = data[INDEX]
    wanted = _entry(by_last_part, path, image)
    names = category_names(data.get("categories", []))
    found = []
    for entry in by_image.get(images[wanted]["id"], []):
        if entry.get("keypoints"):
            point_names = names.get(entry.get("category_id"), COCO_17.names)
            what = f"annotation {entry['id']}"
            found.append(coco_keypoints(entry["keypoints"], path, point_names, what, layout))
    if not found:
        raise DataError(path, f"image {wanted!r} has no annotation with key points")
    best = max(range(len(found)), key=lambda i: found[i].present.sum())
    frame = _frame(images[wanted].get("width"), images[wanted].get("height"), path)
    return replace(found[best], frame=frame, chosen=_chosen(best, len(found)))


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


def _entry(names: dict[str, list[str]], path: str | Path, image: str | Path | None) -> str:
    """Return the name among *names* whose last part is that of the photograph *image*."""
    if image is None:
        held = [name for same in names.values() for name in same]
        if len(held) == 1:
            return held[0]
        raise DataError(path, f"holds the points of {len(held)} images: {_some(held)}", WHICH_IMAGE)
    called = names.get(PurePath(image).name, [])
    found = called
    if len(found) > 1:  # frames of videos are called alike: their folders tell
        found = [name for name in found if PurePath(image).as_posix().endswith(f"/{name}")]
    if len(found) != 1:
        problem = f"holds the points of {len(called) or 'no'} images called {PurePath(image).name!r}"
        raise DataError(path, f"{problem}: {_some(called)}" if called else f"{problem}, but of {_some(list(names))}")
    return found[0]


def _some(names: Sequence[str]) -> str:
    return ", ".join([*names[:MOST_NAMES], *(["…"] if len(names) > MOST_NAMES else [])])
