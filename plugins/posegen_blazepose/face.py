"""Face mesh (Kartynnik et al., arXiv 1907.06724): find faces and 468 points of each, 68 of them landmarks.

BlazeFace finds faces with their eyes, of people up to five meters away; the face is cut out with level eyes, and a
second network finds the points. The eyes of the mesh give the region of a second pass, or of the next frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .detection import Detection, Detector
from .networks import FACE_DETECTOR, FACE_LANDMARKS, Network
from .regions import Region, tiles

# MediaPipe, modules/face_detection (full range) and modules/face_landmark
GRIDS = ((4, 1),)
MIN_DETECTION = 0.5
MIN_PRESENCE = 0.5
MARGIN = 1.5
RIGHT_EYE, LEFT_EYE = 0, 1  # of the detector's six points; the person's own right and left
OUTER_RIGHT, OUTER_LEFT = 33, 263  # corners of the eyes in the mesh

WHOLE, PARTS = (1.5, 1.0), (0.5,)
OVERHANG = 0.25
SMALLEST = 128
SAME = 0.5
"""Largest distance of the centers of one face found twice, in sides of its box."""

IBUG = (
    127, 234, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 6, 195, 4,
    98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91,
    78, 81, 13, 311, 308, 402, 14, 178,
)  # fmt: skip
"""Points of the mesh nearest to the 68 landmarks of iBUG 300-W, in their order."""


@dataclass(frozen=True)
class Face:
    """A face in an image.

    Args:
        points: 468 2, (x, y) in pixels of the image.
        score: how sure it is that there is a face, 0 to 1.
        region: the part of the image in which the face was found.
    """

    points: np.ndarray
    score: float
    region: Region

    @property
    def landmarks(self) -> np.ndarray:
        """The 68 landmarks of iBUG 300-W, 68 2."""
        return self.points[list(IBUG)]

    @property
    def next_region(self) -> Region:
        """The part of the image in which to look in the next pass, or in the next frame."""
        return Region.around(self.points, self.points[OUTER_RIGHT], self.points[OUTER_LEFT], MARGIN)

    @property
    def size(self) -> float:
        """Longer side of the box around the points in pixels."""
        return float(np.ptp(self.points, axis=0).max())

    def is_near(self, other: Face) -> bool:
        """Return whether two findings are of the same face."""
        return float(np.linalg.norm(self.points.mean(0) - other.points.mean(0))) < SAME * self.size


class FaceMesh:
    """Find the faces in photographs.

    Raises:
        MissingWeightsError: LiteRT is not installed.
    """

    def __init__(self) -> None:
        self.detector = Detector(FACE_DETECTOR, GRIDS, MIN_DETECTION)
        self.network = Network(FACE_LANDMARKS)

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Return the faces in an image uint8 H W 3, RGB, largest first."""
        found: list[Face] = []
        for one in self._detect(image):
            face = self.look(image, region_of(one))
            if face and not any(face.is_near(other) for other in found):
                found.append(self.look(image, face.next_region) or face)
        return sorted(found, key=lambda face: -face.size)

    def _detect(self, image: np.ndarray) -> list[Detection]:
        """Return detections in the whole image, best first; only if there is none, those in smaller squares."""
        for sides in (WHOLE, PARTS):
            squares = tiles(image.shape[0], image.shape[1], sides, OVERHANG, SMALLEST)
            if detections := [found for square in squares for found in self.detector(image, square)]:
                return sorted(detections, key=lambda one: -one.score)
        return []

    def look(self, image: np.ndarray, region: Region) -> Face | None:
        """Return the face in a region of an image after one pass; None if there is none."""
        mesh, logit = self.network(region.crop(image, self.network.size, cv2.BORDER_REPLICATE))
        score = float(1 / (1 + np.exp(-logit.item())))
        if score < MIN_PRESENCE:
            return None
        points = mesh.reshape(-1, 3)[:, :2] / self.network.size  # x, y, depth
        return Face(region.to_image(points), score, region)


class FaceTracker:
    """Find the faces in the frames of one clip, in order: where they were in the frame before.

    The detector looks while no face is there, and every *interval* frames.

    Args:
        faces: finds faces.
        interval: frames from one detection to the next.
    """

    def __init__(self, faces: FaceMesh, interval: int = 10) -> None:
        self.faces = faces
        self.interval = interval
        self._found: list[Face] = []
        self._frames = 0

    def __call__(self, image: np.ndarray) -> list[Face]:
        """Return the faces in the next frame, uint8 H W 3, RGB, largest first."""
        followed = [face for known in self._found if (face := self.faces.look(image, known.next_region))]
        candidates = followed
        if not followed or self._frames % self.interval == 0:
            candidates = [*followed, *self.faces(image)]
        found: list[Face] = []
        for face in candidates:
            if not any(face.is_near(other) for other in found):
                found.append(face)
        self._frames += 1
        self._found = sorted(found, key=lambda face: -face.size)
        return self._found


def region_of(detection: Detection) -> Region:
    """Return the region of a detected face, with level eyes."""
    return Region.around(detection.box, detection.points[RIGHT_EYE], detection.points[LEFT_EYE], MARGIN)
