"""Run a preparation: read the source, call the function of the data set, check the result, write the report."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from .. import catalogue
from ..checking import check_data
from ..errors import ConfigError, DataError, PosegenError
from ..files import link_out, read_json, written_whole
from .report import FINDINGS, READABLE, REPORT, Result, write_result
from .workspace import STATE, PrepareOptions, Workspace, remove_parts

SETTINGS, LOCK = "settings.json", "lock"
GROWS = "pairs"
"""Setting that may change between runs in one folder: the files of more pairs, or of fewer, are the same."""
PATIENCE = 15
"""Seconds to wait for another run in the same folder; the workers of a killed run exit within a few seconds."""


@dataclass(frozen=True)
class Preparation:
    """A way from a download to the files that a data set reads.

    Args:
        name: name on the command line.
        summary: what it reads, in one line.
        prepare: makes the files. Raises DataError if the source lacks what it cannot do without.
        example: arguments of an example command line, ``downloads/hands data/hands``.
        options: names of the :class:`PrepareOptions` it supports.
        reads: whether it reads sources; False: it draws what it writes.
    """

    name: str
    summary: str
    prepare: Callable[[Workspace], None]
    example: str = "SRC DST"
    options: frozenset[str] = frozenset()
    reads: bool = True


def preparations() -> dict[str, Preparation]:
    """Return all preparations that plugins bring, by name."""
    return {one.name: one for one in sorted(catalogue.all(Preparation), key=lambda one: one.name)}


def get_preparation(name: str) -> Preparation:
    """Return the preparation of a name.

    Raises:
        UnknownNameError: no plugin brings a preparation of that name.
    """
    return catalogue.get(Preparation, name)


def prepare(
    preparation: Preparation,
    sources: Sequence[Path],
    folder: Path,
    options: PrepareOptions | None = None,
    workers: int = 0,
    force: bool = False,
    dry_run: bool = False,
    show_progress: bool = False,
) -> Result:
    """Make the files that a data set reads from a download, and check them.

    An interrupted run is continued by the same call. ``report.json``, ``report.txt`` and ``findings.csv`` are written
    beside the files.

    Args:
        preparation: see :func:`get_preparation`.
        sources: folders, archives and single files.
        folder: where the result goes: a new or empty folder, or that of an earlier run.
        options: options of the preparation.
        workers: processes besides this one; 0: none.
        force: use a folder that holds other files or another preparation, and write files that are there already.
        dry_run: report what would be made, and write nothing to *folder*.
        show_progress: show progress bars on stderr.

    Raises:
        DataError: the source lacks files, the folder holds other files, or the disk is too small.
        ConfigError: options that the preparation does not support.
    """
    options = options or PrepareOptions()
    unsupported = [f"--{name.replace('_', '-')}" for name in options.given() if name not in preparation.options]
    if unsupported:
        raise ConfigError(f"the preparation {preparation.name!r} does not support {' and '.join(unsupported)}")
    _check_places(sources, folder)
    settings = _settings(preparation, sources, options)
    workspace = Workspace(folder, options, Result(settings), workers, force, dry_run, show_progress)
    workspace.sources = ", ".join(map(str, sources))
    if dry_run:
        with TemporaryDirectory(prefix="posegen-") as temporary:
            _prepare(preparation, sources, workspace, Path(temporary))
        return workspace.result
    workspace.remake = _check_folder(folder, settings, force) or force
    workspace.begin = lambda: _write_settings(folder, settings)
    state = folder / STATE
    state.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(state / LOCK, timeout=PATIENCE):
            scratch = state / "unpacked"
            shutil.rmtree(scratch, ignore_errors=True)
            remove_parts(folder)
            try:
                _prepare(preparation, sources, workspace, scratch)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            _check_and_report(workspace)
    except Timeout as error:
        raise PosegenError(f"{folder}: another run is preparing it; wait until it ends") from error
    return workspace.result


def _prepare(preparation: Preparation, sources: Sequence[Path], workspace: Workspace, scratch: Path) -> None:
    workspace.scratch = scratch
    for source in sources:
        workspace.add_source(source, scratch)
    try:
        preparation.prepare(workspace)
    except DataError as error:  # what is missing may be in an archive that cannot be read
        broken = [f"{problem.file}: {problem.text}" for problem in workspace.result.problems]
        raise DataError(error.where, [*error.problems, *broken], error.hint) from error
    for file in workspace.files:
        if file not in workspace.used:
            workspace.leave_out(file, "not part of this data set")
    paths = {name: workspace.folder / name for name in workspace.writers}
    there = {name: path.stat().st_size for name, path in paths.items() if path.is_file()}
    workspace.result.count_files(dict.fromkeys(paths, 0) if workspace.dry_run else there)


def _check_and_report(workspace: Workspace) -> None:
    """Let the data sets check what was made, and write the report."""
    folder, result = workspace.folder, workspace.result
    for group in workspace.checks:
        datasets = {split: {**dataset, "root": str(folder)} for split, dataset in group.items()}
        config = {f"{split}_dataloader": {"dataset": dataset} for split, dataset in datasets.items()}
        result.checks.append(check_data(config, list(group), workspace.workers, workspace.show_progress))
    known = {*workspace.writers, REPORT, READABLE, FINDINGS}
    tops = {name.split("/")[0] for name in workspace.writers if "/" in name}
    there = (path.relative_to(folder).as_posix() for top in tops for path in sorted((folder / top).rglob("*")))
    others = [name for name in there if name not in known and (folder / name).is_file()]
    if others:
        shown = f"{', '.join(others[:3])}{', …' if len(others) > 3 else ''}"
        result.notes.append(f"{len(others):,} files were not made by this run, and stay: {shown}")
    write_result(result, folder)


def _check_places(sources: Sequence[Path], folder: Path) -> None:
    real = os.path.realpath(folder)
    for source in sources:
        place = os.path.realpath(source)
        if real == place or real.startswith(os.path.join(place, "")) or place.startswith(os.path.join(real, "")):
            raise DataError(folder, f"lies in {source}, or contains it", "The result needs a folder of its own.")


def _settings(preparation: Preparation, sources: Sequence[Path], options: PrepareOptions) -> dict[str, Any]:
    protocol = options.protocol and f"{options.protocol.name} ({options.protocol.hash})"
    return {
        "preparation": preparation.name,
        "sources": [os.path.realpath(source) for source in sources],
        "protocol": protocol,
        "make_pairs": options.make_pairs,
        "estimator": options.estimator,
        "pairs": options.pairs,
        "size": options.size and list(options.size),
    }


def _check_folder(folder: Path, settings: dict[str, Any], force: bool) -> bool:
    """Return whether the folder was prepared with other settings.

    Raises:
        DataError: it was, or it holds other files, and *force* is not given.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(folder, "is a file; the result needs a folder")
    if problem := link_out(folder / STATE, folder):
        raise DataError(folder, f"{STATE}: {problem}")
    noted = folder / STATE / SETTINGS
    before = read_json(noted) if noted.is_file() else {}
    before = before if isinstance(before, dict) else {}
    others = sorted(set(os.listdir(folder)) - {STATE}) if folder.is_dir() else []
    problems, hint = [], ""
    if before:
        differs = [name for name in settings if name != GROWS and before.get(name) != settings[name]]
        problems = [f"{name}: prepared with {before.get(name)}, asked for {settings[name]}" for name in differs]
        hint = "Give another folder; or --force, to make everything anew in this one."
    elif others:
        problems = [f"holds other files: {', '.join(others[:5])}{', …' if len(others) > 5 else ''}"]
        hint = "Give a new folder; or --force, to write into this one and replace files of the same names."
    if problems and not force:
        raise DataError(folder, problems, hint)
    return bool(problems)


def _write_settings(folder: Path, settings: dict[str, Any]) -> None:
    with written_whole(folder / STATE / SETTINGS) as temporary:
        temporary.write_text(json.dumps(settings, indent=1), encoding="utf-8")
