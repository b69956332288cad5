"""Curves as SVG: where lines, ticks and stages stand; the page's template draws them in its own colors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.ticker import LogLocator, MaxNLocator

from .scalars import MEASURED, TRAINING, VALIDATION, Points, Scalars, finite
from .state import NOT_LOSSES
from .status import RunStage
from .terminal import number, shares

WIDTH, HEIGHT = 360, 190  # of a chart, in units of its SVG; curves stand between these margins
LEFT, RIGHT, TOP, BOTTOM = 46, 350, 22, 162
MOST_POINTS = 300  # a curve has more pixels on no screen
MOST_LINES = 6  # in a chart: as many as the page has colors
STEEP = 30.0  # a curve that spans this factor is drawn over a logarithmic axis


@dataclass(frozen=True)
class Line:
    """A curve: where it goes, as SVG's ``points``, its number among the page's colors, its last value."""

    name: str
    points: str
    color: int
    last: str


@dataclass(frozen=True)
class Chart:
    """Curves over iterations that share an axis.

    ``across``, ``up``: ticks of both axes, (place, label); ``stages``: (place, name) of where each begins.
    """

    title: str
    lines: Sequence[Line]
    across: Sequence[tuple[float, str]]
    up: Sequence[tuple[float, str]]
    stages: Sequence[tuple[float, str]]
    logarithmic: bool


def charts(scalars: Scalars, stages: Sequence[RunStage]) -> dict[str, list[Chart]]:
    """All charts of a run by heading: losses, validation, flows, masks, gradients, learning rates and speed."""
    training, measured = scalars.points(TRAINING), scalars.points(MEASURED)
    validation = {n: p for n, p in scalars.points(VALIDATION).items() if n not in NOT_LOSSES}
    rates = {n.removesuffix(".lr"): p for n, p in training.items() if n.endswith(".lr")}
    losses = {n: p for n, p in training.items() if not n.endswith("lr") and n not in NOT_LOSSES}
    rest = {n: p for n, p in training.items() if n in NOT_LOSSES}
    end = max((stage.start + stage.iters for stage in stages), default=scalars.iteration)
    groups = {
        "Losses": [[name] for name in sorted(losses, key=lambda name: name != "loss")],
        "Validation": [[name] for name in validation],
        "Flow, masks, gradients": _by_what(measured),
        "Learning rates, time, memory": [list(rates), *([name] for name in rest)],
    }
    known = {**rates, **losses, **rest, **validation, **measured}
    return {
        heading: [
            _chart({name: finite(known[name]) for name in names[:MOST_LINES]}, stages, max(end, scalars.iteration))
            for names in group
            if any(finite(known[name]) for name in names)
        ]
        for heading, group in groups.items()
    }


def _by_what(measured: Mapping[str, Points]) -> list[list[str]]:
    """Names that belong into one chart: the same number of each level, all gradients, all memory."""
    groups: dict[str, list[str]] = {}
    for name in measured:
        level, _, what = name.partition("/")
        kind = level if level in ("gradient", "memory") else f"{level.partition('_')[0]} {what}"
        groups.setdefault(kind, []).append(name)
    return list(groups.values())


def _chart(curves: Mapping[str, Points], stages: Sequence[RunStage], end: int) -> Chart:
    curves = {name: _thinned(points) for name, points in curves.items() if points}
    values = [value for points in curves.values() for _, value in points]
    low, high = min(values), max(values)
    logarithmic = low > 0 and high / low > STEEP
    if low == high:
        low, high = low - (abs(low) * 0.05 or 0.5), high + (abs(high) * 0.05 or 0.5)
    up = _Axis(low, high, BOTTOM, TOP, logarithmic)
    across = _Axis(0, max(end, 1), LEFT, RIGHT, False)
    lines = [
        Line(name, _path(points, across, up), color, number(points[-1][1]))
        for color, (name, points) in enumerate(curves.items())
    ]
    title = next(iter(curves)) if len(curves) == 1 else _common(list(curves))
    begins = [(across(stage.start), stage.name) for stage in stages if stage.iters]
    return Chart(title, lines, across.ticks(), up.ticks(), begins, logarithmic)


def _common(names: Sequence[str]) -> str:
    """What a chart of several curves is called: what their names share."""
    before, after = {n.partition("/")[0] for n in names}, {n.partition("/")[2] for n in names}
    if len(before) == 1:
        return before.pop()
    if len(after) == 1 and (what := after.pop()):
        return f"{names[0].partition('_')[0]}: {what}"
    return "learning rates"


def _path(points: Points, across: _Axis, up: _Axis) -> str:
    drawn = points if len(points) > 1 else points * 2  # of a single point SVG draws nothing
    return " ".join(f"{across(step)},{up(value)}" for step, value in drawn)


def _thinned(points: Points) -> Points:
    return shares(points, MOST_POINTS, lambda share: (share[-1][0], sum(value for _, value in share) / len(share)))


class _Axis:
    """Values from *low* to *high* stand from *start* to *end*."""

    def __init__(self, low: float, high: float, start: float, end: float, logarithmic: bool) -> None:
        self.low, self.high, self.start, self.end, self.logarithmic = low, high, start, end, logarithmic

    def __call__(self, value: float) -> float:
        low, high = (math.log(self.low), math.log(self.high)) if self.logarithmic else (self.low, self.high)
        share = ((math.log(value) if self.logarithmic else value) - low) / (high - low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[tuple[float, str]]:
        locator = LogLocator(numticks=5) if self.logarithmic else MaxNLocator(4)
        values = locator.tick_values(self.low, self.high)
        slack = 1e-9 * (self.high - self.low)
        return [(self(t), f"{t:g}") for t in values if self.low - slack <= t <= self.high + slack]
