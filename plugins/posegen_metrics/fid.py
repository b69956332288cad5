"""Fréchet distance of two sets of images (Heusel et al., NIPS 2017, arXiv 1706.08500)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from posegen.evaluation import NotComputable, centered_interval
from posegen.registry import METRICS

from .inception import FEATURES, InceptionMetric

DIMENSIONS = 2048
"""Of the features. The covariance of no more images than that is singular."""


@METRICS.register_module()
class FID(InceptionMetric):
    """``fid``: how far two normal distributions are apart, one fitted to the features of each set; 0 or more.

    In float64, and without a matrix square root: the trace of ``(Σg Σr)^(1/2)`` is the sum of the singular values of
    ``Cg Rr``, where ``Cgᵀ Cg = Σg`` and ``Rr Rrᵀ = Σr``: each is the centered features, or a root taken once.

    Args:
        features: one of ``clean``, ``legacy_tensorflow``, ``legacy_pytorch`` (pytorch-fid's), ``torchvision``; see
            :mod:`posegen_metrics.inception`.
        weights: path of the network's file; None: where torch keeps such files.
        prefix: see :class:`SetMetric`.

    Raises:
        MissingWeightsError: the file is not there.
    """

    higher_is_better = {"fid": False}
    variants: ClassVar[dict[str, tuple[Any, ...]]] = {"features": FEATURES}

    def __init__(self, features: str = "clean", weights: str | Path | None = None, prefix: str = "") -> None:
        super().__init__(features, weights, prefix)

    def statistics(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """``mean`` D and ``root`` R, D by the smaller of N and D: ``R Rᵀ`` is the covariance (of N - 1). Both float64.
        NotComputable: a single image."""
        mean, centered = _centered(features)
        if len(centered) <= len(mean):
            return {"mean": mean, "root": centered.T}
        values, vectors = np.linalg.eigh(centered.T @ centered)
        return {"mean": mean, "root": vectors * np.sqrt(values.clip(min=0))}

    def compare(self, generated: np.ndarray, real: dict[str, np.ndarray]) -> dict[str, float]:
        """``fid``. NotComputable: a single image."""
        mean, centered = _centered(generated)
        singular = np.linalg.svd(centered @ real["root"], compute_uv=False)
        traces = np.square(centered).sum() + np.square(real["root"]).sum()
        distance = np.square(mean - real["mean"]).sum() + traces - 2 * singular.sum()
        return {"fid": max(0.0, float(distance))}  # rounding may leave less than nothing of equal sets

    def interval(
        self, generated: np.ndarray, real: dict[str, np.ndarray], rng: np.random.Generator, draws: int
    ) -> dict[str, tuple[float, float]]:
        """See :meth:`SetMetric.interval`; each draw costs the eigenvalues of a matrix as large as the smaller of the
        number of distinct images drawn and of features."""
        value = self.compare(generated, real)["fid"]
        generated = generated.astype(np.float64) - real["mean"]
        rooted = generated @ real["root"]
        squares, trace = np.square(generated).sum(axis=1), np.square(real["root"]).sum()
        count = len(generated)
        drawn = []
        for _ in range(draws):
            times = np.bincount(rng.integers(count, size=count), minlength=count)
            offset = times @ generated / count
            spread = (times @ squares - count * np.square(offset).sum()) / (count - 1)
            root = _trace_of_root(rooted, times)
            drawn.append(np.square(offset).sum() + spread + trace - 2 * root)
        return {"fid": centered_interval(value, drawn)}

    def advice(self, generated: int, real: int) -> str:
        """Says so where a set is too small for a covariance of full rank."""
        few = [f"{count:,} {kind}" for count, kind in ((generated, "generated"), (real, "real")) if count <= DIMENSIONS]
        if not few:
            return ""
        return (
            f"from {' and '.join(few)} images, no more than the features have numbers ({DIMENSIONS:,}): the covariance "
            "is singular and the distance too large; compare it with that of sets of the same size alone"
        )


def _centered(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean D, and C N D with ``Cᵀ C`` the covariance, float64, of features N D."""
    count = len(features)
    if count < FID.least_images:
        raise NotComputable(f"FID needs {FID.least_images} images or more of each set, got {count}")
    features = features.astype(np.float64)
    mean = features.mean(axis=0)
    return mean, (features - mean) / np.sqrt(count - 1)


def _trace_of_root(rows: np.ndarray, times: np.ndarray) -> float:
    """Sum of the singular values of centered rows N R over √(N - 1), each row taken as many *times*.

    From the eigenvalues of the smaller Gram matrix: half the digits of the singular values, enough for a spread.
    """
    count, kept = times.sum(), times > 0
    rows, weight = rows[kept], np.sqrt(times[kept])
    weighted = (rows - times[kept] @ rows / count) * (weight / np.sqrt(count - 1))[:, None]
    gram = weighted @ weighted.T if len(rows) < rows.shape[1] else weighted.T @ weighted
    return float(np.sqrt(np.linalg.eigvalsh(gram).clip(min=0)).sum()) if gram.size else 0.0
