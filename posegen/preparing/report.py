"""What a preparation came to: on the screen, as text, as JSON, and every finding as CSV."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..checking import Report, print_report, write_findings
from ..files import printable, written_whole
from ..version import __version__
from .plan import LeftOut

REPORT, READABLE, FINDINGS = "report.json", "report.txt", "findings.csv"
SHOWN = 10
"""Problems and examples that are printed; report.json has all problems."""
WIDTH = 120


@dataclass(frozen=True)
class Problem:
    """A file of the source that did not become what it should, and why."""

    file: str
    text: str


@dataclass
class Result:
    """What a preparation came to.

    Args:
        settings: the preparation's name and what was asked for.
        files: by the first folder of their path (empty: none), how many files there are now, and their bytes.
        made, kept, removed: files that this run wrote, found there already, and took away because nothing makes them
            any more.
        left_out: how many members are not used, and some of them, by reason.
        problems: all that is wrong with the source, by file.
        notes: what the user should know.
        checks: what the loaders say of the result.
    """

    settings: dict[str, Any]
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    made: int = 0
    kept: int = 0
    removed: int = 0
    left_out: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checks: list[Report] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Problems, and errors that the check found."""
        return len(self.problems) + sum(report.count("error") for report in self.checks)

    @property
    def warnings(self) -> int:
        """Warnings that the check found."""
        return sum(report.count("warning") for report in self.checks)


def counted(left_out: Iterable[LeftOut]) -> dict[str, tuple[int, list[str]]]:
    """How many there are of each reason, and the first few."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = defaultdict(list)
    for one in left_out:
        counts[one.reason] += 1
        if len(examples[one.reason]) < SHOWN:
            examples[one.reason].append(one.name)
    return {reason: (count, examples[reason]) for reason, count in sorted(counts.items())}


def print_result(result: Result, console: Console) -> None:
    """What is there, what was left out and why, problems by file, and what the check says."""
    table = Table("folder", "files", "bytes")
    for folder, (count, size) in result.files.items():
        table.add_row(Text(printable(folder or ".")), f"{count:,}", f"{size:,}")
    console.print(table)
    for note in result.notes:
        _say(console, note)
    for reason, (count, examples) in result.left_out.items():
        _say(console, f"left out, {count:,}: {reason}: {', '.join(examples[:3])}{', …' if count > 3 else ''}")
    if result.problems:
        console.print(Text("problems"), style="bold")
    for problem in result.problems[:SHOWN]:
        _say(console, f"  {problem.file}: {problem.text}")
    if len(result.problems) > SHOWN:
        _say(console, f"  … and {len(result.problems) - SHOWN:,} more: {REPORT}")
    for report in result.checks:
        console.print(Text("checked by its loaders"), style="bold")
        print_report(report, console)
    _say(console, _counted(result))


def _say(console: Console, text: str) -> None:
    console.print(Text(printable(text)), soft_wrap=True)


def _counted(result: Result) -> str:
    def several(number: int, name: str) -> str:
        return f"{number:,} {name}{'s' * (number != 1)}"

    found = result.errors - len(result.problems)
    return (
        f"{several(len(result.problems), 'problem')} in the source; in what was made the check found "
        f"{several(found, 'error')}, {several(result.warnings, 'warning')}"
    )


def write_result(result: Result, folder: Path) -> None:
    """Write ``report.json``, ``report.txt`` and ``findings.csv``: the same bytes for the same result, however many runs
    it took."""
    with written_whole(folder / REPORT) as temporary:
        text = json.dumps(_as_data(result), indent=1, ensure_ascii=False, sort_keys=True)
        temporary.write_bytes(text.encode(errors="replace") + b"\n")
    with written_whole(folder / READABLE) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
        print_result(result, Console(file=file, width=WIDTH, force_terminal=False))
    write_findings(folder / FINDINGS, (finding for report in result.checks for finding in report.findings))


def _as_data(result: Result) -> dict[str, Any]:
    return {
        "posegen": __version__,
        "settings": result.settings,
        "files": {name: {"count": count, "bytes": size} for name, (count, size) in result.files.items()},
        "left_out": {why: {"count": count, "such_as": names} for why, (count, names) in result.left_out.items()},
        "problems": [{"file": problem.file, "text": problem.text} for problem in result.problems],
        "notes": result.notes,
        "errors": result.errors,
        "warnings": result.warnings,
        "checks": [_check_as_data(report) for report in result.checks],
    }


def _check_as_data(report: Report) -> dict[str, Any]:
    return {
        "splits": {name: vars(split) for name, split in report.splits.items()},
        "findings": [
            {"split": split, "severity": severity, "kind": kind, "count": len(found)}
            for (severity, kind, split), found in report.grouped().items()
        ],
        "notes": report.notes,
    }


def folders_of(targets: Sequence[tuple[str, int]]) -> dict[str, tuple[int, int]]:
    """Files and bytes by the first folder of their path."""
    found: dict[str, tuple[int, int]] = {}
    for name, size in targets:
        folder = name.partition("/")[0] if "/" in name else ""
        count, so_far = found.get(folder, (0, 0))
        found[folder] = count + 1, so_far + size
    return dict(sorted(found.items()))
