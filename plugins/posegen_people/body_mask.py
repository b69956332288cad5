"""A mask of the body, drawn from key points (PATN, Zhu et al., Progressive Pose Attention Transfer, CVPR 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from posegen.data import KeypointLayout, Keypoints, StructureEncoder, get_layout
from posegen.errors import ConfigError
from posegen.registry import STRUCTURE_ENCODERS

TORSO = ("right shoulder", "left shoulder", "left hip", "right hip")  # in order around it
BITS = 4  # of a pixel's fraction, in OpenCV's coordinates


@STRUCTURE_ENCODERS.register_module()
class BodyMask(StructureEncoder):
    """The body as a mask, 1 H W in {0, 1}, for masked scores (PATN, CVPR 2019).

    A disc around each key point and a quadrilateral along each limb, holes closed with a square: PG2 (Ma et al., Pose
    Guided Person Image Generation, NeurIPS 2017) connects key points, dilates and erodes, so that the whole body is
    roughly covered; PATN, and GFLA after it, take discs of radius 4 and a square of 5×5 on Market-1501, whose images
    are 128 pixels high.

    Ours, where the descriptions are silent: which limbs (the layout's lines); how wide a quadrilateral is (as the
    discs); that the quadrilateral of shoulders and hips is filled where all four are known; and that larger images have
    all measures in proportion. So our mask is close to the published one, and not the same pixel for pixel.

    Args:
        layout: name of a key-point layout, or the layout itself; it has shoulders and hips.
        radius: of the discs.
        width: of the limbs.
        closing: side of the square.
        reference_height: radius, width and closing are pixels of an image of this height, and are scaled to others;
            None: they are pixels of the image, whatever its height.
    """

    channels = 1

    def __init__(
        self,
        layout: str | KeypointLayout = "openpose18",
        radius: float = 4.0,
        width: float = 8.0,
        closing: int = 5,
        reference_height: int | None = 128,
    ) -> None:
        if min(radius, width) <= 0 or closing < 1 or (reference_height is not None and reference_height < 1):
            raise ConfigError(
                "BodyMask: radius and width must be above 0, closing and reference_height 1 or more; "
                f"got {radius=}, {width=}, {closing=}, {reference_height=}"
            )
        self.layout = get_layout(layout)
        missing = [name for name in TORSO if name not in self.layout.names]
        if missing:
            raise ConfigError(f"BodyMask: the layout {self.layout.name!r} has no {', '.join(missing)}")
        self.torso = [self.layout.names.index(name) for name in TORSO]
        self.radius, self.width, self.closing = radius, width, closing
        self.reference_height = reference_height

    def encode(self, keypoints: Keypoints, size: tuple[int, int], image: np.ndarray | None = None) -> Tensor:
        """Return the mask, 1 H W float32 in {0, 1}, of points in pixels of an image of *size* (H, W)."""
        scale = 1.0 if self.reference_height is None else size[0] / self.reference_height
        mask = np.zeros(size, np.uint8)
        points = np.clip(np.where(keypoints.present[:, None], keypoints.points, 0), -1e6, 1e6)  # OpenCV takes 32 bits
        present = keypoints.present
        for point in points[present]:
            cv2.circle(mask, _fixed(point), round(self.radius * scale * 2**BITS), 1, cv2.FILLED, cv2.LINE_8, BITS)
        for first, second in self.layout.limbs:
            if present[first] and present[second]:
                _fill(mask, _along(points[first], points[second], self.width * scale / 2))
        if present[self.torso].all():
            _fill(mask, cv2.convexHull(points[self.torso].astype(np.float32))[:, 0])  # also of one turned about
        side = 2 * round((self.closing * scale - 1) / 2) + 1  # odd, so that nothing moves
        closed = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
        return torch.from_numpy(closed).float()[None]

    def draw(self, structure: Tensor) -> np.ndarray:
        """Draw a mask 1 H W in white on black: uint8, H W 3, RGB."""
        mask = (structure[0] > 0.5).cpu().numpy()
        return np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=2)


def _along(first: np.ndarray, second: np.ndarray, half: float) -> np.ndarray:
    """Return the corners of a quadrilateral from one point to another, *half* wide on each side."""
    direction = second - first
    length = float(np.hypot(*direction))
    normal = np.array([-direction[1], direction[0]]) * (half / length if length > 0 else 0)
    return np.stack([first + normal, second + normal, second - normal, first - normal])


def _fill(mask: np.ndarray, corners: np.ndarray) -> None:
    cv2.fillConvexPoly(mask, np.array([_fixed(corner) for corner in corners], np.int32), 1, cv2.LINE_8, BITS)


def _fixed(point: Sequence[float] | np.ndarray) -> tuple[int, int]:
    """Convert a point to OpenCV's fixed-point integers."""
    return round(float(point[0]) * 2**BITS), round(float(point[1]) * 2**BITS)
