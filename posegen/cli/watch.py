"""Watch a run while it trains: stage, losses, speed, time left, whether it is alive."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from ..errors import PosegenError
from ..watching import look
from ..watching.scalars import Scalars
from ..watching.status import TRAINED
from ..watching.terminal import view, waiting

WIDTH = 110  # of what goes into a file or a pipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen watch``."""
    parser.add_argument("work_dir", type=Path, help="the work dir of a run; its files are read, none is touched")
    parser.add_argument("--once", action="store_true", help="print what there is, and leave")
    parser.add_argument("--interval", type=float, default=2.0, metavar="SECONDS", help="between two looks; default 2")


def run(parsed: argparse.Namespace) -> int:
    """Show the run until it is trained, or Ctrl-C; without a terminal, once. Returns 0.

    Raises:
        PosegenError: the interval is none; nobody waits, and there is no run.
    """
    if not parsed.interval > 0:
        raise PosegenError(f"--interval must be more than 0 seconds, got {parsed.interval:g}")
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    scalars = Scalars(parsed.work_dir)
    if parsed.once or not console.is_terminal:
        _print(scalars, console)
        return 0
    try:
        _follow(scalars, console, parsed.interval)
    except KeyboardInterrupt:
        pass
    else:
        _print(scalars, console)  # the live view leaves nothing behind
    return 0


def _print(scalars: Scalars, console: Console) -> None:
    seen = look(scalars)
    if seen is None:
        raise PosegenError(
            f"{scalars.work_dir}: no run is here (no status.json, and no */vis_data/scalars.json)\n"
            "Give the work dir of a run; in a terminal and without --once, posegen watch waits for it."
        )
    console.print(view(seen, console))


def _follow(scalars: Scalars, console: Console, interval: float) -> None:
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            seen = look(scalars)
            shown = view(seen, console) if seen else waiting(str(scalars.work_dir))
            live.update(shown, refresh=True)
            if seen and seen.state == TRAINED:
                return
            time.sleep(interval)
