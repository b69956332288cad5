"""Rank several evaluations: those under one protocol's hash beside each other, and beside what others published."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import add_plugin, load_plugins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen leaderboard``."""
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        help="results.json files of `posegen evaluate`, or the folders they are in; a folder's name is its label",
    )
    parser.add_argument("--no-published", action="store_true", help="leave out what others have published")
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print a table a hash; returns 0."""
    from rich.console import Console

    from ..evaluation import published_scores, read_evaluation
    from ..evaluation.report import rankings

    load_plugins(parsed)
    files = [path / "results.json" if path.is_dir() else path for path in parsed.results]
    evaluations = [(_label(path.resolve().parent), read_evaluation(path)) for path in files]
    console = Console()
    for ranking in rankings(evaluations, () if parsed.no_published else published_scores()):
        console.print(ranking)
    return 0


def _label(folder: Path) -> str:
    """A report's folder by its name; that of ``posegen test``, WORK_DIR/protocols/NAME, by its work dir's."""
    return folder.parent.parent.name if folder.parent.name == "protocols" else folder.name
