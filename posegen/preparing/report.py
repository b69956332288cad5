"""The report of a preparation: on the screen, as text and JSON, and every finding as CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..checking import Report, print_report, write_findings
from ..files import printable, written_whole
from ..version import __version__

REPORT, READABLE, FINDINGS = "report.json", "report.txt", "findings.csv"
SHOWN = 10
"""Number of problems and examples that are printed; report.json has all problems."""
WIDTH = 120


@dataclass(frozen=True)
class Problem:
    """A source file that could not be used, and why."""

    file: str
    text: str


@dataclass
class Result:
    """The result of a preparation.

    Args:
        settings: name and options of the preparation.
        files: by top folder (empty: none), the number of files and their bytes.
        made, kept: files that this run wrote, and files that were there already.
        left_out: by reason, the number of source files that are not used, and some of them.
        problems: everything wrong with the source.
        notes: what the user should know.
        checks: reports of the data sets that read the result.
    """

    settings: dict[str, Any]
    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    made: int = 0
    kept: int = 0
    left_out: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checks: list[Report] = field(default_factory=list)

    @property
    def errors(self) -> int:
        """Number of problems and of errors that the check found."""
        return len(self.problems) + sum(report.count("error") for report in self.checks)

    @property
    def warnings(self) -> int:
        """Number of warnings that the check found."""
        return sum(report.count("warning") for report in self.checks)

    def leave_out(self, name: str, reason: str) -> None:
        """Count a source file that is not used."""
        count, names = self.left_out.get(reason, (0, []))
        self.left_out[reason] = count + 1, [*names, name] if count < SHOWN else names

    def count_files(self, sizes: Mapping[str, int]) -> None:
        """Set ``files`` from the bytes of each file."""
        for name in sorted(sizes):
            top = name.partition("/")[0] if "/" in name else ""
            count, total = self.files.get(top, (0, 0))
            self.files[top] = count + 1, total + sizes[name]


def print_result(result: Result, console: Console) -> None:
    """Print the files, what was left out and why, the problems, and the report of the check."""
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
        console.print(Text("check of the result"), style="bold")
        print_report(report, console)
    _say(console, _counted(result))


def _say(console: Console, text: str) -> None:
    console.print(Text(printable(text)), soft_wrap=True)


def _counted(result: Result) -> str:
    def several(number: int, name: str) -> str:
        return f"{number:,} {name}{'s' * (number != 1)}"

    found = result.errors - len(result.problems)
    return (
        f"{several(len(result.problems), 'problem')} in the source; the check of the result found "
        f"{several(found, 'error')}, {several(result.warnings, 'warning')}"
    )


def write_result(result: Result, folder: Path) -> None:
    """Write ``report.json``, ``report.txt`` and ``findings.csv``, the same however many runs the result took."""
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
        "files": {name: {"count": count, "bytes": size} for name, (count, size) in sorted(result.files.items())},
        "left_out": {
            why: {"count": count, "such_as": names} for why, (count, names) in sorted(result.left_out.items())
        },
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
