"""The results as tables for people and as JSON for everything else."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..engine.trainer import computes_in_bfloat16
from ..files import written_whole
from ..version import __version__
from .measure import Judged, Result

BUSY = 0.5  # processes that want to run, a core: from here on times say little


def machine(device: str) -> dict[str, Any]:
    """Everything about this machine that a time depends on."""
    gpu = torch.cuda.get_device_name() if device.startswith("cuda") else None
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "computes_in_bfloat16": computes_in_bfloat16(),
        "device": device,
        "gpu": gpu,
        "cuda": torch.version.cuda if gpu else None,
        "load_at_start": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "posegen": __version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def print_results(results: Mapping[str, Sequence[Result]], facts: Mapping[str, Any], console: Console) -> None:
    """A table of times and memory, a table of figures beside their targets, notes, and the machine."""
    flat = [result for group in results.values() for result in group]
    times = Table("work", "formulation", "time: median (least to most)", "peak extra memory", title="Measured")
    figures = Table("work", "figure", "median (least to most)", "target", "", title="Figures and targets")
    for result in flat:
        for index, (name, seconds) in enumerate(result.seconds.items()):
            memory = f"{result.peak_bytes[name] / 1e6:,.1f} MB" if name in result.peak_bytes else ""
            times.add_row("" if index else escape(result.name), name, _spread(seconds), memory)
        for index, figure in enumerate(result.figures):
            figures.add_row("" if index else escape(result.name), figure.name, *_told(figure))
        times.add_section()
        figures.add_section()
    for table in (times, figures):
        if table.row_count:
            console.print(table)
    for result in flat:
        for note in [*result.notes, *([f"skipped: {result.skipped}"] if result.skipped else [])]:
            console.print(escape(f"{result.name}: {note}"))
        if result.errors:
            worst = max(result.errors, key=lambda name: result.errors[name])
            console.print(escape(f"{result.name}: numbers agree to {result.errors[worst]:.1e} (worst: {worst})"))
    console.print(escape(", ".join(f"{name} {value}" for name, value in facts.items() if value is not None)))
    load, cores = facts.get("load_at_start"), facts.get("cores")
    if load and cores and load > BUSY * cores:
        console.print(f"[bold]The machine was busy (load {load:.1f} on {cores} cores): do not keep these times.[/bold]")


def _spread(seconds: Sequence[float]) -> str:
    unit, factor = ("s", 1) if statistics.median(seconds) >= 1 else ("ms", 1000)
    middle, low, high = (value * factor for value in (statistics.median(seconds), min(seconds), max(seconds)))
    return f"{_short(middle)} {unit} ({_short(low)} to {_short(high)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _told(figure: Judged) -> tuple[str, str, str]:
    number = f"{_short(figure.median)}{figure.unit}"
    if figure.least != figure.greatest:
        number += f" ({_short(figure.least)} to {_short(figure.greatest)})"
    target = f"≥ {figure.at_least:g}" if figure.at_least is not None else ""
    target = f"≤ {figure.at_most:g}" if figure.at_most is not None else target
    met = {True: "[green]met[/green]", False: "[red]not met[/red]", None: "not judged" if target else ""}[figure.met]
    return number, target, met


def write_results(path: Path, results: Mapping[str, Sequence[Result]], facts: Mapping[str, Any], **about: Any) -> None:
    """Everything that was measured as JSON: ``machine``, what *about* says of the run, and ``rows`` by name."""
    rows = {name: [asdict(result) for result in group] for name, group in results.items()}
    text = json.dumps({"machine": dict(facts), **about, "rows": rows}, indent=2, ensure_ascii=False)
    with written_whole(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
