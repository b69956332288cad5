"""What is shown of a run, whoever shows it: gathered from its files, none of which is touched."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from .scalars import MEASURED, TRAINING, VALIDATION, Points, Scalars
from .status import BEAT, FAILED, LEFT, TRAINED, VALIDATING, RunStage, RunStatus, read_status

GONE, SILENT, UNKNOWN = "gone", "silent", "unknown"
"""Beside the states that a run itself tells: its process is no more; it has not been heard of; it tells nothing."""
PATIENCE = 60.0
"""Seconds without a sign of life after which a run may be dead; longer where iterations take longer."""
NOT_LOSSES = ("time", "data_time", "memory", "skipped_steps", "unreadable_samples", "grad_norm")

STILL = 0.25  # pixels of the image: a flow nowhere longer shows nothing but the source as it is
STUCK = 0.995  # share of a mask at one end
FAR_OUT = 0.3  # share of a flow that leads out of the picture


@dataclass(frozen=True)
class RunState:
    """A run as its files tell it.

    Args:
        state: one of :data:`~.status.STATES`, or ``gone``, ``silent``, ``unknown``.
        words: the same for people.
        status: what the run says of itself; None: nothing, it is one of an earlier version.
        iteration, total: done, and in all; total 0: unknown.
        seconds: an iteration; 0: unknown.
        losses: curves by name, of the losses that are trained now; the sum, ``loss``, first.
        rates: learning rates, by optimizer.
        measured, validation: curves by name.
        memory: MiB by name.
        skipped, unreadable: steps, and samples, left out so far.
        checkpoint: the newest one's path, empty where there is none.
        checkpoint_age: seconds since it was written; None where it is not to be seen.
        warnings: what looks wrong, each a sentence.
    """

    work_dir: Path
    state: str
    words: str
    status: RunStatus | None
    iteration: int
    total: int
    seconds: float
    losses: dict[str, Points]
    rates: dict[str, float]
    measured: dict[str, Points]
    validation: dict[str, Points]
    memory: dict[str, float]
    skipped: int
    unreadable: int
    checkpoint: str
    checkpoint_age: float | None
    warnings: list[str] = field(default_factory=list)

    @property
    def stage(self) -> RunStage | None:
        """The current one, where the run tells."""
        return self.status.stage if self.status else None

    @property
    def left(self) -> float:
        """Seconds of iterations that are left, at the pace of now; 0: done, or unknown."""
        return max(self.total - self.iteration, 0) * self.seconds

    @property
    def left_of_stage(self) -> float:
        """The same for the current stage alone."""
        return max(self.stage.start + self.stage.iters - self.iteration, 0) * self.seconds if self.stage else 0.0


def look(scalars: Scalars, now: float | None = None) -> RunState | None:
    """Look at a run again.

    Args:
        scalars: of its work dir; what was written since the last look is read.
        now: seconds since 1970; None: those of this machine's clock.

    Returns:
        What there is to see; None where no run has begun.
    """
    now = time.time() if now is None else now
    scalars.update()
    problems = list(scalars.problems)
    status = None
    try:
        status = read_status(scalars.work_dir)
    except DataError as error:
        problems.append(str(error))
    if status is None and not scalars.files() and not problems:
        return None
    last = scalars.last(TRAINING)
    measured = scalars.last(MEASURED)
    state, words = _life(status, now) if status else (UNKNOWN, _without_status(scalars, now))
    checkpoint = _newest_checkpoint(scalars.work_dir)
    if scalars.damaged:
        problems.append(f"{scalars.damaged} lines of scalars.json are damaged, and left out")
    return RunState(
        work_dir=scalars.work_dir,
        state=state,
        words=words,
        status=status,
        iteration=status.iteration if status else scalars.iteration,
        total=status.total if status else 0,
        seconds=(status.seconds if status else 0.0) or _counted(last, "time"),
        losses=_losses(scalars, last),
        rates=_rates(last, status),
        measured=scalars.points(MEASURED),
        validation={n: p for n, p in scalars.points(VALIDATION).items() if n not in NOT_LOSSES},
        memory={name: value for name, value in measured.items() if name.startswith("memory/")},
        skipped=int(_counted(last, "skipped_steps")),
        unreadable=int(_counted(last, "unreadable_samples")),
        checkpoint=checkpoint,
        checkpoint_age=_age(checkpoint, now),
        warnings=[*problems, *_warnings(measured, status)],
    )


def _counted(last: dict[str, float], name: str) -> float:
    value = last.get(name, 0.0)
    return value if 0 <= value < 2**53 else 0.0


def _without_status(scalars: Scalars, now: float) -> str:
    files = scalars.files()
    age = _age(str(files[-1]), now) if files else None
    heard = f"last wrote {duration(age)} ago; " if age is not None else ""
    return f"{heard}no status.json: of an earlier version, or without the hook RunStatusFile"


def _life(status: RunStatus, now: float) -> tuple[str, str]:
    """How the run is: what it says, unless it has not said anything for long."""
    if status.state == TRAINED:
        return TRAINED, "trained to the end"
    if status.state == LEFT:
        return LEFT, f"stopped: {status.message}"
    if status.state == FAILED:
        return FAILED, f"ended by an error: {status.message}"
    silence = now - status.updated
    here = status.host == socket.gethostname()
    if here and silence > 2 * BEAT and _is_gone(status.process):
        return GONE, f"process {status.process} is gone, since {duration(silence)} or less: go on with --resume"
    if silence > max(PATIENCE, 10 * status.seconds):
        return SILENT, f"no sign of life for {duration(silence)}: killed, hanging, or this machine's clock is ahead"
    if status.state == VALIDATING:
        return VALIDATING, f"validating {status.message}".rstrip()
    return status.state, "training"


def _is_gone(process: int) -> bool:
    """Whether there is certainly no such process. On Windows nobody knows: signal 0 is Ctrl-C there, not a question."""
    if process <= 0:
        return True
    if os.name == "nt":
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:  # somebody else's
        return False
    return False


def _losses(scalars: Scalars, last: dict[str, float]) -> dict[str, Points]:
    """Curves of what the newest record has: losses of stages that are over are not in it."""
    curves = scalars.points(TRAINING)
    names = sorted((n for n in last if not n.endswith("lr") and n not in NOT_LOSSES), key=lambda n: n != "loss")
    return {name: curves[name] for name in names}


def _rates(last: dict[str, float], status: RunStatus | None) -> dict[str, float]:
    """Learning rates by optimizer, those of other stages left out."""
    rates = {name.removesuffix(".lr"): value for name, value in last.items() if name.endswith(".lr")}
    if status is None or status.stage is None:
        return rates
    return {name: rate for name, rate in rates.items() if name == status.stage.name or name.endswith("discriminator")}


def _newest_checkpoint(work_dir: Path) -> str:
    """By its number: last_checkpoint holds a path of the run's machine."""
    numbers = [path.stem.removeprefix("iter_") for path in work_dir.glob("iter_*.pth")]
    known = [int(number) for number in numbers if number.isdecimal()]
    return str(work_dir / f"iter_{max(known)}.pth") if known else ""


def _age(path: str, now: float) -> float | None:
    try:
        return max(now - os.path.getmtime(path), 0.0) if path else None
    except OSError:  # removed meanwhile
        return None


def _warnings(measured: dict[str, float], status: RunStatus | None) -> list[str]:
    """What the newest statistics say of a flow or a mask that has collapsed. Masks are trained with the image alone."""
    found = []
    renders = status is None or status.stage is None or "renderer" in status.stage.networks
    for name, value in measured.items():
        level, _, what = name.partition("/")
        if what == "length_p95" and value < STILL:
            found.append(f"{level}: 95 % of the flow are shorter than {STILL:g} px: it moves nothing")
        if what == "outside" and value > FAR_OUT:
            found.append(f"{level}: {value:.0%} of the flow lead out of the picture")
        if what == "near_0" and renders and value > STUCK:
            found.append(f"{level}: {value:.1%} of the mask are 0: nothing of the source is used")
        if what == "near_1" and renders and value > STUCK:
            found.append(f"{level}: {value:.1%} of the mask are 1: nothing is made up")
    return found


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3 h 05 min``, ``2 d 4 h``."""
    minutes = int(seconds) // 60
    if minutes < 1:
        return f"{max(int(seconds), 0)} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
