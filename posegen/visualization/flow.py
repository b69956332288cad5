"""Convert flows, masks and images to RGB images, uint8 H W 3."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..data.images import resize_image
from ..data.images import to_uint8 as to_picture
from ..ops import warp

__all__ = ["flow_to_rgb", "flow_wheel", "mask_to_rgb", "to_picture", "warp"]

SUPERSAMPLING = 4  # for a smooth edge of the wheel
CORNERS = np.array([(255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255)])
STEPS = (15, 6, 4, 11, 13, 6)
"""Number of colors of the wheel from each corner to the next, as in Baker et al., A Database and Evaluation Methodology
for Optical Flow, ICCV 2007."""
WHEEL = np.concatenate(
    [
        first + np.trunc((second - first) * np.arange(count)[:, None] / count)
        for first, second, count in zip(CORNERS, np.roll(CORNERS, -1, axis=0), STEPS, strict=True)
    ]
).astype(np.float32)
"""Colors of the wheel, 55 3, in 0 to 255."""


def flow_to_rgb(flow: Tensor | np.ndarray, largest: float | None = None) -> np.ndarray:
    """Draw a flow in the colors of the Middlebury wheel: hue is direction, saturation is length, white is no motion.

    Args:
        flow: 2 H W, in any unit; channel 0 to the right, channel 1 down. Vectors that are not finite become black.
        largest: length from which on colors are fully saturated; the same value makes images comparable. None: the
            longest vector of this flow.

    Returns:
        uint8, H W 3, RGB.

    Raises:
        ValueError: *largest* is not positive.
    """
    if largest is not None and not largest > 0:
        raise ValueError(f"largest must be a positive length, got {largest}")
    vectors = torch.as_tensor(flow).detach().to("cpu", torch.float32).permute(1, 2, 0).numpy()  # H W 2
    length = np.linalg.norm(vectors, axis=2, keepdims=True)
    if largest is None:
        largest = float(np.max(length, initial=0, where=np.isfinite(length))) or 1.0
    with np.errstate(invalid="ignore"):  # infinity times zero is NaN, which is drawn black
        vectors = vectors / np.maximum(length, largest)
    finite = np.isfinite(vectors).all(axis=2, keepdims=True)
    return np.where(finite, _wheel_colors(np.where(finite, vectors, 0)), 0).astype(np.uint8)


def _wheel_colors(vectors: np.ndarray) -> np.ndarray:
    """Return the colors of vectors H W 2, which are no longer than 1: float H W 3, 0 to 255.

    They are those of ``torchvision.utils.flow_to_image``; to import torchvision takes longer than all the rest.
    """
    place = (np.arctan2(-vectors[..., 1], -vectors[..., 0]) / np.pi + 1) / 2 * (len(WHEEL) - 1)
    low = np.floor(place).astype(int)
    share = (place - low)[..., None]
    saturated = (1 - share) * WHEEL[low] + share * WHEEL[(low + 1) % len(WHEEL)]
    length = np.minimum(np.linalg.norm(vectors, axis=2, keepdims=True), 1)
    return np.floor(255 - length * (255 - saturated))


def flow_wheel(size: int, background: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Draw the legend of :func:`flow_to_rgb`: a disc where each point has the color of the flow from the center to it.

    Args:
        size: diameter in pixels.
        background: RGB color outside of the disc.

    Returns:
        uint8, size size 3, RGB; the rim has the color of length *largest*.
    """
    side = torch.linspace(-1, 1, size * SUPERSAMPLING)
    flow = torch.stack(torch.meshgrid(side, side, indexing="xy"))
    wheel = flow_to_rgb(flow, largest=1.0)
    wheel[(flow.norm(dim=0) > 1).numpy()] = background
    return resize_image(wheel, (size, size), "box")


def mask_to_rgb(mask: Tensor | np.ndarray) -> np.ndarray:
    """Draw a mask in gray, uint8 H W 3: white is warped, black is generated.

    Args:
        mask: 1 H W or H W in [0, 1].
    """
    return to_picture(torch.as_tensor(mask).expand(3, -1, -1) * 2 - 1)
