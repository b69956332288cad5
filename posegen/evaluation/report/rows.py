"""Scores, protocol and context of an evaluation as rows of text, for all forms of a report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.table import Table
from rich.text import Text

from ..protocol import Protocol
from ..results import Evaluation, Score
from ..table import ARROWS

NOT_COMPUTED = "not computed"
_SHOWN_ELSEWHERE = ("name", "citation", "sources", "metrics")


@dataclass(frozen=True)
class ScoreRow:
    """A line of the table of scores; ``reason``: why the score was not computed."""

    metric: str
    value: str
    interval: str = ""
    n: str = ""
    unit: str = ""
    better: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ProtocolRow:
    """A field of a protocol; ``guess``: its value is not published."""

    field: str
    value: str
    source: str
    guess: bool


def score_rows(evaluation: Evaluation) -> list[ScoreRow]:
    """Return the scores in the protocol's order, then those not computed."""
    computed = [
        ScoreRow(name, number(score.value), interval(score), str(score.n), score.unit, ARROWS[score.higher_is_better])
        for name, score in evaluation.scores.items()
    ]
    return computed + [ScoreRow(name, NOT_COMPUTED, reason=why) for name, why in evaluation.not_computed.items()]


def score_table(evaluation: Evaluation) -> Table:
    """Format the scores for the terminal, titled with the protocol's name and hash; reasons do not fit a column."""
    protocol = evaluation.protocol
    table = Table(
        "metric", title=Text(f"{protocol.name}, protocol {protocol.hash}"), caption=Text(made_with(evaluation))
    )
    for heading in ("value", "95 % interval", "n"):
        table.add_column(heading, justify="right")
    for heading in ("unit", "better"):
        table.add_column(heading)
    for row in score_rows(evaluation):
        cells = (row.metric, row.value, row.interval, row.n, row.unit, row.better)
        table.add_row(*map(Text, cells))  # Text: "[x]" in a name is not markup
    return table


def definition(protocol: Protocol) -> dict[str, Any]:
    """Return every field of a protocol that decides a score; each metric under ``metrics.NAME``."""
    plain = protocol.to_dict()
    metrics = {f"metrics.{name}": part for name, part in plain["metrics"].items()}
    return {name: value for name, value in plain.items() if name not in _SHOWN_ELSEWHERE} | metrics


def made_with(evaluation: Evaluation) -> str:
    """Return ``n images; posegen 0.1, torch 2.13, …``."""
    versions = ", ".join(f"{name} {version}" for name, version in evaluation.context.get("versions", {}).items())
    return f"{image_count(evaluation)} images" + (f"; {versions}" if versions else "")


def protocol_rows(protocol: Protocol) -> list[ProtocolRow]:
    """Return the fields of a protocol, each with its source."""
    return [
        ProtocolRow(name, _field(name, value), protocol.sources.get(name, ""), name in protocol.unknown)
        for name, value in definition(protocol).items()
    ]


def context_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return the context of the evaluation: date, versions, folders."""
    return [(name.replace("_", " "), _plain(value)) for name, value in evaluation.context.items()]


def image_count(evaluation: Evaluation) -> int:
    """Return the number of scored images; for an evaluation read from a file, from its scores."""
    return max([len(evaluation.pairs), *(score.n for score in evaluation.scores.values())])


def number(value: float | None, scale: float | None = None) -> str:
    """Format a number with the decimals that its size, or that of *scale*, requires; None and NaN: ``NaN``."""
    if value is None or not math.isfinite(value):
        return "NaN" if value is None or math.isnan(value) else f"{value}"
    size = abs(value if scale is None or not math.isfinite(scale) else scale)
    if 0 < size < 1e-3:
        return f"{value:.3g}"
    return f"{value:.{4 if size < 10 else 3 if size < 100 else 2}f}"


def interval(score: Score) -> str:
    """Format an interval as ``low … high``; empty if there is none."""
    if score.ci95 is None or not finite(*score.ci95):
        return ""
    low, high = score.ci95
    return f"{number(low, score.value)} … {number(high, score.value)}"


def finite(*values: float | None) -> bool:
    """Return whether all values are finite numbers."""
    return all(value is not None and math.isfinite(value) for value in values)


def _field(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name == "size":
        height, width = value
        return f"{width}×{height}"
    if isinstance(value, Mapping) and "type" in value:
        arguments = ", ".join(f"{key}={json.dumps(each, default=str)}" for key, each in value.items() if key != "type")
        return f"{value['type']}({arguments})"
    return str(value)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(each) for each in value)
    return str(value)
