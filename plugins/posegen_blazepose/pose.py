"""BlazePose (Bazarevsky et al., arXiv 2006.10204): find people and 33 points of each.

As published: a detector gives the middle of the hips and the circle around a person; the person is cut out upright, and
a second network finds the points, which are refined by its heat maps. Two of its auxiliary points give the circle anew,
for a second pass, or for the next frame of a clip.

Added here: the detector also looks at overlapping squares of a photograph, because it finds only people who fill a
third of what it sees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from .detection import OVERLAP, Detection, Detector, overlap
from .networks import POSE_DETECTOR, POSE_LANDMARKS, Network
from .regions import Region, tiles

NAMES = (
    "nose",
    "left eye inner", "left eye", "left eye outer", "right eye inner", "right eye", "right eye outer",
    "left ear", "right ear", "left mouth", "right mouth",
    "left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist", "right wrist",
    "left pinky", "right pinky", "left index", "right index", "left thumb", "right thumb",
    "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
    "left heel", "right heel", "left big toe", "right big toe",
)  # fmt: skip
"""Names of the 33 points; left and right are the person's own. MediaPipe calls a big toe foot index."""
BODY = tuple(NAMES.index(f"{side} {part}") for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
             for side in ("left", "right"))  # fmt: skip
HEAD = [NAMES.index(name) for name in ("nose", "left eye", "right eye", "left ear", "right ear")]
HIP_PAIR = [NAMES.index("left hip"), NAMES.index("right hip")]
SHOULDER_PAIR = [NAMES.index("left shoulder"), NAMES.index("right shoulder")]


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


LIMBS = _limbs()

# MediaPipe, modules/pose_detection and modules/pose_landmark
GRIDS = ((8, 2), (16, 2), (32, 6))
MIN_DETECTION = 0.5
MIN_PRESENCE = 0.5
MARGIN = 1.25
HIPS, CIRCLE = 33, 34  # auxiliary points of the second network: middle of the hips, and a point of the circle
POINTS = 39
WINDOW = 7
MIN_HEAT = 0.5

SIDES = (1.5, 1.0, 2 / 3, 0.4)
OVERHANG = 0.25
SMALLEST = 128
SAME = 0.2
"""Largest distance of the heads, or of the middles of the hips, of one person found twice, in radii of the circle
around a person."""
THICKNESS = 0.1
"""Largest distance of a point on a body from the nearest limb, in radii of the circle around the person."""
LYING_ON = 0.75
"""Least share of points on the body of another person from which on a figure may be a part of that person."""
TURN = np.pi / 4
"""Least angle between a person and an arm, or the like, that is taken for a person."""
CUTOUT = 1.3
"""Least ratio of height to width of an image in which a person is looked for without a detection: data sets of cutouts,
such as Market-1501, have people from edge to edge, of whom the detector finds two thirds."""


@dataclass(frozen=True)
class Person:
    """A person in an image.

    Args:
        points: 33 2, (x, y) in pixels of the image.
        visibility: 33, 0 to 1: how sure it is that a point is in the image and not hidden.
        score: how sure it is that there is a person, 0 to 1.
        region: the part of the image in which the person was found.
        next_region: the part in which to look in the next pass, or in the next frame.
        mask: 256 256, 0 to 1: where in *region* the person is.
    """

    points: np.ndarray
    visibility: np.ndarray
    score: float
    region: Region
    next_region: Region
    mask: np.ndarray

    @property
    def quality(self) -> float:
        """Mean visibility of shoulders, elbows, wrists, hips, knees and ankles."""
        return float(self.visibility[list(BODY)].mean())

    @property
    def area(self) -> float:
        """Area of the box around the points in square pixels."""
        return float(np.ptp(self.points, axis=0).prod())

    def is_near(self, other: Person) -> bool:
        """Return whether two findings are of the same person."""
        limit = SAME * min(_radius(self.region), _radius(other.region))
        return any(
            np.linalg.norm(self.points[group].mean(0) - other.points[group].mean(0)) < limit
            for group in (HEAD, HIP_PAIR)
        )

    def is_part_of(self, other: Person) -> bool:
        """Return whether this is a limb of another person, or that person upside down, taken for a person.

        Its points lie on the body of the other one, as do those of a child who stands before a parent; but it is
        turned.
        """
        turn = abs(np.angle(np.exp(1j * (self.next_region.angle - other.next_region.angle))))
        on_body = other.distances(self.points) <= THICKNESS * _radius(other.region)
        return bool(turn >= TURN and on_body.mean() >= LYING_ON)

    def distances(self, points: np.ndarray) -> np.ndarray:
        """Return the distances of points N 2 from the nearest limb, or diagonal of the trunk, in pixels, N."""
        diagonals = zip(SHOULDER_PAIR, reversed(HIP_PAIR), strict=True)
        start, end = np.swapaxes(self.points[np.array([*LIMBS, *diagonals])], 0, 1)
        step = end - start
        along = ((points[:, None] - start) * step).sum(-1) / np.maximum((step**2).sum(-1), 1e-9)
        nearest = start + np.clip(along, 0, 1)[..., None] * step
        return np.linalg.norm(points[:, None] - nearest, axis=-1).min(1)

    def mask_of(self, height: int, width: int) -> np.ndarray:
        """Return the mask of an image of that size, H W, 0 to 1."""
        matrix = self.region.matrix(len(self.mask))
        return cv2.warpAffine(self.mask, matrix, (width, height), flags=cv2.INTER_LINEAR)


class BlazePose:
    """Find the people in photographs.

    Raises:
        MissingWeightsError: LiteRT is not installed.
    """

    def __init__(self) -> None:
        self.detector = Detector(POSE_DETECTOR, GRIDS, MIN_DETECTION)
        self.network = Network(POSE_LANDMARKS)

    def __call__(self, image: np.ndarray) -> list[Person]:
        """Return the people in an image uint8 H W 3, RGB, largest first."""
        squares = tiles(image.shape[0], image.shape[1], SIDES, OVERHANG, SMALLEST)
        found = best_of_each([one for square in squares for one in self.detector(image, square)])
        regions = [region_of(one) for one in found]
        if not regions and image.shape[0] >= CUTOUT * image.shape[1]:
            whole = Region.whole(image)
            regions = [replace(whole, side=MARGIN * whole.side)]
        return unique([person for region in regions if (person := self.find(image, region))])

    def find(self, image: np.ndarray, region: Region) -> Person | None:
        """Return the person in a region after two passes; None if nobody is there."""
        first = self.look(image, region)
        return first and (self.look(image, first.next_region) or first)

    def look(self, image: np.ndarray, region: Region) -> Person | None:
        """Return the person in a region of an image after one pass; None if nobody is there."""
        person = self.suppose(image, region)
        return person if person.score >= MIN_PRESENCE else None

    def suppose(self, image: np.ndarray, region: Region) -> Person:
        """Return the person in a region of an image after one pass, however unsure it is that there is one."""
        crop = region.crop(image, self.network.size, cv2.BORDER_REPLICATE)
        landmarks, score, mask, heat, _ = self.network(crop)
        values = landmarks.reshape(POINTS, -1)  # x, y, depth, visibility, presence
        points = region.to_image(refine(values[:, :2] / self.network.size, _sigmoid(heat[0])))
        following = Region.standing(points[HIPS], points[CIRCLE], MARGIN)
        seen = _sigmoid(values[: len(NAMES), 3])
        return Person(points[: len(NAMES)], seen, score.item(), region, following, _sigmoid(mask[0, :, :, 0]))


class PoseTracker:
    """Find the people in the frames of one clip, in order.

    A person is looked for where the person was in the frame before. The detector looks at the whole frame while nobody
    is there, and every *interval* frames.

    Args:
        poses: finds people.
        interval: frames from one detection to the next.
    """

    def __init__(self, poses: BlazePose, interval: int = 10) -> None:
        self.poses = poses
        self.interval = interval
        self._people: list[Person] = []
        self._frames = 0

    def __call__(self, image: np.ndarray) -> list[Person]:
        """Return the people in the next frame, uint8 H W 3, RGB, largest first."""
        followed = (self.poses.look(image, person.next_region) for person in self._people)
        people = [person for person in followed if person is not None]
        if self._frames == 0 and not people:  # the first frame is a photograph
            people = self.poses(image)
        elif not people or self._frames % self.interval == 0:
            people += [new for one in self.poses.detector(image) if (new := self.poses.look(image, region_of(one)))]
        self._frames += 1
        self._people = unique(people)
        return self._people


def region_of(detection: Detection) -> Region:
    """Return the region of a detected person: upright, around the middle of the hips."""
    return Region.standing(detection.points[0], detection.points[1], MARGIN)


def best_of_each(detections: Sequence[Detection]) -> list[Detection]:
    """Return one detection of each person among those of several squares: a sure one, and rather an upright one.

    A body that a square or the photograph cuts off is often taken for one that is upside down.
    """

    def rank(detection: Detection) -> float:
        return -detection.score * (3 + np.cos(region_of(detection).angle))

    people: list[Detection] = []
    for one in sorted(detections, key=rank):
        if not any(_is_same(one, other) for other in people):
            people.append(one)
    return people


def _is_same(one: Detection, other: Detection) -> bool:
    """Return whether two detections are of one person: by the middles of the hips, or by the boxes, those of faces."""
    gap = float(np.linalg.norm(one.points[0] - other.points[0]))
    return gap < SAME * _radius(region_of(other)) or overlap(one.box, other.box) > OVERLAP


def unique(people: Sequence[Person]) -> list[Person]:
    """Return each person once, as found best, without arms and the like that were taken for people; largest first."""
    kept: list[Person] = []
    for person in sorted(people, key=lambda one: -one.quality):
        if not any(person.is_near(other) for other in kept):
            kept.append(person)
    whole = [one for one in kept if not any(one.score < other.score and one.is_part_of(other) for other in kept)]
    return sorted(whole, key=lambda one: -one.area)


def refine(points: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Move points to the center of mass of their heat maps around them, where these are sure.

    Args:
        points: K 2, shares of the region, 0 to 1.
        heat: H W K, 0 to 1.
    """
    height, width, _ = heat.shape
    refined, half = points.copy(), WINDOW // 2
    for k, (x, y) in enumerate(points):
        column, row = int(x * width), int(y * height)
        if not (0 <= column < width and 0 <= row < height):
            continue
        top, left = max(row - half, 0), max(column - half, 0)
        window = heat[top : row + half + 1, left : column + half + 1, k]
        if window.max() >= MIN_HEAT:
            rows, columns = np.mgrid[top : top + window.shape[0], left : left + window.shape[1]]
            center = np.array([(window * columns).sum() / width, (window * rows).sum() / height])
            refined[k] = center / window.sum()
    return refined


def _radius(region: Region) -> float:
    """Return the radius of the circle around a person in pixels."""
    return region.side / 2 / MARGIN


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values, -50, 50)))
