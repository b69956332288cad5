"""Structural similarity (Wang et al., Image Quality Assessment, IEEE TIP 2004)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from posegen.errors import ConfigError, nearest
from posegen.evaluation import PairMetric
from posegen.records import PairBatch, Transfer
from posegen.registry import METRICS

VARIANTS = ("gaussian",)
SIGMA = 1.5  # of the window, pixels
RADIUS = 5  # 3.5 sigma: 11×11 taps
C1, C2 = 0.01**2, 0.03**2  # for a data range of 1


@METRICS.register_module()
class SSIM(PairMetric):
    """``ssim``, in [-1, 1]: structural similarity of result and target, by RGB channel, averaged.

    What scikit-image's ``structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    data_range=the whole range, channel_axis=2)`` computes, batched. The range is fixed, never an image's own.

    Args:
        variant: ``"gaussian"``: Wang's 11×11 window.
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"ssim": True}

    def __init__(self, variant: str = "gaussian", prefix: str = "") -> None:
        super().__init__(prefix)
        if variant not in VARIANTS:
            hint = f"{nearest(variant, VARIANTS)}\nthere are: {', '.join(VARIANTS)}"
            raise ConfigError(f"SSIM has no variant {variant!r}{hint}")
        self.variant = variant

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """``ssim`` of each image. ValueError: images of fewer than 11 pixels a side."""
        return {"ssim": ssim((out.image.double() + 1) / 2, (batch.target.double() + 1) / 2)}


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean structural similarity, B, of images B C H W in [0, 1]; float64 is advised.

    The mean is over the places where the whole window lies inside the image.

    Raises:
        ValueError: images of fewer than 11 pixels a side.
    """
    if min(first.shape[-2:]) < 2 * RADIUS + 1:
        raise ValueError(f"SSIM needs images of {2 * RADIUS + 1} pixels a side or more; got {tuple(first.shape)}")
    moments = torch.stack([first, second, first * first, second * second, first * second])
    mean_1, mean_2, square_1, square_2, product = _blur(moments)
    # Population covariance: no N / (N - 1).
    variance_1, variance_2 = square_1 - mean_1**2, square_2 - mean_2**2
    covariance = product - mean_1 * mean_2
    similarity = (2 * mean_1 * mean_2 + C1) * (2 * covariance + C2)
    similarity = similarity / ((mean_1**2 + mean_2**2 + C1) * (variance_1 + variance_2 + C2))
    return similarity.flatten(1).mean(1)


def _blur(maps: Tensor) -> Tensor:
    """Means of maps ... H W in the Gaussian window, where it lies inside: ... H-10 W-10."""
    taps = torch.arange(-RADIUS, RADIUS + 1, dtype=maps.dtype, device=maps.device)
    window = torch.softmax(-(taps**2) / (2 * SIGMA**2), dim=0)
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    flat = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return flat.view(*maps.shape[:-2], *flat.shape[-2:])
