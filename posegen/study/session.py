"""One rater at work: which trial is next, what it shows, and what was answered."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ..data.images import read_image
from .definition import Study
from .record import Answer, Record, now
from .statistics import report_rows
from .trials import SIDES, Trial, make_trials

MOST_MILLISECONDS = 24 * 3600 * 1000
CONTEXT = ("source", "target")


class Refused(Exception):
    """A request that does not fit where the session stands."""


class Session:
    """The trials of one rater, from the first one that the record has no answer to. Safe to call from many threads.

    Args:
        study: the definition.
        files: by role and name of the pair: see :class:`~posegen.study.definition.Found`.
        record: where answers go.
        rater: who answers.
    """

    def __init__(self, study: Study, files: Mapping[str, Mapping[str, Path]], record: Record, rater: str) -> None:
        self.study, self.files, self.record, self.rater = study, files, record, rater
        self.trials = make_trials(study, rater)
        self._views: Counter[int] = Counter()
        self._lock = threading.Lock()

    @property
    def next_trial(self) -> int:
        """The number of the first trial without an answer; that of all trials where there is none."""
        return len(self.record.of(self.rater))

    @property
    def finished(self) -> bool:
        """Whether every trial is answered."""
        return self.next_trial == len(self.trials)

    def state(self) -> dict[str, Any]:
        """What the page needs to know. It learns the result, and what A and B are, after the last trial only."""
        with self._lock:
            return self._state()

    def image(self, number: int, side: str) -> bytes:
        """An image of the trial that is next, as PNG: pixels alone, nothing else of the file.

        Raises:
            Refused: another trial, or no such side.
            DataError: the file cannot be read.
        """
        with self._lock:
            trial = self._next(number)
            role = trial.role(side) if side in SIDES else side
            if side not in SIDES and (side not in CONTEXT or side not in self.files):
                raise Refused("no such image")
            if side == SIDES[0]:  # the page asks for each side once a showing
                self._views[number] += 1
        buffer = io.BytesIO()
        Image.fromarray(read_image(self.files[role][trial.pair])).save(buffer, format="PNG")
        return buffer.getvalue()

    def answer(self, number: Any, choice: Any, milliseconds: Any) -> dict[str, Any]:
        """Keep an answer; returns the state after it.

        Raises:
            Refused: another trial is next (an answer sent twice, or from a second window), or no answer.
        """
        with self._lock:
            trial = self._next(number)
            if choice not in SIDES or type(milliseconds) is not int or not 0 <= milliseconds <= MOST_MILLISECONDS:
                raise Refused("not an answer")
            views = max(1, self._views[number])
            self.record.add(Answer(number, trial.pair, trial.a, choice, milliseconds, now(), self.rater, views))
            return self._state()

    def undo(self, number: Any) -> dict[str, Any]:
        """Take back the answer to trial *number*, which must be the last one; returns the state after it."""
        with self._lock:
            if type(number) is not int or number != self.next_trial - 1 or number < 0:
                raise Refused("not the last answer")
            self.record.undo(self.rater)
            return self._state()

    def close(self) -> None:
        """Wait for an answer that is being written, and close the record."""
        with self._lock:
            self.record.close()

    def _next(self, number: Any) -> Trial:
        if type(number) is not int or number != self.next_trial or self.finished:
            raise Refused("not the trial that is next")
        return self.trials[number]

    def _state(self) -> dict[str, Any]:
        return {
            "mode": self.study.mode,
            "question": self.study.question,
            "seconds": self.study.seconds,
            "context": [role for role in CONTEXT if role in self.files],
            "trial": self.next_trial,
            "trials": len(self.trials),
            "rater": self.rater,
            "report": report_rows(self.study, self.record.answers) if self.finished else None,
        }
