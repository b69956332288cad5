"""Key points from a pose estimator, for data sets whose sources have none."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import numpy as np

from ..data.estimators import Figure, load_estimator
from ..data.keypoints import KeypointLayout, Keypoints


def check_estimator(name: str, layout: KeypointLayout) -> None:
    """Load an estimator once, before many processes do.

    Raises:
        ConfigError: no estimator of that name finds key points of the layout.
        MissingWeightsError: it lacks its library or weights.
    """
    load_estimator(layout, name)


def estimate_keypoints(image: np.ndarray, name: str, layout: KeypointLayout) -> Keypoints:
    """Return the points of the largest figure in an image, uint8 H W 3; all are missing if there is none.

    Args:
        image: uint8 H W 3, RGB.
        name: name of the estimator, which is loaded once per process.
        layout: layout of the points.

    Raises:
        PosegenError: the estimator failed.
    """
    figures = _loaded(name, layout, os.getpid())(image)
    return figures[0].keypoints if figures else Keypoints(np.zeros((len(layout), 2)), np.zeros(len(layout)))


@functools.lru_cache(maxsize=1)
def _loaded(name: str, layout: KeypointLayout, process: int) -> Callable[[np.ndarray], list[Figure]]:
    return load_estimator(layout, name)
