"""Inception score (Salimans et al., NIPS 2016, arXiv 1606.03498)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from posegen.errors import ConfigError, nearest
from posegen.evaluation import NotComputable, SetMetric
from posegen.registry import METRICS

from .inception import CLASSIFIERS, Inception

MADE_FOR = 5000
"""Images per split in the paper: 50,000 in 10 splits."""


@METRICS.register_module()
class InceptionScore(SetMetric):
    """``inception_score``: ``exp(mean KL(p(y|x) ‖ p(y)))`` of ImageNet classes, from 1 to the number of classes.

    The mean over splits of equal size, in the order of the images. It needs no real images.

    Args:
        features: ``torchvision``, or ``legacy_tensorflow``, the network of the paper.
        weights: weight file of the network; None: the published file in torch's cache folder.
        splits: number of splits, of two images or more.
        prefix: see :class:`SetMetric`.

    Raises:
        MissingWeightsError: the weight file does not exist.
    """

    higher_is_better = {"inception_score": True}
    variants: ClassVar[dict[str, tuple[Any, ...]]] = {"features": CLASSIFIERS}
    packages = ("clean-fid", "torchvision")
    needs_real = False

    def __init__(
        self, features: str = "torchvision", weights: str | Path | None = None, splits: int = 10, prefix: str = ""
    ) -> None:
        super().__init__(prefix)
        if features not in CLASSIFIERS:
            raise ConfigError(
                f"features {features!r} give no class probabilities{nearest(features, CLASSIFIERS)}\n"
                f"there are: {', '.join(CLASSIFIERS)}"
            )
        if splits < 1:
            raise ConfigError(f"InceptionScore needs 1 split or more, got {splits}")
        self.splits = splits
        self.least_images = 2 * splits  # the score of any single image is 1
        self.inception = Inception(features, weights)
        self.extractor = f"{self.inception.description}, class probabilities"

    def extract(self, images: Tensor) -> np.ndarray:
        """Compute class probabilities B C of images uint8 B 3 H W."""
        return self.inception.probabilities(images)

    def statistics(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Return nothing: there are no real images."""
        return {}

    def compare(self, generated: np.ndarray, real: dict[str, np.ndarray]) -> dict[str, float]:
        """Compute ``inception_score``."""
        if len(generated) < self.least_images:
            raise NotComputable(
                f"InceptionScore needs two images in each of its {self.splits} splits, {self.least_images} in all, got "
                f"{len(generated)}"
            )
        runs = np.array_split(generated.astype(np.float64), self.splits)
        return {"inception_score": float(np.mean([_score(run) for run in runs]))}

    def advice(self, generated: int, real: int) -> str:
        """Warn about splits smaller than the paper's."""
        if generated >= MADE_FOR * self.splits:
            return ""
        return (
            f"from splits of {generated // self.splits:,} images, the paper uses {MADE_FOR:,}: fewer images lower the "
            "score; compare only with the same number of images"
        )


def _score(probabilities: np.ndarray) -> float:
    """Compute ``exp`` of the mean divergence of rows N C from their mean; 0 log 0 = 0."""
    mean = probabilities.mean(axis=0)
    ratio = np.divide(probabilities, mean, out=np.ones_like(probabilities), where=probabilities > 0)
    return float(np.exp((probabilities * np.log(ratio)).sum(axis=1).mean()))
