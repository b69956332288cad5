"""The report of a check: as a table, and as a CSV file of every finding."""

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

from ..data.findings import Finding
from ..files import printable, written_whole

COLUMNS = ("split", "severity", "kind", "file", "row", "sample", "text")
SHOWN = 3
"""Number of findings printed of each kind and split; the CSV file has all."""


@dataclass
class Split:
    """Counts of a split that was checked. ``samples`` is None if the data set could not be built."""

    dataset: str
    samples: int | None = None
    images: int = 0
    points: int = 0
    missing_points: int = 0


@dataclass
class Report:
    """All findings, counts of each split, and notes."""

    findings: list[Finding] = field(default_factory=list)
    splits: dict[str, Split] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, split: str, findings: Iterable[Finding]) -> None:
        """Add findings of a split."""
        self.findings += [dataclasses.replace(finding, split=split) for finding in findings]

    def list_once(self, split: str, other: str) -> None:
        """Remove findings of *split* that *other* has too: validation often uses a part of the test set."""
        there = {dataclasses.replace(finding, split=split) for finding in self.findings if finding.split == other}
        left = [finding for finding in self.findings if finding not in there]
        if len(left) < len(self.findings):
            count = len(self.findings) - len(left)
            self.notes.append(f"{split}: {count:,} finding{'s' * (count != 1)} also listed for {other}")
        self.findings = left

    def count(self, severity: str) -> int:
        """Return the number of findings of a severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def grouped(self) -> dict[tuple[str, str, str], list[Finding]]:
        """Group findings by severity, kind and split: errors first, in order of first appearance."""
        groups: dict[tuple[str, str, str], list[Finding]] = defaultdict(list)
        for finding in sorted(self.findings, key=lambda finding: finding.severity):
            groups[finding.severity, finding.kind, finding.split].append(finding)
        return dict(groups)


def print_report(report: Report, console: Console) -> None:
    """Print the counts, a table of findings by kind and split, and the first few findings of each."""
    console.print(_counts(report))
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


def _counts(report: Report) -> Table:
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
    """Write every finding as a row of CSV (UTF-8, with a header). An existing file is replaced.

    A cell that a spreadsheet would read as a formula is prefixed with an apostrophe.
    """
    with written_whole(path) as temporary, open(temporary, "w", encoding="utf-8", newline="", errors="replace") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for finding in findings:
            writer.writerow([_cell(getattr(finding, column)) for column in COLUMNS])


def _cell(text: str) -> str:
    return f"'{text}" if text[:1] in tuple("=+-@\t\r") else text
