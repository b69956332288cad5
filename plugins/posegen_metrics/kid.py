"""Kernel distance of two sets of images (Bińkowski et al., ICLR 2018, arXiv 1801.01401)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from posegen.errors import ConfigError
from posegen.evaluation import NotComputable, centered_interval
from posegen.registry import METRICS

from .inception import FEATURES, InceptionMetric

BLOCK = 1024
"""Rows of a kernel matrix in memory at a time."""


@METRICS.register_module()
class KID(InceptionMetric):
    """``kid``: unbiased squared maximum mean discrepancy of the features under the kernel ``(x·y / D + 1)³``.

    It is 0 on average for two sets of one distribution, of any size, so single values may be negative. It is the mean
    over random subsets, as in clean-fid; sets no larger than a subset are used whole.

    Args:
        features, weights: see :class:`FID`.
        subsets: number of subsets.
        subset_size: images of each set in a subset, at most all of the smaller set.
        seed: of the subsets.
        prefix: see :class:`SetMetric`.

    Raises:
        MissingWeightsError: the weight file does not exist.
    """

    higher_is_better = {"kid": False}
    variants: ClassVar[dict[str, tuple[Any, ...]]] = {"features": FEATURES}

    def __init__(
        self,
        features: str = "clean",
        weights: str | Path | None = None,
        subsets: int = 100,
        subset_size: int = 1000,
        seed: int = 0,
        prefix: str = "",
    ) -> None:
        super().__init__(features, weights, prefix)
        if subsets < 1 or subset_size < 2:
            raise ConfigError(f"KID needs 1 or more subsets of 2 or more images, got {subsets} of {subset_size}")
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed

    def statistics(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Return ``features`` N D unchanged."""
        return {"features": features}

    def compare(self, generated: np.ndarray, real: dict[str, np.ndarray]) -> dict[str, float]:
        """Compute ``kid``."""
        true = real["features"]
        size = min(len(generated), len(true), self.subset_size)
        if size < self.least_images:
            raise NotComputable(f"KID needs {self.least_images} images or more of each set, got {size}")
        if len(generated) == len(true) == size:
            return {"kid": _discrepancy(generated, true)}  # every subset is the whole
        generated, true = _in_order(generated), _in_order(true)  # draws must not depend on file names
        rng = np.random.default_rng(self.seed)
        values = [
            _discrepancy(
                generated[rng.choice(len(generated), size, replace=False)],
                true[rng.choice(len(true), size, replace=False)],
            )
            for _ in range(self.subsets)
        ]
        return {"kid": float(np.mean(values))}

    def interval(
        self, generated: np.ndarray, real: dict[str, np.ndarray], rng: np.random.Generator, draws: int
    ) -> dict[str, tuple[float, float]]:
        """Compute :meth:`SetMetric.interval` from the discrepancy of the whole sets, which subsets estimate."""
        value = self.compare(generated, real)["kid"]
        count = len(generated)
        times = np.stack([np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(draws)], axis=1)
        within, across = np.zeros(draws), np.zeros(draws)
        # Resampled sets need each kernel value only once, for any number of draws.
        for start in range(0, count, BLOCK):
            rows = generated[start : start + BLOCK]
            own = _kernel(rows, generated)
            itself = own[np.arange(len(rows)), start + np.arange(len(rows))]
            block = times[start : start + BLOCK]
            within += (block * (own @ times)).sum(axis=0) - itself @ block
            across += _mean_kernel(rows, real["features"]) @ block
        # The term of the real images alone is the same in every draw and cancels in the spread.
        drawn = within / (count * (count - 1)) - 2 * across / count
        return {"kid": centered_interval(value, drawn)}


def _in_order(features: np.ndarray) -> np.ndarray:
    """Sort rows by value."""
    return features[np.lexsort(features.T[::-1])]


def _kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute kernel values M N, float64, of features M D and N D."""
    return (first.astype(np.float64) @ second.astype(np.float64).T / first.shape[1] + 1) ** 3


def _mean_kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Average over *second* the kernel values of each row of *first*."""
    sums = [_kernel(first, second[start : start + BLOCK]).sum(axis=1) for start in range(0, len(second), BLOCK)]
    return np.sum(sums, axis=0) / len(second)


def _discrepancy(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the unbiased squared maximum mean discrepancy of two sets M D."""
    size = len(first)
    among = _kernel(first, first) + _kernel(second, second)
    within = (among.sum() - np.trace(among)) / (size * (size - 1))
    return float(within - 2 * _kernel(first, second).mean())
