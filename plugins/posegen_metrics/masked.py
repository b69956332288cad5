"""SSIM and LPIPS of the subject alone: everything else black in both images (PATN, Zhu et al., CVPR 2019; GFLA on
Market-1501)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from posegen.evaluation import ImageBatch, ImageMetric, NotComputable
from posegen.registry import METRICS

from .lpips_distance import LPIPS, LPIPSDistance
from .ssim import SSIM, check_variant, ssim


@METRICS.register_module()
class MaskedSSIM(ImageMetric):
    """``masked_ssim``, in [-1, 1]: SSIM of result × mask and target × mask, over the whole image: outside the mask both
    are black, and alike.

    The mask is the batch's: what the protocol draws from the target's key points; where a model is tested, the data
    set's foreground.

    Args:
        variant: see :class:`SSIM`; the data range of ``"ssim256"`` is that of the masked image.
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"masked_ssim": True}
    variants = SSIM.variants

    def __init__(self, variant: str = "gaussian", prefix: str = "") -> None:
        super().__init__(prefix)
        self.variant = check_variant(variant)

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """``masked_ssim`` of each image. NotComputable: no mask; images smaller than the window."""
        return {"masked_ssim": ssim(*masked(images), self.variant)}


@METRICS.register_module()
class MaskedLPIPS(ImageMetric):
    """``masked_lpips``: LPIPS of result × mask and target × mask, black outside. The mask as for :class:`MaskedSSIM`.

    Args:
        net, version, weights: see :class:`LPIPS`.
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"masked_lpips": False}
    variants = LPIPS.variants

    def __init__(
        self, net: str = "alex", version: str = "0.1", weights: str | Path | None = None, prefix: str = ""
    ) -> None:
        super().__init__(prefix)
        self.distance = LPIPSDistance(net, version, weights)
        self.extractor = self.distance.extractor

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """``masked_lpips`` of each image. NotComputable: no mask."""
        return {"masked_lpips": self.distance(*masked(images))}


def masked(images: ImageBatch) -> tuple[Tensor, Tensor]:
    """Results and targets in [0, 1], 0 outside the mask. NotComputable: there is none."""
    if images.mask is None:
        raise NotComputable(
            "needs a mask of the subject, and there is none: key points of the targets and a protocol with a mask, "
            "or a data set that knows the foreground"
        )
    return images.generated * images.mask, images.target * images.mask
