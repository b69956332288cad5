"""Key-point files of people: one recognizer a format, with its name, the shape of its JSON, and a reader.

To add a format, add a row to :data:`FORMATS`. A reader returns the frames; threshold of scores, choice of a person and
conversion to the layout that a model takes are the same for all formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from posegen.data import KeypointLayout, Keypoints
from posegen.data.estimators import Figure
from posegen.data.keypoints import select_keypoints
from posegen.data.pose_files import (
    PoseFile,
    PoseFrame,
    best_figure,
    frame_size,
    in_natural_order,
    kept_json,
    shortened,
)
from posegen.errors import DataError
from posegen.files import read_text

from .annotations import (
    ANNOTATION_HEADER,
    category_names,
    check_points,
    read_annotations,
    spaced,
    split_fields,
    triples,
)
from .layouts import BODY_25, COCO_17, OPENPOSE_18, WHOLE_BODY_133

HALPE_26 = (
    *COCO_17.names, "head top", "neck", "mid hip",
    "left big toe", "right big toe", "left small toe", "right small toe", "left heel", "right heel",
)  # fmt: skip
"""The 26 points of Halpe (Fang et al., arXiv 2211.03375), as AlphaPose and RTMPose find them."""

OPENPOSE_COUNTS: Mapping[int, tuple[str, ...]] = {
    len(layout): layout.names for layout in (OPENPOSE_18, BODY_25, WHOLE_BODY_133)
}
"""Names of the points by their number in OpenPose's JSON. 17 are refused: they may be COCO's or Human3.6M's."""
COCO_COUNTS: Mapping[int, tuple[str, ...]] = {
    len(COCO_17): COCO_17.names, len(HALPE_26): HALPE_26, len(WHOLE_BODY_133): WHOLE_BODY_133.names, 136: HALPE_26
}  # fmt: skip
"""Names of the points, or of the first of them, by their number in COCO's, AlphaPose's and MMPose's JSON."""


YOLO_BOX = 5
"""Columns of YOLO's label files before the points: class and box."""
YOLO_COUNTS: Mapping[int, int] = {
    YOLO_BOX + width * len(COCO_17) + score: width for width in (2, 3) for score in (0, 1)
}
"""Numbers of a point, 2 or 3, by the columns of a row in YOLO's label files, which may end with a score."""


class Person(NamedTuple):
    """Points of a person as a file gives them: K 2, their scores K, and their names."""

    points: np.ndarray
    scores: np.ndarray
    names: Sequence[str]
    frame: tuple[int, int] | None = None


Frames = list[tuple[str, Callable[[], "list[Person]"]]]
"""For each frame its name, or an empty string, and a function that reads its people."""
T = TypeVar("T")


@dataclass(frozen=True)
class Format:
    """A format of JSON files.

    Args:
        name: name for errors.
        shape: what the content must look like: see :func:`mismatch`.
        read: reads content of that shape.
    """

    name: str
    shape: Any
    read: Callable[[Any, str | Path], Frames]


# Shapes


class Optional(NamedTuple):
    """A value that may be null, or missing from an object."""

    shape: Any


ANY_KEY = "*"
NUMBERS, NUMBER, LIST, EMPTY, ANYTHING = "a list of numbers", "a number", "a list", "an empty list", "anything"


def mismatch(shape: Any, value: Any, where: str = "") -> tuple[int, str]:
    """Compare a value with a shape.

    Args:
        shape: a dict has these keys (``"*"``: any names, at least one), a list has one or more items of one shape, null
            items being passed over, a tuple lists alternatives, and a string is a kind of value.
        value: the value.
        where: its place in the file.

    Returns:
        How many keys and items fit before the first mismatch, and that mismatch; empty if everything fits.
    """
    place = where or "the file"
    if isinstance(shape, Optional):
        return (0, "") if value is None else mismatch(shape.shape, value, where)
    if isinstance(shape, tuple):
        found = [mismatch(one, value, where) for one in shape]
        return next((one for one in found if not one[1]), max(found, key=lambda one: one[0]))
    if isinstance(shape, dict):
        return _in_object(shape, value, where) if isinstance(value, dict) else (0, f"{place} is {kind(value)}")
    if isinstance(shape, list):
        return _in_list(shape[0], value, where) if isinstance(value, list) else (0, f"{place} is {kind(value)}")
    fits = {
        ANYTHING: True,
        LIST: isinstance(value, list),
        EMPTY: value == [],
        NUMBER: isinstance(value, (int, float)),
        NUMBERS: isinstance(value, list) and not any(isinstance(one, (list, dict, str)) for one in value),
    }[shape]
    return (1, "") if fits else (0, f"{place} is {kind(value)}, not {shape}")


def _in_object(shape: dict[str, Any], value: dict[str, Any], where: str) -> tuple[int, str]:
    if ANY_KEY in shape:
        if not value:
            return 0, f"{where or 'the file'} is empty"
        return _each([(f"{where}[{key!r}]", shape[ANY_KEY], one) for key, one in value.items()])
    inner = f"{where}." if where else ""
    rows: list[tuple[str, Any, Any]] = []
    for key, expected in shape.items():
        if key not in value and not isinstance(expected, Optional):
            fitting, problem = _each(rows)
            return fitting, problem or f"{where or 'the file'} has no {key!r}"
        rows.append((f"{inner}{key}", expected, value.get(key)))
    fitting, problem = _each(rows)
    return fitting + 1, problem  # one for its keys, which exist


def _in_list(shape: Any, value: list[Any], where: str) -> tuple[int, str]:
    items = [(f"{where}[{index}]", shape, one) for index, one in enumerate(value) if one is not None]
    return _each(items) if items else (0, f"{where or 'the file'} is an empty list")


def _each(rows: Iterable[tuple[str, Any, Any]]) -> tuple[int, str]:
    fitting = 0
    for where, shape, value in rows:
        count, problem = mismatch(shape, value, where)
        fitting += count
        if problem:
            return fitting, problem
    return fitting, ""


def kind(value: Any) -> str:
    """Describe a value of a JSON file in a few words."""
    if isinstance(value, dict):
        keys = ", ".join(repr(key)[:30] for key in list(value)[:6]) + (", …" if len(value) > 6 else "")
        return f"an object with {keys}" if value else "an empty object"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    return "null" if value is None else f"the {'text' if isinstance(value, str) else 'value'} {shortened(value)}"


# Formats


def _openpose(data: dict[str, Any], where: str | Path) -> Frames:
    return [("", partial(openpose_people, data, where))]


def _openpose_frames(data: list[Any], where: str | Path) -> Frames:
    return [("", partial(openpose_people, frame or {"people": []}, where, f"[{t}]")) for t, frame in enumerate(data)]


def _openpose_person(data: dict[str, Any], where: str | Path) -> Frames:
    return _openpose({**data, "people": [data]}, where)


def _openpose_by_image(data: dict[str, Any], where: str | Path) -> Frames:
    return [(name, partial(openpose_people, frame, where, f"[{name!r}]")) for name, frame in data.items()]


def openpose_people(data: dict[str, Any], where: str | Path, place: str = "") -> list[Person]:
    """Read the people in a frame of OpenPose's JSON, without those who have no body (null or an empty list).

    Raises:
        DataError: another number of points, or what is not a number.
    """
    key, inner = ("people", "pose_keypoints_2d") if "people" in data else ("bodies", "joints")
    if not isinstance(data[key], list):
        raise DataError(where, f"{place}{key} is {kind(data[key])}, not a list")
    frame = frame_size(data.get("canvas_width"), data.get("canvas_height"), where)
    found = []
    for i, person in enumerate(data[key]):
        values = _body(person, inner, where, f"{place}{key}[{i}]")
        if values:
            rows = triples(values, OPENPOSE_COUNTS, where, f"{place}{key}[{i}].{inner}")
            found.append(_person(rows, OPENPOSE_COUNTS[len(rows)], frame))
    return found


def _body(person: Any, key: str, where: str | Path, place: str) -> Any:
    if person is None:
        return None
    keys = (key, "pose_keypoints")  # the second as OpenPose wrote it before 1.3
    if not isinstance(person, dict) or not any(name in person for name in keys):
        raise DataError(where, f"{place}.{key}: no list, {place} is {kind(person)}")
    return person.get(key, person.get("pose_keypoints"))


def _person(rows: np.ndarray, names: Sequence[str], frame: tuple[int, int] | None = None) -> Person:
    rows = rows[: len(names)]
    return Person(rows[:, :2], rows[:, 2], names, frame)


def _coco(data: dict[str, Any], where: str | Path) -> Frames:
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for entry in data["annotations"]:
        by_image.setdefault(entry["image_id"], []).append(entry)
    names = category_names(data.get("categories", []))

    def people(image: dict[str, Any]) -> list[Person]:
        frame = frame_size(image.get("width"), image.get("height"), where)
        found = []
        for entry in by_image.get(image["id"], []):
            if entry.get("keypoints"):
                point_names = spaced(names.get(entry.get("category_id"), COCO_17.names))
                rows = triples(entry["keypoints"], (len(point_names),), where, f"annotation {entry['id']}")
                found.append(_person(rows, point_names, frame))
        if not found:
            raise DataError(where, f"image {image['file_name']!r} has no annotation with key points")
        return found

    return [(image["file_name"], partial(people, image)) for image in data["images"]]


def _coco_annotation(data: dict[str, Any], where: str | Path) -> Frames:
    return [("", partial(_results, [data], where, "keypoints"))]


def _coco_results(data: list[Any], where: str | Path) -> Frames:
    by_image: dict[str, list[Any]] = {}
    for row, entry in enumerate(data):
        if entry is not None:
            by_image.setdefault(str(entry["image_id"]), []).append((row, entry))
    return [
        (name, partial(_results, [entry for _, entry in rows], where, *(f"[{row}].keypoints" for row, _ in rows)))
        for name, rows in by_image.items()
    ]


def _results(entries: Sequence[dict[str, Any]], where: str | Path, *places: str) -> list[Person]:
    found = []
    for entry, place in zip(entries, places, strict=True):
        if entry["keypoints"]:
            rows = triples(entry["keypoints"], COCO_COUNTS, where, place)
            found.append(_person(rows, COCO_COUNTS[len(rows)]))
    return found


def _mmpose(data: Any, where: str | Path) -> Frames:
    names: tuple[str, ...] = ()
    if isinstance(data, dict):
        labels = (data.get("meta_info") or {}).get("keypoint_id2name") or {}
        names = spaced([labels[key] for key in sorted(labels, key=int)])
        data = data["instance_info"] if "instance_info" in data else data["predictions"]
    if data and all(isinstance(entry, dict) and "instances" in entry for entry in data):
        frames = [entry["instances"] for entry in data]
    else:
        frames = data if data and all(isinstance(entry, list) for entry in data) else [data]
    places = [f"frame {t}, " if len(frames) > 1 else "" for t in range(len(frames))]
    return [
        ("", partial(_mmpose_people, instances, names, where, place))
        for instances, place in zip(frames, places, strict=True)
    ]


def _mmpose_people(instances: Any, names: Sequence[str], where: str | Path, place: str) -> list[Person]:
    found = []
    for i, instance in enumerate(instances):
        if not isinstance(instance, dict):
            raise DataError(where, f"{place}instance {i} is not an object")
        points, scores = instance.get("keypoints"), instance.get("keypoint_scores")
        if not isinstance(points, list) or not isinstance(scores, list) or len(points) != len(scores):
            raise DataError(where, f"{place}instance {i}: needs as many 'keypoint_scores' as 'keypoints'")
        flat = [v for point, score in zip(points, scores, strict=True) for v in (*_as_list(point), score)]
        rows = triples(flat, (len(names),) if names else COCO_COUNTS, where, f"{place}instance {i}")
        found.append(_person(rows, names or COCO_COUNTS[len(rows)]))
    return found


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _editor(data: dict[str, Any], where: str | Path) -> Frames:
    def people() -> list[Person]:
        frame = frame_size(data["width"], data["height"], where)
        several = [one for one in data["keypoints"] if one]
        bodies = [several] if several and not isinstance(several[0][0], list) else several
        found = []
        for i, points in enumerate(bodies):  # a point is x and y, or null
            flat = [v for point in points for v in ((*_as_list(point)[:2], 1) if point else (0, 0, 0))]
            rows = triples(flat, (len(OPENPOSE_18),), where, f"keypoints[{i}]")
            found.append(_person(rows, OPENPOSE_18.names, frame))
        return found

    return [("", people)]


def _candidates(data: dict[str, Any], where: str | Path) -> Frames:
    def people() -> list[Person]:
        candidate, subset = data["bodies"]["candidate"], data["bodies"]["subset"]
        found = []
        for i, indices in enumerate(subset):
            flat: list[Any] = []
            for index in indices[: len(OPENPOSE_18)]:
                number = int(index)
                if number >= len(candidate):
                    raise DataError(
                        where, f"bodies.subset[{i}] has {number}, and there are {len(candidate)} candidates"
                    )
                flat += [0, 0, 0] if number < 0 else [*candidate[number][:2], 1]
            found.append(_person(triples(flat, (len(OPENPOSE_18),), where, f"bodies[{i}]"), OPENPOSE_18.names))
        return found

    return [("", people)]


def _ultralytics(data: list[Any], where: str | Path) -> Frames:
    def people() -> list[Person]:
        found = []
        for i, one in enumerate(data):
            if one is None:
                continue
            xs, ys = one["keypoints"]["x"], one["keypoints"]["y"]
            scores = one["keypoints"].get("visible") or [1] * len(xs)
            if not len(xs) == len(ys) == len(scores):
                raise DataError(where, f"[{i}].keypoints has {len(xs)} x, {len(ys)} y and {len(scores)} visible")
            flat = [value for point in zip(xs, ys, scores, strict=True) for value in point]
            found.append(_person(triples(flat, (len(COCO_17),), where, f"[{i}].keypoints"), COCO_17.names))
        return found

    return [("", people)]


def _yolo(text: str, where: str | Path) -> Frames | None:
    """Read the label file of a picture: for each person its class, its box, its points as fractions, and a score.

    Returns None for another text.
    """
    rows = [line.split() for line in text.splitlines() if line.strip()]
    if not rows or any(len(row) not in YOLO_COUNTS for row in rows):
        return None

    def people() -> list[Person]:
        found = []
        for i, row in enumerate(rows):
            try:
                numbers = np.array(row[YOLO_BOX:], np.float64)
            except ValueError as error:
                raise DataError(where, f"row {i + 1}: {error}") from error
            width = YOLO_COUNTS[len(row)]
            points = numbers[: width * len(COCO_17)].reshape(-1, width)
            scores = points[:, 2] if width == 3 else points.any(1)
            flat = np.column_stack([points[:, :2], scores]).ravel().tolist()
            found.append(_person(triples(flat, (len(COCO_17),), where, f"row {i + 1}"), COCO_17.names))
        return found

    return [("", people)]


_RESULT = {"image_id": ANYTHING, "keypoints": Optional(NUMBERS)}
_INSTANCE = {"keypoints": LIST, "keypoint_scores": LIST}
_INSTANCES = {"instances": LIST}
_POINT = Optional([NUMBER])
_COLUMNS = {"x": NUMBERS, "y": NUMBERS, "visible": Optional(NUMBERS)}

_BODIES = {"candidate": ([[NUMBER]], EMPTY), "subset": ([[NUMBER]], EMPTY)}
_EDITED = {"width": ANYTHING, "height": ANYTHING, "keypoints": ([_POINT], [Optional([_POINT])])}

FORMATS = (
    Format("OpenPose JSON", {"people": LIST}, _openpose),
    Format("list of OpenPose frames, as ComfyUI saves them", [{"people": LIST}], _openpose_frames),
    Format("one person of OpenPose JSON", {"pose_keypoints_2d": ANYTHING}, _openpose_person),
    Format("COCO JSON", {"images": LIST, "annotations": LIST}, _coco),
    Format("list of MMPose", ([_INSTANCE], [([_INSTANCE], EMPTY)], [_INSTANCES]), _mmpose),
    Format("MMPose JSON", ({"instance_info": LIST}, {"predictions": LIST}), _mmpose),
    Format("results list of COCO or AlphaPose", [_RESULT], _coco_results),
    Format("Ultralytics' JSON", [{"keypoints": _COLUMNS}], _ultralytics),
    Format("one annotation of COCO", {"keypoints": NUMBERS}, _coco_annotation),
    Format("pose of openpose-editor", _EDITED, _editor),
    Format("bodies of DWPose", {"bodies": _BODIES}, _candidates),
    Format("AlphaPose JSON by image", {ANY_KEY: ({"people": LIST}, {"bodies": LIST})}, _openpose_by_image),
)


# Files


def read_poses(path: str | Path, layout: KeypointLayout) -> PoseFile | None:
    """Read a key-point file of any format of :data:`FORMATS`, a label file of YOLO, or an annotation list.

    Args:
        path: the file.
        layout: layout of the key points to return.

    Returns:
        None for a file that has nothing in common with a format.

    Raises:
        DataError: the file is broken, or differs from the format that it resembles the most.
    """
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        data = kept_json(path)
        return _from_json(data, path, layout) if isinstance(data, (dict, list)) else None
    if suffix == ".txt" and (labels := _yolo(read_text(path), path)) is not None:
        return PoseFile([PoseFrame(partial(_figures, people, path, layout), name) for name, people in labels])
    if suffix == ".csv" and split_fields(read_text(path).partition("\n")[0], ":") == ANNOTATION_HEADER:
        status = Path(path).stat()
        return _from_list(str(path), status.st_mtime_ns, status.st_size, layout)
    return None


@lru_cache(maxsize=4)
def _from_list(path: str, _changed: int, _size: int, layout: KeypointLayout) -> PoseFile:
    """Read an annotation list; kept, since callers ask for thousands of its images."""

    def figures(keypoints: Keypoints, min_score: float) -> list[Figure]:
        return [Figure(keypoints, keypoints.present.astype(float))]

    listed = {name: replace(keypoints, listed=True) for name, keypoints in read_annotations(path, layout).items()}
    return PoseFile([PoseFrame(partial(figures, keypoints), name) for name, keypoints in listed.items()])


_kept: list[tuple[Any, KeypointLayout, PoseFile]] = []
"""The last file, by its content: callers ask for thousands of the images of one file."""


def _from_json(data: Any, path: str | Path, layout: KeypointLayout) -> PoseFile | None:
    for content, kept_layout, file in _kept:
        if content is data and kept_layout is layout:
            return file
    compared = [(form, *mismatch(form.shape, data)) for form in FORMATS]
    form, fitting, problem = next((one for one in compared if not one[2]), max(compared, key=lambda one: one[1]))
    if problem:
        if not fitting:
            return None
        raise DataError(
            path, f"is in no format that is read; the closest is {form.name}, but {problem}", f"It holds {kind(data)}."
        )
    frames = _undamaged(path, lambda: form.read(data, path))
    found = [PoseFrame(partial(_figures, people, path, layout), name) for name, people in frames]
    file = in_natural_order(found) if all(frame.name for frame in found) else PoseFile(found)
    _kept[:] = [(data, layout, file)]
    return file


def _undamaged(path: str | Path, read: Callable[[], T]) -> T:
    """Read something; raise DataError for what is damaged."""
    try:
        return read()
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise DataError(path, f"damaged key-point file: {type(error).__name__}: {error}") from error


def _figures(
    people: Callable[[], list[Person]], path: str | Path, layout: KeypointLayout, min_score: float
) -> list[Figure]:
    return [_figure(person, layout, min_score, path) for person in _undamaged(path, people)]


def _figure(person: Person, layout: KeypointLayout, min_score: float, where: str | Path) -> Figure:
    """Convert a person to a layout, without points below the threshold. DataError: see :func:`check_points`."""
    check_points(person.names, layout, where)
    sure = (person.scores > 0) & (person.scores >= min_score)
    as_points = Keypoints(np.stack([person.scores, person.scores], 1), sure)
    scores = select_keypoints(as_points, person.names, layout).points[:, 0]
    known = np.array([name in layout.names for name in person.names])
    low = int((known & (person.scores > 0) & ~sure).sum())
    count = f"{low} of {sum(known)}"
    note = f"points with a score below {min_score:g} are left out, {count}; --min-score sets the threshold"
    keypoints = Keypoints(person.points, sure, frame=person.frame, notes=(note,) if low else ())
    return Figure(select_keypoints(keypoints, person.names, layout), scores)


def openpose_keypoints(data: dict[str, Any], where: str | Path, layout: KeypointLayout = OPENPOSE_18) -> Keypoints:
    """Return the points of the person with the most points in OpenPose's JSON, with any score above 0.

    Raises:
        DataError: nobody in the file; another number of points; what is not a number; no points of that layout.
    """
    found = best_figure([_figure(person, layout, 0, where) for person in openpose_people(data, where)])
    if found is None:
        raise DataError(where, "nobody in the file: 'people' is empty")
    return found
