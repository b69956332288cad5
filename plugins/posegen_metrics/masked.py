"""SSIM and LPIPS with everything but the subject black (PATN, Zhu et al., CVPR 2019; GFLA on Market-1501)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from posegen.evaluation import ImageBatch, ImageMetric, NotComputable
from posegen.registry import METRICS

from .lpips_distance import LPIPS, LPIPSDistance
from .ssim import SSIM, check_variant, ssim, ssim_inside


@METRICS.register_module()
class MaskedSSIM(ImageMetric):
    """``masked_ssim``, in [-1, 1]: SSIM of generated × mask and true × mask, over the whole image.

    The mask is drawn by the protocol from the target's key points, or is the foreground of the data set in a config's
    evaluator.

    Args:
        variant: see :class:`SSIM`; the data range of ``"ssim256"`` is that of the masked image.
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"masked_ssim": True}
    packages = SSIM.packages
    variants = SSIM.variants

    def __init__(self, variant: str = "gaussian", prefix: str = "") -> None:
        super().__init__(prefix)
        self.variant = check_variant(variant)

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """Compute ``masked_ssim`` of each image. NotComputable: no mask, or images smaller than the window."""
        return {"masked_ssim": ssim(*masked(images), self.variant)}


@METRICS.register_module()
class ForegroundSSIM(ImageMetric):
    """``ssim_foreground``, in [-1, 1]: SSIM averaged over the positions of the subject alone.

    Nothing is made black: a window at the subject's edge sees the background as well. The black surroundings of
    :class:`MaskedSSIM` agree in every image, and bring its values close to 1.

    Args:
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"ssim_foreground": True}
    packages = SSIM.packages

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """Compute ``ssim_foreground`` of each image. NotComputable: no mask, or images smaller than the window."""
        if images.mask is None:
            raise NotComputable("needs a mask of the subject: a data set that knows the foreground")
        return {"ssim_foreground": ssim_inside(images.generated, images.target, images.mask)}


@METRICS.register_module()
class MaskedLPIPS(ImageMetric):
    """``masked_lpips``: LPIPS of generated × mask and true × mask. Mask as in :class:`MaskedSSIM`.

    Args:
        net, version, weights: see :class:`LPIPS`.
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"masked_lpips": False}
    packages = LPIPS.packages
    variants = LPIPS.variants

    def __init__(
        self, net: str = "alex", version: str = "0.1", weights: str | Path | None = None, prefix: str = ""
    ) -> None:
        super().__init__(prefix)
        self.distance = LPIPSDistance(net, version, weights)
        self.extractor = self.distance.extractor

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """Compute ``masked_lpips`` of each image. NotComputable: no mask."""
        return {"masked_lpips": self.distance(*masked(images))}


def masked(images: ImageBatch) -> tuple[Tensor, Tensor]:
    """Return generated and true images in [0, 1], 0 outside the mask. NotComputable: there is no mask."""
    if images.mask is None:
        raise NotComputable(
            "needs a mask of the subject: key points of the targets and a protocol with a mask, or a data set that "
            "knows the foreground"
        )
    return images.generated * images.mask, images.target * images.mask
