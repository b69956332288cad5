"""Pictures with their key points, as a user gives them: read and checked before any work."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np
from PIL import Image
from torch import Tensor

from .. import plugin_access
from ..data import KeypointLayout, Keypoints, StructureEncoder
from ..data.estimators import Figure, load_estimator, load_segmenter
from ..data.images import WHITE, Background, Photograph, read_image, read_photograph, read_size
from ..data.keypoints import shown
from ..data.pose_files import (
    DEFAULT_CHOICE,
    PoseChoice,
    PoseFile,
    PoseFrame,
    best_figure,
    choose,
    choose_figure,
    figures_of_each,
    in_pixels,
    is_own,
    kept_json,
    read_own,
    select,
)
from ..errors import ConfigError, DataError, InputError, MissingWeightsError, PosegenError
from .contents import describe_content
from .cutout import FILL, Cutout

CORNER = 2.0
"""Pixels from the upper-left corner. Key points that all lie there are fractions of the picture, not pixels."""
INSTEAD = (
    "To give key points instead of estimating them, use --source-keypoints FILE and --target-keypoints FILE (one list "
    "of many pictures is enough; of animate: --reference-structure FILE), or put a file beside each picture: NAME.json "
    "or NAME_keypoints.json beside NAME.jpg. "
    "Supported formats: docs/formats.md."
)

Picture = str | Path | Image.Image | np.ndarray
"""A path, a PIL image, or an array, uint8 H W 3, RGB."""
Structure = Any
"""A path of a key-point file, points K 2 or K 3 (x, y, score; 0 is missing), :class:`posegen.data.Keypoints`, a ready
structure (tensor S H W), or anything else that the config's encoder encodes, for example a view."""
T = TypeVar("T")
_NUMBERS = re.compile(r" \(others: .*?\)|[0-9.]+")


@dataclass(frozen=True)
class PoseInput:
    """A picture with its key points.

    Args:
        picture: the picture; None for a target of which only the key points are known.
        structure: its key points or other structure; None: an estimator has to find them in the picture.
        name: name in file names and messages.
        background: shown where the picture is transparent.
        choice: what is taken from a key-point file.
        cutout: background of an opaque picture; None: its own.
        is_beside: whether *structure* is a file that was found beside the picture, and not given by the user: one that
            no plugin reads is passed over, with a warning.
        is_estimated: whether *structure* was found in the picture by an estimator.
    """

    picture: Picture | None = None
    structure: Structure = None
    name: str = ""
    background: Background = WHITE
    choice: PoseChoice = DEFAULT_CHOICE
    cutout: Cutout | None = None
    is_beside: bool = field(default=False, compare=False)
    is_estimated: bool = field(default=False, compare=False)

    def read_photograph(self) -> Photograph:
        """Return the picture as it is seen, but as it is stored if a data set's list counts its pixels.

        Raises:
            DataError: the file cannot be read.
            InputError: see :func:`as_array`.
        """
        assert self.picture is not None
        if is_path(self.picture) and isinstance(self.structure, Keypoints) and self.structure.listed:
            return Photograph(read_image(self.picture))
        if is_path(self.picture) or isinstance(self.picture, Image.Image):
            return read_photograph(self.picture, self.background)
        return Photograph(as_array(self.picture))

    def read_picture(self) -> np.ndarray:
        """Return the picture of :meth:`read_photograph`, uint8 H W 3."""
        return self.read_photograph().image


# Key-point files


def read_keypoints(
    path: Path, layout: KeypointLayout, image: Path | None = None, choice: PoseChoice = DEFAULT_CHOICE
) -> Keypoints:
    """Read the key points of one picture from a file of posegen's own format, or of any that a plugin reads.

    Args:
        path: the file.
        layout: layout of the key points to return.
        image: the picture, which selects the entry in a list of many; None: the file must hold one frame.
        choice: number of the frame, and threshold of scores.

    Raises:
        DataError: the file is missing, broken, of no known format or without any key point, or it is a list of many
            pictures and neither *image* nor the choice tells which is meant.
    """
    found = read_keypoint_file(path, layout, image, choice)
    if not found.present.any():
        raise DataError(path, "; ".join(["every key point is missing", *found.notes]))
    return found


def read_keypoint_file(
    path: Path, layout: KeypointLayout, image: Path | None, choice: PoseChoice = DEFAULT_CHOICE
) -> Keypoints:
    """Read key points like :func:`read_keypoints`; all of them may be missing."""
    found = choose(_read_file(path, layout, image), path, image, choice)
    return found if found.frame is None else in_pixels(found, found.frame)


def read_figures(
    path: Path, layout: KeypointLayout, image: Path | None = None, choice: PoseChoice = DEFAULT_CHOICE
) -> list[Keypoints]:
    """Read the key points of all figures in one picture; empty: nobody. Arguments, errors: :func:`read_keypoints`."""
    return _present(select(_read_file(path, layout, image), path, image, choice).figures(choice.min_score))


def read_clip_figures(path: Path, layout: KeypointLayout, choice: PoseChoice = DEFAULT_CHOICE) -> list[list[Keypoints]]:
    """Read the key points of all figures in each frame of a file.

    Raises:
        DataError: the file is missing, broken, or of no known format.
    """
    return [_present(figures) for figures in figures_of_each(_read_file(path, layout, None), path, choice)]


def read_clip(path: Path, layout: KeypointLayout, choice: PoseChoice = DEFAULT_CHOICE) -> list[Keypoints]:
    """Read the key points of one figure in each frame of a file; all points are missing where nobody is in it.

    Raises:
        DataError: the file is missing, broken, or of no known format.
    """
    nobody = Keypoints(np.zeros((len(layout), 2)), np.zeros(len(layout)))
    best = [best_figure(figures) for figures in figures_of_each(_read_file(path, layout, None), path, choice)]
    found = [replace(nobody) if one is None else one for one in best]
    return [one if one.frame is None else in_pixels(one, one.frame) for one in found]


def _present(figures: Sequence[Figure]) -> list[Keypoints]:
    found = [figure.keypoints for figure in figures if figure.keypoints.present.any()]
    return [one if one.frame is None else in_pixels(one, one.frame) for one in found]


def _read_file(path: Path, layout: KeypointLayout, image: Path | None) -> PoseFile:
    found = _read_known(path, layout, image)
    if found is None:
        raise DataError(
            path,
            f"no plugin reads {layout.name} key points from this file, {describe_content(path)}",
            hint="docs/formats.md lists the supported formats with an example file; `posegen plugins` lists the "
            "plugins.",
        )
    return found


def _read_known(path: Path, layout: KeypointLayout, image: Path | None) -> PoseFile | None:
    """Read a file; None: no plugin reads it."""
    if not path.is_file():
        raise DataError(path, "no such file")
    if path.suffix.lower() == ".json" and is_own(content := kept_json(path)):
        return read_own(content, path, layout)
    found = plugin_access.first("posegen_read_keypoints", path=path, layout=layout, image=image)
    if found is None or isinstance(found, PoseFile):
        return found
    figure = Figure(found, found.present.astype(float))
    return PoseFile([PoseFrame(lambda min_score: [figure])])


def without_unknown_file(given: PoseInput, layout: KeypointLayout | None) -> PoseInput:
    """Return an input without a file beside its picture that no plugin reads: a caption, or a note of a camera.

    Raises:
        DataError: the file is broken.

    Warns:
        UserWarning: the file is passed over.
    """
    path = given.structure
    if layout is None or not given.is_beside or _read_known(path, layout, Path(str(given.picture))) is not None:
        return given
    warnings.warn(
        f"{path} holds no {layout.name} key points that a plugin reads ({describe_content(path)}), so they are "
        "estimated in the picture beside it",
        stacklevel=2,
    )
    return replace(given, structure=None)


# Values in memory


def as_array(picture: Picture, background: Background = WHITE) -> np.ndarray:
    """Return a picture as uint8 H W 3, RGB; see :func:`posegen.data.images.read_photograph`.

    Raises:
        DataError: the file cannot be read.
        InputError: not a path, an image or such an array.
    """
    if is_path(picture) or isinstance(picture, Image.Image):
        return read_photograph(picture, background).image
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        return picture
    given = f"{picture.dtype}, {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise InputError(f"a picture is a path, a PIL image, or an array uint8 H W 3; got {given}")


def as_keypoints(points: Any, layout: KeypointLayout, subject: int | None = None) -> Keypoints:
    """Return key points from numbers: K 2 (x, y), or K 3 (x, y, score; a point with a score of 0 or less is missing).

    Args:
        points: the numbers; points that are not finite are missing. N K 2 or N K 3 for several figures.
        layout: layout of the key points.
        subject: index of the figure to use if there are several.

    Raises:
        InputError: another shape, or several figures and no *subject*.
    """
    try:
        values = np.asarray(points, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"key points are numbers, K 2 or K 3; got {type(points).__name__}: {error}") from error
    if values.ndim == 3:
        if subject is None and len(values) != 1:
            raise InputError(f"key points of {len(values)} figures: choose one, subject=0…{len(values) - 1}")
        if not 0 <= (subject or 0) < len(values):
            raise InputError(f"subject={subject} is out of range: there are key points of {len(values)} figures")
        values = values[subject or 0]
    if values.ndim != 2 or len(values) != len(layout) or values.shape[1] not in (2, 3):
        raise InputError(f"key points of {layout.name} are {len(layout)}×2 or {len(layout)}×3, got {values.shape}")
    present = np.isfinite(values).all(axis=1) & np.asarray((values[:, 2:] > 0).all(axis=1))
    if not present.any():
        raise InputError("every key point is missing")
    return Keypoints(np.where(present[:, None], values[:, :2], 0), present)


def as_structure(given: PoseInput, encoder: StructureEncoder, subject: int | None = None) -> Any:
    """Return the structure of an input as its encoder takes it: files are read, numbers become key points.

    Raises:
        DataError: the file cannot be read.
        ConfigError: a file was given, and the encoder does not encode key points.
        InputError: see :func:`as_keypoints`.
    """
    layout, structure = encoder.layout, given.structure
    if isinstance(structure, (Keypoints, Tensor)):
        return structure
    if is_path(structure):
        if layout is None:
            raise ConfigError(
                f"{structure} is a file, and {type(encoder).__name__} does not encode key points: give the argument of "
                "its method encode"
            )
        image = Path(given.picture) if is_path(given.picture) else None
        return read_keypoints(Path(structure), layout, image, given.choice)
    return structure if layout is None else as_keypoints(structure, layout, subject)


def in_picture(given: PoseInput) -> PoseInput:
    """Return an input whose key points, if it has any, count pixels of its picture, if it has one.

    Raises:
        DataError: the picture cannot be read.
        InputError: the key points' frame has other proportions.
    """
    points, picture = given.structure, given.picture
    if picture is None or not isinstance(points, Keypoints) or points.listed:
        return given
    try:
        size = picture.shape[:2] if isinstance(picture, np.ndarray) else read_size(picture)
    except (OSError, ValueError, SyntaxError):
        size = given.read_picture().shape[:2]  # which says what is wrong
    size = (size[0], size[1])
    return replace(given, structure=replace(points.within(size), frame=size))


def is_path(value: Any) -> TypeGuard[str | Path]:
    """Return whether a value is a path."""
    return isinstance(value, (str, Path))


# Many at once


def cut_out_opaque(
    sources: Sequence[PoseInput], layout: KeypointLayout | None, estimator: str | None = None, fills: bool = False
) -> list[PoseInput]:
    """Return sources of which those that are opaque get their ``background`` by a cutout of the figure.

    Args:
        sources: pictures with key points, read, and their backgrounds.
        layout: layout of the key points; None: the model's structures are of another kind.
        estimator: name of the estimator whose masks are used; None: the default one, or the only one there is.
        fills: the background is the picture's own, filled where the figure stood.

    Raises:
        DataError: a picture cannot be read.
        InputError: an opaque picture has no key points, or a transparent one is to be filled.
        ConfigError, MissingWeightsError: see :func:`posegen.data.estimators.load_segmenter`.
    """
    opaque = [one.read_photograph().alpha is None for one in sources]
    if fills and not all(opaque):
        name = sources[opaque.index(False)].name
        raise InputError(f"{name}: background {FILL!r} fills the place of a figure in an opaque photograph, and this "
                         "one has transparent parts; give a color or an image")  # fmt: skip
    if not any(opaque):
        return list(sources)
    needed = "another background: the figure has to be cut out of an opaque photograph"
    posed = all(isinstance(one.structure, Keypoints) for one, cut in zip(sources, opaque, strict=True) if cut)
    if layout is None or not posed:
        raise InputError(f"{needed}, which requires key points of the source")
    try:
        segment = load_segmenter(layout, estimator)
    except PosegenError as error:
        raise type(error)(f"{needed}: {error}") from error

    return [
        replace(one, cutout=Cutout(one.background, segment, fills, layout.parts)) if is_opaque else one
        for one, is_opaque in zip(sources, opaque, strict=True)
    ]


def read_inputs(
    sources: Sequence[PoseInput],
    targets: Sequence[PoseInput],
    encoder: StructureEncoder,
    estimator: str | None = None,
) -> tuple[list[PoseInput], list[PoseInput]]:
    """Read the key points of pictures and check that they fit, before any work.

    Every picture is decoded once. Key points beside a picture then count its pixels and know its size (``frame``),
    unless they come from a data set's own list. Those of a target without a picture count pixels of the sources, unless
    their file says the size of their picture; if they are fractions of one, 0 to 1, of the first source.

    Args:
        sources: pictures and key-point files; key points that are missing are estimated.
        targets: the same; either may be missing.
        encoder: structure encoder of the model.
        estimator: name of the estimator; None: the default one, or the only one there is.

    Returns:
        Sources and targets with :class:`posegen.data.Keypoints`.

    Raises:
        DataError: files are missing or broken, key points do not fit their picture, or no figure is found in a
            picture; names all of them.
        ConfigError: no estimator finds such key points, or there are several without a default and none is named.
        MissingWeightsError: the estimator lacks its library or weights.

    Warns:
        UserWarning: a picture or a file has several figures, a file was read under an assumption, or a file beside a
            picture is passed over.
    """
    inputs = read_each([*sources, *targets], lambda one: without_unknown_file(one, encoder.layout))
    to_estimate = [one for one in inputs if one.structure is None]
    estimate = _load_estimator(to_estimate, encoder.layout, estimator) if to_estimate else None

    def read(one: PoseInput) -> PoseInput:
        image = None if one.picture is None else one.read_picture()
        if one.structure is None:
            assert estimate is not None
            assert image is not None
            points = _chosen(estimate(image), one)
        else:
            points = as_structure(one, encoder)
        try:
            structure = points if image is None else _in_picture(points, image)
            return replace(one, structure=structure, is_estimated=one.structure is None)
        except InputError as error:
            raise DataError(_files(one), str(error)) from error

    found = read_each(inputs, read, "pictures and key points", INSTEAD if to_estimate else "")
    found_sources = found[: len(sources)]
    sizes = {one.structure.frame for one in found_sources} - {None}
    first = next((one.structure.frame for one in found_sources if one.structure.frame), None)
    found_targets = [_in_pixels_of_a_source(one, first) for one in found[len(sources) :]]
    warn_of_choices(inputs, [*found_sources, *found_targets])
    _check_targets(targets, [one.structure for one in found_targets], sizes)
    return found_sources, found_targets


def _in_pixels_of_a_source(target: PoseInput, size: tuple[int, int] | None) -> PoseInput:
    """Return a target whose key points, if they are fractions of an unknown picture, count pixels of *size* (H, W)."""
    points: Keypoints = target.structure
    if size is None or points.frame is not None:
        return target
    found = in_pixels(points, size)
    if found is points:
        return target
    note = "coordinates are fractions, 0 to 1, of a picture of unknown size, and are multiplied by that of the source"
    return replace(target, structure=replace(found, notes=(*points.notes, note)))


def read_each(
    inputs: Iterable[PoseInput], read: Callable[[PoseInput], T], where: str = "key points", hint: str = ""
) -> list[T]:
    """Apply *read* to each input, and raise one DataError with the problems of all."""
    found, problems, hints = [], [], [hint]
    for one in inputs:
        try:
            found.append(read(one))
        except DataError as error:
            problems += [f"{error.where}: {problem}" for problem in error.problems] or [str(error)]
            hints.append(error.hint)
    if problems:
        raise DataError(where, list(dict.fromkeys(problems)), "\n".join(hint for hint in dict.fromkeys(hints) if hint))
    return found


def _check_targets(
    targets: Sequence[PoseInput], found: Sequence[Keypoints], sizes: set[tuple[int, int] | None]
) -> None:
    """Raise DataError if all points of a target lie outside of its frame; without one, of any source."""
    problems = []
    for target, keypoints in zip(targets, found, strict=True):
        if keypoints.listed:
            continue
        where = "" if keypoints.frame else ", in pixels of the source"
        sizes_to_check = {keypoints.frame} if keypoints.frame else sizes
        for size in sizes_to_check:
            assert size is not None
            try:
                check_points(keypoints, size)
            except InputError as error:
                problems.append(f"{_files(target)}{where}: {error}")
    if problems:
        raise DataError("targets", problems, "docs/transfer.md says which picture's pixels key points count.")


def _files(one: PoseInput) -> str:
    return ", in ".join(str(file) for file in (one.structure, one.picture) if is_path(file)) or one.name


def check_points(keypoints: Keypoints, size: tuple[int, int]) -> str:
    """Return a warning about key points that lie outside of a picture of *size* (H, W); empty if all lie inside.

    Raises:
        InputError: all of them lie outside or in the upper-left corner, or their frame has other proportions.
    """
    count = int(keypoints.present.sum())
    if count > 2 and np.abs(keypoints.points[keypoints.present]).max() < CORNER:
        own = shown(keypoints.frame or size)
        raise InputError(
            f"all {count} key points lie within {CORNER:g} pixels of the upper left corner; they must count pixels: "
            f"if they are fractions of the picture, 0 to 1, multiply x by its width and y by its height ({own})"
        )
    keypoints = keypoints.within(size)
    places = keypoints.points[keypoints.present]
    outside, exchanged = _count_outside(places, size), _count_outside(places[:, ::-1], size)
    if not outside:
        return ""
    question = "do they count pixels of it?" + (" Are x and y exchanged?" if exchanged < outside else "")
    odd = f"{outside} of {count} key points lie outside of the picture, which has {shown(size)} pixels; {question}"
    if outside == count:
        raise InputError(odd)
    return odd


def _count_outside(places: np.ndarray, size: tuple[int, int]) -> int:
    return int(((places < -0.5) | (places > np.array([size[1], size[0]]) - 0.5)).any(1).sum())


def _in_picture(points: Keypoints, image: np.ndarray) -> Keypoints:
    if points.listed:
        return points
    size = (image.shape[0], image.shape[1])
    if points.frame is None:
        points = in_pixels(points, size)
    check_points(points, size)
    return replace(points.within(size), frame=size)


def warn_of_choices(inputs: Sequence[PoseInput], found: Sequence[PoseInput]) -> None:
    """Warn once of each kind of choice and assumption, however many files it concerns."""
    told: dict[str, list[str]] = {}
    for one, read in zip(inputs, found, strict=True):
        points: Keypoints = read.structure
        taken = "is taken; another one can be chosen by its number or place (--source-figure, --target-figure, …)"
        chosen = (f"{points.chosen} {taken}",) if points.chosen else ()
        for note in (*chosen, *points.notes):
            where = one.structure if is_path(one.structure) else one.name or "key points"
            told.setdefault(_NUMBERS.sub("", note), []).append(f"{where}: {note}")
    for notes in told.values():
        more = f" (and in {len(notes) - 1} other files)" if len(notes) > 1 else ""
        warnings.warn(f"{notes[0]}{more}", stacklevel=3)


def _load_estimator(
    inputs: Sequence[PoseInput], layout: KeypointLayout, name: str | None
) -> Callable[[np.ndarray], list[Figure]]:
    others = f" (and {len(inputs) - 1} other pictures)" if len(inputs) > 1 else ""
    try:
        return load_estimator(layout, name)
    except (ConfigError, MissingWeightsError) as error:
        raise type(error)(f"{inputs[0].picture}{others} has no key-point file: {error}\n{INSTEAD}") from error


def _chosen(figures: Sequence[Figure], one: PoseInput) -> Keypoints:
    found = choose_figure(figures, one.choice, str(one.picture))
    if found is None:
        raise DataError(str(one.picture), "the estimator found no figure, or no point that it is sure of")
    return found
