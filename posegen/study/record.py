"""The record of a study: a JSON lines file that is only ever appended to.

The first line is the definition; every other line is an answer, or takes the rater's last answer back.
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

from ..errors import ConfigError, DataError
from ..files import MOST_OF_A_LIST, read_bytes, written_whole
from .definition import Study
from .trials import SIDES, make_trials

HINT = "Give another --out for a new study."


@dataclass(frozen=True)
class Answer:
    """One answer, as a line of the record.

    Args:
        trial: its number among the trials of the rater, from 0.
        pair: the name of the pair.
        a: the side on which A stood.
        choice: the side that was chosen.
        milliseconds: from when the images were shown to the answer.
        time: UTC, ISO 8601.
        rater: who answered.
        views: how often the images of this trial had been shown since the command was started: more than 1 after an
            undo, or when the page was loaded again.
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
        """Whether A was chosen."""
        return self.choice == self.a


def now() -> str:
    """The time, UTC, as in the record."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


class Record:
    """The file of one study, open to be appended to. A new one is begun where there is none.

    Args:
        path: of the file; parent folders are made.
        study: the definition, which that of an existing file must agree with.

    Attributes:
        answers: those that stand, of all raters, in the order they were given.
        torn: what was cut off the end of the file: a line whose writing was broken off. Empty: nothing.

    Raises:
        ConfigError: the file is the record of another study (says what differs), or another process writes to it.
        DataError: the file is no record, or damaged.
    """

    def __init__(self, path: Path, study: Study) -> None:
        self.path = path
        if path.is_dir():
            raise ConfigError(f"{path} is a folder; the record is a file in one, such as {path / 'study.jsonl'}")
        if not path.exists():
            _begin(path, study)
        self._file = FileIO(path, "r+")
        try:
            _lock(self._file, path)
            known, self.answers, self.torn = _read(path)
            differences = study.differences(known)
            if differences:
                told = "\n".join(f"  - {line}" for line in differences)
                raise ConfigError(f"{path} is the record of another study:\n{told}\n{HINT}")
            self._file.truncate(path.stat().st_size - len(self.torn))
        except BaseException:
            self._file.close()
            raise

    def of(self, rater: str) -> list[Answer]:
        """The answers of *rater*: of the first trials, in order."""
        return [answer for answer in self.answers if answer.rater == rater]

    def add(self, answer: Answer) -> None:
        """Append an answer. It is on the disk when this returns. DataError: it cannot be written."""
        self._append(asdict(answer))
        self.answers.append(answer)

    def undo(self, rater: str) -> None:
        """Take the last answer of *rater* back, by a line that says so. ValueError: there is none."""
        given = self.of(rater)
        if not given:
            raise ValueError("there is no answer to take back")
        self._append({"undo": given[-1].trial, "rater": rater, "time": now()})
        self.answers.remove(given[-1])

    def close(self) -> None:
        """Close the file; another process may then write to it."""
        self._file.close()

    def _append(self, line: dict[str, Any]) -> None:
        content = _encode(line)
        end = self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(end)  # else the next answer would stand behind half of this one
            raise DataError(self.path, f"cannot be written: {error.strerror}") from error


def read_records(paths: Sequence[Path]) -> tuple[Study, list[Answer], list[str]]:
    """The study and all answers of one or more records of it, as of raters who sat at different machines.

    Returns:
        The definition of the first; the answers of all; what a reader should know (a torn last line).

    Raises:
        ConfigError: they are not of one study, or one rater's name is in two of them.
        DataError: a file is no record, or damaged.
    """
    study: Study | None = None
    together: list[Answer] = []
    notes: list[str] = []
    for path in paths:
        known, answers, torn = _read(path)
        study = study or known
        differences = known.differences(study)
        if differences:
            told = "\n".join(f"  - {line}" for line in differences)
            raise ConfigError(f"{path} is not of the study of {paths[0]}:\n{told}")
        both = {answer.rater for answer in answers} & {answer.rater for answer in together}
        if both:
            raise ConfigError(f"{path}: {', '.join(sorted(both))} answered in another record too; tell them apart")
        together += answers
        notes += [f"{path}: the last line is torn and not counted ({len(torn)} bytes)"] if torn else []
    if study is None:
        raise ConfigError("no record is given")
    return study, together, notes


def _begin(path: Path, study: Study) -> None:
    """Write the definition, under a temporary name first: there is never half of it."""
    with written_whole(path) as temporary:
        temporary.write_bytes(_encode({"study": study.to_dict(), "time": now()}))


def _encode(line: dict[str, Any]) -> bytes:
    return (json.dumps(line, ensure_ascii=False) + "\n").encode()


def _lock(file: FileIO, path: Path) -> None:
    """Refuse a second process, where the system has such locks (not Windows)."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise ConfigError(
            f"{path}: another `posegen study` is writing to it; end that, or give another --out"
        ) from error


def _read(path: Path) -> tuple[Study, list[Answer], bytes]:
    """Definition, answers that stand, and what follows the last end of a line."""
    *lines, torn = read_bytes(path, MOST_OF_A_LIST).split(b"\n")
    try:
        study = Study.from_dict(json.loads(lines[0])["study"])
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(path, "line 1: not the definition of a study", HINT) from error
    answers, problems = _replay(study, lines[1:])
    if problems:
        raise DataError(
            path, problems, "The file was changed by hand, or is damaged; put the lines right, or remove them."
        )
    return study, answers, torn


def _replay(study: Study, lines: Sequence[bytes]) -> tuple[list[Answer], list[str]]:
    """The answers that stand after all *lines*, and what is wrong with lines."""
    given: dict[str, list[Answer]] = {}
    trials = {}
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
                    raise ValueError("takes back what is not the last answer")
                continue
            answer = Answer(**data)
            _check_answer(answer, len(before), trials[rater])
            before.append(answer)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            problems.append(f"line {number}: {error}")
    standing = [answer for answers in given.values() for answer in answers]
    return sorted(standing, key=lambda answer: answer.time), problems


def _check_answer(answer: Answer, expected: int, trials: Sequence[Any]) -> None:
    if answer.choice not in SIDES:
        raise ValueError(f"choice is left or right, not {answer.choice!r}")
    if answer.trial != expected or answer.trial >= len(trials):
        raise ValueError(f"trial {answer.trial}, where {expected} should be, of {len(trials)}")
    trial = trials[answer.trial]
    if (answer.pair, answer.a) != (trial.pair, trial.a):
        raise ValueError(
            f"trial {answer.trial} shows {trial.pair} with A {trial.a}, not {answer.pair} with A {answer.a}"
        )
