"""Ask which of two images is real, or better: a page for raters, and what their answers say."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from ..errors import ConfigError
from ..study import MODES, Answer, Record, Session, Study, StudyServer, define_study, read_records, report_rows
from .common import print_columns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen study``."""
    parser.add_argument("--a", type=Path, metavar="DIR", help="images of one kind; in mode real, the true ones")
    parser.add_argument("--b", type=Path, metavar="DIR", help="images of the other kind; they pair by file name")
    parser.add_argument("--mode", choices=MODES, default="prefer", help="which is better (default), or which is real")
    parser.add_argument(
        "--target", type=Path, metavar="DIR", help="mode prefer: the wanted image, shown beside each pair"
    )
    parser.add_argument(
        "--source", type=Path, metavar="DIR", help="mode prefer: what each pair was made from, shown too"
    )
    parser.add_argument("--question", metavar="TEXT", help="what is asked, instead of 'Which image is better?'")
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="how long the images stand; 0: until answered; mode real: 1, else 0"
    )
    parser.add_argument("--trials", type=int, metavar="N", help="how many pairs a rater sees (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of pairs, their order and sides (default 0)")
    parser.add_argument("--rater", default="rater", metavar="NAME", help="who answers; each has an order of their own")
    parser.add_argument(
        "--out", type=Path, default=Path("study.jsonl"), metavar="FILE",
        help="the record; one that is there goes on where it ended (default study.jsonl)",
    )  # fmt: skip
    parser.add_argument("--port", type=int, default=0, help="of the page (default: any that is free)")
    parser.add_argument("--report", type=Path, nargs="+", metavar="FILE", help="only say what these records hold")


def run(parsed: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C, then print the result; returns 0."""
    if parsed.report:
        study, answers, notes = read_records(parsed.report)
        _print_notes(notes)
        _print_report(study, answers)
        return 0
    if parsed.a is None or parsed.b is None:
        raise ConfigError("give two folders, --a and --b, or --report and a record")
    found = define_study(
        parsed.a, parsed.b, parsed.mode, parsed.target, parsed.source, parsed.trials, parsed.seed, parsed.seconds,
        parsed.question,
    )  # fmt: skip
    _print_notes(found.notes)
    record = Record(parsed.out, found.study)
    if record.torn:
        print(f"{parsed.out}: its last line was torn, and was cut off ({len(record.torn)} bytes)")
    _serve(Session(found.study, found.files, record, parsed.rater), parsed.port)
    _print_report(found.study, record.answers)
    return 0


def _serve(session: Session, port: int) -> None:
    try:
        with StudyServer(session, port) as server:
            print(f"trial {session.next_trial + 1} of {len(session.trials)}, answers go to {session.record.path}")
            print(f"open {server.address} in a browser; Ctrl-C ends and tells the result so far", flush=True)
            server.serve_forever()
    except KeyboardInterrupt:
        print()
    finally:
        session.close()


def _print_notes(notes: list[str]) -> None:
    for note in notes:
        print(f"note: {note}")


def _print_report(study: Study, answers: Iterable[Answer]) -> None:
    print_columns(report_rows(study, answers))
