"""Poses between two poses: key points that turn about their joints, so that nothing shrinks on the way."""

from __future__ import annotations

from collections import deque

import numpy as np

from ..errors import InputError
from .keypoints import KeypointLayout, Keypoints

QUARTER_TURN = np.pi / 2


def interpolate_keypoints(start: Keypoints, end: Keypoints, layout: KeypointLayout, share: float) -> Keypoints:
    """The pose a *share* of the way from one pose to another.

    The layout's limbs make a tree, whose root moves in a straight line. Every other point hangs on its parent by a
    limb, whose angle goes the shorter way round, and whose length goes from the one to the other: it is never shorter
    than in the shorter pose. One exception: a limb that leads from the middle line to a side (its child has a mirror
    partner, its parent has none) and would turn by more than 90° goes straight from the one to the other. That subject
    turns its other side to us, and its width, seen from one place, shrinks and grows again. Where a layout has no
    limbs, all points move in straight lines.

    A point that only one pose has is there in that pose's half of the way, and keeps its offset from its parent.

    Args:
        start: K points. end: K points, in the same pixels.
        layout: of both.
        share: in [0, 1]; 0 gives *start*, 1 gives *end*.

    Raises:
        InputError: another number of points, or a share outside of [0, 1].
    """
    if not len(start) == len(end) == len(layout):
        raise InputError(f"{layout.name} has {len(layout)} points; got {len(start)} and {len(end)}")
    if not 0 <= share <= 1:
        raise InputError(f"the share of the way is in [0, 1], got {share}")
    parents = _parents(layout, start.present, end.present)
    first, last = _completed(start, end, parents), _completed(end, start, parents)
    points = np.zeros((len(layout), 2))
    for child, parent in parents.items():
        if parent is None:
            points[child] = (1 - share) * first[child] + share * last[child]
            continue
        limbs = first[child] - first[parent], last[child] - last[parent]
        widens = layout.partner[parent] == parent and layout.partner[child] != child
        points[child] = points[parent] + _between(*limbs, share, widens)
    return Keypoints(points, start.present if share < 0.5 else end.present)


def _parents(layout: KeypointLayout, in_start: np.ndarray, in_end: np.ndarray) -> dict[int, int | None]:
    """The parent of every point that either pose has, None for roots; parents stand before their children.

    The points from which most limbs go are roots, those that both poses have before the others.
    """
    neighbors: dict[int, list[int]] = {point: [] for point in range(len(layout)) if in_start[point] or in_end[point]}
    for one, other in layout.limbs:
        if one in neighbors and other in neighbors:
            neighbors[one].append(other)
            neighbors[other].append(one)

    def order(point: int) -> tuple[bool, int]:
        return not (in_start[point] and in_end[point]), -len(neighbors[point])

    parents: dict[int, int | None] = {}
    for root in sorted(neighbors, key=order):
        if root in parents:
            continue
        parents[root] = None
        reached = deque([root])
        while reached:
            point = reached.popleft()
            for child in neighbors[point]:
                if child not in parents:
                    parents[child] = point
                    reached.append(child)
    return parents


def _completed(pose: Keypoints, other: Keypoints, parents: dict[int, int | None]) -> np.ndarray:
    """K 2: the points of *pose*; those it lacks hang on their parents as in the *other* pose."""
    points = pose.points.astype(np.float64)
    for child, parent in parents.items():
        if not pose.present[child]:
            offset = 0 if parent is None else points[parent] - other.points[parent]
            points[child] = other.points[child] + offset
    return points


def _between(start: np.ndarray, end: np.ndarray, share: float, widens: bool) -> np.ndarray:
    """The limb a *share* of the way from one to the other, (x, y)."""
    angle = np.arctan2(start[1], start[0])
    turn = np.arctan2(start[0] * end[1] - start[1] * end[0], start @ end)  # in (-180°, 180°]: the shorter way
    if widens and abs(turn) > QUARTER_TURN:
        return (1 - share) * start + share * end
    length = (1 - share) * np.linalg.norm(start) + share * np.linalg.norm(end)
    angle += share * turn
    return length * np.array([np.cos(angle), np.sin(angle)])
