"""How steady a clip is: what moves with the subject should look the same from one frame to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import torch
from torch import Tensor

from posegen.errors import ConfigError, nearest
from posegen.evaluation import PairMetric
from posegen.ops import sampling_positions, warp
from posegen.records import Animation, ClipBatch, PairBatch, Transfer
from posegen.registry import METRICS

FLOWS = ("exact", "estimated")


@METRICS.register_module()
class TemporalConsistency(PairMetric):
    """How much of a clip changes that should only move: the warping error (Lai et al., Learning Blind Video Temporal
    Consistency, ECCV 2018; theirs is squared).

    - ``temporal_error``, in [0, 1]: mean absolute difference, images on a scale of 0 to 1, of each generated frame and
      the generated frame before it warped along the motion of the *true* frames, over the pixels visible in both.
    - ``temporal_error_true``: the same of the true frames. It is not 0: warping blurs, light changes, and an estimated
      motion errs. A model that repeats one image has a higher ``temporal_error`` than it wherever something moves.

    The first frame of each clip has no frame before it, and frames of which nothing stays visible have no value: NaN.
    Pairs have no previous frame: nothing is measured.

    Args:
        flow: ``"exact"``: the motion and visibility that the data set knows (``flow_previous``, ``visible_previous``);
            nothing is measured where it knows none. ``"estimated"``: by OpenCV's DIS optical flow (Kroeger et al., ECCV
            2016, its medium preset) on the true frames; visible is where the flow there and back returns to within the
            bound of Sundaram et al. (ECCV 2010). The two are not comparable.
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"temporal_error": False}

    def __init__(self, flow: str = "exact", prefix: str = "") -> None:
        super().__init__(prefix)
        if flow not in FLOWS:
            raise ConfigError(
                f"TemporalConsistency has no flow {flow!r}{nearest(flow, FLOWS)}\nthere are: {', '.join(FLOWS)}"
            )
        self.flow = flow
        self._clips: ClipBatch | None = None

    def process(self, data_batch: PairBatch | ClipBatch, data_samples: Sequence[Transfer | Animation]) -> None:
        """As for pairs: the frames of a clip come to :meth:`measure` as pairs, which do not know their motion."""
        self._clips = data_batch if isinstance(data_batch, ClipBatch) else None
        super().process(data_batch, data_samples)
        self._clips = None

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """The two errors of each frame."""
        if self._clips is None or self._clips.frames.shape[1] < 2:
            return {}
        length = self._clips.frames.shape[1]
        true, made = (images.unflatten(0, (-1, length)) for images in (batch.target, out.image))  # B T 3 H W
        motion = self._motion(self._clips, true)
        return (
            {}
            if motion is None
            else {"temporal_error": _error(made, *motion), "temporal_error_true": _error(true, *motion)}
        )

    def _motion(self, clips: ClipBatch, true: Tensor) -> tuple[Tensor, Tensor] | None:
        """Flow B T-1 2 H W from each frame but the first to the one before it, and visibility; None: not known."""
        if self.flow == "estimated":
            return _estimate(true)
        if clips.flow_previous is None or clips.visible_previous is None:
            return None
        return clips.flow_previous[:, 1:].to(true), clips.visible_previous[:, 1:].to(true)


def _error(frames: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """Of each frame of B T 3 H W in [-1, 1], B·T, along a flow B T-1 2 H W from each frame but the first to the one
    before it, where *visible* B T-1 1 H W."""
    warped = warp(frames[:, :-1].flatten(0, 1), flow.flatten(0, 1)).view_as(frames[:, 1:])
    difference = (frames[:, 1:] - warped).abs().mean(2, keepdim=True).double() / 2
    errors = (difference * visible).flatten(2).sum(2) / visible.double().flatten(2).sum(2)  # 0 / 0: NaN
    return torch.cat([errors.new_full((len(frames), 1), math.nan), errors], 1).flatten()


def _estimate(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Flow B T-1 2 H W from each frame of B T 3 H W in [-1, 1], but the first, to the one before it; and where it is
    visible there, B T-1 1 H W."""
    estimator = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    gray = ((frames.mean(2) + 1) * 127.5).round().byte().cpu().numpy()  # B T H W
    pairs = [(now, before) for clip in gray for before, now in pairwise(clip)]

    def flows(ends: list[tuple[np.ndarray, np.ndarray]]) -> Tensor:
        found = [estimator.calc(first, second, None) for first, second in ends]  # type: ignore[call-overload]
        return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2).to(frames)

    to_previous, to_next = flows(pairs), flows([(before, now) for now, before in pairs])
    visible = _returns(to_previous, to_next)
    shape = (len(frames), -1)
    return to_previous.unflatten(0, shape), visible.unflatten(0, shape)


def _returns(there: Tensor, back: Tensor) -> Tensor:
    """Where a flow B 2 H W stays in the image and the one back cancels it: |w + w'|² < 0.01 (|w|² + |w'|²) + 0.5
    (Sundaram et al., eq. 5)."""
    positions = sampling_positions(there)
    last = positions.new_tensor([there.shape[-1] - 1, there.shape[-2] - 1]).view(1, 2, 1, 1)
    inside = ((positions >= 0) & (positions <= last)).all(1, keepdim=True)
    returning = warp(back, there)
    gap = (there + returning).square().sum(1, keepdim=True)
    size = (there.square() + returning.square()).sum(1, keepdim=True)
    return (inside & (gap < 0.01 * size + 0.5)).to(there.dtype)
