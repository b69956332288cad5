"""Sensitivity study: the change of each score of the same images with each choice of a protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table
from rich.text import Text

from ..results import Evaluation, Score
from ..table import ARROWS
from .rows import finite, number
from .text import markdown_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Others = Sequence[tuple[str, Evaluation]]
"""Evaluations of the same images under other protocols, each with its label (``resize=opencv-bilinear``)."""

HEADINGS = ("metric", "choice", "score", "difference", "÷ half the interval")
BETTER, WORSE, UNDIRECTED = "#2a6fb0", "#d9762b", "#777777"  # distinguishable with color blindness
KEY = "blue: better than the base, orange: worse; shaded: the base's 95 % interval"
ROW, PANEL = 0.26, 0.95  # inches: height of a bar, and of the rest of a panel


@dataclass(frozen=True)
class Shift:
    """Change of one score by one choice.

    Args:
        label: the choice.
        value: the score.
        difference: from the base.
        relative: difference in halves of the base's 95 % interval: beyond 1, the choice changes the score more than the
            random choice of images. None: the base has no interval.
    """

    label: str
    value: float
    difference: float
    relative: float | None


def sensitivity_table(base: Evaluation, others: Others) -> Table:
    """Format the study for the terminal: for each metric the choices by how far they change it."""
    title = f"Change of each score from {base.protocol.name}, protocol {base.protocol.hash}"
    table = Table(*HEADINGS[:2], title=Text(title))
    for heading in HEADINGS[2:]:
        table.add_column(heading, justify="right")
    for metric, score in base.scores.items():
        for row in _rows(metric, score, others):
            table.add_row(*map(Text, row))
        table.add_section()
    return table


def sensitivity_markdown(base: Evaluation, others: Others) -> str:
    """Format the study as Markdown."""
    rows = [row for metric, score in base.scores.items() for row in _rows(metric, score, others)]
    parts = [
        f"# Sensitivity of {base.protocol.name}, protocol `{base.protocol.hash}`",
        "The same images scored with one choice of the protocol changed, or under another protocol; for each metric "
        "the largest change first. The last column is the difference in halves of the 95 % interval: beyond 1, the "
        "choice changes the score more than the random choice of images.",
        markdown_table(HEADINGS, rows),
    ]
    return "\n\n".join(parts) + "\n"


def sensitivity_picture(base: Evaluation, others: Others) -> np.ndarray:
    """Plot the differences as bars, one panel per metric; gray: the base's 95 % interval. Returns uint8 H W 3."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {
        name: changed
        for name, score in base.scores.items()
        if (changed := [s for s in shifts(name, score, others) if s.difference])
    }
    heights = [PANEL + ROW * len(changed) for changed in panels.values()] or [PANEL]
    figure = Figure(figsize=(8, sum(heights) + 0.6), dpi=110, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    key = KEY if panels else "no choice changes a score"
    title = f"{base.protocol.name}, protocol {base.protocol.hash}\n{key}"
    figure.suptitle(title, fontsize=9, parse_math=False)
    if panels:
        axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axis, (metric, changed) in zip(axes, panels.items(), strict=True):
            _draw(axis, metric, base.scores[metric], changed)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def shifts(metric: str, base: Score, others: Others) -> list[Shift]:
    """Return the changes of a metric by each of *others* that has it, the largest first."""
    if not finite(base.value):
        return []
    half = (base.ci95[1] - base.ci95[0]) / 2 if base.ci95 is not None and finite(*base.ci95) else 0.0
    found = []
    for label, other in others:
        score = other.scores.get(metric)
        if score is not None and finite(score.value):
            difference = score.value - base.value
            found.append(Shift(label, score.value, difference, difference / half if half > 0 else None))
    return sorted(found, key=lambda shift: -abs(shift.difference))


def _rows(metric: str, score: Score, others: Others) -> list[tuple[str, str, str, str, str]]:
    """Return the base, the changes, and a line each for choices without effect and for those not computed."""
    found = shifts(metric, score, others)
    rows = [(f"{metric} {ARROWS[score.higher_is_better]}".strip(), "base", number(score.value), "", "")]
    for shift in found:
        if shift.difference:
            relative = "" if shift.relative is None else f"{shift.relative:+.2f}"
            rows.append(("", shift.label, number(shift.value), f"{shift.difference:+.3g}", relative))
    same = [shift.label for shift in found if not shift.difference]
    missing = [f"{label} ({other.not_computed[metric]})" for label, other in others if metric in other.not_computed]
    rows += [("", f"no effect: {', '.join(same)}", "", "", "")] if same else []
    rows += [("", f"not computed: {', '.join(missing)}", "", "", "")] if missing else []
    return rows


def _draw(axis: Axes, metric: str, score: Score, changed: Sequence[Shift]) -> None:
    colors = {None: (UNDIRECTED, UNDIRECTED), True: (BETTER, WORSE), False: (WORSE, BETTER)}
    up, down = colors[score.higher_is_better]
    places = range(len(changed))
    if score.ci95 is not None and finite(*score.ci95):
        axis.axvspan(score.ci95[0] - score.value, score.ci95[1] - score.value, color="0.9", zorder=0)
    differences = [shift.difference for shift in changed]
    axis.barh(places, differences, color=[up if each > 0 else down for each in differences], height=0.6)
    axis.axvline(0, color="0.3", linewidth=0.8)
    axis.set_yticks(places, [shift.label for shift in changed], fontsize=8, parse_math=False)
    axis.invert_yaxis()  # the largest change on top
    axis.margins(x=0.12)
    axis.tick_params(axis="x", labelsize=8)
    axis.spines[["top", "right", "left"]].set_visible(False)
    unit = f" ({score.unit})" if score.unit else ""
    side = {None: "", True: ", higher is better", False: ", lower is better"}[score.higher_is_better]
    heading = f"{metric}{unit}{side}; base {number(score.value)}"
    axis.set_title(heading, fontsize=9, loc="left", parse_math=False)
