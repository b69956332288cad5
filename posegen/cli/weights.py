"""List files of pretrained weights; verify, or download them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, PosegenError, nearest
from .common import add_plugin, load_plugins, print_columns
from .completion import WEIGHTS, complete_with
from .weight_files import known_files

if TYPE_CHECKING:
    from ..weights import WeightsFile

WRONG = "wrong"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen weights``."""
    parser.add_argument("--no-verify", action="store_true", help="do not read the files to compare their checksums")
    download = parser.add_argument(
        "--download",
        nargs="*",
        metavar="FILE",
        help="download files of these names, as the table shows them, if they are missing, and verify their checksums",
    )
    complete_with(download, WEIGHTS)
    parser.add_argument("--all", action="store_true", help="with --download: all missing files")
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print the table, and the URLs of missing files; return 1 if a file is damaged, else 0."""
    load_plugins(parsed)
    files = known_files()
    if parsed.download is not None:
        _download(_chosen(files, parsed.download, parsed.all))
    checked = {file: _checksum(file, not parsed.no_verify) for file in files}
    print_columns(
        [
            ("WEIGHTS", "USED BY", "CHECKSUM", "FILE"),
            *((file.name, ", ".join(file.used_by), checked[file], _place(file)) for file in files),
        ]
    )
    missing = [file for file in files if not file.path.is_file()]
    if missing:
        print("\nmissing; `posegen weights --download FILE …` or --all fetches them, or put them where the table says:")
        print_columns([(f"  {file.file_name}", file.address) for file in missing])
    return 1 if WRONG in checked.values() else 0


def _chosen(files: list[WeightsFile], names: list[str], everything: bool) -> list[WeightsFile]:
    """Return the missing files of these names, or all missing files that can be downloaded."""
    known = {file.file_name: file for file in files}
    if bool(names) == everything:
        raise ConfigError("--download takes names of files, or --all")
    for name in names:
        if name not in known:
            raise ConfigError(f"no file of weights is called {name!r}{nearest(name, known)}")
    wanted = [known[name] for name in names] or [file for file in files if file.member or not file.is_archived]
    return [file for file in wanted if not file.path.is_file()]


def _download(files: list[WeightsFile]) -> None:
    """Download files; one that fails does not keep the others from being downloaded.

    Raises:
        PosegenError: names all that failed.
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from ..weights import download_weights

    problems = []
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns) as shown:
        for file in files:
            task = shown.add_task(file.file_name, total=None)

            def progress(done: int, total: int, task: Any = task) -> None:
                shown.update(task, completed=done, total=total or None)

            try:
                download_weights(file, progress)
            except PosegenError as error:
                problems.append(str(error))
    if problems:
        raise PosegenError("\n".join(problems))


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
