"""Pictures of the HTML report: distributions of values over images, and the best, median and worst cases."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from ...data.images import read_image
from ...errors import ConfigError, DataError, nearest
from ..results import Evaluation, ImagePair
from .rows import finite, number

MOST_HIGH = 256
"""Maximum height of a case's pictures, in pixels."""
MOST_CASES = 3
MOST_CASE_METRICS = 3


@dataclass(frozen=True)
class Histogram:
    """Distribution of a value; ``uri``: the plot as a data URI."""

    metric: str
    caption: str
    uri: str


@dataclass(frozen=True)
class ReportImage:
    """An image file as a PNG data URI; empty if the file cannot be read, for the reason ``problem``."""

    role: str
    uri: str
    problem: str = ""


@dataclass(frozen=True)
class Case:
    """A pair, the value it was chosen by, and its images."""

    name: str
    value: str
    pictures: Sequence[ReportImage]


@dataclass(frozen=True)
class Cases:
    """Cases chosen by one metric: (heading, cases)."""

    metric: str
    higher_is_better: bool
    groups: Sequence[tuple[str, Sequence[Case]]]


def image_metrics(evaluation: Evaluation) -> list[str]:
    """Return the names of the values of single images, in the order of the scores."""
    names = dict.fromkeys(name for row in evaluation.per_image for name in row if name != "name")
    return sorted(names, key=lambda name: [*evaluation.scores, *names].index(name))


def histograms(evaluation: Evaluation) -> list[Histogram]:
    """Plot the distribution of each value over images; values that are defined for no image are left out."""
    found = []
    for metric in image_metrics(evaluation):
        values = [row.get(metric) for row in evaluation.per_image]
        known = np.array([value for value in values if finite(value)], np.float64)
        if len(known):
            unit = evaluation.scores[metric].unit if metric in evaluation.scores else ""
            caption = (
                f"{metric}{f' ({unit})' if unit else ''}, median {number(float(np.median(known)))}, {len(known)} images"
            )
            missing = len(values) - len(known)
            caption += f"; not defined for {missing} more" if missing else ""
            found.append(Histogram(metric, caption, _plot(known)))
    return found


def _plot(values: np.ndarray) -> str:
    figure = Figure(figsize=(4, 1.8), layout="constrained")
    axis = figure.add_subplot()
    axis.hist(values, bins=min(30, max(6, math.isqrt(len(values)))), color="#2a6fb0", rwidth=0.95)
    axis.axvline(float(np.median(values)), color="#b3470f")
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.spines[["top", "right"]].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=120)
    return _data_uri(file.getvalue())


def cases(evaluation: Evaluation, by: Sequence[str] = ()) -> list[Cases]:
    """Return the best, median and worst images by each of at most three metrics.

    Args:
        evaluation: with values of single images and, in the same order, pairs; without them there are no cases.
        by: values of single images whose better side is known (default: the first of them).

    Raises:
        ConfigError: *by* names another value.
    """
    directions = {name: score.higher_is_better for name, score in evaluation.scores.items()}
    known = [name for name in image_metrics(evaluation) if directions.get(name) is not None]
    wrong = [f"{name!r}{nearest(name, known)}" for name in by if name not in known]
    if wrong:
        raise ConfigError(f"cases cannot be chosen by {', '.join(wrong)}\nthere are: {', '.join(known) or 'none'}")
    if not evaluation.pairs:
        return []
    encode = lru_cache(maxsize=None)(_encode)
    found = []
    for metric in list(by or known)[:MOST_CASE_METRICS]:
        rows = zip(evaluation.per_image, evaluation.pairs, strict=True)
        defined = [(float(row[metric]), pair) for row, pair in rows if finite(row.get(metric))]
        ordered = sorted(defined, key=lambda each: each[0], reverse=bool(directions[metric]))
        groups = [(title, [_case(value, pair, encode) for value, pair in group]) for title, group in _groups(ordered)]
        found.append(Cases(metric, bool(directions[metric]), groups))
    return found


def _groups(ordered: Sequence[tuple[float, ImagePair]]) -> list[tuple[str, Sequence[tuple[float, ImagePair]]]]:
    """Return the best, median and worst, without overlap."""
    if len(ordered) < 3 * MOST_CASES:
        return [("all, best first", ordered)]
    middle = (len(ordered) - MOST_CASES) // 2
    return [
        ("best", ordered[:MOST_CASES]),
        ("median", ordered[middle : middle + MOST_CASES]),
        ("worst", ordered[: -MOST_CASES - 1 : -1]),
    ]


def _case(value: float, pair: ImagePair, encode: Callable[[Path], tuple[str, str]]) -> Case:
    files = {"source": pair.source, "target": pair.target, "result": pair.generated}
    pictures = [ReportImage(role, *encode(path)) for role, path in files.items() if path is not None]
    return Case(pair.name, number(value), pictures)


def _encode(path: Path) -> tuple[str, str]:
    """Return a data URI of an image file, scaled down to :data:`MOST_HIGH`, and the reason if there is none."""
    try:
        image = Image.fromarray(read_image(path, turned=True))
    except DataError as error:
        return "", str(error)
    image.thumbnail((image.width, MOST_HIGH))
    file = io.BytesIO()
    image.save(file, "PNG")
    return _data_uri(file.getvalue()), ""


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
