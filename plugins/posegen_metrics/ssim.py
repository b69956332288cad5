"""Structural similarity (Wang et al., Image Quality Assessment, IEEE TIP 2004), in the published variants."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from posegen.errors import ConfigError, nearest
from posegen.evaluation import ImageBatch, ImageMetric, NotComputable
from posegen.evaluation.metric import OPENCV
from posegen.registry import METRICS

SIGMA = 1.5  # of the Gaussian window, pixels
RADIUS = 5  # 3.5 sigma: 11×11 taps
K1, K2 = 0.01, 0.03


@dataclass(frozen=True)
class Variant:
    """A variant of SSIM.

    Args:
        window: side in pixels, odd.
        mean: averages maps H W in the window, at positions where the whole window lies inside.
        unbiased: use the sample covariance, N / (N - 1), of the window's N pixels; else the population covariance.
        own_range: use the generated image's maximum minus minimum as the data range; else the whole scale.
    """

    window: int
    mean: Callable[[np.ndarray], np.ndarray]
    unbiased: bool = False
    own_range: bool = False


class ImageTooSmall(NotComputable, ValueError):
    """Image smaller than the window of a metric."""


def gaussian_mean(plane: np.ndarray) -> np.ndarray:
    """Average H W in the Gaussian window of 11×11: H-10 W-10."""
    weights = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * SIGMA**2))
    weights /= weights.sum()
    return cv2.sepFilter2D(plane, cv2.CV_64F, weights, weights)[RADIUS:-RADIUS, RADIUS:-RADIUS]


def uniform_mean(plane: np.ndarray, window: int) -> np.ndarray:
    """Average H W in a square window: H-window+1 W-window+1."""
    edge = window // 2
    return cv2.boxFilter(plane, cv2.CV_64F, (window, window))[edge:-edge, edge:-edge]


VARIANTS = {
    "gaussian": Variant(2 * RADIUS + 1, gaussian_mean),
    "uniform51": Variant(51, lambda plane: uniform_mean(plane, 51), unbiased=True),
    "ssim256": Variant(2 * RADIUS + 1, gaussian_mean, own_range=True),
    "uniform7": Variant(7, lambda plane: uniform_mean(plane, 7), unbiased=True),
}


@METRICS.register_module()
class SSIM(ImageMetric):
    """``ssim``, in [-1, 1]: structural similarity of generated and true image, averaged over RGB channels.

    The variants (docs/evaluation.md) equal scikit-image's ``structural_similarity(target, generated, channel_axis=2,
    ...)``, averaged over the positions where the whole window lies inside the image:

    - ``"gaussian"``: Wang's window of 11×11, sigma 1.5, population covariance, fixed range
      (``gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1``).
    - ``"uniform51"``: uniform window of 51×51, sample covariance, fixed range (``win_size=51, data_range=1``). Printed
      as SSIM by GFLA and CFLD.
    - ``"ssim256"``: as ``"gaussian"``, but the range is the *generated* image's own maximum minus minimum over all
      channels. Printed as SSIM_256 by GFLA and CFLD, on 0..255, which only changes rounding. NaN for a generated image
      of a single value (0 / 0).
    - ``"uniform7"``: scikit-image's default: uniform window of 7×7, sample covariance, fixed range (``data_range=1``).

    Args:
        variant: one of the above.
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"ssim": True}
    packages = OPENCV
    variants = {"variant": tuple(VARIANTS)}

    def __init__(self, variant: str = "gaussian", prefix: str = "") -> None:
        super().__init__(prefix)
        self.variant = check_variant(variant)

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """Compute ``ssim`` of each image. NotComputable: images smaller than the window."""
        return {"ssim": ssim(images.generated, images.target, self.variant)}


def check_variant(variant: str) -> str:
    """Return *variant*. ConfigError: SSIM has no such variant."""
    if variant not in VARIANTS:
        hint = f"{nearest(variant, VARIANTS)}\nthere are: {', '.join(VARIANTS)}"
        raise ConfigError(f"SSIM has no variant {variant!r}{hint}")
    return variant


def ssim(generated: Tensor, target: Tensor, variant: str = "gaussian") -> Tensor:
    """Compute the mean structural similarity, B, float64, of images B C H W in [0, 1].

    In float64, because a variance is a small difference of large numbers; on the CPU with OpenCV's filters, plane by
    plane, because a plane fits into the processor's cache.

    Raises:
        ImageTooSmall: an image is smaller than the window.
    """
    kind = VARIANTS[variant]
    require_size(generated, kind.window, f"SSIM ({variant})")
    values = [_image_ssim(planes(a), planes(b), kind) for a, b in zip(generated, target, strict=True)]
    return torch.tensor(values, dtype=torch.float64, device=generated.device)


def ssim_inside(generated: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean structural similarity (``"gaussian"``) at the positions of a mask B 1 H W in {0, 1}: B, NaN without any.

    Arguments and errors as :func:`ssim`; the outermost 5 pixels have no window and do not count.
    """
    kind = VARIANTS["gaussian"]
    require_size(generated, kind.window, "SSIM inside a mask")
    values = []
    for made, true, inside in zip(map(planes, generated), map(planes, target), map(planes, mask), strict=True):
        maps = [similarity_maps(*channel, kind) for channel in zip(made, true, strict=True)]
        similarity = np.mean([luminance * structure for luminance, structure in maps], axis=0)
        weights = inside[0, RADIUS:-RADIUS, RADIUS:-RADIUS]
        values.append(float((similarity * weights).sum() / weights.sum()) if weights.any() else math.nan)
    return torch.tensor(values, dtype=torch.float64, device=generated.device)


def planes(image: Tensor) -> np.ndarray:
    """Convert an image C H W to planes for OpenCV, float64."""
    return np.ascontiguousarray(image.detach().cpu().double().numpy())


def _image_ssim(generated: np.ndarray, target: np.ndarray, kind: Variant) -> float:
    """Compute SSIM of two images C H W."""
    data_range = np.ptp(generated) if kind.own_range else 1.0
    if data_range == 0:
        return math.nan
    maps = [similarity_maps(*channel, kind, data_range) for channel in zip(generated, target, strict=True)]
    return float(np.mean([(luminance * structure).mean() for luminance, structure in maps]))


def similarity_maps(
    first: np.ndarray, second: np.ndarray, kind: Variant, data_range: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the two factors of SSIM, luminance and contrast times structure, where the window lies inside.

    Args:
        first, second: planes H W, float64.
        kind: window and covariance.
        data_range: data range of both.
    """
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    pixels = kind.window**2
    scale = pixels / (pixels - 1) if kind.unbiased else 1.0
    mean_1, mean_2 = kind.mean(first), kind.mean(second)
    squares, product = mean_1**2 + mean_2**2, mean_1 * mean_2
    variances = (kind.mean(first**2 + second**2) - squares) * scale  # of both, added
    covariance = (kind.mean(first * second) - product) * scale
    return (2 * product + c1) / (squares + c1), (2 * covariance + c2) / (variances + c2)


def require_size(images: Tensor, least: int, what: str) -> None:
    """Raise ImageTooSmall if images ... H W have fewer than *least* pixels per side."""
    height, width = images.shape[-2:]
    if min(height, width) < least:
        raise ImageTooSmall(f"{what} needs images of {least} pixels per side or more; got {width}×{height}")
