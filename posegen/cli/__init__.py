"""The command ``posegen``: one module per command, imported when that command is called.

Commands of plugins come from the hook ``posegen_commands``. ``tools/*.py`` run single commands as scripts.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence

from ..console import CLOSED_PIPE, discard_output, replace_unknown_characters
from ..errors import PosegenError, nearest
from ..hookspecs import Command
from ..version import __version__
from . import completion
from .common import WITHOUT_GL, expand_home

DESCRIPTION = "Pose transfer and image animation with GFLA."

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells use it."""

COMMANDS = {
    name: Command(name, summary, f"{__name__}.{module}")
    for name, module, summary in (
        ("prepare", "prepare", "Prepare a downloaded dataset for training: split, rename, resize, list, and check."),
        ("check", "check", "Check a dataset for missing, broken, doubtful and duplicate files before training."),
        ("train", "train", "Train a model through all stages of its config."),
        ("test", "test", "Test a checkpoint on the config's test data; write metrics and, on request, images."),
        ("evaluate", "evaluate", "Score images of any method against true images under a named protocol."),
        ("leaderboard", "leaderboard", "Rank evaluations of the same protocol, beside published scores."),
        ("transfer", "transfer", "Render images in other poses."),
        ("interpolate", "interpolate", "Render a video in which an image moves from its own pose to another."),
        ("animate", "animate", "Render a video of an image that follows a sequence of poses."),
        ("convert", "convert", "Convert published weights to a posegen checkpoint."),
        ("share", "share", "Write a model as a folder to share: safetensors, JSON config, model card."),
        ("export", "export", "Export a model to ONNX or torch.export, to run without posegen."),
        ("curves", "curves", "Plot the validation curves of a run."),
        ("example", "example", "Write example images and poses for a shared model, and print commands to try."),
        ("configs", "configs", "List the configs that come with posegen, or copy one."),
        ("plugins", "plugins", "List plugins, their packages, and the hooks they implement."),
        ("list", "parts", "List the parts that a config can name, or the evaluation protocols."),
        ("show", "show", "Show a part with its arguments and documentation, or an evaluation protocol."),
        ("doctor", "doctor", "Examine this installation: what works, what is missing, and what mends it."),
        ("weights", "weights", "List files of pretrained weights; verify, or download them."),
    )
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``posegen COMMAND …`` and return the exit status."""
    if completion.is_requested():
        completion.complete(_parser_to_complete)
    words = list(sys.argv[1:] if arguments is None else arguments)
    return _ended_quietly(lambda: _find_and_run(words))


def _find_and_run(words: Sequence[str]) -> int:
    name = words[0] if words else ""
    commands = COMMANDS if name in COMMANDS or name == "--version" else _with_plugins()
    if name in commands:
        return _run(commands[name], words[1:], prog=f"posegen {name}")
    parser, _ = _parser(commands)
    if name and not name.startswith("-"):
        parser.error(f"unknown command {name!r}{nearest(name, commands)}")
    parser.parse_args(words)  # prints help, the version, or an error, and exits
    return 2


def run_tool(command: str | Command) -> int:
    """Run one command as a script: ``python tools/train.py …``."""
    found = COMMANDS[command] if isinstance(command, str) else command
    return _ended_quietly(lambda: _run(found, sys.argv[1:], prog=None))


def build_parser(command: Command, prog: str | None = None) -> argparse.ArgumentParser:
    """Import a command and build the parser of its arguments."""
    parser = argparse.ArgumentParser(prog=prog, description=command.summary)
    _add_arguments(parser, command)
    return parser


def _add_arguments(parser: argparse.ArgumentParser, command: Command) -> None:
    importlib.import_module(command.module).add_arguments(parser)
    parser.add_argument("--traceback", action="store_true", help="show the traceback of an error")


def _parser(commands: Mapping[str, Command]) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return a parser of all commands, and those of the commands, without their arguments."""
    parser = argparse.ArgumentParser(prog="posegen", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"posegen {__version__}")
    choices = parser.add_subparsers(metavar="COMMAND", required=True)
    return parser, {name: choices.add_parser(name, help=command.summary) for name, command in commands.items()}


def _parser_to_complete(name: str) -> argparse.ArgumentParser:
    """Return a parser of all commands, in which the command *name*, if there is one, has its arguments."""
    commands = COMMANDS if name in COMMANDS else _with_plugins()
    parser, parsers = _parser(commands)
    if name in commands:
        _add_arguments(parsers[name], commands[name])
    return parser


def _with_plugins() -> dict[str, Command]:
    from ..plugins import commands

    return {**COMMANDS, **{command.name: command for command in commands(COMMANDS)}}


def _ended_quietly(action: Callable[[], int]) -> int:
    """Run a command; Ctrl-C ends it in one line, and a pipe that nobody reads any more without a line."""
    replace_unknown_characters()
    try:
        try:
            return action()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        if not discard_output():
            raise
        return CLOSED_PIPE


def _run(command: Command, arguments: Sequence[str], prog: str | None) -> int:
    parsed = build_parser(command, prog).parse_args(arguments)
    try:
        expand_home(parsed)
        return int(importlib.import_module(command.module).run(parsed) or 0)
    except PosegenError as error:
        if parsed.traceback:
            raise
        print(f"error: {_message(error)}", file=sys.stderr)
        return 1
    except ImportError as error:
        if parsed.traceback or "libGL" not in str(error):
            raise
        print(f"error: {error}\n{WITHOUT_GL}", file=sys.stderr)
        return 1


def _message(error: PosegenError) -> str:
    """Return the message of an error, without the worker's traceback if torch hands it on from a data loader."""
    text = str(error)
    if not (text.startswith("Caught ") and "\nOriginal Traceback " in text):
        return text
    kind = type(error)
    return text.rpartition(f"\n{kind.__module__}.{kind.__qualname__}: ")[2].rstrip()
