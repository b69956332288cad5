"""Peak signal-to-noise ratio of the whole image and of the subject."""

from __future__ import annotations

import torch
from torch import Tensor

from posegen.evaluation import ImageBatch, ImageMetric
from posegen.ops import warp
from posegen.records import PairBatch, Transfer
from posegen.registry import METRICS

MOST = 100.0
"""Value of identical images in dB; an infinite value would make the mean infinite."""


@METRICS.register_module()
class PSNR(ImageMetric):
    """Peak signal-to-noise ratio in dB, at most 100 dB (identical images).

    The peak is the whole scale, not the maximum of an image.

    - ``psnr``: of the whole image.

    For a model, over the pixels of the subject if the data set knows it; NaN for images without:

    - ``psnr_foreground``: of the generated image.
    - ``psnr_foreground_copy``: of the unchanged source, the baseline of no model.
    - ``psnr_foreground_warp``: of the source warped along the finest flow, the baseline of no renderer.
    """

    units = dict.fromkeys(("psnr", "psnr_foreground", "psnr_foreground_copy", "psnr_foreground_warp"), "dB")
    higher_is_better = dict.fromkeys(units, True)

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """Compute ``psnr`` of each image."""
        return {"psnr": psnr(images.generated, images.target, data_range=1)}

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """Compute ``psnr``, and the values of the foreground if it is known."""
        values = super().measure(batch, out)
        if batch.foreground is None:
            return values
        values["psnr_foreground"] = psnr(out.image, batch.target, batch.foreground)
        values["psnr_foreground_copy"] = psnr(batch.source, batch.target, batch.foreground)
        if out.flows:
            warped = warp(batch.source, out.flows[-1])
            values["psnr_foreground_warp"] = psnr(warped, batch.target, batch.foreground)
        return values


def psnr(first: Tensor, second: Tensor, where: Tensor | None = None, data_range: float = 2) -> Tensor:
    """Compute PSNR of images B C H W: B, in dB, float64, at most 100.

    Args:
        first, second: the images.
        where: B 1 H W in {0, 1}, the pixels to include, NaN without any; None: all.
        data_range: 2 for [-1, 1], 1 for [0, 1].
    """
    error = (first - second).square().mean(1, keepdim=True, dtype=torch.float64)
    weight = torch.ones_like(error) if where is None else where.to(error)
    mean_error = (error * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)
    return (10 * torch.log10(data_range**2 / mean_error)).clamp(max=MOST)
