"""BlazePose and the face mesh as estimators of key points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from posegen_faces.layouts import IBUG_68

from posegen.data.estimators import Estimate, Figure, Segment, StructureEstimator
from posegen.data.keypoints import KeypointLayout, Keypoints

from .face import Face, FaceMesh, FaceTracker
from .pose import (
    HEAD,
    HIP_PAIR,
    LIMBS,
    MARGIN,
    MIN_PRESENCE,
    NAMES,
    SHOULDER_PAIR,
    BlazePose,
    Person,
    PoseTracker,
)
from .regions import Region

MIN_VISIBILITY = 0.3
"""Least visibility of a point that is not missing. Below, it is as a rule hidden by something else or the body."""
HEAD_TOP = 1.8
"""Distance of the top of the head from the middle of the shoulders, in distances of the middle of the ears from it."""
TRUNK = 2.0
"""Distance of the middle of the hips from that of the shoulders, in distances of the middle of the face from it."""


def _partner(name: str) -> str:
    side, _, rest = name.partition(" ")
    return f"{'right' if side == 'left' else 'left'} {rest}" if rest and side in ("left", "right") else name


def _color(name: str) -> tuple[int, int, int]:
    return (
        (0, 138, 255) if name.startswith("right ") else (255, 138, 0) if name.startswith("left ") else (220, 220, 220)
    )


DERIVED = ("neck", "mid hip", "head top")
_ALL = (*NAMES, *DERIVED)
BLAZEPOSE = KeypointLayout(
    name="blazepose",
    names=_ALL,
    partner=tuple(_ALL.index(_partner(name)) for name in _ALL),
    limbs=LIMBS,
    colors=tuple(_color(name) for name in _ALL),
)
"""BlazePose's 33 points, and three that are derived: the middle of the shoulders, the middle of the hips, and the top
of the head, which continues the line from the shoulders through the ears."""

LAYOUTS = (BLAZEPOSE,)


@dataclass(frozen=True)
class PeopleEstimate:
    """Estimate of the points of people.

    Args:
        people: returns the people in an image, largest first.
    """

    people: Callable[[np.ndarray], list[Person]]

    def __call__(self, image: np.ndarray) -> list[Figure]:
        """Return the people in an image uint8 H W 3, RGB, largest first."""
        return [_person(person, image) for person in self.people(image)]


@dataclass(frozen=True)
class FacesEstimate:
    """Estimate of the landmarks of faces.

    Args:
        faces: returns the faces in an image, largest first.
    """

    faces: Callable[[np.ndarray], list[Face]]

    def __call__(self, image: np.ndarray) -> list[Figure]:
        """Return the faces in an image uint8 H W 3, RGB, largest first."""
        return [_face(face) for face in self.faces(image)]


@dataclass(frozen=True)
class PeopleSegment:
    """Masks of people whose key points are known.

    Args:
        poses: the network that finds points and mask of a person in a region.
    """

    poses: BlazePose

    def __call__(self, image: np.ndarray, keypoints: Keypoints) -> np.ndarray:
        """Return the mask of a person in an image uint8 H W 3, RGB: float32 H W, 0 to 1.

        The person is looked for where the key points are, and not searched; so a mask is returned even if the network
        is not sure that a person is there.

        Args:
            image: the image.
            keypoints: in the layout :data:`BLAZEPOSE`, in pixels of the image; one present point or more.
        """
        person = self.poses.suppose(image, region_of_points(keypoints))
        if _middle(keypoints, HIP_PAIR) is None and person.score >= MIN_PRESENCE:  # else it gives no better mask
            person = self.poses.suppose(image, person.next_region)
        return person.mask_of(image.shape[0], image.shape[1])


def region_of_points(keypoints: Keypoints) -> Region:
    """Return the region around a person's points: along the trunk, around the middle of the hips.

    Hips that are missing are supposed below head and shoulders. Without shoulders, too, the region is upright and
    around the middle of the box of the points.

    Args:
        keypoints: in the layout :data:`BLAZEPOSE`; one present point or more.
    """
    present = keypoints.points[keypoints.present]
    hips, shoulders, head = (_middle(keypoints, part) for part in (HIP_PAIR, SHOULDER_PAIR, HEAD))
    if hips is None and shoulders is not None and head is not None:
        hips = shoulders + TRUNK * (shoulders - head)
    center = (present.min(0) + present.max(0)) / 2 if hips is None else hips
    trunk = np.zeros(2) if hips is None or shoulders is None else shoulders - hips
    length = float(np.hypot(*trunk))
    upward = trunk / length if length else np.array([0.0, -1.0])
    radius = max(float(np.linalg.norm(present - center, axis=1).max()), 1.0)
    return Region.standing(center, center + radius * upward, MARGIN)


def _middle(keypoints: Keypoints, group: Sequence[int]) -> np.ndarray | None:
    """Return the mean of those points of a group that are present; None: none is."""
    present = [index for index in group if keypoints.present[index]]
    return keypoints.points[present].mean(0) if present else None


def _person(person: Person, image: np.ndarray) -> Figure:
    """Return the figure of a person; points outside of the image are missing."""
    pairs = [[NAMES.index(f"{side} {part}") for side in ("left", "right")] for part in ("shoulder", "hip", "ear")]
    neck, hips, ears = (person.points[pair].mean(0) for pair in pairs)
    points = np.vstack([person.points, neck, hips, neck + HEAD_TOP * (ears - neck)])
    shoulders_seen, hips_seen, ears_seen = (person.visibility[pair].mean() for pair in pairs)
    scores = np.append(person.visibility, [shoulders_seen, hips_seen, min(shoulders_seen, ears_seen)])
    inside = ((points >= -0.5) & (points < np.array(image.shape[1::-1]) - 0.5)).all(1)
    return Figure(Keypoints(points, inside & (scores >= MIN_VISIBILITY)), scores)


def _face(face: Face) -> Figure:
    count = len(IBUG_68)
    return Figure(Keypoints(face.landmarks, np.ones(count, bool)), np.full(count, face.score))


def load_people() -> Estimate:
    """Load BlazePose for photographs."""
    return PeopleEstimate(BlazePose())


def load_people_tracker() -> Estimate:
    """Load BlazePose for the frames of one clip."""
    return PeopleEstimate(PoseTracker(BlazePose()))


def load_people_segment() -> Segment:
    """Load the masks of BlazePose."""
    return PeopleSegment(BlazePose())


def load_faces() -> Estimate:
    """Load the face mesh for photographs."""
    return FacesEstimate(FaceMesh())


def load_face_tracker() -> Estimate:
    """Load the face mesh for the frames of one clip."""
    return FacesEstimate(FaceTracker(FaceMesh()))


ESTIMATORS: Sequence[StructureEstimator] = (
    StructureEstimator(
        "blazepose", BLAZEPOSE.name, load_people, load_people_tracker, load_people_segment, default=True
    ),
    StructureEstimator("facemesh", IBUG_68.name, load_faces, load_face_tracker, None, default=True),
)
