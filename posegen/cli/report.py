"""Write the page of a run: curves, sample sheets, statistics, config; one HTML file that needs no net."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..watching.report import is_report, write_report
from .common import refuse_to_overwrite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen report``."""
    parser.add_argument("work_dir", type=Path, help="the work dir of a run, trained or not")
    parser.add_argument("--out", type=Path, metavar="HTML", help="the page to write; default WORK_DIR/report.html")
    parser.add_argument("--force", action="store_true", help="overwrite a file that is no such page")


def run(parsed: argparse.Namespace) -> int:
    """Write the page; returns 0."""
    path = parsed.out or parsed.work_dir / "report.html"
    refuse_to_overwrite([path], parsed.force or is_report(path))  # a page of ours is made of the run, and made anew
    write_report(parsed.work_dir, path)
    print(path)
    return 0
