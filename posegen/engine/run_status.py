"""What a run tells of itself while it trains, and the page it leaves at its end: the hook behind ``posegen watch``."""

from __future__ import annotations

import platform
import socket
import statistics
import time
from collections import deque
from os import getpid
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook

from ..registry import HOOKS
from ..watching.status import BEAT, FAILED, LEFT, TRAINED, TRAINING, VALIDATING, RunStage, RunStatus, write_status
from .interruption import Interrupted
from .provenance import revision, versions

REPORT = "report.html"
_REMEMBERED = 21  # iterations whose times say how long one takes: a slower stage has its own pace after eleven


@HOOKS.register_module()
class RunStatusFile(Hook):
    """Keeps ``WORK_DIR/status.json`` up to date, for ``posegen watch``: the stage, the iteration, its speed, whether
    the run is alive. Every 5 seconds, and once at the end, whatever ends it. Trained to the end, it writes
    ``WORK_DIR/report.html``.

    That either cannot be written is a warning in the log: no training ends because nobody can watch it.

    Args:
        report: False writes no page.
    """

    priority = "LOWEST"

    def __init__(self, report: bool = True) -> None:
        self.report = report
        self._known: dict[str, Any] = {}
        self._state, self._message = TRAINING, ""
        self._done = 0
        self._times: deque[float] = deque(maxlen=_REMEMBERED)
        self._written = float("-inf")
        self._warned = False

    def before_train(self, runner: Any) -> None:
        """Say what the run is."""
        trainer = runner.train_loop.trainer
        stages = [
            RunStage(s.name, trainer.start_of(s), s.iters, list(s.train_networks), list(s.losses))
            for s in trainer.stages
            if s.iters
        ]
        self._known = {
            "started": time.time(),
            "stages": stages,
            "host": socket.gethostname(),
            "process": getpid(),
            "made_with": _made_with(runner),
        }
        self._done = runner.iter
        self._write(runner)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Say where the run is, if it is time to."""
        self._done = batch_idx + 1
        self._note_time(runner)
        self._write_if_due(runner)

    def _note_time(self, runner: Any) -> None:
        """mmengine's time of an iteration, data included."""
        times = runner.message_hub.log_scalars.get("train/time")
        if times is not None:
            self._times.append(float(times.current()))

    @property
    def _seconds(self) -> float:
        """An iteration: the median, for mmengine counts the writing of a checkpoint to the iteration after it."""
        return statistics.median(self._times) if self._times else 0.0

    def before_val(self, runner: Any) -> None:
        """A validation begins."""
        self._state, self._message = VALIDATING, ""
        self._write(runner)

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """A validation may take long."""
        self._message = f"batch {batch_idx + 1} of {len(runner.val_dataloader)}"
        self._write_if_due(runner)

    def after_val(self, runner: Any) -> None:
        """Training goes on."""
        self._state, self._message = TRAINING, ""
        self._write(runner)

    def end(self, runner: Any, error: BaseException | None) -> None:
        """Say how the run ended: called by :class:`~.runner.SafeRunner`, after everything else."""
        if not self._known:
            return  # it never began
        self._state, self._message = _ended(error)
        self._write(runner)
        if self.report and error is None and is_main_process():
            self._write_report(runner)

    def _write_if_due(self, runner: Any) -> None:
        if time.monotonic() - self._written >= BEAT:
            self._write(runner)

    def _write(self, runner: Any) -> None:
        self._written = time.monotonic()
        if not is_main_process():
            return
        status = RunStatus(
            state=self._state,
            iteration=self._done,
            updated=time.time(),
            seconds=self._seconds,
            checkpoint=str(runner.message_hub.runtime_info.get("last_ckpt") or ""),
            message=self._message,
            **self._known,
        )
        try:
            write_status(runner.work_dir, status)
        except (OSError, ValueError, TypeError) as error:
            self._warn(runner, f"status.json was not written, posegen watch shows an older one: {error}")

    def _warn(self, runner: Any, message: str) -> None:
        if not self._warned:
            self._warned = True
            runner.logger.warning(message)

    def _write_report(self, runner: Any) -> None:
        from ..watching.report import write_report

        path = Path(runner.work_dir) / REPORT
        try:
            write_report(runner.work_dir, path)
        except Exception as error:  # whatever a sheet or a log of anybody's leads to
            runner.logger.warning(f"{path} was not written: {type(error).__name__}: {error}")
        else:
            runner.logger.info(f"report: {path}")


def _ended(error: BaseException | None) -> tuple[str, str]:
    if error is None:
        return TRAINED, ""
    if isinstance(error, Interrupted):
        return LEFT, str(error)
    return FAILED, f"{type(error).__name__}: {error}"


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
