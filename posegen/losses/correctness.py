"""Sampling correctness: the flow finds the most similar source features (GFLA, arXiv 2003.00696, section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..ops import sample_gaussian
from ..registry import LOSSES
from .base import Loss, LossInputs

EPSILON = 1e-8


@LOSSES.register_module()
class SamplingCorrectness(Loss):
    """Σ over levels of mean_l exp(−μ(v_s→t(l), v_t(l)) / (μ_max(l) + ε)) − e⁻¹.

    At level k, μ is the cosine of features relu(k+1)_1; v_s→t are source features sampled along the flow in a Gaussian
    window; μ_max(l) is the best cosine over all source locations; ε = 1e-8. A perfect flow does not give exactly 0.

    Args:
        levels: levels of the flows, coarse to fine.
        weight: factor in the total; published: 20 in the flow stage, 5 after.
        only: the levels that the loss includes (default: all, as published).
        masked: weight the mean by the batch's ``foreground``, as published for clips with masks.
    """

    looks_at = "flow"

    def __init__(
        self,
        levels: Sequence[int] = (3, 2),
        weight: float = 1.0,
        only: Sequence[int] | None = None,
        masked: bool = False,
    ) -> None:
        super().__init__(weight)
        self.masked = masked
        self.levels = tuple(sorted(levels, reverse=True))
        self.included = self.levels if only is None else tuple(only)
        if not self.included or not set(self.included) <= set(self.levels):
            raise ConfigError(f"SamplingCorrectness: only must name some of the levels {[*self.levels]}, got {only}")
        layers = tuple(f"relu{level + 1}_1" for level in self.included)
        self.needs = {"source": layers, "target": layers}

    def forward(self, inputs: LossInputs) -> Tensor:
        mask = inputs.batch.foreground if self.masked else None
        if self.masked and mask is None:
            raise ConfigError("SamplingCorrectness: masked=True needs data with foreground masks")
        terms = []
        for level, flow in zip(self.levels, inputs.out.flows, strict=True):
            if level not in self.included:
                continue
            source, target = (inputs.features(image, f"relu{level + 1}_1") for image in ("source", "target"))
            terms.append(sampling_correctness(source, target, flow, mask))
        return torch.stack(terms).sum()


def sampling_correctness(source: Tensor, target: Tensor, flow: Tensor, mask: Tensor | None = None) -> Tensor:
    """Compute the loss at one level.

    Args:
        source, target: features B C h w; constants, no gradient reaches them.
        flow: B 2 h' w'; at another resolution it is resized by nearest neighbor, its values unchanged (published).
        mask: B 1 H W or None: the weight of each location.

    Returns:
        A scalar, at most 1 − e⁻¹ for non-negative features; slightly negative where a window's average matches better
        than any single location.
    """
    size = target.shape[-2:]
    if flow.shape[-2:] != size:
        flow = F.interpolate(flow, size=size, mode="nearest")
    sampled = sample_gaussian(source.detach(), flow).float()
    cosine = F.cosine_similarity(sampled, target.detach().float(), dim=1)
    error = torch.exp(-cosine / (best_cosine(source, target) + EPSILON)) - math.exp(-1)
    if mask is None:
        return error.mean()
    mask = F.interpolate(mask, size=size, mode="nearest").squeeze(1)
    return (error * mask).sum() / mask.sum().clamp(min=EPSILON)


@torch.no_grad()
def best_cosine(source: Tensor, target: Tensor, most_elements: int = 1 << 22) -> Tensor:
    """Compute for each target location the largest cosine over all source locations: B h w from features B C h w.

    Target locations are processed in chunks, so memory grows with the number of locations, not its square.
    """
    source_unit = F.normalize(source.float().flatten(2), dim=1)
    target_unit = F.normalize(target.float().flatten(2), dim=1).transpose(1, 2)  # B N C
    rows = max(1, most_elements // (source_unit.shape[0] * source_unit.shape[2]))
    best = [(chunk @ source_unit).amax(2) for chunk in target_unit.split(rows, dim=1)]
    return torch.cat(best, dim=1).view(target.shape[0], *target.shape[-2:])
