"""Turn a video into a motion: follow one figure, fill frames without it, and smooth its key points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..data import KeypointLayout, Keypoints
from ..data.estimators import Figure
from ..data.smoothing import OneEuroFilter
from ..errors import InputError
from .interpolation import interpolate_keypoints

MISSING = ("hold", "interpolate", "skip")
"""Treatment of a frame without the figure: the pose before, a pose between its neighbors, or no frame at all."""
FARTHEST = 0.75
"""Largest mean distance between the points of a figure in two frames, in sizes of the figure."""
FASTEST = 8.0
"""Largest speed of a figure in its sizes per second: what is beyond :data:`FARTHEST` between two frames that follow one
another slowly. A person sprints at it, and the face of one who squats reaches 7."""
PATIENCE = 1.0
"""Seconds after which a figure that is lost is given up, and the largest one is followed instead."""
LEAST_SIZE = 1 / 3
"""Least size of a figure that is followed instead of a lost one, in median sizes of that. Smaller ones are as a rule
parts of somebody who comes or goes, or nobody at all: estimators see people in furniture for single frames."""
LEAST_SEEN = 0.5
"""Least number of points of a pose, as a share of those of the motion's fullest pose: of somebody who walks out of the
frame a foot is left, which is no pose to hold."""

Motion = list[Keypoints | None]
"""The pose of each frame; None: the figure is not there."""


@dataclass
class Follower:
    """Choose the same figure in each frame: the one whose points are nearest to those of the frame before.

    Args:
        fps: frames per second.
        subject: number of the figure to follow, from 1 for the largest, in the first frame that has so many.
        found: poses of frames that were followed before, to go on after them.

    Attributes:
        switches: numbers of the frames, from 0, from which another figure is followed because the first was lost.
    """

    fps: float
    subject: int = 1
    found: Motion = field(default_factory=list)
    switches: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.subject < 1:
            raise InputError(f"figures are numbered from 1, the largest; got {self.subject}")
        seen = [frame for frame, points in enumerate(self.found) if points is not None]
        self._last = seen[-1] if seen else -1  # frame in which the figure was last seen
        self._others: list[Keypoints] = []  # the other figures of that frame

    def __call__(self, seen: Sequence[Keypoints]) -> Keypoints | None:
        """Add the pose of the figure in the next frame to :attr:`found`, and return it; None: it is not there."""
        chosen = self._choose(seen)
        if chosen is not None:
            self._last = len(self.found)
            self._others = [points for points in seen if points is not chosen]
        self.found.append(chosen)
        return chosen

    def _choose(self, seen: Sequence[Keypoints]) -> Keypoints | None:
        largest = sorted(seen, key=subject_size, reverse=True)
        before = self.found[self._last] if self._last >= 0 else None
        if before is None:
            return largest[self.subject - 1] if len(largest) >= self.subject else None
        nearest = min(seen, key=lambda points: distance(before, points), default=None)
        if nearest is None or distance(before, nearest) <= FARTHEST or self._ran(before, nearest):
            return nearest
        if len(self.found) - self._last <= PATIENCE * self.fps:
            return None
        if subject_size(largest[0]) < LEAST_SIZE * np.median(
            [subject_size(one) for one in self.found if one is not None]
        ):
            return None
        self.switches.append(len(self.found))
        return largest[0]

    def _ran(self, before: Keypoints, after: Keypoints) -> bool:
        """Return whether a figure may be that of the frame just before, at its fastest, and is none of the others."""
        if self._last < len(self.found) - 1 or distance(before, after) > FASTEST / self.fps:
            return False
        own = distance(after, before)
        return all(own < distance(after, other) for other in self._others)


def in_frame(figures: Iterable[Figure], frame: np.ndarray) -> list[Keypoints]:
    """Return the points of figures that lie in a frame, H W 3; others are missing, and figures without any left out."""
    size = (frame.shape[0], frame.shape[1])
    edge = np.array([size[1], size[0]]) - 0.5
    found = []
    for figure in figures:
        points = figure.keypoints
        inside = ((points.points >= -0.5) & (points.points <= edge)).all(1)
        found.append(replace(points, present=points.present & inside, frame=size, chosen=""))
    return [points for points in found if points.present.any()]


def subject_size(points: Keypoints) -> float:
    """Return the mean of width and height of the present points in pixels, at least 1."""
    return max(float(np.ptp(points.points[points.present], axis=0).mean()), 1.0)


def distance(before: Keypoints, after: Keypoints) -> float:
    """Return the mean distance of the points that two poses share, in sizes of the first; infinite without any."""
    both = before.present & after.present
    if not both.any():
        return np.inf
    return float(np.linalg.norm(after.points[both] - before.points[both], axis=1).mean()) / subject_size(before)


def drop_partial(found: Sequence[Keypoints | None]) -> Motion:
    """Return a motion without the poses that show less than :data:`LEAST_SEEN` of the figure's points."""
    counts = [0 if points is None else int(points.present.sum()) for points in found]
    least = LEAST_SEEN * max(counts, default=0)
    return [None if count < least else points for points, count in zip(found, counts, strict=True)]


def fill(found: Sequence[Keypoints | None], missing: str, layout: KeypointLayout) -> Motion:
    """Fill frames without the figure. Frames before the first pose hold it, and those after the last one.

    Args:
        found: the pose of each frame.
        missing: one of :data:`MISSING`; with ``"skip"`` such frames stay None.
        layout: layout of the points.

    Raises:
        InputError: another word, or no frame has a pose.
    """
    if missing not in MISSING:
        raise InputError(f"missing is one of {', '.join(MISSING)}; got {missing!r}")
    known = [frame for frame, points in enumerate(found) if points is not None]
    if not known:
        raise InputError("no figure was found in any frame")
    filled = list(found)
    if missing == "skip":
        return filled
    filled[: known[0]] = [found[known[0]]] * known[0]
    for first, last in zip(known, [*known[1:], len(found)], strict=True):
        for frame in range(first + 1, last):
            start, end = found[first], found[last] if last < len(found) else found[first]
            assert start is not None
            assert end is not None
            between = interpolate_keypoints(start, end, layout, (frame - first) / (last - first))
            filled[frame] = (
                start if missing == "hold" else Keypoints(between.points, between.present, frame=start.frame)
            )
    return filled


def smooth(motion: Iterable[Keypoints | None], fps: float) -> Motion:
    """Smooth the poses of a motion with :class:`posegen.data.smoothing.OneEuroFilter`; frames without stay so."""
    smoothed = OneEuroFilter(fps)
    return [None if points is None else smoothed(points) for points in motion]
