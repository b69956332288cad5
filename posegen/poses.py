"""Pictures and key points as people have them: files, what stands beside files, and what an estimator finds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import catalogue
from .data import Keypoints, StructureEncoder, get_layout
from .data.images import IMAGE_ENDINGS, MOST_BYTES, read_image
from .errors import ConfigError, DataError, InputError, MissingWeightsError, PosegenError, nearest
from .files import link_out, natural_order, read_bytes
from .inference import oddity_of, read_keypoints

BESIDE = "_keypoints"
"""OpenPose writes the points of ``NAME.jpg`` to ``NAME_keypoints.json``."""
INSTEAD = (
    "Without an estimator, give the key points: --source-keypoints FILE, --target-keypoints FILE (a list of many "
    "pictures will do), or a file beside each picture, NAME.json or NAME_keypoints.json beside NAME.jpg. "
    "docs/formats.md says which formats are read."
)
CLIP_ENDINGS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif")
"""Endings of files that hold no key points, whatever they are called."""
OURS = b'xmp:CreatorTool="posegen '
"""What stands, as it is, in every picture that :func:`posegen.data.generated.write_generated` writes."""


@dataclass(frozen=True)
class Figure:
    """One figure that an estimator found in an image.

    Args:
        keypoints: in pixels of the image; a point that the estimator does not trust is missing.
        scores: K, how sure it is of each point; higher is surer.
    """

    keypoints: Keypoints
    scores: np.ndarray


Estimate = Callable[[np.ndarray], Sequence[Figure]]
"""Finds the figures in an image uint8 H W 3, RGB; none: an empty sequence."""


@dataclass(frozen=True)
class StructureEstimator:
    """What finds key points in images.

    Args:
        name: how the command line calls it.
        layout: name of the layout of the points it gives.
        load: makes it ready. Called only where it is needed; it raises
            :class:`posegen.errors.MissingWeightsError`, which says how to get it, where a library or weights are not
            there, and downloads nothing.
    """

    name: str
    layout: str
    load: Callable[[], Estimate]


@dataclass(frozen=True)
class Subject:
    """A source or target: its name, its picture, the file of its key points. None: it has none; one it always has."""

    name: str
    picture: Path | None
    keypoints: Path | None


# What there is


def source_subjects(path: Path, keypoints: Path | None, option: str = "--source-keypoints") -> list[Subject]:
    """The picture at *path*, or the pictures of a folder in natural order, with the files of their key points.

    Args:
        path: a picture or a folder.
        keypoints: a file with the points of them; None: what stands beside each picture.
        option: by which the user gives that file.

    Raises:
        DataError: no such file or folder, no picture, or several files of key points beside one.
    """
    if not path.exists():
        raise DataError(path, "no such file or folder")
    pictures = [file for file in _files(path) if _is_picture(file)]
    if not pictures:
        raise DataError(path, f"{'holds no picture' if path.is_dir() else 'is no picture'}: {', '.join(IMAGE_ENDINGS)}")
    return _all_at_once(path, pictures, lambda picture: _of_picture(picture, keypoints, option))


def target_subjects(path: Path, keypoints: Path | None) -> list[Subject]:
    """The target at *path*: a file of key points, a picture, or a folder of them.

    A file of key points and a picture of its name beside it are one target, unless the picture is a result of ours.

    Args:
        path: a file of key points, a picture, or a folder.
        keypoints: a file with the points of the pictures; None: what stands beside each picture.

    Raises:
        DataError: as of :func:`source_subjects`; a file of key points was given for another one.

    Warns:
        UserWarning: the picture beside a file of key points was made by posegen.
    """
    option = "--target-keypoints"
    if not path.exists():
        raise DataError(path, "no such file or folder")
    files = _files(path)
    if not files:
        raise DataError(path, "holds no files", "It should hold pictures, or files of key points.")
    if keypoints is not None:
        files = [file for file in files if _is_picture(file)]
        if not files:
            raise DataError(path, f"is no picture whose key points {keypoints} could be; give one of the two")
    pictures = {_stem(file) for file in files if _is_picture(file)}
    kept = [file for file in files if _is_picture(file) or _stem(file) not in pictures]
    return _all_at_once(
        path, kept, lambda file: _of_picture(file, keypoints, option) if _is_picture(file) else _of_keypoints(file)
    )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted((file for file in path.iterdir() if file.is_file() and file.name[0] != "."), key=natural_order)
    outside = [f"{file.name}: {problem}" for file in files if (problem := link_out(file, path))]
    if outside:
        raise DataError(path, outside)
    return files


def _all_at_once(path: Path, files: Sequence[Path], make: Callable[[Path], Subject]) -> list[Subject]:
    found, problems = [], []
    for file in files:
        try:
            found.append(make(file))
        except ValueError as error:
            problems.append(str(error))
    names = [subject.name for subject in found]
    problems += [f"several are called {name!r}" for name in dict.fromkeys(names) if names.count(name) > 1]
    if problems:
        raise DataError(path, problems)
    return found


def _of_picture(picture: Path, keypoints: Path | None, option: str) -> Subject:
    """ValueError: several files of key points are beside it."""
    if keypoints is None:
        others = [file for file in _beside(picture) if not _is_picture(file) and file.suffix not in CLIP_ENDINGS]
        in_json = [file for file in others if file.suffix == ".json"]
        keypoints = _only(picture, in_json or others, f"Say so with {option}.")
    return Subject(picture.stem, picture, keypoints)


def _of_keypoints(file: Path) -> Subject:
    """ValueError: several pictures are beside it."""
    pictures = [picture for picture in _beside(file) if _is_picture(picture)]
    ours = [picture for picture in pictures if OURS in read_bytes(picture, MOST_BYTES)]
    for picture in ours:
        warnings.warn(
            f"{picture} is a result of posegen, and not taken for the picture whose pixels the points of {file.name} "
            "count; where it is, give it as the target",
            stacklevel=2,
        )
    others = [picture for picture in pictures if picture not in ours]
    return Subject(_stem(file), _only(file, others, "Give it as the target."), file)


def _beside(path: Path) -> list[Path]:
    """The other files of the same name, with or without :data:`BESIDE`."""
    names = (_stem(path), f"{_stem(path)}{BESIDE}")
    others = sorted(file for file in path.parent.glob(f"{_escaped(_stem(path))}*") if file.stem in names)
    return [file for file in others if file != path and file.is_file()]


def _only(path: Path, found: Sequence[Path], remedy: str) -> Path | None:
    if len(found) > 1:
        raise ValueError(f"{path.name}: which one belongs to it, {' or '.join(one.name for one in found)}? {remedy}")
    return found[0] if found else None


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _stem(file: Path) -> str:
    return file.stem if _is_picture(file) else file.stem.removesuffix(BESIDE)


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_ENDINGS


# Their key points


def read_poses(subjects: Sequence[Subject], encoder: StructureEncoder, estimator: str | None = None) -> list[Keypoints]:
    """The key points of subjects: read from their files, else estimated in their pictures.

    Every picture is decoded once, so that one that is broken, or not that of its points, is told of before any work.
    Points with a picture then count pixels of it, and know so (``frame``), unless they are of a data set's list.

    Args:
        subjects: of :func:`source_subjects` and :func:`target_subjects`.
        encoder: whose layout the points are wanted in.
        estimator: the name of the one that looks at pictures without a file; None: the one there is.

    Raises:
        DataError: files are missing or broken, or nothing is found in a picture; tells of all at once.
        ConfigError: no estimator gives such points, or several do and none is named.
        MissingWeightsError: the estimator lacks its library or weights; says what can be given instead.

    Warns:
        UserWarning: several figures are in a picture, or in a file.
    """
    to_estimate = [one for one in subjects if one.keypoints is None]
    estimate = _load_estimator(to_estimate, encoder, estimator) if to_estimate else None
    found, problems, hints = [], [], [INSTEAD] if to_estimate else []
    for one in subjects:
        try:
            image = None if one.picture is None else read_image(one.picture)
            if one.keypoints is not None:
                points = read_keypoints(one.keypoints, encoder, one.picture)
            elif estimate is not None and image is not None:
                points = _largest(estimate(image), one.picture)
            found.append(points if image is None else _in_picture(points, (image.shape[0], image.shape[1])))
        except DataError as error:
            problems += [f"{error.where}: {problem}" for problem in error.problems] or [str(error)]
            hints.append(error.hint)
        except InputError as error:
            problems.append(f"{_named(one)}: {error}")
    if problems:
        hint = "\n".join(hint for hint in dict.fromkeys(hints) if hint)
        raise DataError("pictures and key points", list(dict.fromkeys(problems)), hint)
    _tell_of_several(subjects, found)
    return found


def check_in_sources(targets: Sequence[Subject], poses: Sequence[Keypoints], sources: Sequence[Keypoints]) -> None:
    """Refuse targets whose points lie out of their own frame, or, where they know none, out of the sources.

    Args:
        targets, poses: of :func:`read_poses`, in pixels of the sources where they know no frame.
        sources: of :func:`read_poses`.

    Raises:
        DataError: names all of them.
    """
    frames = {source.frame for source in sources if source.frame is not None}
    problems = []
    for one, pose in zip(targets, poses, strict=True):
        where = "" if pose.frame else ", in pixels of the source"
        for frame in () if pose.listed else {pose.frame} if pose.frame else frames:
            try:
                oddity_of(pose, frame)
            except InputError as error:
                problems.append(f"{_named(one)}{where}: {error}")
    if problems:
        raise DataError("the targets", problems, "docs/transfer.md says which picture's pixels key points count.")


def _in_picture(points: Keypoints, size: tuple[int, int]) -> Keypoints:
    if points.listed:
        return points
    oddity_of(points, size)
    return replace(points.within(size), frame=size)


def _named(subject: Subject) -> str:
    file, picture = subject.keypoints, subject.picture
    return f"{file}, in {picture}" if file and picture else str(file or picture)


def _tell_of_several(subjects: Sequence[Subject], found: Sequence[Keypoints]) -> None:
    told = [f"{one.keypoints}: {points.chosen}" for one, points in zip(subjects, found, strict=True) if points.chosen]
    if told:
        more = f" (and in {len(told) - 1} other files)" if len(told) > 1 else ""
        warnings.warn(f"{told[0]} is taken, the one with the most points{more}", stacklevel=3)


def _largest(figures: Sequence[Figure], picture: Path | None) -> Keypoints:
    """The figure with most points, then with the largest sum of scores: what the readers of files of many take, too."""
    seen = [figure for figure in figures if figure.keypoints.present.any()]
    if not seen:
        raise DataError(str(picture), "the estimator found nobody, or no point that it trusts")
    if len(seen) > 1:
        warnings.warn(
            f"{picture}: {len(seen)} figures were found; the one with the most points is taken. Where another is "
            "meant, give its key points, or cut it out.",
            stacklevel=2,
        )
    return max(seen, key=lambda figure: (figure.keypoints.present.sum(), figure.scores.sum())).keypoints


def estimators() -> list[StructureEstimator]:
    """Return all estimators of key points that plugins bring."""
    return catalogue.all(StructureEstimator)


def _load_estimator(subjects: Sequence[Subject], encoder: StructureEncoder, name: str | None) -> Estimate:
    reason = f"{subjects[0].picture} has no file of key points"
    if len(subjects) > 1:
        reason = f"{len(subjects)} pictures have no file of key points, among them {subjects[0].picture}"
    chosen = _choose(estimators(), encoder, name, reason)
    try:
        return _guarded(chosen.name, chosen.load())
    except MissingWeightsError as error:
        raise MissingWeightsError(
            f"{reason}, and the estimator {chosen.name!r} cannot run.\n{INSTEAD}\nWhat the estimator lacks:\n{error}"
        ) from error


def _choose(
    brought: Sequence[StructureEstimator], encoder: StructureEncoder, name: str | None, reason: str
) -> StructureEstimator:
    fitting = {one.name: one for one in brought if get_layout(one.layout).names == encoder.layout.names}
    if name is not None:
        if name in fitting:
            return fitting[name]
        others = f"there are: {', '.join(fitting) or 'none'}{nearest(name, fitting)}"
        raise ConfigError(f"no estimator called {name!r} gives {encoder.layout.name} key points; {others}\n{INSTEAD}")
    if not fitting:
        raise ConfigError(f"{reason}, and no plugin estimates {encoder.layout.name} ones.\n{INSTEAD}")
    if len(fitting) > 1:
        raise ConfigError(f"{reason}; say which estimator is meant: --estimator {' or '.join(fitting)}")
    return next(iter(fitting.values()))


def _guarded(name: str, estimate: Estimate) -> Estimate:
    """An estimator whose failures carry its name: what runs in it is other people's."""

    def guarded(image: np.ndarray) -> Sequence[Figure]:
        try:
            return estimate(image)
        except PosegenError:
            raise
        except Exception as error:
            raise PosegenError(f"the estimator {name!r} failed: {type(error).__name__}: {error}") from error

    return guarded
