"""Conversion between ComfyUI's ``POSE_KEYPOINT`` and posegen's key points.

``POSE_KEYPOINT`` is a list with one dictionary an image, as OpenPose writes it: ``people``, each with
``pose_keypoints_2d`` (x, y, score of 18 or 25 points), ``canvas_width`` and ``canvas_height``. Coordinates are pixels
of the canvas; older nodes give fractions of it, which are recognized by a largest coordinate of at most 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from posegen.data import KeypointLayout, Keypoints, convert_keypoints, get_layout
from posegen.data.estimators import Figure
from posegen.data.pose_files import MIN_SCORE
from posegen.errors import InputError
from posegen.inference.driving import subject_size

LAYOUTS = {18: "openpose18", 25: "body25"}
"""Layouts by their number of points."""


def people_of(frame: dict[str, Any], layout: KeypointLayout) -> list[Keypoints]:
    """Return the people of one image in a layout, the largest first; those without a point are left out.

    Raises:
        InputError: the dictionary has no people or no canvas, a number of points that is not known, or points from
            which those of the layout cannot be made.
    """
    if not isinstance(frame, dict) or not {"people", "canvas_width", "canvas_height"} <= frame.keys():
        raise InputError("the pose must have people, canvas_width and canvas_height, as DWPose and OpenPose nodes do")
    size = int(frame["canvas_height"]), int(frame["canvas_width"])
    people = [person.get("pose_keypoints_2d") or [] for person in frame["people"]]
    found = [convert_keypoints(*_read(person, size), layout) for person in people if person]
    return sorted((one for one in found if one.present.any()), key=subject_size, reverse=True)


def largest(frame: dict[str, Any], layout: KeypointLayout) -> Keypoints:
    """Return the largest person of one image. InputError: see :func:`people_of`, or there is none."""
    people = people_of(frame, layout)
    if not people:
        raise InputError("the pose has no person: its detector found nobody")
    return people[0]


def as_frame(figures: Sequence[Figure], image: np.ndarray) -> dict[str, Any]:
    """Return the dictionary of one image, H W 3, from figures in OpenPose's 18 points."""
    people = []
    for figure in figures:
        triples = np.column_stack([figure.keypoints.points, figure.keypoints.present]).astype(float)
        people.append({"pose_keypoints_2d": (triples * figure.keypoints.present[:, None]).ravel().tolist()})
    return {"people": people, "canvas_height": image.shape[0], "canvas_width": image.shape[1]}


def _read(values: Sequence[float], size: tuple[int, int]) -> tuple[Keypoints, Sequence[str]]:
    """Return the points of one person, in pixels of a canvas (H, W), and their names."""
    count = len(values) / 3
    if count not in LAYOUTS:
        known = " or ".join(map(str, LAYOUTS))
        raise InputError(f"pose_keypoints_2d has {len(values)} numbers; expected 3 for each of {known} points")
    triples = np.array(values, np.float32).reshape(-1, 3)
    present = triples[:, 2] >= MIN_SCORE
    points = triples[:, :2]
    if present.any() and min(size) > 2 and points[present].max() <= 1:
        points = points * (size[1], size[0])
    return Keypoints(points, present, frame=size), get_layout(LAYOUTS[int(count)]).names
