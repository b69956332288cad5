"""Interruption by signals: finish the iteration, save a checkpoint, and exit, in all processes."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

import torch
from mmengine.hooks import Hook

from ..errors import PosegenError
from .distributed import is_distributed, maximum

EXIT_SAVED = 75
"""Exit status of an interrupted run that saved a checkpoint: EX_TEMPFAIL of sysexits.h. Not 130 or 143, which are also
those of a run that was killed without saving."""

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""Ctrl-C; the signal of Slurm, torchrun and a shutdown; that of ``sbatch --signal=USR1@120`` before the time limit."""


class Interrupted(PosegenError):
    """A signal interrupted the run, and a checkpoint was saved."""


class Interruption:
    """Context in which :data:`SIGNALS` are recorded instead of ending the process.

    A second Ctrl-C ends the process at once. Python handles signals in the main thread only; in another thread, this
    context does nothing.
    """

    def __init__(self) -> None:
        self.received = 0
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._record) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not from Python

    def _record(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a worker of a data loader inherits the handler
        self.received = number
        hint = ""
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            hint = "; press Ctrl-C again to exit at once without saving"
        # not by the logger, which the signal may have interrupted while it was writing
        os.write(2, f"\n{signal.Signals(number).name}: saving after this iteration{hint}\n".encode())

    def agreed(self) -> str | None:
        """Return the name of a signal that any process has received, or None. All processes must call it."""
        number = int(maximum(torch.tensor(self.received)))
        return signal.Signals(number).name if number else None


class ValidationEnded(Exception):
    """A signal ended a validation."""


class EndValidation(Hook):
    """Ends a validation after a signal, since it may take longer than the sender waits.

    The last validation is not ended, since a resumed run would not repeat it; nor one in several processes, which may
    have different numbers of batches left and so cannot agree.
    """

    def __init__(self, interruption: Interruption) -> None:
        self.interruption = interruption

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Raise ValidationEnded after a signal."""
        last = runner.iter >= runner.max_iters
        if self.interruption.received and not last and not is_distributed():
            raise ValidationEnded


def shield_worker(worker_id: int) -> None:
    """Ignore :data:`SIGNALS` in a worker of a data loader, except SIGTERM from the main process.

    Slurm and Ctrl-C send a signal to all processes of a run; the main process needs its workers to finish the
    iteration.
    """
    for number in SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # tells the sender; without it, torch's handler stays
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)
