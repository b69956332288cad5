"""The scalars of a run, read on while it writes them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..data.files import check_file
from ..errors import DataError

Points = list[tuple[int, float]]  # iteration, value

MOST_OF_A_FILE = 2 << 30  # bytes; a run of a million iterations that logs every 50 has some 20 MB
MOST = 1e300  # what lies beyond can be neither drawn nor counted with
MOST_AT_ONCE = 64 << 20
MOST_NAMES = 1000
STATISTICS = ("flow_", "mask_", "gradient/", "memory/")
TRAINING, MEASURED, VALIDATION = "training", "statistics", "validation"


class Scalars:
    """All scalars of a run by kind of record and by name, in order of iteration.

    Several files, as a run leaves that was resumed, are one run: where a later one begins, what earlier ones say of
    later iterations is forgotten. A line that is half written is read when it is whole; a damaged one is left out and
    counted. The folder may be anybody's: what is too large is not read, and said in :attr:`problems`.

    Args:
        work_dir: of the run; it need not be there yet.

    Attributes:
        found: by kind (``training``, ``statistics``, ``validation``) and name, iteration and value.
        damaged: lines that are none of mmengine's.
        problems: files that cannot be read, and why.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.work_dir = Path(work_dir)
        self._forget()

    def _forget(self) -> None:
        self.found: dict[str, dict[str, dict[int, float]]] = {TRAINING: {}, MEASURED: {}, VALIDATION: {}}
        self.damaged = 0
        self.problems: list[str] = []
        self._read: dict[Path, int] = {}  # bytes of each file
        self._begun: set[Path] = set()  # files whose first record was seen

    def update(self) -> None:
        """Read what was written since the last time."""
        files = self.files()
        if any(path not in files or path.stat().st_size < read for path, read in self._read.items()):
            self._forget()  # another run is in the folder now
        self.problems = []
        for path in files:
            try:
                check_file(path, MOST_OF_A_FILE)
                while self._read_on(path):
                    pass
            except (DataError, OSError) as error:
                self.problems.append(str(error))

    def files(self) -> list[Path]:
        """The files, the newest last: mmengine calls their folders by the time of the start."""
        return sorted(self.work_dir.glob("*/vis_data/scalars.json"))

    def _read_on(self, path: Path) -> bool:
        """Read a block of whole lines; whether there may be more."""
        start = self._read.setdefault(path, 0)
        with path.open("rb") as file:
            file.seek(start)
            block = file.read(MOST_AT_ONCE)
        length = block.rfind(b"\n") + 1
        if len(block) == MOST_AT_ONCE and not length:  # no line of ours
            self.damaged += 1
            length = len(block)
        self._read[path] = start + length
        for line in block[:length].splitlines():
            self._take(path, line)
        return len(block) == MOST_AT_ONCE

    def _take(self, path: Path, line: bytes) -> None:
        try:
            record = json.loads(line)
            step = record["step"]
            if type(step) is not int or not 0 <= step < 2**53:
                raise ValueError("no iteration")
        except (ValueError, TypeError, KeyError, RecursionError):
            self.damaged += 1
            return
        if path not in self._begun:
            self._begun.add(path)
            self._cut(step)
        named = self.found[_kind(record)]
        for name, value in record.items():
            room = name in named or len(named) < MOST_NAMES
            if name not in ("step", "iter") and type(value) in (int, float) and room:
                named.setdefault(name, {})[step] = float(value) if -MOST < value < MOST else math.nan

    def _cut(self, step: int) -> None:
        """Forget iterations from *step* on."""
        for named in self.found.values():
            for values in named.values():
                for later in [known for known in values if known >= step]:
                    del values[later]

    def points(self, kind: str) -> dict[str, Points]:
        """Of one kind, by name, what has any; sorted by iteration."""
        return {name: sorted(values.items()) for name, values in self.found[kind].items() if values}

    def last(self, kind: str) -> dict[str, float]:
        """The newest record of a kind."""
        named = self.found[kind]
        newest = max((next(reversed(values)) for values in named.values() if values), default=-1)
        return {name: values[newest] for name, values in named.items() if newest in values}

    @property
    def iteration(self) -> int:
        """The last one that was logged; 0: none."""
        known = (values for named in self.found.values() for values in named.values() if values)
        return max((next(reversed(values)) for values in known), default=0)


def _kind(record: dict[str, Any]) -> str:
    if any(name.startswith(STATISTICS) and "/" in name for name in record):
        return MEASURED
    return TRAINING if "iter" in record else VALIDATION


def finite(points: Points) -> Points:
    """Those whose value is a finite number."""
    return [(step, value) for step, value in points if math.isfinite(value)]
