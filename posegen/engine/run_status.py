"""``WORK_DIR/status.json``: the current state of a run, for programs that monitor it."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import socket
import statistics
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook

from ..registry import HOOKS
from .interruption import Interrupted
from .provenance import revision, versions

STATUS = "status.json"
INTERVAL = 5.0
"""Seconds between two updates of the file, as long as an iteration takes less."""
WINDOW = 21
"""Number of recent iterations whose median is the time of one: a slower stage shows after eleven."""


class RunHook(Hook):
    """A hook that is also told how a run ended; mmengine calls its ``after_run`` only if nothing failed."""

    def run_ended(self, runner: Any, error: BaseException | None) -> None:
        """Called by :class:`~.runner.PosegenRunner` after everything else, with the exception that ended the run."""


@dataclass(frozen=True)
class RunStage:
    """One stage of a run: iterations ``start`` to ``start + iters`` train ``networks`` on ``losses``."""

    name: str
    start: int
    iters: int
    networks: list[str]
    losses: list[str]


@dataclass
class RunStatus:
    """Content of ``status.json``.

    Args:
        started: start of this process's part of the run, in seconds since 1970.
        stages: stages in the order in which they run; stages of no iterations are left out.
        host: name of the machine.
        process: process number of the first process.
        made_with: device, number of processes, seed and versions, as text.
        state: ``training``, ``validating``, ``trained``, ``left`` (interrupted by a signal, checkpoint saved) or
            ``failed``.
        message: the error that ended the run; during a validation, its progress.
        iteration: number of iterations done.
        updated: time of this update, in seconds since 1970.
        seconds: median time of a recent iteration, without validations and checkpoints; 0 before the first.
        checkpoint: path of the newest checkpoint; empty before the first.
    """

    started: float
    stages: list[RunStage]
    host: str = ""
    process: int = 0
    made_with: dict[str, str] = field(default_factory=dict)
    state: str = "training"
    message: str = ""
    iteration: int = 0
    updated: float = 0.0
    seconds: float = 0.0
    checkpoint: str = ""


def write_status(work_dir: str | Path, status: RunStatus) -> None:
    """Replace the file atomically. It is not flushed to the disk: a few seconds later it is written again."""
    path = Path(work_dir) / STATUS
    temporary = path.with_name(f".{STATUS}.part")
    try:
        temporary.write_bytes(json.dumps(dataclasses.asdict(status), indent=1).encode() + b"\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Pace:
    """Median time of the recent iterations.

    The median, because mmengine counts the writing of a checkpoint to the iteration after it.
    """

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=WINDOW)

    def add(self, seconds: float) -> None:
        """Add the time of an iteration."""
        self._times.append(seconds)

    @property
    def seconds(self) -> float:
        """Time of an iteration; 0 before the first."""
        return statistics.median(self._times) if self._times else 0.0


@HOOKS.register_module()
class RunStatusFile(RunHook):
    """Keeps ``WORK_DIR/status.json`` up to date: every 5 seconds, at each validation, and when the run ends.

    If the file cannot be written, a warning goes to the log and training continues.
    """

    priority = "LOWEST"

    def __init__(self) -> None:
        self._status: RunStatus | None = None
        self._pace = Pace()
        self._written = float("-inf")
        self._warned = False

    def before_train(self, runner: Any) -> None:
        """Describe the run."""
        trainer = runner.train_loop.trainer
        stages = [
            RunStage(s.name, trainer.start_of(s), s.iters, list(s.train_networks), list(s.losses))
            for s in trainer.stages
            if s.iters
        ]
        self._status = RunStatus(time.time(), stages, socket.gethostname(), os.getpid(), _made_with(runner))
        self._status.iteration = runner.iter
        self._write(runner)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Update the iteration."""
        times = runner.message_hub.log_scalars.get("train/time")  # written by mmengine's IterTimerHook
        if times is not None:
            self._pace.add(float(times.current()))
        if self._status is not None:
            self._status.iteration = batch_idx + 1
        self._write(runner, only_if_due=True)

    def before_val(self, runner: Any) -> None:
        """Say that a validation begins."""
        self._write(runner, "validating")

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Update the progress of the validation."""
        message = f"batch {batch_idx + 1} of {len(runner.val_dataloader)}"
        self._write(runner, "validating", message, only_if_due=True)

    def after_val(self, runner: Any) -> None:
        """Say that training continues."""
        self._write(runner)

    def run_ended(self, runner: Any, error: BaseException | None) -> None:
        """Say how the run ended."""
        if error is None:
            self._write(runner, "trained")
        elif isinstance(error, Interrupted):
            self._write(runner, "left", str(error))
        else:
            self._write(runner, "failed", f"{type(error).__name__}: {error}")

    def _write(self, runner: Any, state: str = "training", message: str = "", only_if_due: bool = False) -> None:
        if self._status is None or (only_if_due and time.monotonic() - self._written < INTERVAL):
            return
        self._written = time.monotonic()
        if not is_main_process():
            return
        self._status.state, self._status.message = state, message
        self._status.updated, self._status.seconds = time.time(), self._pace.seconds
        self._status.checkpoint = str(runner.message_hub.runtime_info.get("last_ckpt") or "")
        try:
            write_status(runner.work_dir, self._status)
        except OSError as error:
            if not self._warned:
                runner.logger.warning(f"{STATUS} was not written: {error}")
            self._warned = True


def _made_with(runner: Any) -> dict[str, str]:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    return {
        "run": runner.run_id,
        "config": str(runner.cfg.filename or ""),
        "machine": f"{socket.gethostname()}, {platform.platform(terse=True)}",
        "device": device,
        "processes": str(get_world_size()),
        "bfloat16": str(runner.train_loop.trainer.autocast),
        "seed": str(runner.seed),
        "revision": revision() or "unknown",
        **versions(),
    }
