"""Key points and their layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .. import catalogue
from ..errors import InputError

MOST_STRETCHED = 1.1
"""Largest ratio between the proportions of two sizes of one picture: tools round sides to multiples of 64."""


@dataclass(frozen=True)
class RigidPart:
    """A part of an articulated subject that moves as one piece between two ends.

    Args:
        name: name of the part.
        start, end: indices of key points; an end is the mean of those that are present.
        radius: half the width, in lengths of the layout's first part.
        reach: how far the part continues beyond its end, as a share of its length.
        order: score against other parts at the same distance in radii; a part in front has a higher one.
        sides: pairs of key points on both sides of the part, which tell its width and whether it is mirrored.
    """

    name: str
    start: tuple[int, ...]
    end: tuple[int, ...]
    radius: float
    reach: float = 0.0
    order: float = 0.0
    sides: tuple[tuple[int, int], ...] = ()

    def ends(self, keypoints: Keypoints) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the part's ends, (x, y) in pixels; None if one has no point that is present."""
        start, end = ([index for index in indices if keypoints.present[index]] for indices in (self.start, self.end))
        return (keypoints.points[start].mean(0), keypoints.points[end].mean(0)) if start and end else None

    def length(self, keypoints: Keypoints) -> float | None:
        """Return the distance of the part's ends in pixels; None if an end has no point that is present."""
        ends = self.ends(keypoints)
        return None if ends is None else float(np.linalg.norm(ends[1] - ends[0]))


@dataclass(frozen=True)
class KeypointLayout:
    """Names of the key points of a skeleton, and the limbs between them.

    Args:
        name: how configs call it.
        names: one a point, in order.
        partner: for each point the index of its mirror image (itself on the middle line).
        limbs: pairs of indices that are drawn as lines.
        colors: one RGB triple 0..255 a point; a limb takes the color of its second point.
        parts: rigid parts, for flow priors; the length of the first one measures the subject. Default: none.
        means: points that are the mean of others where they are missing: name, and names of the others, which may be
            points of other layouts. For :func:`convert_keypoints`.
        stand_ins: the same for points that another layout does not have at all: where it has them, a missing one stays
            missing, as the nose of somebody who is seen from behind.
        rest: pose to start an edit with: (x, y) one a point, in any unit, y down; None for a point that it lacks.
            Default: none.
        margin: how far pictures show more than the points on each side, as a share of the points' width and height:
            a crop around a figure has it. Default: as CocoPairs pads boxes of people.
    """

    name: str
    names: tuple[str, ...]
    partner: tuple[int, ...]
    limbs: tuple[tuple[int, int], ...]
    colors: tuple[tuple[int, int, int], ...]
    parts: tuple[RigidPart, ...] = ()
    means: tuple[tuple[str, tuple[str, ...]], ...] = ()
    stand_ins: tuple[tuple[str, tuple[str, ...]], ...] = ()
    rest: tuple[tuple[float, float] | None, ...] = ()
    margin: float = 0.15

    def __len__(self) -> int:
        return len(self.names)


@dataclass
class Keypoints:
    """Points of one subject.

    Attributes:
        points: K 2, (x, y) in pixels of the image, the center of the first pixel at (0, 0).
        present: K bool, False where a point is missing; its coordinates then mean nothing.
        listed: True for points of a data set's own list, which are in pixels of its frame, not of the photograph.
        frame: (H, W) of the image that the coordinates refer to, if known.
        chosen: number of the subject among those in the file, such as ``"2 of 3"``; empty for a file of one subject.
        notes: assumptions under which a file was read, one sentence each, to be told to the user.
    """

    points: np.ndarray
    present: np.ndarray
    listed: bool = False
    frame: tuple[int, int] | None = None
    chosen: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.points = np.asarray(self.points, dtype=np.float32).reshape(-1, 2)
        self.present = np.asarray(self.present, dtype=bool).reshape(-1)

    def __len__(self) -> int:
        return len(self.points)

    def within(self, size: tuple[int, int]) -> Keypoints:
        """Convert the points from pixels of their frame, if it is known, to pixels of a picture of *size* (H, W).

        Raises:
            InputError: the frame has other proportions.
        """
        if self.frame is None or self.frame == size:
            return self
        x, y = size[1] / self.frame[1], size[0] / self.frame[0]
        if max(x / y, y / x) > MOST_STRETCHED:
            raise InputError(
                f"the key points count pixels of a picture of {shown(self.frame)}, as their file says, and this one, "
                f"{shown(size)}, has other proportions"
            )
        return replace(self.scale(x, y), frame=size, chosen=self.chosen, notes=self.notes)

    def stretch(self, size: tuple[int, int]) -> Keypoints:
        """Convert the points from pixels of their frame to pixels of a picture of *size* (H, W) that shows the same."""
        assert self.frame is not None
        return replace(self.scale(size[1] / self.frame[1], size[0] / self.frame[0]), frame=size)

    def transform(self, matrix: np.ndarray) -> Keypoints:
        """Move the points by a 2×3 affine matrix, x' = A x + b."""
        moved = self.points @ np.asarray(matrix, np.float32)[:, :2].T + np.asarray(matrix, np.float32)[:, 2]
        return Keypoints(moved, self.present.copy())

    def scale(self, x: float, y: float) -> Keypoints:
        """Multiply the points by (x, y), as the published loaders do when an image is resized."""
        return Keypoints(self.points * np.array([x, y], np.float32), self.present.copy())

    def mirror(self, width: int, layout: KeypointLayout) -> Keypoints:
        """Return the points of the left-right mirrored image of that width, with left and right names exchanged."""
        points = self.points[list(layout.partner)].copy()
        points[:, 0] = width - 1 - points[:, 0]
        return Keypoints(points, self.present[list(layout.partner)])


def convert_keypoints(keypoints: Keypoints, names: Sequence[str], layout: KeypointLayout) -> Keypoints:
    """Convert key points to another layout by the names of the points.

    A point that is missing becomes the mean that ``layout.means`` or ``layout.stand_ins`` give, if all points of the
    mean are present. Points that the layout does not have are dropped; ``frame``, ``listed`` and ``chosen`` stay.

    Args:
        keypoints: the points.
        names: their names, one a point, as in :attr:`KeypointLayout.names`.
        layout: layout of the result.

    Raises:
        InputError: the layout has points without a counterpart among the names; lists all of them.
    """
    if lacking := lacking_points(names, layout):
        raise InputError(f"no counterpart of {', '.join(lacking)}, which the layout {layout.name!r} needs")
    return select_keypoints(keypoints, names, layout)


def lacking_points(names: Sequence[str], layout: KeypointLayout) -> list[str]:
    """Return the points of a layout that neither stand among *names* nor are means of such."""
    known = set(names)
    for name, others in (*layout.means, *layout.stand_ins):
        if known.issuperset(others):
            known.add(name)
    return [name for name in layout.names if name not in known]


def select_keypoints(keypoints: Keypoints, names: Sequence[str], layout: KeypointLayout) -> Keypoints:
    """Convert key points like :func:`convert_keypoints`; a point without a counterpart is missing.

    Raises:
        ValueError: more or fewer names than points.
    """
    points = {
        name: point for name, point, present in zip(names, keypoints.points, keypoints.present, strict=True) if present
    }
    stand_ins = [(name, others) for name, others in layout.stand_ins if name not in names]
    for name, others in (*layout.means, *stand_ins):
        if name not in points and points.keys() >= set(others):
            points[name] = np.mean([points[other] for other in others], axis=0)
    missing = np.zeros(2, np.float32)
    return replace(
        keypoints,
        points=np.array([points.get(name, missing) for name in layout.names]),
        present=np.array([name in points for name in layout.names]),
    )


def shown(size: tuple[int, int]) -> str:
    """Write a size (H, W) as width×height."""
    return f"{size[1]}×{size[0]}"


def get_layout(name: str | KeypointLayout) -> KeypointLayout:
    """Return the key-point layout of a name.

    Raises:
        UnknownNameError: no plugin brings a layout of that name.
    """
    return name if isinstance(name, KeypointLayout) else catalogue.get(KeypointLayout, name)
