"""Prepare a download for the loaders: split, rename, resize, list, and check."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from ..errors import ConfigError, InputError
from .common import add_plugin, load_plugins, print_columns
from .completion import ESTIMATORS, PREPARATIONS, PROTOCOLS, complete_with


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen prepare``."""
    name = parser.add_argument("name", nargs="?", metavar="NAME", help="name of the preparation (see --list)")
    complete_with(name, PREPARATIONS)
    parser.add_argument(
        "source",
        nargs="?",
        type=Path,
        metavar="SRC",
        help="folder or archive (.zip, .tar, .tar.gz) of the download; omitted for data that are drawn",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="DST",
        help="folder for the result: new, or of an earlier run",
    )
    parser.add_argument("--list", action="store_true", help="list the preparations with an example of each, and exit")
    parser.add_argument(
        "--keypoints",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="files, folders or archives with key points and lists that are not in SRC",
    )
    protocol = parser.add_argument("--protocol", help="resize images as this protocol does (default: keep their size)")
    complete_with(protocol, PROTOCOLS)
    parser.add_argument("--make-pairs", action="store_true", help="make a list of pairs if there is none")
    estimator = parser.add_argument(
        "--estimator", metavar="NAME", help="find key points in the images with this estimator if there are none"
    )
    complete_with(estimator, ESTIMATORS)
    parser.add_argument("--pairs", type=int, metavar="N", help="number of pairs to draw")
    parser.add_argument("--size", metavar="HxW", help="height and width in pixels of the pictures to draw: 128x64")
    parser.add_argument(
        "--workers",
        type=int,
        default=min(4, os.cpu_count() or 1),
        help="number of worker processes; 0: none (default: %(default)s)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="use a folder that holds other files, or was prepared with other options; replace files of the same names",
    )
    parser.add_argument("--dry-run", action="store_true", help="report what would be made, and write nothing")
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Prepare a download; return 1 if there are problems or errors of the check, else 0."""
    if not parsed.list and parsed.source is None:
        raise ConfigError("missing arguments: NAME SRC DST; `posegen prepare --list` lists the names")
    if parsed.workers < 0:
        raise InputError(f"--workers must be 0 or more, got {parsed.workers}")
    if parsed.pairs is not None and parsed.pairs < 1:
        raise InputError(f"--pairs must be 1 or more, got {parsed.pairs}")
    size = None if parsed.size is None else _parse_size(parsed.size)

    from rich.console import Console

    from ..evaluation.protocol import get_protocol
    from ..preparing import PrepareOptions, get_preparation, preparations, prepare, print_result
    from ..preparing.report import READABLE

    load_plugins(parsed)
    if parsed.list:
        rows = [(one.name, f"posegen prepare {one.name} {one.example}", one.summary) for one in preparations().values()]
        print_columns([("NAME", "EXAMPLE", "READS"), *rows])
        return 0
    preparation = get_preparation(parsed.name)
    sources, folder = _places(parsed, preparation.reads)
    protocol = None if parsed.protocol is None else get_protocol(parsed.protocol)
    result = prepare(
        preparation,
        sources,
        folder,
        PrepareOptions(protocol, parsed.make_pairs, parsed.estimator, parsed.pairs, size),
        workers=parsed.workers,
        force=parsed.force,
        dry_run=parsed.dry_run,
        show_progress=True,
    )
    print_result(result, Console())
    if parsed.dry_run:
        print("nothing was written: --dry-run")
    else:
        print(f"{result.made:,} files made, {result.kept:,} were there: {folder / READABLE}")
    return int(bool(result.errors))


def _places(parsed: argparse.Namespace, reads: bool) -> tuple[list[Path], Path]:
    """Return the sources and the folder of the result."""
    if reads and parsed.folder is None:
        raise ConfigError(f"missing argument: posegen prepare {parsed.name} SRC DST")
    if not reads and parsed.folder is not None:
        raise ConfigError(f"{parsed.name} is drawn and reads no source: posegen prepare {parsed.name} DST")
    if not reads:
        return list(parsed.keypoints), parsed.source
    return [parsed.source, *parsed.keypoints], parsed.folder


def _parse_size(text: str) -> tuple[int, int]:
    """Return (H, W) of a text such as ``128x64``."""
    match = re.fullmatch(r"(\d{1,5})[x×](\d{1,5})", text)
    if match is None:
        raise InputError(f"--size is HEIGHTxWIDTH in pixels, such as 128x64; got {text!r}")
    return int(match[1]), int(match[2])
