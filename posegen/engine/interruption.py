"""Leaving on request: signals are noted, the iteration is finished, a checkpoint is written, all processes leave."""

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
"""What a command exits with that was told to leave, saved, and can go on with ``--resume``: EX_TEMPFAIL of sysexits.h,
"try again later". A status of its own, since 130 and 143 are also those of a run that was killed and saved nothing."""

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))
"""Ctrl-C; what Slurm, torchrun and a shutdown send; what ``sbatch --signal=USR1@120`` sends ahead of the time limit."""


class Interrupted(PosegenError):
    """A run was told to leave, and its checkpoint is written."""


class Interruption:
    """While it is entered, :data:`SIGNALS` stop nothing: they are noted, and :meth:`agreed` tells all processes.

    A second Ctrl-C ends the process at once, as SIGKILL would. Signals reach the main thread alone; entered in any
    other one, this notes nothing.
    """

    def __init__(self) -> None:
        self.received = 0
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not from Python

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return  # a data loader's worker has inherited this
        self.received = number
        hint = ""
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            hint = "; once more leaves at once, without saving"
        # not the logger: the signal may have come while it was writing
        os.write(2, f"\n{signal.Signals(number).name}: saving after this iteration{hint}\n".encode())

    def agreed(self) -> str | None:
        """The name of a signal that any process has received; all processes ask together, and hear the same."""
        number = int(maximum(torch.tensor(self.received)))
        return signal.Signals(number).name if number else None


class ValidationEnded(Exception):
    """A validation was ended by a signal."""


class EndValidation(Hook):
    """Ends a validation when a signal has come: it may take longer than who sent the signal waits. Not the last one,
    since nobody would make up for it; and not in several processes, which may have different numbers of batches left
    and so could not agree."""

    def __init__(self, interruption: Interruption) -> None:
        self.interruption = interruption

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Raise ValidationEnded where a signal has come."""
        last = runner.iter >= runner.max_iters
        if self.interruption.received and not last and not is_distributed():
            raise ValidationEnded


def shield_worker(worker_id: int) -> None:
    """Run in each worker of a data loader: a signal that is sent to all processes of a run is for its main process
    alone, which still needs the worker to finish the iteration. From the main process itself, SIGTERM ends it."""
    for number in SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # tells who sent it; where there is none, torch's own handler stays
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_end_with_parent, args=[os.getppid()], daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)
