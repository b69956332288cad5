"""The structure of dancers: heat maps and a drawn skeleton (arXiv 2008.12606)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from posegen.data import HeatmapEncoder, KeypointLayout, Keypoints, StructureEncoder, get_layout
from posegen.data.heatmap import draw_skeleton
from posegen.errors import ConfigError
from posegen.registry import STRUCTURE_ENCODERS


@STRUCTURE_ENCODERS.register_module()
class DanceStructureEncoder(StructureEncoder):
    """One Gaussian heat map for each key point, then the skeleton drawn in colors: 17 + 3 channels.

    Heat maps: ``exp(-|l - p|² / 2σ²)``, 1 at the point, whose place between pixels is kept; a missing point is an
    empty map. Skeleton: red, green, blue, 0 to *skeleton_peak*; a limb is drawn where both its ends are present.

    Args:
        layout: name of a key-point layout, or the layout itself.
        sigma: standard deviation of the heat maps in pixels of the encoded size.
        skeleton_peak: the largest value of the drawn channels; 255 as published, 1 to stand beside the heat maps.

    Raises:
        ConfigError: sigma or peak not above 0; an unknown layout.
    """

    sees_image = False

    def __init__(
        self, layout: str | KeypointLayout = "human36m", sigma: float = 6.0, skeleton_peak: float = 255.0
    ) -> None:
        if not sigma > 0 or not skeleton_peak > 0:
            raise ConfigError(
                f"DanceStructureEncoder: sigma and skeleton_peak must be above 0; got {sigma=}, {skeleton_peak=}"
            )
        self.layout = get_layout(layout)
        self.heatmaps = HeatmapEncoder(self.layout, sigma, subpixel=True)
        self.skeleton_peak = skeleton_peak
        self.channels = len(self.layout) + 3

    def encode(self, keypoints: Keypoints, size: tuple[int, int], image: np.ndarray | None = None) -> Tensor:
        """Return the structure K+3 H W, float32, of points in pixels of an image of *size* (H, W)."""
        return torch.cat([self.heatmaps.encode(keypoints, size), self._skeleton(keypoints, size)])

    def _skeleton(self, keypoints: Keypoints, size: tuple[int, int]) -> Tensor:
        drawn = draw_skeleton(keypoints, self.layout, size).transpose(2, 0, 1)
        return torch.from_numpy(drawn.astype(np.float32)) * (self.skeleton_peak / 255)

    def decode(self, structure: Tensor) -> Keypoints:
        """Return the points of a structure K+3 H W; empty heat maps are missing points."""
        return self.heatmaps.decode(structure[:-3])

    def mirror(self, structure: Tensor) -> Tensor:
        """Return the structure K+3 H W of the mirror image: right and left exchanged, the skeleton drawn in the colors
        of the new sides. A point outside the picture is drawn at its edge."""
        maps = structure[:-3][list(self.layout.partner)].flip(-1)
        size = (maps.shape[-2], maps.shape[-1])
        skeleton = self._skeleton(self.heatmaps.decode(maps), size)
        return torch.cat([maps, skeleton.to(maps)])

    def draw(self, structure: Tensor) -> np.ndarray:
        """Return the drawn skeleton of a structure K+3 H W: uint8, H W 3, RGB."""
        levels = structure[-3:].detach().to("cpu", torch.float32) * (255 / self.skeleton_peak)
        return levels.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
