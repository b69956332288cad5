"""Multi-scale structural similarity (Wang, Simoncelli, Bovik, Asilomar 2003)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from posegen.evaluation import ImageBatch, ImageMetric
from posegen.evaluation.metric import OPENCV
from posegen.registry import METRICS

from .ssim import VARIANTS, planes, require_size, similarity_maps

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, fine to coarse, section 3.2
WINDOW = VARIANTS["gaussian"]
LEAST = (WINDOW.window - 1) * 2 ** (len(WEIGHTS) - 1) + 1
"""Minimum side in pixels, for which the window fits into the coarsest scale."""


@METRICS.register_module()
class MSSSIM(ImageMetric):
    """``ms_ssim``, in [0, 1]: structural similarity at five scales, by RGB channel, averaged.

    The product over scales of contrast times structure, and of the luminance of the coarsest scale, each averaged over
    the image and raised to the published weight of the scale. The window is that of SSIM's variant ``"gaussian"``. The
    next scale is the mean of 2×2 pixels, with the last pixel of an odd side repeated (the paper only says low-pass
    filter). A negative mean counts as 0, because its power is not real.

    Images need 161 pixels per side or more.
    """

    higher_is_better = {"ms_ssim": True}
    packages = OPENCV

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """Compute ``ms_ssim`` of each image. NotComputable: images of fewer than 161 pixels per side."""
        require_size(images.generated, LEAST, "MS-SSIM")
        values = [
            np.mean([ms_ssim(*channel) for channel in zip(planes(first), planes(second), strict=True)])
            for first, second in zip(images.generated, images.target, strict=True)
        ]
        return {"ms_ssim": torch.tensor(values, dtype=torch.float64, device=images.generated.device)}


def ms_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Compute MS-SSIM of two planes H W in [0, 1], float64."""
    value = 1.0
    for scale, weight in enumerate(WEIGHTS):
        luminance, structure = similarity_maps(first, second, WINDOW)
        coarsest = scale == len(WEIGHTS) - 1
        similarity = luminance * structure if coarsest else structure
        value *= max(float(similarity.mean()), 0.0) ** weight
        first, second = halve(first), halve(second)
    return value


def halve(plane: np.ndarray) -> np.ndarray:
    """Average 2×2 pixels; the last row or column of an odd number is repeated."""
    height, width = plane.shape
    even = cv2.copyMakeBorder(plane, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
