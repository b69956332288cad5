"""Pictures and key points as the network takes them: resized or cut out as the model's data set does it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data import KeypointLayout, Keypoints, PoseDataset, require_dataset
from ..data.keypoints import shown
from ..errors import InputError
from ..registry import DATASETS
from .framing import CROP, Window, choose_window, whole_window
from .inputs import PoseInput, check_points
from .retarget import RETARGET, UNNOTICED, Placement, place_targets


def prepare_subject(config: Mapping[str, Any], image: np.ndarray, keypoints: Keypoints) -> tuple[np.ndarray, Keypoints]:
    """Prepare a picture and its key points as the config's test data set does.

    The data set's class decides how (:meth:`posegen.data.PoseDataset.prepare`); by default all of the picture is
    resized.

    Args:
        config: config of the model; its ``size`` is (H, W) of the result.
        image: uint8, H W 3, of any size.
        keypoints: in pixels of *image* or of their own ``frame``; those of a data set's own list (``listed``), of the
            frame that its options give.

    Returns:
        The image, uint8 of ``size``, and the points in pixels of it.

    Raises:
        InputError: the points' frame has other proportions than *image*.
    """
    keypoints = keypoints.within((image.shape[0], image.shape[1]))
    dataset, options = test_dataset(config)
    return dataset.prepare(image, keypoints, model_size(config), options)


def prepare_checked(
    config: Mapping[str, Any], image: np.ndarray, keypoints: Keypoints, name: str
) -> tuple[np.ndarray, Keypoints]:
    """Call :func:`prepare_subject`, and check where the points lie.

    Raises:
        InputError: all points lie outside of the picture or in its corner, or their frame has other proportions.

    Warns:
        UserWarning: some points lie outside; the warning begins with *name*.
    """
    prepared, points = prepare_subject(config, image, keypoints)
    warn_of_points(*((points, prepared.shape[:2]) if keypoints.listed else (keypoints, image.shape[:2])), name)
    return prepared, points


def warn_of_points(keypoints: Keypoints, size: tuple[int, ...], name: str) -> None:
    """Check points against a picture of *size* (H, W); see :func:`prepare_checked`."""
    if problem := check_points(keypoints, (size[0], size[1])):
        warnings.warn(f"{name}: {problem}", stacklevel=3)


LEAST_SIZE = 0.5
"""Least size of a figure in what the model sees of a motion, as a share of that in its own pose; else a warning."""


@dataclass(frozen=True)
class Framing:
    """Crop of a photograph for the model, and fit of target poses to it.

    Args:
        crop: one of :data:`posegen.inference.framing.CROP`.
        retarget: one of :data:`posegen.inference.retarget.RETARGET`.
    """

    crop: str = "auto"
    retarget: str = "auto"

    def __post_init__(self) -> None:
        if self.crop not in CROP or self.retarget not in RETARGET:
            raise InputError(
                f"crop is one of {', '.join(CROP)} and retarget one of {', '.join(RETARGET)}; got {self.crop!r} and "
                f"{self.retarget!r}"
            )


AS_IT_FITS = Framing()
"""All of a photograph that has the model's proportions, else a crop; poses are scaled if their size differs much."""


@dataclass(frozen=True)
class FramedSource:
    """A source as a model sees it.

    Args:
        image: uint8 H W 3, of the model's size.
        keypoints: in pixels of *image*.
        window: the part of the photograph that *image* shows.
    """

    image: np.ndarray
    keypoints: Keypoints
    window: Window


class Framer:
    """Prepare a source with key points, and its targets, for a model.

    A source is cropped or padded to the model's proportions, and targets are brought into its pixels; unless the data
    set does it by itself: it cuts out by key points, or key points are from its own list.

    Args:
        config: config of the model.
        layout: layout of its key points.
        source: picture with key points.
        framing: crop and retargeting.
        motion: poses of a clip, which are fitted all in the same way; None: each target by itself.

    Attributes:
        photograph: the source's picture; in front of one color, if its figure is cut out.
        cutout: background of results; None: the one that the model generates.

    Raises:
        DataError: the picture cannot be read.
        InputError: see :func:`prepare_checked` and :meth:`Cutout.cut <posegen.inference.cutout.Cutout.cut>`.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        layout: KeypointLayout,
        source: PoseInput,
        framing: Framing = AS_IT_FITS,
        motion: Sequence[Keypoints] | None = None,
    ) -> None:
        self.config, self.layout, self.framing = config, layout, framing
        self.photograph = source.read_photograph()
        self.size = (self.photograph.image.shape[0], self.photograph.image.shape[1])
        keypoints: Keypoints = source.structure
        self.keypoints = keypoints if keypoints.listed else keypoints.within(self.size)
        if not keypoints.listed:
            warn_of_points(keypoints, self.size, f"{source.name}, source")
        self.cutout = source.cutout if self.photograph.alpha is None else None
        if self.cutout is not None:
            self.photograph, self.cutout = self.cutout.cut(self.photograph, self.keypoints, source.name)
        dataset, options = test_dataset(config)
        self.proportions = None if keypoints.listed else dataset.proportions(model_size(config), options)
        self._seen: FramedSource | None = None
        self._motion = motion
        self._places: dict[tuple[int, int] | None, Placement] = {}
        self._window: Window | None = None  # of a motion

    def source(self) -> FramedSource:
        """Return the source as the model sees it without any target."""
        return self._as_the_data_set() if self.proportions is None else self._see(self._choose([]))

    def pair(self, target: PoseInput, name: str) -> tuple[FramedSource, np.ndarray | None, Keypoints]:
        """Return the source, and picture and key points of a target.

        The source is the same object until its window changes. The picture, uint8 H W 3 of the model's size, is None
        if the target has none, or none that fits its changed limbs.

        Args:
            target: key points, with their picture if they have one.
            name: name of the target in warnings.

        Raises:
            DataError, InputError, and warnings: see :func:`prepare_checked`.
        """
        pose: Keypoints = target.structure
        if self.proportions is None or pose.listed:
            return self._pair_as_the_data_set(target, name)
        warn_of_points(pose, pose.frame or self.size, name)
        place, window = self._fit(pose, name, target.is_estimated)
        frame, picture = model_size(self.config), None
        if target.picture is not None and place.keeps_shape:
            picture = window.within(place).cut(target.read_picture())
            frame = (picture.shape[0], picture.shape[1])
        blank = np.zeros((*frame, 3), np.uint8) if picture is None else picture
        prepared, points = prepare_subject(self.config, blank, window.shift(place(pose)).stretch(frame))
        return self._see(window), None if picture is None else prepared, points

    def _fit(self, pose: Keypoints, name: str, elsewhere: bool) -> tuple[Placement, Window]:
        """Return how a pose comes into the source's picture, and what the model sees of this."""
        place = self._place(pose, name, elsewhere)
        if self._motion is None:
            return place, self._choose([place(pose)])
        if self._window is None:
            poses = [one for one in self._motion if not one.listed]
            self._window = self._choose([self._place(one, name)(one) for one in poses])
            self._warn_of_distance(self._window)
        return place, self._window

    def _warn_of_distance(self, window: Window) -> None:
        """Warn if a motion goes so far that the model sees the figure much smaller than it could."""
        size = self._choose([]).height / window.height
        if size < LEAST_SIZE:
            warnings.warn(
                f"the motion goes so far from its first place that the model sees the figure {size:.0%} as "
                "large as in its own pose, so results are coarse; they are sharper from a part of the video in which "
                "the figure stays in one place, or from one that is cropped to it",
                stacklevel=2,
            )

    def _place(self, pose: Keypoints, name: str, elsewhere: bool = False) -> Placement:
        """Return how a pose comes into the source's picture: those of a clip that share a frame in the same way.

        Args:
            pose, name: the pose, and its name in warnings.
            elsewhere: whether a single pose was found in another photograph.
        """
        if self._motion is None and self.framing.retarget == "motion":
            raise InputError("a single pose has no motion: --retarget motion is for clips of several poses")
        known = {} if self._motion is None else self._places
        if pose.frame not in known:
            alike = [one for one in self._motion or () if one.frame == pose.frame and not one.listed] or [pose]
            told = name if self._motion is None else "the motion"
            known[pose.frame] = place_targets(
                self.keypoints, alike, self.layout, self.size, self.framing.retarget, told, elsewhere
            )
        return known[pose.frame]

    def _choose(self, placed: Sequence[Keypoints]) -> Window:
        assert self.proportions is not None
        margin = self.layout.margin
        return choose_window(self.size, self.proportions, self.keypoints, placed, self.framing.crop, margin)

    def _see(self, window: Window) -> FramedSource:
        if self._seen is None or self._seen.window != window:
            cut = window.cut(self.photograph.image)
            self._seen = FramedSource(*prepare_subject(self.config, cut, window.shift(self.keypoints)), window)
        return self._seen

    def _as_the_data_set(self) -> FramedSource:
        if self._seen is None:
            image, points = prepare_subject(self.config, self.photograph.image, self.keypoints)
            if self.keypoints.listed:
                warn_of_points(points, image.shape, "source")
            window = window_of(self.keypoints, points, self.size, model_size(self.config))
            self._seen = FramedSource(image, points, window)
        return self._seen

    def _pair_as_the_data_set(self, target: PoseInput, name: str) -> tuple[FramedSource, np.ndarray | None, Keypoints]:
        if self.framing.retarget not in ("auto", "none"):
            if self.keypoints.listed or target.structure.listed:
                raise InputError(f"{name}: key points of a data set's list cannot be retargeted; --retarget none")
            target = replace(target, picture=None, structure=self._place(target.structure, name)(target.structure))
        prepared, points = prepare_checked(self.config, frame_of(target, self.photograph.image), target.structure, name)
        return self.source(), None if target.picture is None else prepared, points


def frame_of(target: PoseInput, source: np.ndarray) -> np.ndarray:
    """Return the picture whose pixels a target's key points count: its own, a blank one, or the source.

    A target without a picture whose file says the picture's size gets a blank picture of these proportions, no longer
    than the source.
    """
    if target.picture is not None:
        return target.read_picture()
    if not (isinstance(target.structure, Keypoints) and target.structure.frame):
        return source
    frame = target.structure.frame
    scale = max(source.shape[:2]) / max(frame)
    height, width = (max(1, round(side * scale)) for side in frame)
    return np.zeros((height, width, 3), np.uint8)


def window_of(before: Keypoints, after: Keypoints, picture: tuple[int, ...], size: tuple[int, int]) -> Window:
    """Return the window that a data set cut out of a *picture* (H, W, …) for an image of *size* (H, W).

    Args:
        before, after: key points in pixels of the picture, and of the image.
    """
    known = before.present & after.present
    if before.listed or known.sum() < 2 or np.ptp(before.points[known], axis=0).max() < 1:
        return Window(0, 0, picture[1], picture[0])
    old, new = before.points[known].astype(float), after.points[known].astype(float)
    wide = np.ptp(old, axis=0)
    scale = np.ptp(new, axis=0) / np.maximum(wide, 1e-6)
    scale = np.where(wide < 1, scale[wide.argmax()], scale)  # points on a line tell one of the two
    left, top = (old.mean(0) - new.mean(0) / scale).round().astype(int).tolist()
    width, height = (np.array(size[::-1]) / scale).round().astype(int).tolist()
    return Window(left, top, max(1, width), max(1, height))


def test_dataset(config: Mapping[str, Any]) -> tuple[type[PoseDataset], dict[str, Any]]:
    """Return the class of the test data set, the base class if there is none, and its options."""
    options = dict((config.get("test_dataloader") or {}).get("dataset") or {})
    kind = options.pop("type", PoseDataset)
    return require_dataset(DATASETS.get(kind) if isinstance(kind, str) else kind), options


def model_size(config: Mapping[str, Any]) -> tuple[int, int]:
    """Return the size (H, W) of the pictures of a config's model."""
    height, width = config["size"]
    return int(height), int(width)


def describe_size(
    config: Mapping[str, Any], layout: KeypointLayout, sources: Sequence[PoseInput], crop: str = "auto"
) -> str:
    """Say at what size the model works and what it sees of the sources; nothing if all have that size.

    Args:
        config: config of the model.
        layout: layout of its key points.
        sources: pictures with key points, from :func:`posegen.inference.read_inputs`.
        crop: one of :data:`posegen.inference.framing.CROP`.
    """
    size = model_size(config)
    sizes = [one.structure.frame or one.read_picture().shape[:2] for one in sources]
    if all(one == size for one in sizes):
        return ""
    told = [f"the model works at {shown(size)} pixels"]
    seen = [_seen(config, layout, one.structure, frame, crop) for one, frame in zip(sources, sizes, strict=True)]
    for how in dict.fromkeys(filter(None, seen)):
        first, others = seen.index(how), seen.count(how) - 1
        more = f", as are {others} others" if others else ""
        told.append(f"{sources[first].picture}, {shown(sizes[first])}, is {how}{more}")
    return "; ".join(told)


def _seen(
    config: Mapping[str, Any], layout: KeypointLayout, keypoints: Keypoints, frame: tuple[int, int], crop: str
) -> str:
    """Describe what the model sees of a picture of size *frame* (H, W); empty if it sees all of it as it is."""
    dataset, options = test_dataset(config)
    proportions = dataset.proportions(model_size(config), options)
    if proportions is None or keypoints.listed:
        stretched = 1 / UNNOTICED <= _stretch(config, keypoints, frame) <= UNNOTICED
        return "" if stretched else "stretched to these proportions, as its data set does it"
    window = choose_window(frame, proportions, keypoints.within(frame), [], crop, layout.margin)
    if window == whole_window(frame, proportions):
        return "" if window == Window(0, 0, frame[1], frame[0]) else "padded to the model's proportions"
    return "cropped around the figure (--crop none keeps all of it)"


def _stretch(config: Mapping[str, Any], keypoints: Keypoints, frame: tuple[int, int]) -> float:
    """Return by how much a picture of size *frame* (H, W) is stretched in width relative to its height.

    1 if its proportions are kept, or if the key points lie on a horizontal or vertical line.
    """
    before = keypoints.points[keypoints.present]
    if np.ptp(before, axis=0).min() < 1:
        return 1.0
    _, prepared = prepare_subject(config, np.zeros((*frame, 3), np.uint8), keypoints)
    wider, higher = np.ptp(prepared.points[prepared.present], axis=0) / np.ptp(before, axis=0)
    return float(wider / higher)
