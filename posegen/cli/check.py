"""Check a data set before training: missing, broken and doubtful files, and images in both splits."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..errors import InputError
from .common import add_config, read_config, refuse_to_overwrite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen check``."""
    add_config(parser)
    parser.add_argument(
        "--split",
        choices=("train", "val", "test"),
        help="check only this split, and not what test and training have in common (default: all splits)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=min(4, os.cpu_count() or 1),
        help="number of processes that read images (default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, help="CSV file for all findings (default: work_dirs/CONFIG/findings.csv)")
    parser.add_argument("--force", action="store_true", help="overwrite that file")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings too")


def run(parsed: argparse.Namespace) -> int:
    """Check a data set; return 1 if there are errors (with ``--strict``: any findings), else 0."""
    if parsed.workers < 0:
        raise InputError(f"--workers must be 0 or more, got {parsed.workers}")
    out = parsed.out or Path("work_dirs") / parsed.config.stem / "findings.csv"
    refuse_to_overwrite([out], parsed.force)

    from rich.console import Console

    from ..checking import SPLITS, check_data, print_report, write_findings

    splits = SPLITS if parsed.split is None else (parsed.split,)
    report = check_data(read_config(parsed), splits, parsed.workers, show_progress=True)
    write_findings(out, report.findings)
    print_report(report, Console())
    errors, warnings = report.count("error"), report.count("warning")
    print(f"{errors} error{'s' * (errors != 1)}, {warnings} warning{'s' * (warnings != 1)}: {out}")
    return int(bool(errors or (warnings and parsed.strict)))
