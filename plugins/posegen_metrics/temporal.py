"""Temporal consistency of clips: the warping error between consecutive frames."""

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
from posegen.evaluation.metric import OPENCV
from posegen.ops import sampling_positions, warp
from posegen.records import Animation, ClipBatch, PairBatch, Transfer
from posegen.registry import METRICS

FLOWS = ("exact", "estimated")


@METRICS.register_module()
class TemporalConsistency(PairMetric):
    """Warping error (Lai et al., Learning Blind Video Temporal Consistency, ECCV 2018; theirs is squared).

    - ``temporal_error``, in [0, 1]: mean absolute difference, images on a scale of 0 to 1, of each generated frame and
      the previous generated frame warped along the motion of the *true* frames, over the pixels visible in both.
    - ``temporal_error_true``: the same for the true frames. It is not 0, because warping blurs, light changes, and an
      estimated motion has errors. A model that repeats one image has a higher ``temporal_error`` if something moves.

    NaN for the first frame of each clip, and for frames of which nothing stays visible. Not measured for pairs.

    Args:
        flow: ``"exact"``: motion and visibility from the data set (``flow_previous``, ``visible_previous``); not
            measured without them. ``"estimated"``: OpenCV's DIS optical flow (Kroeger et al., ECCV 2016, medium preset)
            on the true frames; visible pixels are those whose flow there and back returns within the bound of Sundaram
            et al. (ECCV 2010). Values of the two are not comparable.
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"temporal_error": False}
    packages = OPENCV

    def __init__(self, flow: str = "exact", prefix: str = "") -> None:
        super().__init__(prefix)
        if flow not in FLOWS:
            raise ConfigError(
                f"TemporalConsistency has no flow {flow!r}{nearest(flow, FLOWS)}\nthere are: {', '.join(FLOWS)}"
            )
        self.flow = flow
        self._clips: ClipBatch | None = None

    def process(self, data_batch: PairBatch | ClipBatch, data_samples: Sequence[Transfer | Animation]) -> None:
        """Measure a batch; the frames of a clip reach :meth:`measure` as pairs, which lack the motion between them."""
        self._clips = data_batch if isinstance(data_batch, ClipBatch) else None
        super().process(data_batch, data_samples)
        self._clips = None

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        """Compute the two errors of each frame."""
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
        """Return the flow B T-1 2 H W from each frame to the previous one, and visibility; None: unknown."""
        if self.flow == "estimated":
            return _estimate(true)
        if clips.flow_previous is None or clips.visible_previous is None:
            return None
        return clips.flow_previous[:, 1:].to(true), clips.visible_previous[:, 1:].to(true)


def _error(frames: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
    """Compute the warping error of each frame, B·T.

    Args:
        frames: B T 3 H W in [-1, 1].
        flow: B T-1 2 H W, from each frame but the first to the previous one.
        visible: B T-1 1 H W.
    """
    warped = warp(frames[:, :-1].flatten(0, 1), flow.flatten(0, 1)).view_as(frames[:, 1:])
    difference = (frames[:, 1:] - warped).abs().mean(2, keepdim=True).double() / 2
    errors = (difference * visible).flatten(2).sum(2) / visible.double().flatten(2).sum(2)  # 0 / 0: NaN
    return torch.cat([errors.new_full((len(frames), 1), math.nan), errors], 1).flatten()


def _estimate(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Estimate the flow B T-1 2 H W from each frame of B T 3 H W in [-1, 1] to the previous one, and visibility."""
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
    """Return where a flow stays in the image and the flow back cancels it (Sundaram et al., eq. 5).

    |w + w'|² < 0.01 (|w|² + |w'|²) + 0.5, for flows B 2 H W.
    """
    positions = sampling_positions(there)
    last = positions.new_tensor([there.shape[-1] - 1, there.shape[-2] - 1]).view(1, 2, 1, 1)
    inside = ((positions >= 0) & (positions <= last)).all(1, keepdim=True)
    returning = warp(back, there)
    gap = (there + returning).square().sum(1, keepdim=True)
    size = (there.square() + returning.square()).sum(1, keepdim=True)
    return (inside & (gap < 0.01 * size + 0.5)).to(there.dtype)
