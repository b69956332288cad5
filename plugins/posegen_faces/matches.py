"""Corresponding points of a head in two images, from the 68 landmarks of both."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .layouts import IBUG_68

# Where landmarks that hardly move with a face's expression lie on a generic head that looks at the viewer: to the
# right, down and toward the viewer, from the head's middle, in half its height. Only how they lie to each other
# matters: an affine map fits the head to the landmarks of a picture.
GENERIC_HEAD = {
    17: (-0.50, -0.26, 0.55),  # ends of the eyebrows
    21: (-0.12, -0.22, 0.75),
    22: (0.12, -0.22, 0.75),
    26: (0.50, -0.26, 0.55),
    27: (0.00, -0.03, 0.75),  # root, tip and base of the nose
    30: (0.00, 0.31, 0.87),
    31: (-0.11, 0.35, 0.88),
    33: (0.00, 0.38, 0.88),
    35: (0.11, 0.35, 0.88),
    36: (-0.45, -0.06, 0.63),  # corners of the eyes
    39: (-0.14, -0.04, 0.76),
    42: (0.14, -0.04, 0.76),
    45: (0.45, -0.06, 0.63),
    48: (-0.24, 0.57, 0.51),  # corners of the mouth
    54: (0.24, 0.57, 0.51),
}
HALF_WIDTH = 0.75
"""Half width, and half depth, of the generic head, an ellipsoid."""
CHIN = ((48, 4), (59, 6), (58, 7), (57, 8), (56, 9), (55, 10), (54, 12))
"""Landmarks of the lower lip and of the jaw; halfway between them the chin moves with both."""


def _on_the_head() -> np.ndarray:
    """Return points of the near side of the generic head, from the crown to the mouth, N 3."""
    across, down = np.meshgrid(np.linspace(-0.8, 0.8, 9), np.linspace(-0.9, 0.4, 8))
    near = across**2 + down**2 < 0.85
    across, down = across[near], down[near]
    return np.stack([HALF_WIDTH * across, down, HALF_WIDTH * np.sqrt(1 - across**2 - down**2)], 1)


def _head_fit() -> np.ndarray:
    """Return 4 68: axes (right, down, toward the viewer) and middle of the head, as weighted sums of landmarks.

    An affine map from the generic head to a picture, fitted to landmarks by least squares, is linear in them.
    """
    generic = np.array([*GENERIC_HEAD.values()])
    fit = np.zeros((4, len(IBUG_68)))
    fit[:, [*GENERIC_HEAD]] = np.linalg.pinv(np.c_[generic, np.ones(len(generic))])
    return fit


HEAD_FIT = _head_fit()


def _shares() -> np.ndarray:
    """Return M 68: each matched point as a weighted sum of landmarks, with weights that sum to 1."""
    points = _on_the_head()
    chin = np.zeros((len(CHIN), len(IBUG_68)))
    for row, ends in zip(chin, CHIN, strict=True):
        row[[*ends]] = 0.5
    return np.concatenate([np.eye(len(IBUG_68)), np.c_[points, np.ones(len(points))] @ HEAD_FIT, chin])


SHARES = _shares()


def matches(targets: np.ndarray, sources: np.ndarray) -> Tensor:
    """Return points of a head in both images, as in :class:`posegen.records.Clip`.

    The landmarks themselves, points of cheeks, forehead and crown as if the head were an ellipsoid that moves as a
    whole, and points of the chin. They say nothing about shoulders, and little about hair that hangs.

    Args:
        targets, sources: landmarks, T 68 2 each, in pixels of images of one size, all present.

    Returns:
        T M 4, float32: (x, y) in the target, (x, y) in the source.
    """
    both = [SHARES @ points.astype(np.float64) for points in (targets, sources)]
    return torch.from_numpy(np.concatenate(both, -1).astype(np.float32))
