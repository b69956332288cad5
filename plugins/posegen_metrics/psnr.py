"""Peak signal-to-noise ratio, of the whole image and of the subject."""

from __future__ import annotations

import torch
from torch import Tensor

from posegen.evaluation import ImageBatch, ImageMetric
from posegen.ops import warp
from posegen.records import PairBatch, Transfer
from posegen.registry import METRICS

MOST = 100.0
"""dB; what identical images get, whose ratio is infinite. One of them must not make the mean infinite."""


@METRICS.register_module()
class PSNR(ImageMetric):
    """Peak signal-to-noise ratio in dB, of each image, then the mean; at most 100 dB (identical images).

    The signal's peak is the whole scale, never an image's own.

    - ``psnr``: of the whole image.

    Of a model's results, where the data set knows the subject, of its pixels alone; NaN for an image that has none:

    - ``psnr_foreground``: of the result.
    - ``psnr_foreground_copy``: of the source as it is: a model that does nothing.
    - ``psnr_foreground_warp``: of the source warped along the finest flow: a model without a renderer.
    """

    units = dict.fromkeys(("psnr", "psnr_foreground", "psnr_foreground_copy", "psnr_foreground_warp"), "dB")
    higher_is_better = dict.fromkeys(units, True)

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """``psnr`` of each image."""
        return {"psnr": psnr(images.generated, images.target, data_range=1)}

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """``psnr``, and those of the foreground where it is known."""
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
    """PSNR of images B C H W: B, in dB, float64, at most 100.

    Args:
        where: B 1 H W in {0, 1}, the pixels that count; NaN where there are none. None: all.
        data_range: of the scale: 2 for [-1, 1], 1 for [0, 1].
    """
    error = (first - second).square().mean(1, keepdim=True, dtype=torch.float64)
    weight = torch.ones_like(error) if where is None else where.to(error)
    mean_error = (error * weight).flatten(1).sum(1) / weight.flatten(1).sum(1)
    return (10 * torch.log10(data_range**2 / mean_error)).clamp(max=MOST)
