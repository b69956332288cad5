"""The record of a study: an append-only JSON Lines file.

The first line is the definition; every other line is an answer, or takes back the rater's last answer.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from io import FileIO
from pathlib import Path
from typing import Any

from posegen.errors import ConfigError, DataError
from posegen.files import MOST_OF_A_LIST, read_bytes, written_whole

from .definition import SIDES, Study, Trial, make_trials

HINT = "Choose another --out for a new study."


@dataclass(frozen=True)
class Answer:
    """One answer, a line of the record.

    Args:
        trial: index among the trials of the rater, from 0.
        pair: name of the pair.
        a: side that showed A.
        choice: chosen side.
        milliseconds: time from the display of the images to the answer.
        time: UTC, ISO 8601.
        rater: name of the rater.
        views: number of times the images of this trial were sent to the page since the command started: more than 1
            after an undo, a pause, or a reload of the page.
    """

    trial: int
    pair: str
    a: str
    choice: str
    milliseconds: int
    time: str
    rater: str
    views: int = 1

    @property
    def chose_a(self) -> bool:
        """Return whether A was chosen."""
        return self.choice == self.a


def now() -> str:
    """Return the current UTC time as written to the record."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class Record:
    """The record file of one study, opened to append; created if missing.

    Args:
        path: the file; parent folders are created.
        study: the definition, which must match that of an existing file.

    Attributes:
        answers: all valid answers, of all raters, in order of time.
        torn: incomplete last line that was cut off the file; empty if there was none.

    Raises:
        ConfigError: the file is the record of another study (names the differences), or another process writes to it.
        DataError: the file is no record, or damaged.
    """

    def __init__(self, path: Path, study: Study) -> None:
        self.path = path
        if path.is_dir():
            raise ConfigError(f"{path} is a folder; give a file, such as {path / 'study.jsonl'}")
        if not path.exists():
            with written_whole(path) as temporary:
                temporary.write_bytes(_encode({"study": study.to_dict(), "time": now()}))
        self._file = FileIO(path, "r+")
        try:
            _lock(self._file, path)
            recorded, self.answers, self.torn = _read(path)
            _check_same(f"{path} is the record of another study", study.differences(recorded), HINT)
            self._file.truncate(path.stat().st_size - len(self.torn))
        except BaseException:
            self._file.close()
            raise

    def by(self, rater: str) -> list[Answer]:
        """List the answers of *rater*, in order of the trials."""
        return [answer for answer in self.answers if answer.rater == rater]

    def add(self, answer: Answer) -> None:
        """Append an answer; it is on the disk when this returns. DataError: the file cannot be written."""
        self._append(asdict(answer))
        self.answers.append(answer)

    def undo(self, rater: str) -> None:
        """Take back the last answer of *rater* by appending a line. ValueError: there is none."""
        given = self.by(rater)
        if not given:
            raise ValueError("there is no answer to take back")
        self._append({"undo": given[-1].trial, "rater": rater, "time": now()})
        self.answers.remove(given[-1])

    def close(self) -> None:
        """Close the file, so that another process may write to it."""
        self._file.close()

    def _append(self, line: dict[str, Any]) -> None:
        content = _encode(line)
        end = self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(end)  # the next answer must not follow half of this one
            raise DataError(self.path, f"cannot be written: {error.strerror}") from error


def read_records(paths: Sequence[Path]) -> tuple[Study, list[Answer], list[str]]:
    """Read one or more records of the same study, for example from raters at different machines.

    Returns:
        The definition; the answers of all records; notes for the reader (a torn last line).

    Raises:
        ConfigError: the records are of different studies, or two contain the same rater.
        DataError: a file is no record, or damaged.
    """
    study: Study | None = None
    together: list[Answer] = []
    notes: list[str] = []
    for path in paths:
        recorded, answers, torn = _read(path)
        study = study or recorded
        _check_same(f"{path} and {paths[0]} are records of different studies", recorded.differences(study))
        both = {answer.rater for answer in answers} & {answer.rater for answer in together}
        if both:
            raise ConfigError(f"{path}: another record contains the same rater: {', '.join(sorted(both))}")
        together += answers
        notes += [f"{path}: ignored an incomplete last line ({len(torn)} bytes)"] if torn else []
    if study is None:
        raise ConfigError("no record given")
    return study, together, notes


def _check_same(message: str, differences: Sequence[str], hint: str = "") -> None:
    if differences:
        raise ConfigError("\n".join([f"{message}:", *(f"  - {line}" for line in differences), hint]).rstrip())


def _encode(line: dict[str, Any]) -> bytes:
    return (json.dumps(line, ensure_ascii=False) + "\n").encode()


def _lock(file: FileIO, path: Path) -> None:
    """Lock the file against a second process, where the system supports it (not Windows)."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigError(f"{path} is in use by another `posegen study`. End it, or choose another --out.") from error


def _read(path: Path) -> tuple[Study, list[Answer], bytes]:
    """Read the definition, the valid answers, and the bytes after the last newline."""
    *lines, torn = read_bytes(path, MOST_OF_A_LIST).split(b"\n")
    try:
        study = Study.from_dict(json.loads(lines[0])["study"])
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(path, "line 1: not the definition of a study", HINT) from error
    answers, problems = _replay(study, lines[1:])
    if problems:
        raise DataError(path, problems, "The file is damaged or was edited: correct these lines, or remove them.")
    return study, answers, torn


def _replay(study: Study, lines: Sequence[bytes]) -> tuple[list[Answer], list[str]]:
    """Apply all lines in order: the answers that remain, and the errors by line."""
    given: dict[str, list[Answer]] = {}
    trials: dict[str, list[Trial]] = {}
    problems = []
    for number, line in enumerate(lines, start=2):
        try:
            data = json.loads(line)
            rater = data["rater"]
            before = given.setdefault(rater, [])
            if rater not in trials:
                trials[rater] = make_trials(study, rater)
            if "undo" in data:
                if not before or before.pop().trial != data["undo"]:
                    raise ValueError("takes back an answer other than the last one")
                continue
            answer = Answer(**data)
            _check_answer(answer, len(before), trials[rater])
            before.append(answer)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            problems.append(f"line {number}: {error}")
    remaining = [answer for answers in given.values() for answer in answers]
    return sorted(remaining, key=lambda answer: answer.time), problems


def _check_answer(answer: Answer, expected: int, trials: Sequence[Trial]) -> None:
    if answer.choice not in SIDES:
        raise ValueError(f"choice must be left or right, got {answer.choice!r}")
    if answer.trial != expected or answer.trial >= len(trials):
        raise ValueError(f"trial {answer.trial} of {len(trials)}, expected trial {expected}")
    trial = trials[answer.trial]
    if (answer.pair, answer.a) != (trial.pair, trial.a):
        raise ValueError(
            f"trial {answer.trial} shows pair {trial.pair} with A {trial.a}, not {answer.pair} with A {answer.a}"
        )
