"""Single-shot detection (SSD) with fixed anchors and weighted non-maximum suppression, as MediaPipe's detectors do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posegen.weights import WeightsFile

from .networks import Network
from .regions import Region

OVERLAP = 0.3
"""Smallest intersection over union of two boxes of one subject."""


@dataclass(frozen=True)
class Detection:
    """A detected subject.

    Args:
        score: confidence, 0 to 1.
        box: (x, y) of the upper-left and of the lower-right corner, 2 2.
        points: alignment points K 2.
    """

    score: float
    box: np.ndarray
    points: np.ndarray


class Detector:
    """A detector of subjects in an image of any size.

    Args:
        file: file of its network, whose outputs are boxes with alignment points, and scores.
        grids: (stride in pixels, anchors a cell) of each grid of anchors.
        min_score: smallest score of a detection.
    """

    def __init__(self, file: WeightsFile, grids: Sequence[tuple[int, int]], min_score: float) -> None:
        self.network = Network(file)
        self.min_score = min_score
        self.anchors = anchors(self.network.size, grids)

    def __call__(self, image: np.ndarray, region: Region | None = None) -> list[Detection]:
        """Return the subjects in an image uint8 H W 3, or in an upright region of it, best first, in its pixels."""
        region = region or Region.whole(image)
        boxes, scores = self.network(region.crop(image, self.network.size), low=-1.0)
        found = decode(boxes[0], scores[0, :, 0], self.anchors, self.network.size, self.min_score)
        in_region = suppress(found)
        return [Detection(one.score, region.to_image(one.box), region.to_image(one.points)) for one in in_region]


def anchors(size: int, grids: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the centers of all anchors as shares of the input, N 2: row by row, all of a cell in succession."""
    centers = []
    for stride, count in grids:
        side = -(-size // stride)
        y, x = np.divmod(np.arange(side * side), side)
        centers.append(np.repeat((np.stack([x, y], 1) + 0.5) / side, count, axis=0))
    return np.concatenate(centers)


def decode(boxes: np.ndarray, scores: np.ndarray, centers: np.ndarray, size: int, min_score: float) -> list[Detection]:
    """Return the detections of at least a score, best first, as shares of the input.

    Args:
        boxes: N 4+2K: center, size and K alignment points, in pixels relative to the anchor.
        scores: N, logits.
        centers: anchors N 2.
        size: side of the input in pixels.
        min_score: smallest score, 0 to 1.
    """
    confidences = 1 / (1 + np.exp(-np.clip(scores, -100, 100).astype(np.float64)))
    kept = np.flatnonzero(confidences >= min_score)
    detections = []
    for index in kept[np.argsort(-confidences[kept], kind="stable")]:
        values = boxes[index].reshape(-1, 2) / size
        center, half = values[0] + centers[index], values[1] / 2
        box, points = np.stack([center - half, center + half]), values[2:] + centers[index]
        detections.append(Detection(float(confidences[index]), box, points))
    return detections


def suppress(detections: Sequence[Detection]) -> list[Detection]:
    """Merge detections, best first, whose boxes overlap: the mean of boxes and points, weighted by their scores.

    The score of a merged detection is that of the best one.
    """
    remaining, merged = list(detections), []
    while remaining:
        overlaps = [overlap(remaining[0].box, other.box) > OVERLAP for other in remaining]
        group = [one for one, overlapping in zip(remaining, overlaps, strict=True) if overlapping] or remaining[:1]
        remaining = [one for one in remaining if all(one is not other for other in group)]
        weights = np.array([one.score for one in group])
        box = np.average([one.box for one in group], axis=0, weights=weights)
        points = np.average([one.points for one in group], axis=0, weights=weights)
        merged.append(Detection(group[0].score, box, points))
    return merged


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the intersection over union of two boxes."""
    sides = np.clip(np.minimum(a[1], b[1]) - np.maximum(a[0], b[0]), 0, None)
    intersection = float(sides.prod())
    union = float((a[1] - a[0]).prod() + (b[1] - b[0]).prod()) - intersection
    return intersection / union if union > 0 else 0.0
