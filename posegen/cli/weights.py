"""List the files of pretrained weights that parts read, and whether they are there and whole."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from .common import add_plugin, load_plugins, print_columns

if TYPE_CHECKING:
    from ..weights import WeightsFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen weights``."""
    parser.add_argument("--no-verify", action="store_true", help="do not read the files to compare their checksums")
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print the table, and the addresses of what is missing; returns 1 where a file is damaged, else 0."""
    from .. import catalogue
    from ..losses.features import VGG19
    from ..weights import WeightsFile

    load_plugins(parsed)
    files = [VGG19, *catalogue.all(WeightsFile)]
    checked = {file: _checksum(file, not parsed.no_verify) for file in files}
    print_columns(
        [
            ("WEIGHTS", "USED BY", "CHECKSUM", "FILE"),
            *((file.name, ", ".join(file.used_by), checked[file], _place(file)) for file in files),
        ]
    )
    missing = [file for file in files if not file.path.is_file()]
    if missing:
        print("\nmissing; nothing is downloaded unasked. Fetch what you need, and put it where the table says:")
        print_columns([(f"  {file.file_name}", file.address) for file in missing])
    return 1 if WRONG in checked.values() else 0


WRONG = "wrong"


def _place(file: WeightsFile) -> str:
    return str(file.path) if file.path.is_file() else f"missing: {file.path}"


def _checksum(file: WeightsFile, verify: bool) -> str:
    from ..weights import sha256

    if not file.sha256:
        return "not published"
    if not file.path.is_file():
        return "-"
    if not verify:
        return "not verified"
    return "right" if file.agrees(sha256(file.path)) else WRONG
