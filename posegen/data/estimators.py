"""Pose estimators: plugins that find key points in images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np

from .. import catalogue
from ..errors import ConfigError, PosegenError, nearest
from .keypoints import KeypointLayout, Keypoints, get_layout, lacking_points, select_keypoints

MOST_LACKING = 0.25
"""Largest share of a layout's points that an estimator of another layout may lack."""


@dataclass(frozen=True)
class Figure:
    """A figure that an estimator found in an image.

    Args:
        keypoints: in pixels of the image; points that the estimator is not sure of are missing.
        scores: K, confidence of each point; higher is surer.
    """

    keypoints: Keypoints
    scores: np.ndarray

    @property
    def area(self) -> float:
        """Area of the box around the present points in square pixels."""
        present = self.keypoints.points[self.keypoints.present]
        return float(np.ptp(present, axis=0).prod()) if len(present) else 0.0


Estimate = Callable[[np.ndarray], Sequence[Figure]]
"""Finds the figures in an image, uint8 H W 3, RGB; returns an empty sequence if there are none."""
Segment = Callable[[np.ndarray, Keypoints], np.ndarray]
"""Finds the pixels of a figure in an image, uint8 H W 3, RGB, by its key points: a mask, float H W, 0 to 1."""


@dataclass(frozen=True)
class StructureEstimator:
    """A pose estimator that a plugin brings.

    It is used for its own layout, and for layouts whose points have counterparts of the same names in it.

    Args:
        name: name on the command line.
        layout: name of the layout of its key points.
        load: loads the estimator. Called only when an image needs it. Must download nothing: if a library or weights
            are missing, it raises :class:`posegen.errors.MissingWeightsError`, which says how to get them.
        load_tracker: like *load*; the estimate is called with the frames of one clip in order, and may look where the
            figures were in the frame before. None: *load*.
        load_segment: loads what finds the pixels of a figure, given key points of *layout* in pixels of the image, some
            of which may be missing; raises like *load*. None: the estimator gives no masks.
        default: use it where several estimators fit and none is named.
    """

    name: str
    layout: str
    load: Callable[[], Estimate]
    load_tracker: Callable[[], Estimate] | None = None
    load_segment: Callable[[], Segment] | None = None
    default: bool = False

    def fits(self, layout: KeypointLayout) -> bool:
        """Return whether it finds the points of a layout, but for a quarter at most."""
        own = get_layout(self.layout)
        return len(lacking_points(own.names, layout)) <= MOST_LACKING * len(layout)


def fitting_estimators(layout: KeypointLayout) -> dict[str, StructureEstimator]:
    """Return the estimators of a layout's key points by name."""
    return {one.name: one for one in catalogue.all(StructureEstimator) if one.fits(layout)}


def find_estimator(layout: KeypointLayout, name: str | None = None) -> StructureEstimator:
    """Return the estimator of a layout's key points.

    Args:
        layout: layout of the key points.
        name: name of the estimator; None: the default one, or the only one there is.

    Raises:
        ConfigError: no such estimator, or several, none of them the default, and no name is given.
    """
    fitting = fitting_estimators(layout)
    if name is not None and name not in fitting:
        raise ConfigError(
            f"no estimator called {name!r} finds {layout.name} key points; available: "
            f"{', '.join(fitting) or 'none'}{nearest(name, fitting)}"
        )
    if not fitting:
        raise ConfigError(f"no plugin estimates {layout.name} key points")
    if name is not None:
        return fitting[name]
    preferred = [one for one in fitting.values() if one.default] or list(fitting.values())
    if len(preferred) > 1:
        names = ", ".join(one.name for one in preferred)
        raise ConfigError(f"several estimators find {layout.name} key points; choose one: {names}")
    return preferred[0]


def load_estimator(
    layout: KeypointLayout, name: str | None = None, clip: bool = False
) -> Callable[[np.ndarray], list[Figure]]:
    """Load the estimator of a layout's key points.

    The result returns the figures in an image, uint8 H W 3, RGB, in that layout, largest first: by the area of the box
    around the present points. It raises PosegenError if the estimator fails.

    Args:
        layout: layout of the key points.
        name: name of the estimator; None: see :func:`find_estimator`.
        clip: the images will be the frames of one clip, in order.

    Raises:
        ConfigError: see :func:`find_estimator`.
        MissingWeightsError: the estimator lacks its library or weights.
    """
    chosen = find_estimator(layout, name)
    load = chosen.load_tracker if clip and chosen.load_tracker is not None else chosen.load
    return partial(_run, chosen, load(), layout)


def load_segmenter(layout: KeypointLayout, name: str | None = None) -> Segment:
    """Load what finds the pixels of a figure by its key points in a layout.

    Args:
        layout: layout of the key points.
        name: name of the estimator; None: see :func:`find_estimator`.

    Raises:
        ConfigError: see :func:`find_estimator`; or the estimator gives no masks.
        MissingWeightsError: the estimator lacks its library or weights.
    """
    chosen = find_estimator(layout, name)
    if chosen.load_segment is None:
        able = [one.name for one in fitting_estimators(layout).values() if one.load_segment]
        raise ConfigError(
            f"the estimator {chosen.name!r} gives no masks of figures; of those that find {layout.name} key points "
            f"these do: {', '.join(able) or 'none'}"
        )
    return partial(_run_segment, chosen, chosen.load_segment(), layout)


def _run_segment(
    estimator: StructureEstimator, segment: Segment, layout: KeypointLayout, image: np.ndarray, keypoints: Keypoints
) -> np.ndarray:
    own = get_layout(estimator.layout)
    with _named(estimator):
        return segment(image, select_keypoints(keypoints, layout.names, own))


@contextmanager
def _named(estimator: StructureEstimator) -> Iterator[None]:
    """Name the estimator in errors of third-party code."""
    try:
        yield
    except PosegenError:
        raise
    except Exception as error:
        raise PosegenError(f"the estimator {estimator.name!r} failed: {type(error).__name__}: {error}") from error


def _run(estimator: StructureEstimator, estimate: Estimate, layout: KeypointLayout, image: np.ndarray) -> list[Figure]:
    own = get_layout(estimator.layout)
    with _named(estimator):
        found = estimate(image)
    figures = found if own.names == layout.names else [_converted(figure, own, layout) for figure in found]
    seen = [figure for figure in figures if figure.keypoints.present.any()]
    return sorted(seen, key=lambda figure: figure.area, reverse=True)


def _converted(figure: Figure, own: KeypointLayout, layout: KeypointLayout) -> Figure:
    """Convert points and scores to another layout; the score of a mean of points is the mean of theirs."""
    keypoints = select_keypoints(figure.keypoints, own.names, layout)
    as_points = Keypoints(np.column_stack([figure.scores, figure.scores]), np.ones(len(own), bool))
    return Figure(keypoints, select_keypoints(as_points, own.names, layout).points[:, 0])
