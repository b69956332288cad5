"""Poses between two poses: key points turn about their joints, so that limbs do not shrink on the way."""

from __future__ import annotations

from collections import deque

import numpy as np

from ..data import KeypointLayout, Keypoints
from ..errors import InputError

QUARTER_TURN = np.pi / 2


def interpolate_keypoints(start: Keypoints, end: Keypoints, layout: KeypointLayout, fraction: float) -> Keypoints:
    """Return the pose at a fraction of the way from one pose to another.

    The layout's limbs form a tree, whose root moves in a straight line. Every other point is attached to its parent by
    a limb: its angle turns the shorter way, and its length changes from one to the other, so it is never shorter than
    in the shorter pose. One exception: a limb from the middle line to a side (the child has a mirror partner, the
    parent has none) that would turn by more than 90° moves straight. Such a subject turns around, and its width in the
    image shrinks and grows again. Without limbs, all points move in straight lines.

    A point that only one pose has is present in that pose's half of the way, and keeps its offset from its parent.

    Args:
        start: K points.
        end: K points, in the same pixels.
        layout: layout of both.
        fraction: in [0, 1]; 0 gives *start*, 1 gives *end*.

    Raises:
        InputError: a different number of points, or a fraction outside of [0, 1].
    """
    if not len(start) == len(end) == len(layout):
        raise InputError(f"{layout.name} has {len(layout)} points; got {len(start)} and {len(end)}")
    if not 0 <= fraction <= 1:
        raise InputError(f"the fraction must be in [0, 1], got {fraction}")
    parents = parents_of(layout, start.present, end.present)
    first, last = _complete(start, end, parents), _complete(end, start, parents)
    points = np.zeros((len(layout), 2))
    for child, parent in parents.items():
        if parent is None:
            points[child] = (1 - fraction) * first[child] + fraction * last[child]
            continue
        limbs = first[child] - first[parent], last[child] - last[parent]
        to_a_side = layout.partner[parent] == parent and layout.partner[child] != child
        points[child] = points[parent] + _limb(*limbs, fraction, to_a_side)
    return Keypoints(points, start.present if fraction < 0.5 else end.present)


def parents_of(layout: KeypointLayout, in_start: np.ndarray, in_end: np.ndarray) -> dict[int, int | None]:
    """Return the parent of every point that either pose has, None for roots; parents come before their children.

    Roots are the points with the most limbs, points that both poses have first.
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


def _complete(pose: Keypoints, other: Keypoints, parents: dict[int, int | None]) -> np.ndarray:
    """Return the points of *pose*, K 2; missing ones are attached to their parents as in the *other* pose."""
    points = pose.points.astype(np.float64)
    for child, parent in parents.items():
        if not pose.present[child]:
            offset = 0 if parent is None else points[parent] - other.points[parent]
            points[child] = other.points[child] + offset
    return points


def _limb(start: np.ndarray, end: np.ndarray, fraction: float, to_a_side: bool) -> np.ndarray:
    """Return the limb (x, y) at a fraction of the way."""
    angle = np.arctan2(start[1], start[0])
    turn = np.arctan2(start[0] * end[1] - start[1] * end[0], start @ end)  # in (-180°, 180°]: the shorter way
    if to_a_side and abs(turn) > QUARTER_TURN:
        return (1 - fraction) * start + fraction * end
    length = (1 - fraction) * np.linalg.norm(start) + fraction * np.linalg.norm(end)
    angle += fraction * turn
    return length * np.array([np.cos(angle), np.sin(angle)])
