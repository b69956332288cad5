"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import show_step
from ..errors import PosegenError
from ..plugin_access import PluginReport
from .completion import CONFIGS, FILES, MODELS, complete_with

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..inference import ModelSource


WITHOUT_GL = (
    "Another package has replaced OpenCV by one for windows. posegen needs none: pip uninstall -y opencv-python "
    "opencv-contrib-python opencv-python-headless && pip install opencv-python-headless"
)
"""Advice if OpenCV cannot be imported on a machine without a display."""


class ConfigOptions(argparse.Action):
    """Parse ``KEY=VALUE …`` into a dictionary, as mmengine's ``DictAction`` does, which is imported when used."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Set the parsed dictionary."""
        for value in values:
            if "=" not in value:
                parser.error(f"{option_string} {value}: expected KEY=VALUE")
        from mmengine.config import DictAction

        DictAction(self.option_strings, self.dest, self.nargs)(parser, namespace, values, option_string)


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add CONFIG, ``--cfg-options`` and ``--plugin``."""
    config = parser.add_argument(
        "config",
        type=Path,
        help="config file (.py, .json, .yaml), or name of a config that comes with posegen (`posegen configs`); a .py "
        "config is code and runs",
    )
    complete_with(config, CONFIGS, FILES)
    add_overrides(parser)
    add_plugin(parser)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=ConfigOptions,
        metavar="KEY=VALUE",
        help="override values of the config, for example batch_size=4 data_root=DIR train_dataloader.num_workers=2",
    )


def add_plugin(parser: argparse.ArgumentParser) -> None:
    """Add ``--plugin``."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="load a plugin from a Python file or an importable module; it is code and runs; repeatable",
    )


def read_config(parsed: argparse.Namespace) -> Config:
    """Read the config with its overrides."""
    from ..config import load_config

    overrides: dict[str, Any] = parsed.cfg_options or {}
    return load_config(parsed.config, overrides, plugin_files=getattr(parsed, "plugin", ()))


def load_plugins(parsed: argparse.Namespace) -> list[PluginReport]:
    """Load all plugins, those of ``--plugin`` included."""
    from .. import plugins

    plugins.load()
    for plugin in parsed.plugin:
        plugins.load_named(plugin)
    return plugins.load()


def refuse_to_overwrite(paths: Sequence[Path], force: bool, inputs: Sequence[Path] = ()) -> None:
    """Refuse files that a command could not or should not write, before any work.

    Args:
        paths: files to write.
        force: overwrite existing files.
        inputs: files that the command reads, which are not overwritten even with *force*.

    Raises:
        PosegenError: a file exists, is one of the *inputs*, or cannot be written; names the first one.
    """
    read = {os.path.realpath(path) for path in inputs}
    for path in paths:
        if os.path.realpath(path) in read:
            raise PosegenError(f"{path} is read and would be overwritten; give another name with --out")
        if os.path.lexists(path) and not force:
            raise PosegenError(f"{path} exists; give --force to overwrite it, or another name")
        if path.is_dir():
            raise PosegenError(f"{path} cannot be written: it is a folder")
    for folder in dict.fromkeys(path.parent for path in paths):
        _check_writable(folder)


def _check_writable(folder: Path) -> None:
    """Raise PosegenError if no file can be created in a folder, or in the one in which it would be made."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir():
        raise PosegenError(f"nothing can be written to {folder}: {there} is a file")
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise PosegenError(f"nothing can be written to {folder}: {error.strerror}") from error


def expand_home(parsed: argparse.Namespace) -> None:
    """Replace ``~`` at the beginning of paths: a shell does not expand that of ``--out=~/moved``.

    Raises:
        PosegenError: there is no such user.
    """
    for name, value in vars(parsed).items():
        if isinstance(value, Path) and value.parts[:1] and value.parts[0].startswith("~"):
            try:
                setattr(parsed, name, value.expanduser())
            except RuntimeError as error:
                raise PosegenError(f"{value}: {error}") from error


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in aligned columns without truncation."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip())


def work_dir(parsed: argparse.Namespace) -> Path:
    """Return ``--work-dir``, or ``work_dirs/NAME`` named after the config, as in mmengine's tools."""
    return parsed.work_dir or Path("work_dirs") / parsed.config.stem


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add MODEL, CHECKPOINT, ``--revision``, ``--cfg-options`` and ``--plugin``, for :func:`find_model`."""
    model = parser.add_argument(
        "config",
        type=Path,
        metavar="MODEL",
        help="shared model (a folder, the name of one that a plugin ships, or hf://OWNER/NAME) or config; a .py config "
        "is code and runs",
    )
    complete_with(model, MODELS, CONFIGS, FILES)
    parser.add_argument(
        "checkpoint",
        type=Path,
        nargs="?",
        metavar="CHECKPOINT",
        help="checkpoint file, required if MODEL is a config",
    )
    parser.add_argument("--revision", help="branch, tag or commit of a model on the Hub (default: the newest)")
    add_overrides(parser)
    add_plugin(parser)


def find_model(parsed: argparse.Namespace) -> ModelSource:
    """Find the model that the arguments of :func:`add_model` name, and read its config."""
    show_step(f"reading {parsed.config}")

    from ..inference import ModelSource

    return ModelSource.find(parsed.config, parsed.checkpoint, parsed.revision, parsed.cfg_options, parsed.plugin)
