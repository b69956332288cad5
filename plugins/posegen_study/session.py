"""The trials of one rater: the next pair, its images, and the answers."""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from posegen.data.images import read_image

from .definition import SIDES, Study, make_trials
from .record import Answer, Record, now

MAX_MILLISECONDS = 24 * 3600 * 1000


class Refused(Exception):
    """A request that does not match the state of the session, such as an answer sent twice."""


class Session:
    """The trials of one rater, from the first one without an answer in the record. Thread-safe.

    Args:
        study: the definition.
        files: see :class:`~posegen_study.pairing.StudyImages`.
        record: receives the answers.
        rater: name of the rater.
    """

    def __init__(self, study: Study, files: Mapping[str, Mapping[str, Path]], record: Record, rater: str) -> None:
        self.study, self.files, self.record, self.rater = study, files, record, rater
        self.trials = make_trials(study, rater)
        self._views: Counter[int] = Counter()
        self._lock = threading.Lock()

    @property
    def next_trial(self) -> int:
        """Index of the first trial without an answer; the number of trials if all are answered."""
        return len(self.record.by(self.rater))

    @property
    def finished(self) -> bool:
        """Return whether every trial has an answer."""
        return self.next_trial == len(self.trials)

    def images(self) -> dict[str, bytes]:
        """Encode the images of the next trial as PNG without metadata, by side and by role of the context images.

        Raises:
            Refused: every trial has an answer.
            DataError: a file cannot be read.
        """
        with self._lock:
            if self.finished:
                raise Refused("every trial has an answer")
            number = self.next_trial
            trial = self.trials[number]
            self._views[number] += 1
        roles = {side: trial.role(side) for side in SIDES}
        roles |= {role: role for role in ("source", "target") if role in self.files}
        return {shown: _png(self.files[role][trial.pair]) for shown, role in roles.items()}

    def answer(self, number: Any, choice: Any, milliseconds: Any) -> None:
        """Record an answer; it is on the disk when this returns. The values come from a browser.

        Raises:
            Refused: not the next trial (an answer sent twice, or from a second window), or not an answer.
            DataError: the record cannot be written.
        """
        with self._lock:
            if type(number) is not int or number != self.next_trial or self.finished:
                raise Refused("not the next trial")
            if choice not in SIDES or type(milliseconds) is not int or not 0 <= milliseconds <= MAX_MILLISECONDS:
                raise Refused("not an answer")
            trial, views = self.trials[number], max(1, self._views[number])
            self.record.add(Answer(number, trial.pair, trial.a, choice, milliseconds, now(), self.rater, views))

    def undo(self, number: Any) -> None:
        """Take back the answer to trial *number*, which must be the last one.

        Raises:
            Refused: not the last answer.
            DataError: the record cannot be written.
        """
        with self._lock:
            if type(number) is not int or number != self.next_trial - 1 or number < 0:
                raise Refused("not the last answer")
            self.record.undo(self.rater)

    def close(self) -> None:
        """Wait for an answer that is being written, and close the record."""
        with self._lock:
            self.record.close()


def _png(path: Path) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(read_image(path, turned=True)).save(buffer, format="PNG")
    return buffer.getvalue()
