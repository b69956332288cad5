"""Complete commands, options, files and names in a shell, with argcomplete.

``eval "$(register-python-argcomplete posegen)"`` in ``~/.bashrc``, or in ``~/.zshrc`` after ``compinit``, turns it on:
the shell then runs ``posegen`` with ``_ARGCOMPLETE`` in its environment whenever Tab is pressed.

Names of models, configs, estimators, … come from plugins, whose records take seconds to import. They are kept in a
file for the installed packages, which another process writes at the first Tab after an installation.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..version import __version__

REQUESTED = "_ARGCOMPLETE"
"""Environment variable that a shell sets to ask for completions."""
MODELS, CONFIGS, PREPARATIONS, ESTIMATORS = "models", "configs", "preparations", "estimators"
LAYOUTS, PROTOCOLS, WEIGHTS, PART_KINDS = "layouts", "protocols", "weights", "kinds"
FILES = "files"
"""Kinds of values. Those of files are paths; all others are names."""


def is_requested() -> bool:
    """Return whether a shell asks for completions."""
    return REQUESTED in os.environ


def complete(build: Callable[[str], argparse.ArgumentParser]) -> None:
    """Write the completions of the shell's command line, and exit.

    Args:
        build: builds a parser of all commands; only the command that it is given needs its arguments.
    """
    import argcomplete

    *_, words, _ = argcomplete.split_line(os.environ["COMP_LINE"], int(os.environ["COMP_POINT"]))
    parser = build(words[1] if len(words) > 1 else "")
    argcomplete.autocomplete(parser, always_complete_options=False, exit_method=sys.exit)


def complete_with(action: argparse.Action, *kinds: str) -> None:
    """Let shells complete the values of an argument: names of these kinds, and paths for :data:`FILES`."""

    def completer(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
        return [value for kind in kinds for value in (_paths(prefix) if kind == FILES else names(kind))]

    action.completer = completer  # type: ignore[attr-defined]  # where argcomplete looks for it


def complete_parts(action: argparse.Action) -> None:
    """Let shells complete the names of parts of the kind that the argument before it gives."""

    def completer(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
        return names(parts_of(parsed_args.kind))

    action.completer = completer  # type: ignore[attr-defined]


def parts_of(kind: str) -> str:
    """Return the kind of names of the parts of a kind."""
    return f"parts of {kind}"


def names(kind: str) -> list[str]:
    """Return the names of a kind from the file; if there is none for the installed packages, let it be written."""
    import json

    try:
        known = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        _write_elsewhere()
        return []
    return known.get(kind, [])


def write() -> None:
    """Write the names that posegen and plugins bring to the file, unless another process is doing it."""
    import json

    from filelock import FileLock, Timeout

    from ..files import written_whole

    path = _file()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path.with_suffix(".lock"), timeout=0), written_whole(path, to_disk=False) as temporary:
            temporary.write_text(json.dumps(_collect()), encoding="utf-8")
    except Timeout:
        return


def _collect() -> dict[str, list[str]]:
    from .. import catalogue, plugins, registry
    from ..config import shipped_configs
    from ..data import KeypointLayout
    from ..data.estimators import StructureEstimator
    from ..evaluation import protocols
    from ..preparing import preparations
    from ..sharing import shared_models
    from .weight_files import known_files

    plugins.load()
    parts: dict[str, Iterable[str]] = {"protocol": protocols()}
    for kind, known in registry.KINDS.items():
        known.import_from_location()
        parts[kind] = known.module_dict
    found: dict[str, Iterable[str]] = {
        MODELS: shared_models(),
        CONFIGS: shipped_configs(),
        PREPARATIONS: preparations(),
        ESTIMATORS: [one.name for one in catalogue.all(StructureEstimator)],
        LAYOUTS: [one.name for one in catalogue.all(KeypointLayout)],
        PROTOCOLS: protocols(),
        WEIGHTS: {file.file_name for file in known_files()},
        PART_KINDS: parts,
        **{parts_of(kind): members for kind, members in parts.items()},
    }
    return {kind: sorted(members) for kind, members in found.items()}


def _file() -> Path:
    """Return the file of names, one for each set of installed plugins."""
    import hashlib
    import importlib.metadata

    from ..plugins import GROUP

    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    entries = importlib.metadata.entry_points(group=GROUP)
    installed = sorted(f"{entry.value} {entry.dist and entry.dist.version}" for entry in entries)
    digest = hashlib.sha256("\n".join([sys.prefix, __version__, *installed]).encode()).hexdigest()
    return folder / "posegen" / f"names_{digest[:16]}.json"


def _write_elsewhere() -> None:
    """Start a process that writes the file, and do not wait for it."""
    import subprocess

    command = [sys.executable, "-c", f"from {__name__} import write; write()"]
    quiet = subprocess.DEVNULL
    subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, env=_without_request(), start_new_session=True)


def _without_request() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != REQUESTED}


def _paths(prefix: str) -> Iterable[str]:
    from argcomplete.completers import FilesCompleter

    return FilesCompleter()(prefix)
