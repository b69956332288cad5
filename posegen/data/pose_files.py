"""Key-point files: the frames in a file, the figures in a frame, and the choice of one of them.

A file of any format comes from a plugin as a :class:`PoseFile`. posegen's own format, which holds a pose or a clip in
any layout, is read and written here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from ..errors import DataError, UnknownNameError, some_names
from ..files import natural_order, read_json
from .estimators import Figure
from .keypoints import KeypointLayout, Keypoints, get_layout, lacking_points, select_keypoints

MIN_SCORE = 0.3
"""Lowest score of a point that is taken as present, as in MMPose's demos: estimators give every point a place, seen or
not."""
MAX_SIDE = 1 << 16
"""Maximum side, in pixels, of the picture that a file says its points count pixels of."""
LARGEST = 1_000_000
"""Pixels; a coordinate beyond is damage."""
WHICH_IMAGE = (
    "Say which image is meant: `posegen transfer` and `interpolate` take the picture itself as TARGET, and such a list "
    "as --target-keypoints; `tools/infer.py` takes the picture as --target-image."
)
WHICH_FRAME = (
    "Choose one with --target-frame N, or move a picture through all of them: `posegen animate --structures FILE`."
)


@dataclass(frozen=True)
class PoseChoice:
    """Choice of what is taken from a key-point file.

    Args:
        min_score: lowest score of a point that is present. A point with a score of 0 is always missing.
        frame: number of the frame, from 1, of a file of several; None: the file has one, or the picture tells.
        figure: which of several figures: its number, from 1, in the order of the file, or as the estimator found them;
            a place (x, y) in pixels of the picture; None: the largest.
    """

    min_score: float = MIN_SCORE
    frame: int | None = None
    figure: int | tuple[float, float] | None = None


DEFAULT_CHOICE = PoseChoice()


@dataclass(frozen=True)
class PoseFrame:
    """A picture, or a frame of a clip, in a key-point file.

    Args:
        figures: reads the figures, in the layout that was asked for, with points below a score missing. An empty list:
            nobody is in the frame. May raise :class:`posegen.errors.DataError`.
        name: name of the picture; empty if the file does not say it.
    """

    figures: Callable[[float], Sequence[Figure]]
    name: str = ""


@dataclass(frozen=True)
class PoseFile:
    """Content of a key-point file. Frames are read when they are asked for.

    Args:
        frames: in the order of the file if they have no names, else in natural order.
    """

    frames: Sequence[PoseFrame]

    @functools.cached_property
    def by_last_part(self) -> dict[str, list[PoseFrame]]:
        """Frames by the last part of their names."""
        found: dict[str, list[PoseFrame]] = {}
        for frame in self.frames:
            found.setdefault(PurePath(frame.name).name, []).append(frame)
        return found


def in_natural_order(frames: Sequence[PoseFrame]) -> PoseFile:
    """Return a file of frames with names."""
    return PoseFile(sorted(frames, key=lambda frame: natural_order(frame.name)))


# Choices


def choose(file: PoseFile, where: str | Path, image: Path | None, choice: PoseChoice) -> Keypoints:
    """Return the key points of one figure in one frame; all of them may be missing.

    Args:
        file: the file's content.
        where: the file.
        image: the picture, which selects the frame of its name.
        choice: number of the frame, and threshold of scores.

    Raises:
        DataError: no frame or several, or nobody in the frame.
    """
    frame = select(file, where, image, choice)
    found = choose_figure(frame.figures(choice.min_score), choice, where)
    if found is None:
        raise DataError(where, f"nobody in the {'frame' if len(file.frames) > 1 else 'file'}{_called(frame)}")
    return found


def select(file: PoseFile, where: str | Path, image: Path | None, choice: PoseChoice) -> PoseFrame:
    """Return one frame: that of a number, of a picture, or the only one. Arguments and errors: see :func:`choose`."""
    return _frame(file, where, image) if choice.frame is None else _frame_by_number(file, where, choice.frame)


def figures_of_each(file: PoseFile, where: str | Path, choice: PoseChoice) -> list[Sequence[Figure]]:
    """Return the figures in every frame.

    Raises:
        DataError: frames cannot be read; names all of them.
    """
    found: list[Sequence[Figure]] = []
    problems: dict[str, None] = {}
    for frame in file.frames:
        try:
            found.append(frame.figures(choice.min_score))
        except DataError as error:
            problems |= dict.fromkeys(error.problems or [str(error)])
    if problems:
        raise DataError(where, list(problems))
    return found


def choose_figure(figures: Sequence[Figure], choice: PoseChoice, where: str | Path) -> Keypoints | None:
    """Return the key points of the figure that is chosen; None: there is no figure.

    Their ``chosen`` says which of several it is and why, unless its number or place was given.

    Raises:
        DataError: there is no figure of this number.
    """
    if not figures:
        return None
    count, place = len(figures), choice.figure
    if isinstance(place, int):
        if not 1 <= place <= count:
            raise DataError(where, f"has no figure {place}: it shows {count}, from 1")
        return figures[place - 1].keypoints
    if place is not None:
        x, y = place
        return min((figure.keypoints for figure in figures), key=lambda pose: _distance_to((x, y), pose))
    index = max(range(count), key=lambda number: _rank(figures[number]))
    poses = [figure.keypoints for figure in figures]
    others = [f"{k + 1} at {_middle(pose)}" for k, pose in enumerate(poses) if k != index and pose.present.any()]
    places = f" (others: {some_names(others)})" if others else ""
    told = f"figure {index + 1} of {count}, the largest{places}," if count > 1 else ""
    return replace(poses[index], chosen=told)


def _rank(figure: Figure) -> tuple[int, int, float]:
    """Return width and height in whole pixels, then the number of points, then the sum of their scores."""
    present, points = figure.keypoints.present, figure.keypoints.points
    extent = np.ptp(points[present], axis=0).sum() if present.any() else -1
    return round(float(extent)), int(present.sum()), float(figure.scores[present].sum())


def _middle(pose: Keypoints) -> str:
    """Return the middle of the box around a figure as users type it, ``X,Y``."""
    points = pose.points[pose.present]
    digits = 0 if points.max() > 2 else 2  # up to 2: fractions of the picture
    x, y = (points.min(0) + points.max(0)) / 2
    return f"{x:.{digits}f},{y:.{digits}f}"


def _distance_to(place: tuple[float, float], pose: Keypoints) -> tuple[float, float]:
    """Return the distance of a place from the box around a figure, and from its middle."""
    if not pose.present.any():
        return np.inf, np.inf
    low, high = pose.points[pose.present].min(0), pose.points[pose.present].max(0)
    outside = np.maximum(np.maximum(low - place, np.array(place) - high), 0)
    return float(np.linalg.norm(outside)), float(np.linalg.norm((low + high) / 2 - place))


def best_figure(figures: Sequence[Figure]) -> Keypoints | None:
    """Return the key points of the figure with the most points, then with the highest sum of scores; None: no figure.

    Their ``chosen`` says which of several it is.
    """
    if not figures:
        return None

    def rank(index: int) -> tuple[int, float]:
        present = figures[index].keypoints.present
        return int(present.sum()), float(figures[index].scores[present].sum())

    if len(figures) == 1:
        return figures[0].keypoints
    best = max(range(len(figures)), key=rank)
    return replace(figures[best].keypoints, chosen=f"figure {best + 1} of {len(figures)}")


def _frame_by_number(file: PoseFile, where: str | Path, number: int) -> PoseFrame:
    if not 1 <= number <= len(file.frames):
        raise DataError(where, f"has no frame {number}: it holds {len(file.frames)}, from 1")
    return file.frames[number - 1]


def _frame(file: PoseFile, where: str | Path, image: Path | None) -> PoseFrame:
    """Return the only frame, or the one of the picture's name."""
    frames = file.frames
    named = [frame for frame in frames if frame.name]
    if len(frames) == 1 and (image is None or not named):
        return frames[0]
    if not frames:
        raise DataError(where, "nobody in the file: it is empty")
    if not named:
        raise DataError(where, f"holds {len(frames)} frames", WHICH_FRAME)
    if image is None:
        held = [frame.name for frame in frames]
        raise DataError(where, f"holds the points of {len(held)} images: {some_names(held)}", WHICH_IMAGE)
    called = file.by_last_part.get(image.name) or file.by_last_part.get(_number_in(image), [])
    found = called
    if len(found) > 1:  # frames of videos are called alike: their folders tell
        found = [frame for frame in found if image.as_posix().endswith(f"/{frame.name}")]
    if len(found) != 1:
        problem = f"holds the points of {len(called) or 'no'} images called {image.name!r}"
        names = [frame.name for frame in called]
        others = f": {some_names(names)}" if called else f", but of {some_names(list(file.by_last_part))}"
        raise DataError(where, problem + others)
    return found[0]


def _number_in(image: Path) -> str:
    """Return the number by which COCO's results name an image: ``000000000785.jpg`` is 785; empty: no number."""
    digits = image.stem.rpartition("_")[2]  # COCO_val2014_000000000785
    return str(int(digits)) if digits.isdecimal() else ""


def _called(frame: PoseFrame) -> str:
    return f" {frame.name!r}" if frame.name else ""


# Content


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number in the range of pixels. NaN compares as False."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < LARGEST


def is_missing(value: Any) -> bool:
    """Return whether a value stands for a number that is not known: null, or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def frame_size(width: Any, height: Any, where: str | Path) -> tuple[int, int] | None:
    """Return the (H, W) of the picture whose pixels a file's points count; None if it is not given.

    1×1 is no size of a picture: the points of such a file are fractions of one.

    Raises:
        DataError: not a size.
    """
    if width is None and height is None:
        return None
    sides = (height, width)
    if not all(is_number(side) and side == int(side) and 0 < side <= MAX_SIDE for side in sides):
        given = f"{shortened(width)} wide and {shortened(height)} high"
        raise DataError(where, f"the picture is {given}; give whole pixels, at most {MAX_SIDE:,}, or neither")
    return None if sides == (1, 1) else (int(height), int(width))


def shortened(value: Any) -> str:
    """Return the beginning of a value as text, for errors."""
    return repr(value)[:40]


def kept_json(path: str | Path) -> Any:
    """Read a JSON file; the last two are kept, since callers ask for thousands of images in one file.

    The content must not be changed. Errors: see :func:`posegen.files.read_json`.
    """
    if not Path(path).is_file():
        return read_json(path)  # raises
    status = Path(path).stat()
    return _kept_json(str(path), status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=2)
def _kept_json(path: str, _changed: int, _size: int) -> Any:
    return read_json(path)


def are_fractions(keypoints: Keypoints) -> bool:
    """Return whether coordinates are fractions of the picture: most points lie in [0, 1], and none but single ones far
    outside."""
    points = keypoints.points[keypoints.present]
    return len(points) > 2 and float(np.median(np.abs(points).max(axis=1))) <= 1


def in_pixels(keypoints: Keypoints, size: tuple[int, int]) -> Keypoints:
    """Multiply fractions of a picture by its size (H, W); return other points unchanged."""
    if keypoints.listed or not are_fractions(keypoints):
        return keypoints
    note = "coordinates are fractions of the picture, 0 to 1, and are multiplied by its size"
    scaled = keypoints.points * np.array([size[1], size[0]], np.float32)
    return replace(keypoints, points=scaled, frame=size, notes=(*keypoints.notes, note))


# posegen's own format


def is_own(content: Any) -> bool:
    """Return whether JSON content is a pose, or a clip, as :func:`own_content` returns it."""
    return isinstance(content, dict) and "layout" in content and ("points" in content or "frames" in content)


def read_own(content: dict[str, Any], where: str | Path, layout: KeypointLayout) -> PoseFile:
    """Read posegen's own format; points of another layout are converted.

    Raises:
        DataError: points of a layout without a counterpart of some points, no size of the picture, or no poses.
    """
    try:
        own = layout if content["layout"] == layout.name else get_layout(str(content["layout"]))
    except UnknownNameError as error:
        raise DataError(where, f"has points of layout {content['layout']!r}: {error}") from error
    if lacking := lacking_points(own.names, layout):
        raise DataError(
            where,
            f"has points of layout {own.name!r}, this model takes {layout.name!r}: no counterpart of "
            f"{some_names(lacking)}",
        )
    size = frame_size(content.get("width"), content.get("height"), where)
    if size is None:
        raise DataError(where, "has no 'width' and 'height' of the picture whose pixels the points count")
    frames = content["frames"] if "frames" in content else [content["points"]]
    if not isinstance(frames, list) or not frames:
        raise DataError(where, "'frames' must be a list of poses")
    single = len(frames) == 1
    names = ["points" if single else f"frame {number}" for number in range(1, len(frames) + 1)]
    return PoseFile(
        [
            PoseFrame(functools.partial(_own_figures, rows, (own, layout), size, where, name))
            for name, rows in zip(names, frames, strict=True)
        ]
    )


def _own_figures(
    rows: Any,
    layouts: tuple[KeypointLayout, KeypointLayout],
    size: tuple[int, int],
    where: str | Path,
    name: str,
    min_score: float,
) -> list[Figure]:
    own, layout = layouts
    numbers = isinstance(rows, list) and all(isinstance(row, list) and len(row) in (2, 3) for row in rows)
    known = numbers and all(is_number(value) or is_missing(value) for row in rows for value in row)
    if not known or len(rows) != len(own):
        raise DataError(where, f"{name}: needs {len(own)} points, each x and y, or x, y and 1 (0: missing)")
    values = np.array([[*row, 1.0][:3] for row in rows], np.float64)  # None becomes NaN
    values[np.isnan(values).any(axis=1)] = 0
    present = (values[:, 2] > 0) & (values[:, 2] >= min_score)
    keypoints = select_keypoints(Keypoints(values[:, :2], present, frame=size), own.names, layout)
    return [Figure(keypoints, keypoints.present.astype(float))]


def own_content(poses: Sequence[Keypoints], layout: KeypointLayout, size: tuple[int, int]) -> dict[str, Any]:
    """Return the content of a JSON file of poses in pixels of a picture of that size (H, W)."""
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
