"""A run in the terminal, by rich."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..data.files import printable
from .scalars import Points, finite
from .state import GONE, SILENT, RunState, duration
from .status import FAILED, LEFT, TRAINED

COLORS = {TRAINED: "green", LEFT: "yellow", FAILED: "red", GONE: "red", SILENT: "yellow"}
TICKS, PLAIN_TICKS = "▁▂▃▄▅▆▇█", ".:-=+*#@"
SPARK_WIDTH = 28
MOST_VALIDATED = 12


def view(run: RunState, console: Console) -> RenderableType:
    """All that there is to see of a run, as wide as the console; in a console without Unicode, without."""
    ticks = TICKS if console.encoding.lower().startswith("utf") else PLAIN_TICKS
    parts: list[RenderableType] = [_headline(run), _progress(run, console), _facts(run)]
    parts += [Text(printable(f"! {warning}"), style="yellow") for warning in run.warnings]
    tables = [
        _curves("losses", run.losses, ticks),
        _curves("validation", dict(list(run.validation.items())[:MOST_VALIDATED]), ticks),
        _curves("flow, masks, gradients", _chosen(run.measured), ticks),
    ]
    shown = [table for table in tables if table.row_count]
    return Group(*parts, Text(""), Columns(shown, padding=(1, 4)))


def waiting(work_dir: str) -> Text:
    """What is shown before a run has begun."""
    return Text(printable(f"{work_dir}: no run yet; waiting for one (Ctrl-C leaves)"), style="yellow")


def _headline(run: RunState) -> Text:
    line = Text(printable(str(run.work_dir)), style="bold")
    return line.append("  ").append(printable(run.words), style=COLORS.get(run.state, "cyan"))


def _progress(run: RunState, console: Console) -> RenderableType:
    if not run.total:
        return Text(f"iteration {run.iteration}; of how many, this run does not tell")
    row = Table.grid(padding=(0, 2))
    row.add_row(
        Text(f"iteration {run.iteration} of {run.total}"),
        ProgressBar(run.total, run.iteration, width=max(10, min(40, console.width // 3))),
        Text(f"{run.iteration / run.total:.0%}"),
    )
    return row


def _facts(run: RunState) -> Table:
    facts = Table.grid(padding=(0, 2))
    for name, value in rows(run):
        facts.add_row(Text(name, style="dim"), Text(printable(value)))
    return facts


def rows(run: RunState) -> list[tuple[str, str]]:
    """What is known of a run beside its curves: name and value, for people."""
    found = []
    if run.stage and run.status:
        number = [s.name for s in run.status.stages].index(run.stage.name) + 1
        within = f"iteration {run.iteration - run.stage.start} of {run.stage.iters}"
        trains = ", ".join(run.stage.networks)
        found.append(("stage", f"{run.stage.name}, {number} of {len(run.status.stages)}: {within}; trains {trains}"))
    if run.seconds:
        found.append(("speed", f"{run.seconds:.3g} s an iteration"))
    if run.left and run.state not in (TRAINED, FAILED):
        stage = f"this stage {duration(run.left_of_stage)}, " if run.left_of_stage < run.left else ""
        found.append(("time left", f"{stage}all {duration(run.left)} at this pace"))
    if run.rates:
        found.append(("learning rates", ", ".join(f"{name} {rate:.3g}" for name, rate in run.rates.items())))
    if run.memory:
        used = (f"{name.split('/')[1].removesuffix('_mib')} {value:,.0f} MiB" for name, value in run.memory.items())
        found.append(("memory at most", ", ".join(used)))
    if run.checkpoint:
        age = f", {duration(run.checkpoint_age)} ago" if run.checkpoint_age is not None else ""
        found.append(("last checkpoint", run.checkpoint.rsplit("/", 1)[-1] + age))
    else:
        found.append(("last checkpoint", "none yet"))
    if run.skipped:
        found.append(("skipped steps", f"{run.skipped}: not finite, see the log"))
    if run.unreadable:
        found.append(("unreadable samples", f"{run.unreadable}: see the log"))
    return found


def _chosen(measured: Mapping[str, Points]) -> dict[str, Points]:
    """What tells at a glance whether flow and mask live: not every share of every level."""
    wanted = ("/length", "/outside", "/mean")
    return {n: p for n, p in measured.items() if n.endswith(wanted) or n.startswith("gradient/")}


def _curves(title: str, curves: Mapping[str, Points], ticks: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for heading, how in ((title, "left"), ("now", "right"), ("", "left"), ("least", "right"), ("most", "right")):
        table.add_column(Text(heading, style="dim"), justify=how, no_wrap=True)  # type: ignore[arg-type]
    table.columns[0].overflow = "ellipsis"
    for name, points in curves.items():
        values = [value for _, value in finite(points)]
        bounds = (number(min(values)), number(max(values))) if values else ("", "")
        table.add_row(Text(printable(name)), number(points[-1][1]), Text(spark(values, ticks), style="cyan"), *bounds)
    return table


def number(value: float) -> str:
    """Four digits that count."""
    return f"{value:.4g}"


def spark(values: Sequence[float], ticks: str = TICKS, width: int = SPARK_WIDTH) -> str:
    """A curve of finite values in one line of at most *width* characters; each is the mean of its share of them."""
    if not values:
        return ""
    means = shares(values, width, lambda share: sum(share) / len(share))
    low, high = min(means), max(means)
    scale = (len(ticks) - 1) / (high - low) if high > low else 0.0
    return "".join(ticks[round((value - low) * scale)] for value in means)


def shares(values: Sequence, most: int, mean: Callable[[Sequence], Any]) -> list:
    """*values* in at most *most* shares of nearly equal length, *mean* of each."""
    count = min(most, len(values))
    edges = [index * len(values) // count for index in range(count + 1)]
    return [mean(values[start:end]) for start, end in itertools.pairwise(edges)]
