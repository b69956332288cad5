"""Values of metrics as a table for the terminal, and as JSON on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from ..files import written_whole
from ..version import __version__
from .metric import PairMetric

ARROWS = {True: "↑", False: "↓", None: ""}


def metrics_table(values: dict[str, float], metrics: Iterable[PairMetric]) -> Table:
    """One row a value: name, value, unit, and an arrow toward the better side (↑ higher, ↓ lower).

    Args:
        values: by name, as mmengine's evaluator returns them, prefixes included.
        metrics: those that made the values; a value none of them knows has neither unit nor arrow.
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
    """Write values to *path* (``metrics.json``), and append them as a line to the ``.jsonl`` beside it.

    The file is written under a temporary name and renamed: whoever sees it sees the whole of it. A number
    that is not finite becomes null, because JSON has none.

    Args:
        path: of the JSON file; parent folders are made.
        values: by name.
        context: what the values belong to: config, checkpoint, number of images, ... Date (UTC) and the
            versions of posegen and torch are added.
    """
    path = Path(path)
    record = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"posegen": __version__, "torch": str(torch.__version__)},
        **context,
        "metrics": {name: value if math.isfinite(value) else None for name, value in values.items()},
    }
    with written_whole(path) as temporary:
        temporary.write_text(_to_json(record, indent=2) + "\n", encoding="utf-8")
    with path.with_suffix(".jsonl").open("a", encoding="utf-8") as lines:
        lines.write(_to_json(record) + "\n")


def _to_json(record: dict[str, Any], indent: int | None = None) -> str:
    return json.dumps(record, indent=indent, ensure_ascii=False, default=str)  # str: paths in the context
