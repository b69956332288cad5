"""Make what the loaders read from what people download: split, rename, resize, list, and check."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from .. import plugin_access
from ..errors import ConfigError, InputError
from .common import add_plugin, load_plugins, print_columns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen prepare``."""

    def formatter(prog: str) -> argparse.HelpFormatter:
        parser.epilog = _examples()  # plugins bring them, and are loaded where help is asked for, and not before
        return argparse.RawDescriptionHelpFormatter(prog)

    parser.formatter_class = formatter  # type: ignore[assignment]
    parser.add_argument("name", nargs="?", metavar="NAME", help="which preparation; --list shows them")
    parser.add_argument(
        "source", nargs="?", type=Path, metavar="SRC", help="a folder, or an archive: .zip, .tar, .tar.gz"
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, metavar="DST", help="where the result goes: a new folder, or an earlier run's"
    )
    parser.add_argument("--list", action="store_true", help="show the preparations there are, and end")
    parser.add_argument(
        "--keypoints",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="key points and lists that are not in SRC: files, folders or archives",
    )
    parser.add_argument(
        "--protocol", help="bring images to the size of this protocol, its way; default: they stay as they are"
    )
    parser.add_argument("--make-pairs", action="store_true", help="where there is no list of pairs, make one")
    parser.add_argument(
        "--estimator", metavar="NAME", help="where there are no key points, let this estimator find them in the images"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=min(4, os.cpu_count() or 1),
        help="processes that do the work; 0: none beside the command itself; default %(default)s",
    )
    parser.add_argument(
        "--force", action="store_true", help="write into a folder that holds other things, and over what is in the way"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and write nothing")
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Prepare; returns 1 where there are problems, or errors of the check; else 0."""
    from rich.console import Console

    from ..evaluation.protocol import get_protocol
    from ..preparing import Wishes, get_preparation, preparations, prepare, print_result
    from ..preparing.report import READABLE

    load_plugins(parsed)
    if parsed.list:
        print_columns([("NAME", "WHAT"), *((one.name, one.summary) for one in preparations().values())])
        return 0
    if parsed.folder is None:
        raise ConfigError("NAME, SRC and DST are needed; `posegen prepare --list` shows the names")
    if parsed.workers < 0:
        raise InputError(f"--workers is 0 or more, got {parsed.workers}")
    preparation = get_preparation(parsed.name)
    protocol = None if parsed.protocol is None else get_protocol(parsed.protocol)
    result = prepare(
        preparation,
        [parsed.source, *parsed.keypoints],
        parsed.folder,
        Wishes(protocol, parsed.make_pairs, parsed.estimator),
        workers=parsed.workers,
        force=parsed.force,
        dry_run=parsed.dry_run,
        show_progress=True,
    )
    print_result(result, Console())
    if parsed.dry_run:
        print("nothing was written: --dry-run")
    else:
        told = f"{result.made:,} files made, {result.kept:,} were there, {result.removed:,} removed"
        print(f"{told}: {parsed.folder / READABLE}")
    return int(bool(result.errors))


def _examples() -> str:
    from ..preparing import preparations

    plugin_access.load()
    lines = [f"  posegen prepare {one.name} {one.example}\n      {one.summary}" for one in preparations().values()]
    return "\n".join(["what can be prepared, and how:", *lines])
