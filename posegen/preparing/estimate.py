"""Key points that an estimator finds, where the source has none."""

from __future__ import annotations

import functools
import os

import numpy as np

from ..data.keypoints import KeypointLayout, Keypoints, get_layout
from ..errors import ConfigError, PosegenError, nearest
from ..poses import Estimate, StructureEstimator, estimators


def check_estimator(name: str, layout: KeypointLayout) -> None:
    """Raise an error now where an estimator could not run later, in many processes.

    Raises:
        ConfigError: there is none of that name with points of the layout.
        MissingWeightsError: it lacks its library or weights; says how to get them.
    """
    _find(name, layout.names).load()


def estimate_keypoints(image: np.ndarray, name: str, layout: KeypointLayout) -> Keypoints:
    """The points of the figure with most of them in an image uint8 H W 3; all missing where nobody is found.

    Args:
        name: of the estimator; it is loaded once a process.
        layout: of the points.

    Raises:
        PosegenError: the estimator failed.
    """
    estimate = _loaded(name, layout.names, os.getpid())
    try:
        figures = estimate(image)
    except PosegenError:
        raise
    except Exception as error:  # what runs in it is other people's
        raise PosegenError(f"the estimator {name!r} failed: {type(error).__name__}: {error}") from error
    nobody = Keypoints(np.zeros((len(layout), 2)), np.zeros(len(layout)))
    ranked = [(figure.keypoints.present.sum(), figure.scores.sum(), figure.keypoints) for figure in figures]
    return max(ranked, key=lambda each: each[:2])[2] if ranked else nobody


@functools.lru_cache(maxsize=1)
def _loaded(name: str, points: tuple[str, ...], process: int) -> Estimate:
    return _find(name, points).load()


def _find(name: str, points: tuple[str, ...]) -> StructureEstimator:
    fitting = {one.name: one for one in estimators() if get_layout(one.layout).names == points}
    if name not in fitting:
        there = f"there are: {', '.join(fitting) or 'none'}{nearest(name, fitting)}"
        raise ConfigError(f"no estimator called {name!r} gives the key points that are needed; {there}")
    return fitting[name]
