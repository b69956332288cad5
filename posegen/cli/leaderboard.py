"""Rank evaluations that share a protocol's hash and images, beside published scores."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import add_plugin, load_plugins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen leaderboard``."""
    parser.add_argument(
        "results",
        type=Path,
        nargs="+",
        help="results.json files of `posegen evaluate`, or their folders; the name of the folder is the label",
    )
    parser.add_argument("--no-published", action="store_true", help="leave out published scores")
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print one table per hash and set of images; returns 0."""
    from rich.console import Console

    from .. import catalogue
    from ..evaluation import PublishedScore, read_evaluation
    from ..evaluation.report import rankings

    load_plugins(parsed)
    files = [path / "results.json" if path.is_dir() else path for path in parsed.results]
    evaluations = [(_label(path.resolve().parent), read_evaluation(path)) for path in files]
    console = Console()
    for ranking in rankings(evaluations, () if parsed.no_published else catalogue.all(PublishedScore)):
        console.print(ranking)
    return 0


def _label(folder: Path) -> str:
    """Name a report by its folder; a report of ``posegen test``, WORK_DIR/protocols/NAME, by its work directory."""
    return folder.parent.parent.name if folder.parent.name == "protocols" else folder.name
