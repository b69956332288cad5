"""Play with models on a local page: drag a pose, see the results, ask where each point of them comes from."""

from __future__ import annotations

import argparse
import re
import threading
from pathlib import Path

from ..app import LoadedModel, Studio, check_comparable, load
from ..config import load_config
from ..errors import ConfigError
from ..sharing import is_shared
from .common import add_config, add_model, read_config, read_model

LOOPBACK = "127.0.0.1"
NAME = re.compile(r"\w[\w.-]{0,39}")
MOST_COMPARED = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen app``."""
    add_config(parser)
    add_model(parser)
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="NAME=[CONFIG:]CHECKPOINT",
        help=f"another model beside it, which is given the same input: a checkpoint of CONFIG, of another config, or "
        f"NAME=FOLDER, a shared model, or the name of one; repeatable, at most {MOST_COMPARED} times",
    )
    parser.add_argument("--port", type=int, default=0, help="of the page (default: any that is free)")
    parser.add_argument(
        "--host",
        default=LOOPBACK,
        help="address to listen on (default 127.0.0.1: this machine alone); 0.0.0.0 lets everybody in who reaches it",
    )
    parser.add_argument("--examples", type=int, default=8, metavar="N", help="of the test set (default 8)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, …")


def run(parsed: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C; returns 0."""
    print("loading the model and the page …", flush=True)
    from ..app.server import launch  # Gradio takes seconds to import, and no other command needs it

    compared = _compared(parsed.compare)
    main = Studio(
        load(read_model(parsed), parsed.checkpoint, parsed.device, parsed.revision),
        parsed.examples,
        parsed.checkpoint.stem if parsed.checkpoint else _name(parsed.config),
    )
    others = [Studio(_load_other(parsed, value), 0, name) for name, value in compared]
    check_comparable([main, *others])
    page, address = launch([main, *others], parsed.config.stem, parsed.host, parsed.port)
    if main.gallery.note:
        print(f"note: no examples: {main.gallery.note}")
    if parsed.host != LOOPBACK:
        print(f"warning: everybody who reaches {parsed.host} can use this page, without a password")
    print(f"open {address} in a browser; Ctrl-C ends", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()
    finally:
        page.close()
    return 0


def _compared(given: list[str]) -> list[tuple[str, str]]:
    """Names and values of ``--compare``. ConfigError: all that cannot be read."""
    pairs = [(name, value) for name, _, value in (text.partition("=") for text in given)]
    problems = [
        f"--compare {text}: NAME=CHECKPOINT or NAME=CONFIG:CHECKPOINT; a name has letters, digits, '.', '_' and '-'"
        for text, (name, value) in zip(given, pairs, strict=True)
        if not NAME.fullmatch(name) or not value
    ]
    problems += [f"{len(given)} models to compare with; at most {MOST_COMPARED}"] if len(given) > MOST_COMPARED else []
    if problems:
        raise ConfigError("\n".join(problems))
    return pairs


def _load_other(parsed: argparse.Namespace, value: str) -> LoadedModel:
    """A model of ``--compare``, after the first one: plugins are loaded."""
    path = Path(value)
    if is_shared(path):
        return load(path, None, parsed.device)
    config, _, checkpoint = value.rpartition(":")
    if config and not path.exists():
        return load(load_config(config, {}, plugin_files=parsed.plugin), Path(checkpoint), parsed.device)
    if is_shared(parsed.config):
        raise ConfigError(f"--compare {value}: beside a shared model, a checkpoint needs its config: CONFIG:CHECKPOINT")
    return load(read_config(parsed), path, parsed.device)


def _name(folder: Path) -> str:
    """Of a shared model, for files: never a way out of a folder."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name or "model"
