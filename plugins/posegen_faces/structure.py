"""The structure of a face: edges, distances to curves, and part labels (arXiv 2008.12606)."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from posegen.data import HeatmapEncoder, KeypointLayout, Keypoints, StructureEncoder, get_layout
from posegen.errors import ConfigError, InputError
from posegen.registry import STRUCTURE_ENCODERS

from .layouts import IBUG_68

FOREHEAD = tuple(range(68, 83))
"""Points 68 to 82 are synthetic: the jaw's points 15 to 1 mirrored upwards (:func:`with_forehead`)."""


class FacePart(NamedTuple):
    """An outline in curves of point numbers, closed except for eyebrows; ``label`` fills it in the label map."""

    label: int
    curves: tuple[tuple[int, ...], ...]


PARTS = (
    FacePart(1, ((*range(17), *FOREHEAD, 0),)),
    FacePart(2, (tuple(range(17, 22)),)),
    FacePart(2, (tuple(range(22, 27)),)),
    FacePart(3, ((27, 31), tuple(range(31, 36)), (35, 27))),
    FacePart(4, ((36, 37, 38, 39), (39, 40, 41, 36))),
    FacePart(4, ((42, 43, 44, 45), (45, 46, 47, 42))),
    FacePart(5, (tuple(range(48, 55)), (*range(54, 60), 48))),
    FacePart(6, (tuple(range(60, 65)), (*range(64, 68), 60))),
)
"""Face, eyebrows, nose, eyes, mouth, tongue; later parts are filled over earlier ones."""

LABEL_COLORS = np.array(
    [(0, 0, 0), (96, 72, 60), (150, 110, 40), (40, 120, 80), (50, 100, 190), (190, 50, 70), (120, 20, 90)], np.uint8
)

FARTHEST = 255.0  # a distance is stored in 0..255 before it becomes 0..1
FORESHORTENED = 2 / 3  # height of the forehead, as a fraction of the depth of the jaw


@STRUCTURE_ENCODERS.register_module()
class FaceStructureEncoder(StructureEncoder):
    """Encoder of the 68 landmarks of a face as 16 channels.

    - 0: the edge map, 0 or 1: the 14 curves, one pixel wide; with an image also its Canny edges outside
      the face, which show shoulders, hair and background.
    - 1 to 14: one distance map for each curve: L1 distance in pixels, divided by ``divisor``, clipped to 255, as 0..1.
    - 15: the part labels: 0 elsewhere, 1 face, 2 eyebrows, 3 nose, 4 eyes, 5 mouth, 6 tongue.

    Interpretation of details the paper leaves open: the outline is the jaw (0 to 16) and its points 15 to 1 mirrored
    upwards at the mean height of its two ends, two thirds as deep; the nose is closed as eyes and mouth are: from the
    top of its bridge (27) straight down to both ends of its base (31, 35), and the base; *mouth* is the outer lip,
    *tongue* the inner; both of a pair share a label; parts are filled, later ones over earlier ones. A curve goes
    through groups of three points, stepping by two, as a parabola over the length of its chords; a last group of two is
    a straight line.

    A curve that touches a missing point is left out: its distance map is all 1. A part with such a curve is not filled.

    Args:
        layout: name of the layout of 68 points, or the layout itself.
        divisor: of distances, in pixels; published: 3, at 256×256. At another size S, ``3 * S / 256`` gives the
            same values to the same place of a face.
        image_edges: whether edges of the image outside the face are drawn; without, points alone drive a face.
        canny: lower and upper threshold of the Canny edges, of gray levels 0..255.

    Raises:
        ConfigError: a layout of other points; a divisor that is not positive.
    """

    channels = 16

    def __init__(
        self,
        layout: str | KeypointLayout = "ibug68",
        divisor: float = 3.0,
        image_edges: bool = True,
        canny: tuple[float, float] = (100, 200),
    ) -> None:
        self.layout = get_layout(layout)
        self.divisor = divisor
        self.image_edges = self.sees_image = image_edges
        self.canny = (float(canny[0]), float(canny[1]))
        if self.layout.names != IBUG_68.names:
            raise ConfigError(
                f"FaceStructureEncoder takes the 68 landmarks of layout {IBUG_68.name!r}, not {self.layout.name!r}"
            )
        if divisor <= 0:
            raise ConfigError(f"FaceStructureEncoder: divisor must be positive, got {divisor}")

    def encode(self, keypoints: Keypoints, size: tuple[int, int], image: np.ndarray | None = None) -> Tensor:
        """Return the structure, float32 16 H W, of points in pixels of an image of *size* (H, W).

        Args:
            image: uint8 H W 3 of that size, whose edges outside the face are added; None: no such edges.

        Raises:
            InputError: another number of points; an image of another type or size.
        """
        if len(keypoints) != len(IBUG_68):
            raise InputError(f"{len(keypoints)} points, {len(IBUG_68)} expected")
        points, present = with_forehead(keypoints)
        height, width = size
        structure = np.zeros((self.channels, height, width), np.float32)
        labels = np.zeros((height, width), np.uint8)
        edges = np.zeros((height, width), np.uint8)
        lines = [
            line if present[list(curve)].all() else None for curve, line in zip(CURVES, trace(points), strict=True)
        ]
        for channel, line in enumerate(lines, 1):
            structure[channel] = self._distance(line, size)
        remaining = iter(lines)
        for part in PARTS:
            outline = [next(remaining) for _ in part.curves]
            found = [line for line in outline if line is not None]
            if len(found) == len(outline):
                cv2.fillPoly(labels, [np.concatenate(found)], part.label)
            cv2.polylines(edges, found, isClosed=False, color=1)
        if image is not None and self.image_edges:
            edges |= self._edges_outside(image, size, labels)
        structure[0], structure[-1] = edges, labels
        return torch.from_numpy(structure)

    def _distance(self, line: np.ndarray | None, size: tuple[int, int]) -> np.ndarray | float:
        """Return the distance map of a curve, H W in 0..1; all 1 for no curve, and for one outside of the picture."""
        if line is None:
            return 1.0
        canvas = np.ones(size, np.uint8)
        cv2.polylines(canvas, [line], isClosed=False, color=0)
        if canvas.all():
            return 1.0
        distance = cv2.distanceTransform(canvas, cv2.DIST_L1, 3)
        return np.minimum(distance * (1 / self.divisor), FARTHEST) / FARTHEST

    def _edges_outside(self, image: np.ndarray, size: tuple[int, int], labels: np.ndarray) -> np.ndarray:
        if image.dtype != np.uint8 or image.shape != (*size, 3):
            raise InputError(f"an image is uint8 {(*size, 3)}; got {image.dtype} {image.shape}")
        gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
        return ((cv2.Canny(gray, *self.canny) > 0) & (labels == 0)).astype(np.uint8)

    def draw(self, structure: Tensor) -> np.ndarray:
        """Draw a structure 16 H W: parts in colors, edges in white; uint8 H W 3, RGB."""
        array = structure.detach().float().cpu().numpy()
        labels = np.clip(np.rint(array[-1]), 0, len(LABEL_COLORS) - 1).astype(np.int64)
        return np.where(array[0][..., None] > 0.5, np.uint8(255), LABEL_COLORS[labels])


@STRUCTURE_ENCODERS.register_module()
class FaceLandmarkEncoder(StructureEncoder):
    """Encoder of the 68 landmarks of a face as 84 channels: a heat map for each landmark, then the 16 channels of
    :class:`FaceStructureEncoder`. The landmarks can be recovered from it, so a flow prior can start from them.

    Args:
        layout: name of the layout of 68 points, or the layout itself.
        sigma: standard deviation of the heat maps in pixels of the encoded size.
        divisor, image_edges, canny: as in :class:`FaceStructureEncoder`.

    Raises:
        ConfigError: a sigma that is not above 0; see also :class:`FaceStructureEncoder`.
    """

    channels = len(IBUG_68) + FaceStructureEncoder.channels

    def __init__(
        self,
        layout: str | KeypointLayout = "ibug68",
        sigma: float = 6.0,
        divisor: float = 3.0,
        image_edges: bool = True,
        canny: tuple[float, float] = (100, 200),
    ) -> None:
        if not sigma > 0:
            raise ConfigError(f"FaceLandmarkEncoder: sigma must be above 0, got {sigma!r}")
        self.face = FaceStructureEncoder(layout, divisor, image_edges, canny)
        self.layout = self.face.layout
        self.heatmaps = HeatmapEncoder(self.layout, sigma, subpixel=True)

    def encode(self, keypoints: Keypoints, size: tuple[int, int], image: np.ndarray | None = None) -> Tensor:
        """Return the structure, float32 84 H W; arguments as of :meth:`FaceStructureEncoder.encode`."""
        face = self.face.encode(keypoints, size, image)
        return torch.cat([self.heatmaps.encode(keypoints, size), face])

    def decode(self, structure: Tensor) -> Keypoints:
        """Return the landmarks of a structure 84 H W; empty heat maps are missing landmarks."""
        return self.heatmaps.decode(structure[: len(IBUG_68)])

    def draw(self, structure: Tensor) -> np.ndarray:
        """Draw a structure 84 H W as :meth:`FaceStructureEncoder.draw` does."""
        return self.face.draw(structure[len(IBUG_68) :])


def with_forehead(keypoints: Keypoints) -> tuple[np.ndarray, np.ndarray]:
    """Return the 68 points and 15 of a forehead, 83 2, and which are present: a forehead point needs both ends of the
    jaw and the point it mirrors."""
    jaw = keypoints.points[15:0:-1].copy()
    ends = keypoints.points[[0, 16], 1].mean()
    jaw[:, 1] = ends - (jaw[:, 1] - ends) * FORESHORTENED
    present = keypoints.present[15:0:-1] & keypoints.present[[0, 16]].all()
    points = np.nan_to_num(np.concatenate([keypoints.points, jaw]), posinf=0, neginf=0)
    return points, np.concatenate([keypoints.present, present])


def trace(points: np.ndarray) -> list[np.ndarray]:
    """Return the curves of all parts through points 83 2, in order: whole pixels M 1 2, int32, as OpenCV takes them."""
    triples = points[GROUPS].astype(np.float64).clip(-32000, 32000)  # G 3 2; the limit is what drawing can count
    first, second = np.linalg.norm(np.diff(triples, axis=1), axis=2).T
    straight = (GROUPS[:, 1] == GROUPS[:, 2]) | (first == 0) | (second == 0)
    triples[straight, 1] = triples[straight][:, [0, 2]].mean(1)
    middle = np.where(straight, 0.5, first / np.maximum(first + second, 1e-9))[:, None]
    steps = np.linspace(0, 1, SAMPLES)[None]
    t = np.concatenate([steps * middle, middle + steps[:, 1:] * (1 - middle)], 1)  # G 2·SAMPLES − 1
    weights = np.stack(
        [(t - middle) * (t - 1) / middle, t * (t - 1) / (middle * (middle - 1)), t * (t - middle) / (1 - middle)], 2
    )
    pixels = np.rint(weights @ triples).astype(np.int32)  # G 2·SAMPLES−1 2
    return [curve.reshape(-1, 1, 2) for curve in np.split(pixels, ENDS)]


def _groups(curve: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """Return groups of three points, stepping by two; a last group of two repeats its end."""
    return [(*curve[i : i + 2], curve[min(i + 2, len(curve) - 1)]) for i in range(0, len(curve) - 1, 2)]  # type: ignore[misc]


SAMPLES = 9
"""Points that each half of a parabola is drawn through: at 256×256 they are at most some three pixels apart."""
CURVES = [curve for part in PARTS for curve in part.curves]
GROUPS = np.array([group for curve in CURVES for group in _groups(curve)])
ENDS = np.cumsum([len(_groups(curve)) for curve in CURVES])[:-1]
