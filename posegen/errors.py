"""Errors for the person who reads them: what was wrong, where, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path


class PosegenError(Exception):
    """Base of every error that posegen raises on purpose; the commands print it without a traceback."""


class ConfigError(PosegenError):
    """A config, or an override on the command line, asks for something that does not exist."""


class DataError(PosegenError):
    """Files of a data set cannot be used. Names every bad row at once, not one a run.

    Args:
        where: the file or folder. Alone, it is the whole message: so torch rebuilds what a data loader's worker raised.
        problems: what is wrong, each with its row or key.
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
        """Picklable, so that a data loader's worker can hand it on."""
        return DataError, (self.where, self.problems or None, self.hint)


class InputError(PosegenError, ValueError):
    """Tensors or settings whose shapes do not fit a network, or each other."""


class CheckpointError(PosegenError):
    """A weight file is unreadable, unsafe, or belongs to another architecture."""


class MissingWeightsError(PosegenError):
    """Pretrained weights are needed and not there. Nothing is downloaded behind the user's back."""


class UnknownNameError(ConfigError, KeyError):
    """A registry has no part of that name; the message lists the names there are and the nearest."""

    def __str__(self) -> str:  # KeyError would print the repr
        return str(self.args[0])


def nearest(name: str, names: Iterable[str]) -> str:
    """``", did you mean 'x'?"`` for the closest of *names*, or an empty string."""
    match = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""
