"""Command ``posegen study``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from posegen.errors import ConfigError

from .definition import MODES

if TYPE_CHECKING:
    from .definition import Study
    from .record import Answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen study``."""
    parser.add_argument("--a", type=Path, metavar="DIR", help="images of one method; in mode real, the real images")
    parser.add_argument("--b", type=Path, metavar="DIR", help="images of the other method, with the same file names")
    parser.add_argument("--mode", choices=MODES, default="prefer", help="ask which is better, or real (default prefer)")
    parser.add_argument("--target", type=Path, metavar="DIR", help="mode prefer: target images shown beside each pair")
    parser.add_argument("--source", type=Path, metavar="DIR", help="mode prefer: source images shown beside each pair")
    parser.add_argument("--question", metavar="TEXT", help="question to ask instead of 'Which image is better?'")
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="display time; 0: until answered (default: 1 in mode real, else 0)"
    )
    parser.add_argument("--trials", type=int, metavar="N", help="number of pairs for each rater (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice of pairs, order and sides (default 0)")
    parser.add_argument("--rater", default="rater", metavar="NAME", help="name of the rater; each has their own order")
    parser.add_argument(
        "--out", type=Path, default=Path("study.jsonl"), metavar="FILE",
        help="record of the answers; an existing one is continued (default study.jsonl)",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=0, help="port of the page (default: any free port)")
    parser.add_argument("--report", type=Path, nargs="+", metavar="FILE", help="print the results of records and exit")


def run(parsed: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, then print the results."""
    from posegen.cli.common import print_columns

    from .record import read_records
    from .statistics import report_rows

    if parsed.report:
        study, answers, notes = read_records(parsed.report)
        _print_notes(notes)
    elif parsed.a is None or parsed.b is None:
        raise ConfigError("missing arguments: --a DIR and --b DIR, or --report FILE")
    else:
        study, answers = _ask(parsed)
    print_columns(report_rows(study, answers))
    return 0


def _ask(parsed: argparse.Namespace) -> tuple[Study, list[Answer]]:
    """Collect answers on the page until Ctrl-C."""
    from posegen_app.web import wait_for_interrupt

    from .page import launch
    from .pairing import define_study
    from .record import Record
    from .session import Session

    images = define_study(
        parsed.a, parsed.b, parsed.mode, parsed.target, parsed.source, parsed.trials, parsed.seed, parsed.seconds,
        parsed.question,
    )  # fmt: skip
    _print_notes(images.notes)
    record = Record(parsed.out, images.study)
    if record.torn:
        _print_notes([f"{parsed.out}: removed an incomplete last line ({len(record.torn)} bytes)"])
    session = Session(images.study, images.files, record, parsed.rater)
    try:
        page, address = launch(session, parsed.port)
        print(f"trial {session.next_trial + 1} of {len(session.trials)}, answers go to {record.path}")
        print(f"Open {address} in a browser. Ctrl-C ends the study and prints the results so far.", flush=True)
        wait_for_interrupt(page)
    finally:
        session.close()
    return images.study, record.answers


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"note: {note}")
