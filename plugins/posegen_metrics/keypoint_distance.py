"""Distance of key points found in generated images from those of the targets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from posegen.data.keypoints import KeypointLayout, Keypoints, get_layout
from posegen.errors import ConfigError, InputError
from posegen.evaluation import ImageBatch, ImageMetric, NotComputable
from posegen.registry import METRICS

HEAD = ("nose", "neck")
"""Points whose distance is the size of the head."""


@METRICS.register_module()
class KeypointDistance(ImageMetric):
    """Key points estimated in the generated images against those of the targets.

    - ``pckh``, in [0, 1]: share of the target's points whose estimate lies within threshold × head size (Andriluka et
      al., 2D Human Pose Estimation, CVPR 2014). Points that were not found count as wrong.
    - ``akd``: average key-point distance of the points present in both, in pixels of the scored image (Siarohin et al.,
      First Order Motion Model, NeurIPS 2019).
    - ``missed``, in [0, 1]: share of the target's points that were not found (their missing key-point rate). A low
      ``akd`` with many missed points is not a good result.

    The head size is the distance from nose to neck in the target. MPII uses 0.6 × the diagonal of a box around the
    head, which key points do not contain; for an adult seen from the front both are about 17 cm (estimated from body
    measures: head 23 cm high and 17 cm wide, tip of the nose about 17 cm above the middle of the shoulders), but the
    distance shrinks if the head is seen from above or bent toward the camera. So this ``pckh`` is not comparable with
    MPII's.

    NaN: ``pckh`` if the target lacks nose or neck or has both in one place; ``akd`` if no point is in both; all if the
    target has no points.

    Args:
        layout: layout of the key points, or its name; it needs a nose and a neck.
        threshold: share of the head size.
        prefix: see :class:`PairMetric`.
    """

    units = {"akd": "px"}
    higher_is_better = {"pckh": True, "akd": False, "missed": False}

    def __init__(self, layout: str | KeypointLayout = "openpose18", threshold: float = 0.5, prefix: str = "") -> None:
        super().__init__(prefix)
        if threshold <= 0:
            raise ConfigError(f"KeypointDistance: threshold must be above 0, got {threshold}")
        self.layout = get_layout(layout)
        self.threshold = threshold
        _head(self.layout)

    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """Compute the three values of each image. NotComputable: key points are missing."""
        if images.keypoints is None or images.generated_keypoints is None:
            raise NotComputable("needs the key points of the targets and those found in the generated images")
        rows = keypoint_scores(images.keypoints, images.generated_keypoints, self.layout, self.threshold)
        columns = {name: [row[name] for row in rows] for name in self.higher_is_better}
        return {name: torch.tensor(column, dtype=torch.float64) for name, column in columns.items()}


def keypoint_scores(
    true: Sequence[Keypoints], found: Sequence[Keypoints], layout: KeypointLayout, threshold: float = 0.5
) -> list[dict[str, float]]:
    """Compute ``pckh``, ``akd`` and ``missed`` of each image, see :class:`KeypointDistance`.

    Args:
        true: key points of the targets, one per image.
        found: key points found in the generated images, in the same pixels.
        layout: layout of both.
        threshold: share of the head size.

    Raises:
        ConfigError: the layout has no nose or no neck.
        InputError: the numbers of images differ, or points have another layout; lists every such image.
    """
    head = _head(layout)
    if len(true) != len(found):
        raise InputError(f"key points of {len(true)} targets, and of {len(found)} generated images")
    problems = [
        f"image {index}: {len(points)} {what} points"
        for what, images in (("true", true), ("found", found))
        for index, points in enumerate(images)
        if len(points) != len(layout)
    ]
    if problems:
        raise InputError(f"the layout {layout.name!r} has {len(layout)} points; " + ", ".join(problems))
    return [_scores(one, other, head, threshold) for one, other in zip(true, found, strict=True)]


def _head(layout: KeypointLayout) -> tuple[int, int]:
    """Return the indices of the points that give the head size."""
    missing = [name for name in HEAD if name not in layout.names]
    if missing:
        raise ConfigError(f"the layout {layout.name!r} has no {' and no '.join(missing)}: no head size for PCKh")
    return layout.names.index(HEAD[0]), layout.names.index(HEAD[1])


def _scores(true: Keypoints, found: Keypoints, head: tuple[int, int], threshold: float) -> dict[str, float]:
    count = int(true.present.sum())
    both = true.present & found.present
    distances = np.linalg.norm(true.points[both].astype(float) - found.points[both], axis=1)
    size = float(np.linalg.norm(true.points[head[0]] - true.points[head[1]])) if true.present[list(head)].all() else 0.0
    return {
        "pckh": float((distances <= threshold * size).sum()) / count if size > 0 else math.nan,
        "akd": float(distances.mean()) if len(distances) else math.nan,
        "missed": 1 - len(distances) / count if count else math.nan,
    }
