"""Errors and warnings that posegen raises on purpose. A message says what happened, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

MOST_NAMES = 5
"""Largest number of names that a message lists."""


class PosegenError(Exception):
    """Base class of all errors of posegen; commands print the message without a traceback."""


class ConfigError(PosegenError):
    """A config, an override, or an argument names something that does not exist or is not allowed."""


class DataError(PosegenError):
    """Files of a data set cannot be used. Lists all problems at once.

    Args:
        where: file or folder; without problems, the whole message, as torch rebuilds a worker's error.
        problems: each problem with its row or key.
        hint: what to do.
    """

    MOST_SHOWN = 50

    def __init__(self, where: str | Path, problems: str | Sequence[str] | None = None, hint: str = "") -> None:
        self.where, self.hint = str(where), hint
        self.problems = [problems] if isinstance(problems, str) else list(problems or [])
        super().__init__(self.where if problems is None else self._message())

    def _message(self) -> str:
        shown = self.problems[: self.MOST_SHOWN]
        left = len(self.problems) - len(shown)
        lines = [f"{self.where}: {len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"]
        lines += [f"  - {problem}" for problem in shown]
        lines += [f"  … and {left} more"] if left else []
        lines += [self.hint] if self.hint else []
        return "\n".join(lines)

    def __reduce__(self) -> tuple:
        """Make the error picklable, so that a data loader's worker can pass it on."""
        return DataError, (self.where, self.problems or None, self.hint)


class InputError(PosegenError, ValueError):
    """Shapes of tensors or settings do not fit a network, or each other."""


class CheckpointError(PosegenError):
    """A weight file is unreadable, unsafe, or of another architecture."""


class MissingWeightsError(PosegenError):
    """Pretrained weights are missing. Nothing is downloaded unasked."""


class RetargetWarning(UserWarning):
    """A pose is fitted to the figure of a source, unasked. Commands tell of all poses at once.

    Args:
        name: name of the pose.
        what: what is done, and why.
    """

    def __init__(self, name: str, what: str) -> None:
        super().__init__(f"{name}: {what}")
        self.name, self.what = name, what


class UnknownNameError(ConfigError, KeyError):
    """No part or record has that name; the message lists the known names and the nearest."""

    def __str__(self) -> str:  # KeyError would print the repr
        return str(self.args[0])


def some_names(names: Sequence[str]) -> str:
    """Join the first :data:`MOST_NAMES` names for a message, with an ellipsis if there are more."""
    return ", ".join([*names[:MOST_NAMES], *(["…"] if len(names) > MOST_NAMES else [])])


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest of *names*, or an empty string."""
    match = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""
