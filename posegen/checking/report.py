"""What a check has found: as a table, and as a CSV file of every finding."""

from __future__ import annotations

import csv
import dataclasses
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..files import printable, written_whole
from .findings import Finding

COLUMNS = ("split", "severity", "kind", "file", "row", "sample", "text")
SHOWN = 3
"""Findings of each kind and split that are printed; the file has all."""


@dataclass
class Split:
    """What was looked at. ``samples`` None: the data set could not be built, or was not."""

    dataset: str
    samples: int | None = None
    images: int = 0
    points: int = 0
    missing_points: int = 0


@dataclass
class Report:
    """All findings, what was looked at by split, and what else the reader should know."""

    findings: list[Finding] = field(default_factory=list)
    splits: dict[str, Split] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, split: str, findings: Iterable[Finding]) -> None:
        """Take in findings of a split."""
        self.findings += [dataclasses.replace(finding, split=split) for finding in findings]

    def list_once(self, split: str, other: str) -> None:
        """Leave out what *other* has too: a validation often looks at a part of the test."""
        there = {dataclasses.replace(finding, split=split) for finding in self.findings if finding.split == other}
        left = [finding for finding in self.findings if finding not in there]
        if len(left) < len(self.findings):
            self.notes.append(
                f"{split}: {len(self.findings) - len(left):,} findings are {other}'s too, and listed there"
            )
        self.findings = left

    def count(self, severity: str) -> int:
        """How many findings are of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def grouped(self) -> dict[tuple[str, str, str], list[Finding]]:
        """Findings by severity, kind and split: errors first, in order of first appearance."""
        groups: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
        for finding in sorted(self.findings, key=lambda finding: finding.severity):
            groups[finding.severity, finding.kind, finding.split].append(finding)
        return dict(groups)


def print_report(report: Report, console: Console) -> None:
    """What was looked at, findings by kind and split, and the first few of each."""
    console.print(_looked_at(report))
    for note in report.notes:
        console.print(Text(printable(note)), soft_wrap=True)
    if not report.findings:
        console.print("nothing found")
        return
    table = Table("kind", "severity", *report.splits)
    kinds = dict.fromkeys((severity, kind) for severity, kind, _ in report.grouped())
    for severity, kind in kinds:
        counts = [len(report.grouped().get((severity, kind, split), ())) for split in report.splits]
        table.add_row(Text(kind), severity, *(f"{count:,}" if count else "" for count in counts))
    console.print(table)
    for (_, kind, split), findings in report.grouped().items():
        console.print(Text(f"{kind}, {split}"), style="bold")
        for finding in findings[:SHOWN]:
            console.print(Text(f"  {printable(_line(finding))}"), soft_wrap=True)
        if len(findings) > SHOWN:
            console.print(f"  … and {len(findings) - SHOWN:,} more")


def _looked_at(report: Report) -> Table:
    table = Table("split", "data set", "samples", "images", "key points", "missing")
    for name, split in report.splits.items():
        samples = "" if split.samples is None else f"{split.samples:,}"
        missing = f"{split.missing_points:,} ({split.missing_points / split.points:.1%})" if split.points else ""
        images, points = (f"{count:,}" if count else "" for count in (split.images, split.points))
        table.add_row(name, split.dataset, samples, images, points, missing)
    return table


def _line(finding: Finding) -> str:
    row = f"row {finding.row}" if finding.row.isdigit() else finding.row
    sample = "" if finding.sample and finding.file.endswith(finding.sample) else finding.sample
    where = ", ".join(part for part in (finding.file, row, sample) if part)
    return f"{where}: {finding.text}" if where else finding.text


def write_findings(path: str | Path, findings: Iterable[Finding]) -> None:
    """Write every finding as a row of CSV, UTF-8, with a header; an earlier file is replaced.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    with written_whole(path) as temporary, open(temporary, "w", encoding="utf-8", newline="", errors="replace") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for finding in findings:
            writer.writerow([_cell(getattr(finding, column)) for column in COLUMNS])


def _cell(text: str) -> str:
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text
