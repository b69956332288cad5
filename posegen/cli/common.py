"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, PosegenError
from ..plugin_access import PluginReport

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..data import StructureEncoder
    from ..inference import Inferencer


class ConfigOptions(argparse.Action):
    """Parse ``KEY=VALUE …`` into a dictionary, as mmengine's ``DictAction`` does, which is imported when used."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Set the parsed dictionary."""
        from mmengine.config import DictAction

        DictAction(self.option_strings, self.dest, self.nargs)(parser, namespace, values, option_string)


def add_config(parser: argparse.ArgumentParser) -> None:
    """``CONFIG``, ``--cfg-options`` and ``--plugin``."""
    parser.add_argument(
        "config",
        type=Path,
        help="a config file (.py, .json, .yaml), or the name of one that comes with posegen (`posegen configs`); a .py "
        "config is code and runs",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=ConfigOptions,
        metavar="KEY=VALUE",
        help="override values of the config: batch_size=4 data_root=DIR train_dataloader.num_workers=2",
    )
    add_plugin(parser)


def add_plugin(parser: argparse.ArgumentParser) -> None:
    """``--plugin``."""
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="FILE",
        help="a plugin that is not installed: a Python file, or the name of a module; it is code and runs; repeatable",
    )


def read_config(parsed: argparse.Namespace) -> Config:
    """The config with its overrides."""
    from ..config import load_config

    overrides: dict[str, Any] = parsed.cfg_options or {}
    return load_config(parsed.config, overrides, plugin_files=getattr(parsed, "plugin", ()))


def load_plugins(parsed: argparse.Namespace) -> list[PluginReport]:
    """All plugins, those of ``--plugin`` too."""
    from .. import plugins

    plugins.load()
    for plugin in parsed.plugin:
        plugins.load_named(plugin)
    return plugins.load()


def refuse_to_overwrite(paths: Sequence[Path], force: bool) -> None:
    """Raise where a file that a command would write exists, unless *force*."""
    for path in paths:
        if path.exists() and not force:
            raise PosegenError(f"{path} exists; give --force to overwrite it, or another name")


def build_encoder(config: Config) -> StructureEncoder:
    """The structure encoder of a config.

    Raises:
        ConfigError: the config says not what the model sees.
    """
    from ..registry import STRUCTURE_ENCODERS

    if "structure" not in config or "size" not in config:
        raise ConfigError(
            f"{config.filename} has no top-level 'structure' and 'size': it does not say how to read key points"
        )
    encoder = STRUCTURE_ENCODERS.build_part(config.structure)
    if encoder.layout is None:
        raise ConfigError(
            f"{config.filename}: {type(encoder).__name__} makes no structure of key points; this command reads those"
        )
    return encoder


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text in aligned columns, nothing cut off: for people, and for grep."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip())


def work_dir(parsed: argparse.Namespace) -> Path:
    """``--work-dir``, or ``work_dirs/NAME`` after the config, as in all tools of the mmengine family."""
    return parsed.work_dir or Path("work_dirs") / parsed.config.stem


def add_model(parser: argparse.ArgumentParser) -> None:
    """``CHECKPOINT`` and ``--revision``, behind ``CONFIG``: of :func:`build_inferencer`."""
    parser.add_argument(
        "checkpoint",
        type=Path,
        nargs="?",
        help="a checkpoint of ours, trained or converted; none where CONFIG is a shared model: its folder, the name of "
        "one that a plugin ships, or hf://OWNER/NAME, one on huggingface.co",
    )
    parser.add_argument("--revision", help="of a model on the Hub: a branch, tag or commit; default: the newest")


def read_model(parsed: argparse.Namespace) -> Config | Path:
    """The config whose checkpoint the command names, or the name of a shared model; plugins are loaded."""
    from ..config import is_config
    from ..sharing import is_shared

    load_plugins(parsed)  # one of them may ship the model
    if not is_shared(parsed.config) and (parsed.checkpoint is not None or is_config(parsed.config)):
        return read_config(parsed)
    if parsed.checkpoint is not None or parsed.cfg_options:
        raise ConfigError(f"{parsed.config} is a shared model: it has its own weights, and no options")
    return parsed.config


def build_inferencer(parsed: argparse.Namespace) -> Inferencer:
    """The model of a config with its checkpoint, or a shared one."""
    from ..inference import Inferencer

    return Inferencer(read_model(parsed), parsed.checkpoint, parsed.device, parsed.revision)
