"""Scores of what needs no renderer: the unchanged source, and the source warped along the flow."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from posegen.errors import ConfigError
from posegen.evaluation import ImageMetric, PairMetric
from posegen.ops import warp
from posegen.records import PairBatch, Transfer
from posegen.registry import METRICS

BASELINES = ("source", "warped")


@METRICS.register_module()
class Baseline(PairMetric):
    """Score a baseline in place of the model's image: ``source/psnr``, ``warped/ssim`` …

    Args:
        of: ``"source"``: the unchanged source; ``"warped"``: the source warped along the model's finest flow.
        metric: config of a metric of single images.
        prefix: prepended to the names of the values; default: *of*.

    Raises:
        ConfigError: *of* is neither, or *metric* needs more than an image.
    """

    def __init__(self, of: str, metric: Any, prefix: str = "") -> None:
        if of not in BASELINES:
            raise ConfigError(f"Baseline: of must be one of {', '.join(BASELINES)}, got {of!r}")
        super().__init__(prefix or of)
        self.of = of
        built = METRICS.build_part(metric)
        if not isinstance(built, ImageMetric):
            raise ConfigError(f"Baseline takes a metric of single images; {type(built).__name__} is none")
        self.metric = built
        self.units, self.higher_is_better, self.packages = built.units, built.higher_is_better, built.packages

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """Score the baseline. No values where the model has no flow to warp along."""
        if self.of == "source":
            return self.metric.measure(batch, replace(out, image=batch.source))
        if not out.flows:
            return {}
        return self.metric.measure(batch, replace(out, image=warp(batch.source, out.flows[-1])))
