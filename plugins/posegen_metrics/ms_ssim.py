"""Multi-scale structural similarity (Wang, Simoncelli, Bovik, Multi-scale structural similarity for image quality
assessment, Asilomar 2003)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from posegen.evaluation import ImageBatch, ImageMetric
from posegen.registry import METRICS

from .ssim import VARIANTS, planes, require_size, similarity_maps

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, fine to coarse, section 3.2
WINDOW = VARIANTS["gaussian"]
LEAST = (WINDOW.window - 1) * 2 ** (len(WEIGHTS) - 1) + 1
"""Pixels a side; the window then fits into the coarsest scale."""


@METRICS.register_module()
class MSSSIM(ImageMetric):
    """``ms_ssim``, in [0, 1]: structural similarity at five scales, by RGB channel, averaged.

    Contrast and structure of every scale and the luminance of the coarsest, each a mean over the image raised to the
    scale's published weight, are multiplied. The window is that of SSIM's variant ``"gaussian"``; the next scale is the
    mean of 2×2 pixels, an odd side's last pixel counted twice (the paper says no more than low-pass filter). A scale
    whose mean is negative counts as 0: the paper's power of it is not real.

    Images have 161 pixels a side or more.
    """

    higher_is_better = {"ms_ssim": True}

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """``ms_ssim`` of each image. NotComputable: images of fewer than 161 pixels a side."""
        require_size(images.generated, LEAST, "MS-SSIM")
        values = [
            np.mean([ms_ssim(*channel) for channel in zip(planes(first), planes(second), strict=True)])
            for first, second in zip(images.generated, images.target, strict=True)
        ]
        return {"ms_ssim": torch.tensor(values, dtype=torch.float64, device=images.generated.device)}


def ms_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Of two planes H W in [0, 1], float64."""
    value = 1.0
    for scale, weight in enumerate(WEIGHTS):
        luminance, structure = similarity_maps(first, second, WINDOW)
        coarsest = scale == len(WEIGHTS) - 1
        similarity = luminance * structure if coarsest else structure
        value *= max(float(similarity.mean()), 0.0) ** weight
        first, second = halve(first), halve(second)
    return value


def halve(plane: np.ndarray) -> np.ndarray:
    """Means of 2×2 pixels, the last row or column counted twice where their number is odd."""
    height, width = plane.shape
    even = cv2.copyMakeBorder(plane, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    return (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
