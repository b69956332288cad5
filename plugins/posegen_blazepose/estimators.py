"""BlazePose and the face mesh as estimators of key points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from posegen_faces.layouts import IBUG_68

from posegen.data.estimators import Estimate, Figure, StructureEstimator
from posegen.data.keypoints import KeypointLayout, Keypoints

from .face import Face, FaceMesh, FaceTracker
from .pose import NAMES, BlazePose, Person, PoseTracker

MIN_VISIBILITY = 0.3
"""Least visibility of a point that is not missing. Below, it is as a rule hidden by something else or the body."""
HEAD_TOP = 1.8
"""Distance of the top of the head from the middle of the shoulders, in distances of the middle of the ears from it."""


def _limbs() -> tuple[tuple[int, int], ...]:
    """Return the limbs of MediaPipe's drawing as pairs of indices."""
    number = {name: k for k, name in enumerate(NAMES)}
    one_side = (
        ("eye inner", "eye"), ("eye", "eye outer"), ("eye outer", "ear"),
        ("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "pinky"), ("wrist", "index"), ("wrist", "thumb"),
        ("shoulder", "hip"), ("hip", "knee"), ("knee", "ankle"), ("ankle", "heel"), ("heel", "big toe"),
    )  # fmt: skip
    pairs = [(f"{side} {a}", f"{side} {b}") for side in ("left", "right") for a, b in one_side]
    pairs += [(f"left {name}", f"right {name}") for name in ("mouth", "shoulder", "hip")]
    return tuple((number[start], number[end]) for start, end in pairs)


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
    limbs=_limbs(),
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


def load_faces() -> Estimate:
    """Load the face mesh for photographs."""
    return FacesEstimate(FaceMesh())


def load_face_tracker() -> Estimate:
    """Load the face mesh for the frames of one clip."""
    return FacesEstimate(FaceTracker(FaceMesh()))


ESTIMATORS: Sequence[StructureEstimator] = (
    StructureEstimator("blazepose", BLAZEPOSE.name, load_people, load_people_tracker, default=True),
    StructureEstimator("facemesh", IBUG_68.name, load_faces, load_face_tracker, default=True),
)
