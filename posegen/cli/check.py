"""Read a whole data set before training on it: all that is missing, broken, doubtful, or in training and test."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..errors import InputError
from .common import add_config, read_config, refuse_to_overwrite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen check``."""
    add_config(parser)
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        help="this one alone; what test and training have in common is then not looked for",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=min(4, os.cpu_count() or 1),
        help="processes that open images; default %(default)s",
    )
    parser.add_argument("--out", type=Path, help="CSV of every finding; default work_dirs/CONFIG/findings.csv")
    parser.add_argument("--force", action="store_true", help="overwrite it")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")


def run(parsed: argparse.Namespace) -> int:
    """Check; returns 1 where there are errors, or, of ``--strict``, findings at all; else 0."""
    from rich.console import Console

    from ..checking import check_data, print_report, write_findings
    from ..checking.check import SPLITS

    if parsed.workers < 0:
        raise InputError(f"--workers is 0 or more, got {parsed.workers}")
    out = parsed.out or Path("work_dirs") / parsed.config.stem / "findings.csv"
    refuse_to_overwrite([out], parsed.force)
    splits = SPLITS if parsed.split is None else (parsed.split,)
    report = check_data(read_config(parsed), splits, parsed.workers, show_progress=True)
    write_findings(out, report.findings)
    print_report(report, Console())
    errors, warnings = report.count("error"), report.count("warning")
    print(f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}: {out}")
    return int(bool(errors or (warnings and parsed.strict)))
