"""Key points as Gaussian heat maps: the structure of people (GFLA, arXiv 2003.00696, section 4)."""

from __future__ import annotations

import functools

import cv2
import numpy as np
import torch
from torch import Tensor

from ..ops import heatmap_peaks
from ..registry import STRUCTURE_ENCODERS
from .keypoints import KeypointLayout, Keypoints, get_layout
from .structure import StructureEncoder


@STRUCTURE_ENCODERS.register_module()
class HeatmapEncoder(StructureEncoder):
    """One Gaussian map for each key point: ``exp(-|l - p|² / 2σ²)``, 1 at the point; a missing point is an empty map.

    The center is truncated to whole pixels, as published for single images, or kept as it is. A Gaussian is the
    product of two one-dimensional ones, so a map costs H + W exponentials instead of H·W.

    Args:
        layout: name of a key-point layout that a plugin brings, or the layout itself.
        sigma: standard deviation in pixels of the encoded size.
        subpixel: keep the center where it is, between pixels.
    """

    sees_image = False

    def __init__(self, layout: str | KeypointLayout, sigma: float = 6.0, subpixel: bool = False) -> None:
        self.layout = get_layout(layout)
        self.sigma = sigma
        self.subpixel = subpixel
        self.channels = len(self.layout)

    def encode(self, keypoints: Keypoints, size: tuple[int, int], image: np.ndarray | None = None) -> Tensor:
        """Return heat maps K H W in [0, 1] of key points in pixels of an image of *size* (H, W)."""
        centers = np.where(keypoints.present[:, None], keypoints.points, 0)
        centers = centers if self.subpixel else np.trunc(centers)
        columns = self._gaussian(centers[:, 0], size[1]) * keypoints.present[:, None]
        rows = self._gaussian(centers[:, 1], size[0])
        # torch multiplies in a third of NumPy's time
        return torch.from_numpy(rows)[:, :, None] * torch.from_numpy(columns)[:, None, :]

    def _gaussian(self, centers: np.ndarray, length: int) -> np.ndarray:
        if not self.subpixel and centers.size and centers.min() >= 0 and centers.max() < length:
            return _gaussians(self.sigma, length)[centers.astype(np.intp)]
        return _exponentials(np.arange(length, dtype=np.float32) - centers[:, None].astype(np.float32), self.sigma)

    def decode(self, structure: Tensor) -> Keypoints:
        """Return the key points of heat maps K H W: the position of each maximum; empty maps are missing points.

        Positions lie inside the map, and between pixels only if the encoder keeps them there.
        """
        (points,), (present,) = heatmap_peaks(structure[None].detach().cpu())
        last = torch.tensor([structure.shape[-1] - 1, structure.shape[-2] - 1])
        points = torch.minimum(points.clamp(min=0), last)
        return Keypoints((points if self.subpixel else points.round()).numpy(), present.numpy())

    def draw(self, structure: Tensor) -> np.ndarray:
        """Draw the skeleton of heat maps K H W on black: uint8, H W 3, RGB."""
        return draw_skeleton(self.decode(structure), self.layout, (structure.shape[-2], structure.shape[-1]))


def _exponentials(offsets: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-(offsets**2) / (2 * sigma**2), dtype=np.float32)


@functools.lru_cache(maxsize=16)
def _gaussians(sigma: float, length: int) -> np.ndarray:
    """Gaussians around every whole center on a line of *length* pixels, one a row: windows of a single one."""
    one = _exponentials(np.arange(1 - length, length, dtype=np.float32), sigma)
    return np.lib.stride_tricks.sliding_window_view(one, length)[::-1]


def draw_skeleton(keypoints: Keypoints, layout: KeypointLayout, size: tuple[int, int]) -> np.ndarray:
    """Draw limbs and points on black in the colors of *layout*: uint8, H W 3, RGB, of *size* (H, W).

    Lines are a 64th of the shorter side wide, one pixel at least; points stand at whole pixels. A limb is drawn where
    both its ends are present.
    """
    canvas = np.zeros((*size, 3), np.uint8)
    thickness = max(1, round(min(size) / 64))
    points = np.clip(np.where(keypoints.present[:, None], keypoints.points, 0), -1e6, 1e6)  # OpenCV takes 32 bits
    at = [(int(x), int(y)) for x, y in np.rint(points)]
    for first, second in layout.limbs:
        if keypoints.present[first] and keypoints.present[second]:
            cv2.line(canvas, at[first], at[second], layout.colors[second], thickness, cv2.LINE_AA)
    for point, present, color in zip(at, keypoints.present, layout.colors, strict=True):
        if present:
            cv2.circle(canvas, point, thickness, color, -1, cv2.LINE_AA)
    return canvas
