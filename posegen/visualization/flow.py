"""Flows, masks and images as pictures: uint8, H W 3, RGB."""

from __future__ import annotations

import mmcv
import numpy as np
import torch
from torch import Tensor

from ..data.images import resize_image
from ..data.images import to_uint8 as to_picture
from ..ops import warp

__all__ = ["flow_to_rgb", "flow_wheel", "mask_to_rgb", "to_picture", "warp"]

JUST_BELOW = 1 - 1e-6
SMOOTHING = 4  # the wheel is drawn this many times larger, for a smooth edge


def flow_to_rgb(flow: Tensor | np.ndarray, largest: float | None = None) -> np.ndarray:
    """A flow in the colors of the Middlebury wheel: hue is direction, saturation is length, white is none.

    Args:
        flow: 2 H W, a tensor or an array, any unit; channel 0 to the right, channel 1 down. What is not finite becomes
            black.
        largest: the length that is fully saturated, as anything longer; one value makes pictures comparable.
            None: the longest vector of this flow.

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
    with np.errstate(invalid="ignore"):  # infinite times zero: NaN, which is drawn black
        vectors = vectors * (JUST_BELOW / np.maximum(length, largest))
    # mmcv divides by the longest vector it sees: an extra row holds one of length 1.
    unit_row = np.zeros_like(vectors[:1])
    unit_row[0, 0, 0] = 1
    colors = mmcv.flow2rgb(np.concatenate([vectors, unit_row]))[:-1]
    return np.round(colors * 255).astype(np.uint8)


def flow_wheel(size: int, background: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """The legend: a disc where each place has the color of the flow that leads there from the middle.

    Args:
        size: diameter in pixels. background: RGB outside the disc.

    Returns:
        uint8, size size 3, RGB; the rim is :func:`flow_to_rgb`'s *largest*.
    """
    side = torch.linspace(-1, 1, size * SMOOTHING)
    flow = torch.stack(torch.meshgrid(side, side, indexing="xy"))
    wheel = flow_to_rgb(flow, largest=1.0)
    wheel[(flow.norm(dim=0) > 1).numpy()] = background
    return resize_image(wheel, (size, size), "box")


def mask_to_rgb(mask: Tensor | np.ndarray) -> np.ndarray:
    """A mask in gray, uint8 H W 3: white is warped, black is generated.

    Args:
        mask: 1 H W or H W in [0, 1], a tensor or an array.
    """
    return to_picture(torch.as_tensor(mask).expand(3, -1, -1) * 2 - 1)
