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
"""Rows of a kernel matrix held at a time."""


@METRICS.register_module()
class KID(InceptionMetric):
    """``kid``: squared maximum mean discrepancy of the features under the kernel ``(x·y / D + 1)³``, unbiased: 0 on
    average for two sets of one distribution, whatever their sizes, so a single value may be below 0.

    The mean over random subsets, as clean-fid takes it; those of a set that is no larger are the set itself.

    Args:
        features, weights: see :class:`FID`.
        subsets: number of them.
        subset_size: images of each set in one, or as many as the smaller set has.
        seed: of the subsets.
        prefix: see :class:`SetMetric`.

    Raises:
        MissingWeightsError: the file is not there.
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
            raise ConfigError(f"KID needs 1 subset of 2 images or more, got {subsets} of {subset_size}")
        self.subsets, self.subset_size, self.seed = subsets, subset_size, seed

    def statistics(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """``features`` N D as they are."""
        return {"features": features}

    def compare(self, generated: np.ndarray, real: dict[str, np.ndarray]) -> dict[str, float]:
        """``kid``. NotComputable: a single image."""
        true = real["features"]
        size = min(len(generated), len(true), self.subset_size)
        if size < self.least_images:
            raise NotComputable(f"KID needs {self.least_images} images or more of each set, got {size}")
        if len(generated) == len(true) == size:
            return {"kid": _discrepancy(generated, true)}  # every subset is the whole
        generated, true = _in_order(generated), _in_order(true)  # what is drawn must not depend on names of files
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
        """See :meth:`SetMetric.interval`. Resampled is the discrepancy of the whole sets, which that of subsets is an
        estimate of."""
        value = self.compare(generated, real)["kid"]
        count = len(generated)
        times = np.stack([np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(draws)], axis=1)
        within, across = np.zeros(draws), np.zeros(draws)
        # The discrepancy of a resampled set needs each kernel value once, however many draws.
        for start in range(0, count, BLOCK):
            rows = generated[start : start + BLOCK]
            own = _kernel(rows, generated)
            itself = own[np.arange(len(rows)), start + np.arange(len(rows))]
            block = times[start : start + BLOCK]
            within += (block * (own @ times)).sum(axis=0) - itself @ block
            across += _mean_kernel(rows, real["features"]) @ block
        # That of the real images among each other is the same in every draw, and drops out of the spread
        drawn = within / (count * (count - 1)) - 2 * across / count
        return {"kid": centered_interval(value, drawn)}


def _in_order(features: np.ndarray) -> np.ndarray:
    """The same rows in an order of their own."""
    return features[np.lexsort(features.T[::-1])]


def _kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Kernel values M N, float64, of features M D and N D."""
    return (first.astype(np.float64) @ second.astype(np.float64).T / first.shape[1] + 1) ** 3


def _mean_kernel(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean over *second* of the kernel values of each of *first*."""
    sums = [_kernel(first, second[start : start + BLOCK]).sum(axis=1) for start in range(0, len(second), BLOCK)]
    return np.sum(sums, axis=0) / len(second)


def _discrepancy(first: np.ndarray, second: np.ndarray) -> float:
    """Unbiased squared maximum mean discrepancy of two sets of one size M, M D each."""
    size = len(first)
    among = _kernel(first, first) + _kernel(second, second)
    within = (among.sum() - np.trace(among)) / (size * (size - 1))
    return float(within - 2 * _kernel(first, second).mean())
