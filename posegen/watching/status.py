"""Where a run is, in one small file that the run keeps up to date: ``WORK_DIR/status.json``."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.files import read_json
from ..errors import DataError

STATUS = "status.json"
MOST_BYTES = 1 << 20  # a status has some thousand
BEAT = 5.0
"""Seconds between two signs of life, while iterations take less."""
TRAINING, VALIDATING, TRAINED, LEFT, FAILED = "training", "validating", "trained", "left", "failed"
STATES = (TRAINING, VALIDATING, TRAINED, LEFT, FAILED)


@dataclass(frozen=True)
class RunStage:
    """A stage of a run: iterations ``start`` to ``start + iters`` train ``networks`` on ``losses``."""

    name: str
    start: int
    iters: int
    networks: list[str] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RunStatus:
    """Where a run is.

    Args:
        state: one of :data:`STATES`; ``left``: told to leave, saved; ``failed``: ended by an error.
        iteration: that are done.
        updated, started: of this start of the run, seconds since 1970 by the clock of its machine.
        seconds: an iteration, the median of recent ones, so validations and checkpoints do not count; 0: not known yet.
        stages: in the order they are run, none without iterations.
        host, process: the machine, and the number of the first process.
        checkpoint: the newest one's path; empty before there is one.
        message: what it ended with; of a validation, how far it is.
        made_with: device, processes, seed, versions, as text.
    """

    state: str
    iteration: int
    updated: float
    started: float
    seconds: float = 0.0
    stages: list[RunStage] = field(default_factory=list)
    host: str = ""
    process: int = 0
    checkpoint: str = ""
    message: str = ""
    made_with: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Iterations of all stages."""
        return sum(stage.iters for stage in self.stages)

    @property
    def stage(self) -> RunStage | None:
        """The stage that the next iteration belongs to; the last one at the end."""
        last = self.stages[-1] if self.stages else None
        return next((stage for stage in self.stages if self.iteration < stage.start + stage.iters), last)


def write_status(work_dir: str | Path, status: RunStatus) -> None:
    """Write the file whole. It does not wait for the disk: it is written every few seconds, and can be made again."""
    path = Path(work_dir) / STATUS
    temporary = path.with_name(f".{STATUS}.part")
    try:
        temporary.write_bytes(json.dumps(dataclasses.asdict(status), indent=1).encode() + b"\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_status(work_dir: str | Path) -> RunStatus | None:
    """The status of a run; None where there is none.

    Raises:
        DataError: the file is no status.
    """
    path = Path(work_dir) / STATUS
    if not os.path.lexists(path):
        return None
    content = read_json(path, MOST_BYTES)
    try:
        content["stages"] = [_checked(RunStage(**stage)) for stage in content["stages"]]
        status = _checked(RunStatus(**content))
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(path, f"no status of a run, or of another version of posegen: {error}") from error
    if status.state not in STATES:
        raise DataError(path, f"no status of a run: its state is {status.state!r}, not one of {', '.join(STATES)}")
    return status


_KINDS: dict[str, Any] = {"str": str, "int": int, "float": (int, float)}


def _checked(record: Any) -> Any:
    """*record*, whose fields have the kinds they are declared with: the file may be anybody's."""
    for each in dataclasses.fields(record):
        value, declared = getattr(record, each.name), str(each.type)
        kind = _KINDS.get(declared, dict if declared.startswith("dict") else list)
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ValueError(f"{each.name} is {value!r:.80}")
        if declared in ("int", "float") and not -(2**53) < value < 2**53:
            raise ValueError(f"{each.name} is {value!s:.80}")
        if kind is list and not declared.startswith("list[RunStage") and not all(isinstance(v, str) for v in value):
            raise ValueError(f"{each.name} is no list of names")
        if kind is dict and not all(isinstance(text, str) for pair in value.items() for text in pair):
            raise ValueError(f"{each.name} has values that are no text")
    return record
