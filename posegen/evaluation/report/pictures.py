"""The pictures of the page: distributions of a value over images, and the best, median and worst cases."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator
from PIL import Image

from ...data.images import read_image
from ...errors import ConfigError, DataError, nearest
from ..results import Evaluation, ImagePair
from .rows import finite, number

MOST_HIGH = 256
"""Height of a case's pictures, pixels, at most."""
MOST_CASES = 3
MOST_CASE_METRICS = 3

WIDTH, HEIGHT = 320, 150  # of a histogram, in units of its SVG; bars stand between these margins
LEFT, RIGHT, TOP, BOTTOM = 12, 308, 24, 122


@dataclass(frozen=True)
class Histogram:
    """Where the marks of a histogram stand in its SVG: bars (x, y, width, height), ticks (x, label), and the median.

    ``most``: images of the highest bar; ``count``: images in all; ``undefined``: those beside, that have no value.
    """

    metric: str
    unit: str
    bars: Sequence[tuple[float, float, float, float]]
    ticks: Sequence[tuple[float, str]]
    median: float
    median_label: str
    most: int
    count: int
    undefined: int


@dataclass(frozen=True)
class Picture:
    """``uri``: the picture as a PNG data URI; empty where the file cannot be read, and ``problem`` says why."""

    role: str
    uri: str
    problem: str = ""


@dataclass(frozen=True)
class Case:
    """One pair, its value by the metric it was chosen by, and its pictures."""

    name: str
    value: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Cases:
    """The cases chosen by one metric: (heading, cases)."""

    metric: str
    higher_is_better: bool
    groups: Sequence[tuple[str, Sequence[Case]]]


def image_metrics(evaluation: Evaluation) -> list[str]:
    """Names of the values that are numbers an image, in the order of the scores."""
    names = dict.fromkeys(name for row in evaluation.per_image for name in row if name != "name")
    return [name for name in evaluation.scores if name in names] + [
        name for name in names if name not in evaluation.scores
    ]


def histograms(evaluation: Evaluation) -> list[Histogram]:
    """The distribution over images of each value; values that are defined for no image have none."""
    units = {name: score.unit for name, score in evaluation.scores.items()}
    found = []
    for metric in image_metrics(evaluation):
        values = [row.get(metric) for row in evaluation.per_image]
        known = np.array([value for value in values if finite(value)], np.float64)
        if len(known):
            found.append(_histogram(metric, units.get(metric, ""), known, len(values) - len(known)))
    return found


def cases(evaluation: Evaluation, by: Sequence[str] = ()) -> list[Cases]:
    """The best, median and worst images by each of at most three metrics.

    Args:
        evaluation: with values of each image and, in the same order, pairs; without them there are no cases.
        by: names of values that are numbers an image and whose better side is known; none: the first of them.

    Raises:
        ConfigError: *by* names something else.
    """
    known = [name for name in image_metrics(evaluation) if _higher_is_better(evaluation, name) is not None]
    wrong = [f"{name!r}{nearest(name, known)}" for name in by if name not in known]
    if wrong:
        raise ConfigError(f"cases cannot be chosen by {', '.join(wrong)}\nthere are: {', '.join(known) or 'none'}")
    if not evaluation.pairs:
        return []
    encode = lru_cache(maxsize=None)(_picture)
    return [_cases(evaluation, metric, encode) for metric in list(by or known)[:MOST_CASE_METRICS]]


def _histogram(metric: str, unit: str, values: np.ndarray, undefined: int) -> Histogram:
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - (abs(low) * 0.05 or 0.5), high + (abs(high) * 0.05 or 0.5)
    counts, edges = np.histogram(values, bins=min(30, max(6, math.isqrt(len(values)))), range=(low, high))

    def across(value: float) -> float:
        return round(LEFT + (value - low) / (high - low) * (RIGHT - LEFT), 1)

    bars = []
    for count, start, end in zip(counts, edges, edges[1:], strict=False):
        height = round(float(count / counts.max()) * (BOTTOM - TOP), 1)
        width = round(across(end) - across(start) - 1, 1)  # 1: a gap between bars
        if count:
            bars.append((across(start), round(BOTTOM - height, 1), width, height))
    ticks = [(across(t), f"{t:g}") for t in MaxNLocator(4).tick_values(low, high) if low <= t <= high]
    median = float(np.median(values))
    return Histogram(
        metric, unit, bars, ticks, across(median), number(median), int(counts.max()), len(values), undefined
    )


def _cases(evaluation: Evaluation, metric: str, encode: Callable[[Path], tuple[str, str]]) -> Cases:
    higher = bool(_higher_is_better(evaluation, metric))
    rows = list(zip(evaluation.per_image, evaluation.pairs, strict=True))
    defined = [(float(row[metric]), pair) for row, pair in rows if finite(row.get(metric))]
    ordered = sorted(defined, key=lambda each: each[0], reverse=higher)
    groups = [(heading, [_case(value, pair, encode) for value, pair in chosen]) for heading, chosen in _groups(ordered)]
    return Cases(metric, higher, groups)


def _groups(ordered: Sequence[tuple[float, ImagePair]]) -> list[tuple[str, Sequence[tuple[float, ImagePair]]]]:
    """Best, median and worst, without any pair in two of them."""
    if len(ordered) < 3 * MOST_CASES:
        return [("all, the best first", ordered)]
    middle = (len(ordered) - MOST_CASES) // 2
    return [
        ("best", ordered[:MOST_CASES]),
        ("median", ordered[middle : middle + MOST_CASES]),
        ("worst", ordered[: -MOST_CASES - 1 : -1]),
    ]


def _case(value: float, pair: ImagePair, encode: Callable[[Path], tuple[str, str]]) -> Case:
    files = {"source": pair.source, "target": pair.target, "result": pair.generated}
    pictures = [Picture(role, *encode(path)) for role, path in files.items() if path is not None]
    return Case(pair.name, number(value), pictures)


def _picture(path: Path) -> tuple[str, str]:
    """A data URI of the image in a file, at most :data:`MOST_HIGH` high; or why there is none."""
    try:
        image = Image.fromarray(read_image(path))
    except DataError as error:
        return "", str(error)
    image.thumbnail((image.width, MOST_HIGH))
    file = io.BytesIO()
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}", ""


def _higher_is_better(evaluation: Evaluation, metric: str) -> bool | None:
    return evaluation.scores[metric].higher_is_better if metric in evaluation.scores else None
