"""Command ``posegen app``."""

from __future__ import annotations

import argparse
import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from posegen.cli.common import add_model
from posegen.errors import ConfigError

if TYPE_CHECKING:
    from gradio import Blocks

    from posegen.inference import ModelSource

LOOPBACK = "127.0.0.1"
NAME = re.compile(r"\w[\w.-]{0,39}")
MAX_COMPARED = 4
EXAMPLES = 8
SHARED = (
    "warning: --share-link opens a public link to this page through Gradio's server, for a week at most. Everyone who "
    "has the link can use the page, without a password; all pictures pass that server. Gradio's tunnel program (frpc) "
    "is downloaded once, and its checksum is verified. Ctrl-C ends the link."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen app``."""
    add_model(parser)
    parser.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="NAME=[CONFIG:]CHECKPOINT",
        help=f"another model to show beside the first for the same input: a checkpoint of CONFIG or of another "
        f"config, or NAME=FOLDER for a shared model; repeatable, at most {MAX_COMPARED} times",
    )
    parser.add_argument("--port", type=int, default=0, help="port of the page (default: any free port)")
    parser.add_argument(
        "--host",
        default=LOOPBACK,
        help="address to listen on (default 127.0.0.1: this machine only); 0.0.0.0 admits everyone who reaches it",
    )
    parser.add_argument(
        "--share-link",
        action="store_true",
        help="also open a public link through Gradio's server, for a week at most: downloads Gradio's tunnel program "
        "(frpc) once, and all pictures pass that server",
    )
    parser.add_argument(
        "--examples",
        type=int,
        metavar="N",
        help=f"samples of the test set (default: the examples that come with a shared model, else {EXAMPLES} samples)",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, … (default cpu)")


def run(parsed: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    compared = _parse_compared(parsed.compare)
    print("loading the model and the page …", flush=True)
    with _no_collections():
        page, address, note = _launched(parsed, compared)
    if note:
        print(f"note: no examples: {note}")
    if parsed.host != LOOPBACK:
        print(f"warning: everyone who reaches {parsed.host} can use this page, without a password")
    print(f"Open {address} in a browser. Ctrl-C ends it.", flush=True)
    from .web import wait_for_interrupt

    wait_for_interrupt(page)
    return 0


@contextmanager
def _no_collections() -> Iterator[None]:
    """Collect no garbage meanwhile.

    Imports and the page allocate so many objects, all of which stay, that collections take a quarter of the start.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _launched(parsed: argparse.Namespace, compared: list[tuple[str, str]]) -> tuple[Blocks, str, str]:
    """Return the served page, its address, and why it has no examples, if so."""
    from posegen.cli.common import find_model
    from posegen.inference import Inferencer

    from .page import launch
    from .page_model import PageModel, check_comparable

    source = find_model(parsed)
    sources = [_find_other(parsed, source, value) for _, value in compared]
    main_name = parsed.checkpoint.stem if parsed.checkpoint else _folder_name(parsed.config)
    main = PageModel(Inferencer(source, device=parsed.device), _examples(parsed, source), main_name)
    others = [
        PageModel(Inferencer(other, device=parsed.device), (), name)
        for other, (name, _) in zip(sources, compared, strict=True)
    ]
    check_comparable([main, *others])
    if parsed.share_link:
        print(SHARED, flush=True)
    page, address = launch([main, *others], parsed.config.stem, parsed.host, parsed.port, parsed.share_link)
    gc.freeze()  # later collections, which hold up results, leave out what stays as long as the page
    return page, address, main.gallery.note


def _examples(parsed: argparse.Namespace, source: ModelSource) -> Path | list[int]:
    """Return the folder of examples that comes with a shared model, or numbers of samples of the test set."""
    from posegen.sharing import example_numbers

    if parsed.examples is None and source.shared and source.weights is not None:
        folder = source.weights.with_name("examples")
        if folder.is_dir():
            return folder
    return example_numbers(parsed.config, EXAMPLES if parsed.examples is None else parsed.examples)


def _parse_compared(given: list[str]) -> list[tuple[str, str]]:
    """Split the values of ``--compare`` into names and models; ConfigError naming all invalid ones."""
    pairs = [(name, value) for name, _, value in (text.partition("=") for text in given)]
    problems = [
        f"--compare {text}: give NAME=CHECKPOINT or NAME=CONFIG:CHECKPOINT; a name has letters, digits, '.', '_', '-'"
        for text, (name, value) in zip(given, pairs, strict=True)
        if not NAME.fullmatch(name) or not value
    ]
    problems += [f"--compare: {len(given)} models; at most {MAX_COMPARED}"] if len(given) > MAX_COMPARED else []
    if problems:
        raise ConfigError("\n".join(problems))
    return pairs


def _find_other(parsed: argparse.Namespace, main: ModelSource, value: str) -> ModelSource:
    """Find a model of ``--compare``; plugins are loaded."""
    from posegen.inference import ModelSource
    from posegen.sharing import is_shared

    if is_shared(value):
        return ModelSource.find(value)
    config, _, checkpoint = value.rpartition(":")
    if config and not Path(value).exists():
        return ModelSource.find(config, checkpoint, plugin_files=parsed.plugin)
    if main.shared:
        raise ConfigError(f"--compare {value}: missing config of the checkpoint: give CONFIG:CHECKPOINT")
    return ModelSource.find(main.config, value)


def _folder_name(folder: Path) -> str:
    """Name of a shared model in downloads; never a path out of a folder."""
    return folder.name if folder.name not in ("", "..") else folder.resolve().name or "model"
