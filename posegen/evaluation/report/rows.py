"""What every form of a report shows, as plain rows of text: scores, the protocol field by field, and the context."""

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
_TOLD_ELSEWHERE = ("name", "citation", "sources", "metrics")


@dataclass(frozen=True)
class ScoreRow:
    """A line of the table of scores; ``reason`` is filled where the score was not computed."""

    metric: str
    value: str
    interval: str = ""
    n: str = ""
    unit: str = ""
    better: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ProtocolRow:
    """A field of a protocol; ``guess``: nobody has said what it was, and the value is a guess."""

    field: str
    value: str
    source: str
    guess: bool


def score_rows(evaluation: Evaluation) -> list[ScoreRow]:
    """The scores in the protocol's order, then those not computed, with the reason."""
    computed = [_score_row(name, score) for name, score in evaluation.scores.items()]
    missing = [ScoreRow(name, NOT_COMPUTED, reason=reason) for name, reason in evaluation.not_computed.items()]
    return computed + missing


def score_table(evaluation: Evaluation) -> Table:
    """The scores for the terminal, with the protocol's name and hash as its title. Why some were not computed is too
    long for a column."""
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
        table.add_row(*map(Text, cells))  # Text: "[x]" in a name is no markup
    return table


def definition(protocol: Protocol) -> dict[str, Any]:
    """Everything of a protocol that decides a score, by field; of each metric under ``metrics.NAME``."""
    plain = protocol.to_dict()
    metrics = {f"metrics.{name}": part for name, part in plain["metrics"].items()}
    return {name: value for name, value in plain.items() if name not in _TOLD_ELSEWHERE} | metrics


def made_with(evaluation: Evaluation) -> str:
    """``n images; posegen 0.1, torch 2.13, …``: what belongs beside every number besides its protocol."""
    versions = ", ".join(f"{name} {version}" for name, version in evaluation.context.get("versions", {}).items())
    return f"{image_count(evaluation)} images" + (f"; {versions}" if versions else "")


def protocol_rows(protocol: Protocol) -> list[ProtocolRow]:
    """A protocol field by field, each with where it is said."""
    return [
        ProtocolRow(name, _field(value), protocol.sources.get(name, ""), name in protocol.unknown)
        for name, value in definition(protocol).items()
    ]


def context_rows(evaluation: Evaluation) -> list[tuple[str, str]]:
    """What the evaluation knows of its circumstances: date, versions, folders."""
    return [(name.replace("_", " "), _plain(value)) for name, value in evaluation.context.items()]


def image_count(evaluation: Evaluation) -> int:
    """How many images were scored; an evaluation that was read from a file knows it from its scores."""
    return max([len(evaluation.pairs), *(score.n for score in evaluation.scores.values())])


def number(value: float | None, scale: float | None = None) -> str:
    """A number with as many decimals as its size, or that of *scale*, asks for; None and NaN: ``NaN``."""
    if value is None or not math.isfinite(value):
        return "NaN" if value is None or math.isnan(value) else f"{value}"
    size = abs(value if scale is None or not math.isfinite(scale) else scale)
    if 0 < size < 1e-3:
        return f"{value:.3g}"
    return f"{value:.{4 if size < 10 else 3 if size < 100 else 2}f}"


def interval(score: Score) -> str:
    """``low … high``, or nothing where there is none, or its ends are no numbers."""
    if score.ci95 is None or not finite(*score.ci95):
        return ""
    low, high = score.ci95
    return f"{number(low, score.value)} … {number(high, score.value)}"


def finite(*values: float | None) -> bool:
    """Whether all are numbers: ``results.json`` holds null where a value was none."""
    return all(value is not None and math.isfinite(value) for value in values)


def _score_row(name: str, score: Score) -> ScoreRow:
    better = ARROWS[score.higher_is_better]
    return ScoreRow(name, number(score.value), interval(score), str(score.n), score.unit, better)


def _field(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return " × ".join(str(each) for each in value)
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
