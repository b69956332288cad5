"""Fréchet distance of two sets of images (Heusel et al., NIPS 2017, arXiv 1706.08500)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from posegen.evaluation import NotComputable, centered_interval
from posegen.registry import METRICS

from .inception import FEATURES, InceptionMetric

DIMENSIONS = 2048
"""Dimensions of the features. The covariance of no more images than that is singular."""


@METRICS.register_module()
class FID(InceptionMetric):
    """``fid``: Fréchet distance of the normal distributions fitted to the features of each set; 0 or more.

    Computed in float64 without a matrix square root: the trace of ``(Σg Σr)^(1/2)`` is the sum of the singular values
    of ``Cg Rr``, where ``Cgᵀ Cg = Σg`` and ``Rr Rrᵀ = Σr``; both are centered features, or a root taken once.

    Args:
        features: ``clean``, ``legacy_tensorflow``, ``legacy_pytorch`` (pytorch-fid's) or ``torchvision``; see
            :mod:`posegen_metrics.inception`.
        weights: weight file of the network; None: the published file in torch's cache folder.
        prefix: see :class:`SetMetric`.

    Raises:
        MissingWeightsError: the weight file does not exist.
    """

    higher_is_better = {"fid": False}
    variants: ClassVar[dict[str, tuple[Any, ...]]] = {"features": FEATURES}

    def __init__(self, features: str = "clean", weights: str | Path | None = None, prefix: str = "") -> None:
        super().__init__(features, weights, prefix)

    def statistics(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Compute ``mean`` D and ``root`` R, D×min(N, D), where ``R Rᵀ`` is the sample covariance; both float64."""
        mean, centered = _centered(features)
        if len(centered) <= len(mean):
            return {"mean": mean, "root": centered.T}
        values, vectors = np.linalg.eigh(centered.T @ centered)
        return {"mean": mean, "root": vectors * np.sqrt(values.clip(min=0))}

    def compare(self, generated: np.ndarray, real: dict[str, np.ndarray]) -> dict[str, float]:
        """Compute ``fid``."""
        mean, centered = _centered(generated)
        singular = np.linalg.svd(centered @ real["root"], compute_uv=False)
        traces = np.square(centered).sum() + np.square(real["root"]).sum()
        distance = np.square(mean - real["mean"]).sum() + traces - 2 * singular.sum()
        return {"fid": max(0.0, float(distance))}  # rounding may give a negative value for equal sets

    def interval(
        self, generated: np.ndarray, real: dict[str, np.ndarray], rng: np.random.Generator, draws: int
    ) -> dict[str, tuple[float, float]]:
        """Compute :meth:`SetMetric.interval`; a draw costs eigenvalues of a matrix of min(distinct images, D) rows."""
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
        """Warn about sets that are too small for a covariance of full rank."""
        few = [f"{count:,} {kind}" for count, kind in ((generated, "generated"), (real, "real")) if count <= DIMENSIONS]
        if not few:
            return ""
        return (
            f"from {' and '.join(few)} images, no more than the dimensions of the features ({DIMENSIONS:,}): the "
            "covariance is singular and the distance too large; compare only with sets of the same size"
        )


def _centered(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the mean D, and C, N×D, where ``Cᵀ C`` is the sample covariance, of features N D; both float64."""
    count = len(features)
    if count < FID.least_images:
        raise NotComputable(f"FID needs {FID.least_images} images or more of each set, got {count}")
    features = features.astype(np.float64)
    mean = features.mean(axis=0)
    return mean, (features - mean) / np.sqrt(count - 1)


def _trace_of_root(rows: np.ndarray, times: np.ndarray) -> float:
    """Compute the sum of the singular values of centered rows N R over √(N - 1), each row repeated *times*.

    The eigenvalues of the smaller Gram matrix have half the digits of the singular values: enough for an interval.
    """
    count, kept = times.sum(), times > 0
    rows, weight = rows[kept], np.sqrt(times[kept])
    weighted = (rows - times[kept] @ rows / count) * (weight / np.sqrt(count - 1))[:, None]
    gram = weighted @ weighted.T if len(rows) < rows.shape[1] else weighted.T @ weighted
    return float(np.sqrt(np.linalg.eigvalsh(gram).clip(min=0)).sum()) if gram.size else 0.0
