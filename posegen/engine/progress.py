"""Progress of a training run in the terminal."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from typing import Any

from mmengine.dist import is_main_process
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..registry import HOOKS
from .run_status import RunHook

REFRESH = 0.2
"""Seconds between two updates of the terminal. Losses are read from the device only then."""


@HOOKS.register_module()
class ProgressLine(RunHook):
    """Shows stage, iteration, speed, time left and losses at the bottom of the terminal; log lines appear above.

    If standard output is not a terminal (a file, a pipe, a batch job), only the log lines are printed.

    Args:
        console: console to draw on (default: standard output).
    """

    priority = "LOWEST"

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live: Live | None = None
        self._losses = Text(style="dim")
        self._drawn = float("-inf")
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=self._console,
        )

    def before_train(self, runner: Any) -> None:
        """Start drawing, and print the log above the line."""
        if not self._console.is_terminal or not is_main_process():
            return
        loop = runner.train_loop
        self._progress.add_task("training", total=loop.max_iters, completed=runner.iter, speed="")
        # no thread of its own: data loaders fork, and a fork copies no thread but may copy the lock it holds
        self._live = Live(Group(self._progress, self._losses), console=self._console, auto_refresh=False)
        self._live.start(refresh=True)
        _print_log_to_stdout(runner)  # which Live has replaced

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the iteration."""
        trainer = runner.train_loop.trainer
        self._draw(f"stage {trainer.stage.name}", completed=batch_idx + 1, losses=outputs)

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Show the progress of a validation."""
        self._draw(f"validating {batch_idx + 1}/{len(runner.val_dataloader)}")

    def run_ended(self, runner: Any, error: BaseException | None) -> None:
        """Stop drawing, also after an error."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            _print_log_to_stdout(runner)

    def _draw(self, description: str, completed: int | None = None, losses: Mapping[str, Any] | None = None) -> None:
        if self._live is None:
            return
        (task,) = self._progress.tasks
        speed = f"{task.speed:.3g} it/s" if task.speed else ""
        self._progress.update(task.id, description=description, completed=completed, speed=speed)
        if time.monotonic() - self._drawn >= REFRESH or completed == task.total:
            self._drawn = time.monotonic()
            if losses:
                self._losses.plain = "  ".join(f"{name} {float(value):.4g}" for name, value in losses.items())
            self._live.refresh()


def _print_log_to_stdout(runner: Any) -> None:
    """Let the terminal handlers of the log write to what ``sys.stdout`` is now."""
    for handler in runner.logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setStream(sys.stdout)
