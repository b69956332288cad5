"""The command ``posegen``. One file a command; ``tools/*.py`` are doors to the same functions."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from ..errors import PosegenError
from ..plugins import commands as plugin_commands
from ..version import __version__
from . import (
    animate,
    check,
    configs,
    convert,
    curves,
    evaluate,
    example,
    export,
    infer,
    interpolate,
    leaderboard,
    parts,
    plugins,
    prepare,
    share,
    show,
    test,
    train,
    transfer,
    weights,
)

COMMANDS: dict[str, ModuleType] = {
    "prepare": prepare,
    "check": check,
    "train": train,
    "test": test,
    "evaluate": evaluate,
    "leaderboard": leaderboard,
    "transfer": transfer,
    "interpolate": interpolate,
    "infer": infer,
    "animate": animate,
    "convert": convert,
    "share": share,
    "export": export,
    "curves": curves,
    "example": example,
    "configs": configs,
    "plugins": plugins,
    "list": parts,
    "show": show,
    "weights": weights,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``posegen COMMAND …``; returns the exit status."""
    parser = argparse.ArgumentParser(prog="posegen", description="Move images: global flow and local attention.")
    parser.add_argument("--version", action="version", version=f"posegen {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    modules = dict(COMMANDS)
    for name, module in COMMANDS.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        _prepare(module, commands.add_parser(name, help=summary, description=summary))
    for command in plugin_commands(COMMANDS):
        modules[command.name] = importlib.import_module(command.module)
        subparser = commands.add_parser(command.name, help=command.summary, description=command.summary)
        _prepare(modules[command.name], subparser)
    parsed = parser.parse_args(arguments)
    return _run(modules[parsed.command], parsed)


def run_tool(command: str) -> int:
    """Run one command as a script of its own: ``python tools/train.py …``."""
    module = COMMANDS[command]
    parser = argparse.ArgumentParser(description=(module.__doc__ or "").strip().splitlines()[0])
    _prepare(module, parser)
    return _run(module, parser.parse_args())


def _prepare(module: ModuleType, parser: argparse.ArgumentParser) -> None:
    module.add_arguments(parser)
    parser.add_argument("--traceback", action="store_true", help="show where in the code an error was raised")


def _run(module: ModuleType, parsed: argparse.Namespace) -> int:
    try:
        return int(module.run(parsed) or 0)
    except PosegenError as error:
        if parsed.traceback:
            raise
        print(f"error: {_message(error)}", file=sys.stderr)
        return 1


def _message(error: PosegenError) -> str:
    """What an error says; of one that torch hands on from a data loader's worker, without the worker's traceback."""
    text = str(error)
    if not (text.startswith("Caught ") and "\nOriginal Traceback " in text):
        return text
    kind = type(error)
    return text.rpartition(f"\n{kind.__module__}.{kind.__qualname__}: ")[2].rstrip()
