"""What a run has written, noted as it goes, so that the next one knows its own files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ..files import check_name, written_whole
from ..weights import sha256
from .plan import Step


class Kept(NamedTuple):
    """A file that was written: by which step, and what tells that it is still the same."""

    key: str
    size: int
    changed: int
    digest: str


def is_same(path: Path, kept: Kept) -> bool:
    """Whether a file is as it was written: by size and time, or, where it was copied since, by its bytes."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    if status.st_size != kept.size:
        return False
    return status.st_mtime_ns == kept.changed or (path.is_file() and sha256(path) == kept.digest)


@dataclass(frozen=True)
class Outcome:
    """What came of a step: its files, or what is wrong."""

    step: Step
    kept: tuple[Kept, ...] = ()
    problem: str = ""


@dataclass
class Journal:
    """What was written to a folder, by its path there: a line of JSON a file, added as it is done."""

    path: Path
    files: dict[str, Kept] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Journal:
        """The journal at *path*; an empty one where there is none. What a kill cut off was not done."""
        files: dict[str, Kept] = {}
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
            try:
                name, *kept = json.loads(line)
                check_name(name)
                files[name] = Kept(str(kept[0]), int(kept[1]), int(kept[2]), str(kept[3]))
            except (ValueError, TypeError, IndexError, AttributeError):
                continue
        return cls(path, files)

    def add(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Note each outcome as it comes, and hand it on."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("\n")  # behind what a kill cut off
            for outcome in outcomes:
                for name, kept in zip(outcome.step.targets, outcome.kept, strict=bool(outcome.kept)):
                    self.files[name] = kept
                    file.write(json.dumps([name, *kept]) + "\n")
                file.flush()
                yield outcome

    def write(self) -> None:
        """Write it anew, each file once."""
        with written_whole(self.path) as temporary:
            lines = (json.dumps([name, *kept]) + "\n" for name, kept in sorted(self.files.items()))
            temporary.write_text("".join(lines), encoding="utf-8")
