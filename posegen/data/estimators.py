"""Pose estimators: plugins that find key points in images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .. import catalogue
from ..errors import ConfigError, PosegenError, nearest
from .keypoints import KeypointLayout, Keypoints, get_layout


@dataclass(frozen=True)
class Figure:
    """A figure that an estimator found in an image.

    Args:
        keypoints: in pixels of the image; points that the estimator is not sure of are missing.
        scores: K, confidence of each point; higher is surer.
    """

    keypoints: Keypoints
    scores: np.ndarray


Estimate = Callable[[np.ndarray], Sequence[Figure]]
"""Finds the figures in an image, uint8 H W 3, RGB; returns an empty sequence if there are none."""


@dataclass(frozen=True)
class StructureEstimator:
    """A pose estimator that a plugin brings.

    Args:
        name: name on the command line.
        layout: name of the layout of its key points.
        load: loads the estimator. Called only when an image needs it. Must download nothing: if a library or weights
            are missing, it raises :class:`posegen.errors.MissingWeightsError`, which says how to get them.
    """

    name: str
    layout: str
    load: Callable[[], Estimate]


def find_estimator(layout: KeypointLayout, name: str | None = None) -> StructureEstimator:
    """Return the estimator of a layout's key points.

    Args:
        layout: layout of the key points.
        name: name of the estimator; None: the only one there is.

    Raises:
        ConfigError: no such estimator, or several and no name is given.
    """
    known = catalogue.all(StructureEstimator)
    fitting = {one.name: one for one in known if get_layout(one.layout).names == layout.names}
    if name is not None and name not in fitting:
        raise ConfigError(
            f"no estimator called {name!r} finds {layout.name} key points; available: "
            f"{', '.join(fitting) or 'none'}{nearest(name, fitting)}"
        )
    if not fitting:
        raise ConfigError(f"no plugin estimates {layout.name} key points")
    if name is None and len(fitting) > 1:
        raise ConfigError(f"several estimators find {layout.name} key points; choose one: {', '.join(fitting)}")
    return fitting[name or next(iter(fitting))]


def run_estimator(name: str, estimate: Estimate, image: np.ndarray) -> list[Figure]:
    """Return the figures in an image, best first: most points, then highest sum of scores.

    Args:
        name: name of the estimator, for errors.
        estimate: the loaded estimator.
        image: uint8 H W 3, RGB.

    Raises:
        PosegenError: the estimator failed.
    """
    try:
        figures = [figure for figure in estimate(image) if figure.keypoints.present.any()]
    except PosegenError:
        raise
    except Exception as error:  # third-party code
        raise PosegenError(f"the estimator {name!r} failed: {type(error).__name__}: {error}") from error
    return sorted(figures, key=lambda figure: (figure.keypoints.present.sum(), figure.scores.sum()), reverse=True)
