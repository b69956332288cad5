"""A structure encoder: the corners of an arrow."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from posegen.data import KeypointLayout, Keypoints, StructureEncoder, get_layout
from posegen.registry import STRUCTURE_ENCODERS

ARROW = KeypointLayout(
    name="arrow",
    names=("tip", "right barb", "right foot", "left foot", "left barb"),
    partner=(0, 4, 3, 2, 1),
    limbs=((0, 1), (1, 2), (2, 3), (3, 4), (4, 0)),
    colors=((255, 255, 255), (255, 64, 64), (255, 160, 0), (0, 160, 255), (64, 64, 255)),
)


@STRUCTURE_ENCODERS.register_module()
class CornerEncoder(StructureEncoder):
    """Encode each corner as a cone: 1 at the corner, falling to 0 over *radius*; a missing corner is an empty map.

    Args:
        layout: name of a key-point layout, or the layout itself.
        radius: in pixels of the encoded size.
    """

    def __init__(self, layout: str | KeypointLayout = "arrow", radius: float = 6.0) -> None:
        self.layout = get_layout(layout)
        self.radius = radius
        self.channels = len(self.layout)

    def encode(self, keypoints: Keypoints, size: tuple[int, int], image: np.ndarray | None = None) -> Tensor:
        """Encode points in pixels of an image of *size* (H, W) as cones K H W in [0, 1]."""
        rows, columns = np.mgrid[: size[0], : size[1]]
        x, y = (keypoints.points[:, axis, None, None] for axis in (0, 1))
        cones = np.clip(1 - np.hypot(columns - x, rows - y) / self.radius, 0, 1)
        return torch.from_numpy((cones * keypoints.present[:, None, None]).astype(np.float32))

    def draw(self, structure: Tensor) -> np.ndarray:
        """Draw the cones of a structure K H W in the colors of their corners: uint8, H W 3, RGB."""
        colors = torch.tensor(self.layout.colors, dtype=torch.float32)
        image = (structure[..., None].cpu().float() * colors[:, None, None]).amax(0)
        return image.round().to(torch.uint8).numpy()
