"""Values of metrics as a table for the terminal, and as ``metrics.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from ..files import written_whole
from ..version import __version__
from .metric import PairMetric

ARROWS = {True: "↑", False: "↓", None: ""}
"""The better side of a value, by ``higher_is_better``."""


def metrics_table(values: dict[str, float], metrics: Iterable[PairMetric]) -> Table:
    """Format values as a table: name, value, unit, better side.

    Args:
        values: by name, prefixes included, as mmengine's evaluator returns them.
        metrics: the metrics that computed the values; they know units and better sides.
    """
    units: dict[str, str] = {}
    better: dict[str, bool] = {}
    for metric in metrics:
        before = f"{metric.prefix}/" if metric.prefix else ""
        units |= {before + name: unit for name, unit in metric.units.items()}
        better |= {before + name: higher for name, higher in metric.higher_is_better.items()}
    table = Table("metric", "value", "unit", "better")
    table.columns[1].justify = "right"
    for name, value in values.items():
        table.add_row(name, f"{value:.4f}", units.get(name, ""), ARROWS[better.get(name)])
    return table


def write_metrics(path: str | Path, values: dict[str, float], **context: Any) -> None:
    """Write values to a JSON file, atomically, and append them as a line to the ``.jsonl`` file beside it.

    Args:
        path: of the JSON file; parent folders are created.
        values: by name.
        context: facts about the values: config, checkpoint, number of images, ... Date (UTC) and versions are added.
    """
    path = Path(path)
    record = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"posegen": __version__, "torch": str(torch.__version__)},
        **context,
        "metrics": values,
    }
    with written_whole(path) as temporary:
        temporary.write_text(to_json(record, indent=2) + "\n", encoding="utf-8")
    with path.with_suffix(".jsonl").open("a", encoding="utf-8") as lines:
        lines.write(to_json(record) + "\n")


def to_json(value: Any, indent: int | None = None) -> str:
    """Format as JSON, with null for numbers that are not finite and text for paths."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value
