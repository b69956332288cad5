"""Messages of the page: in its words, at the place of their cause."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from posegen.errors import DataError, PosegenError

from .web import gr

Note = dict[str, Any] | None
"""Value of the component ``note``: ``{"text", "error"}``."""

_FOLDER = re.compile(r"(?<![\w/])/(?:[^\s/:]+/)+")
_OF_COMMANDS = re.compile(r"\s*\([^()]*--[^()]*\)")
_UNREAD = re.compile(r"no plugin reads \S+ key points from this file, [^\n]*")
_MOST_LINES = 6


def note(text: str) -> Note:
    """Return a message that is no error; an empty text clears the place."""
    return {"text": text, "error": False} if text else None


def without_error(value: Any) -> Any:
    """Build the update that clears a note, given its value, if it reports an error: something else was given since."""
    return None if isinstance(value, dict) and value.get("error") else gr.skip()


def refusal(error: PosegenError) -> dict[str, Any]:
    """Return the message of an error in words for a page: without folders, options of commands, and hints."""
    text = str(error)
    if isinstance(error, DataError) and error.problems:
        text = "\n".join([*(f"{error.where}: {problem}" for problem in error.problems), error.hint])
    text = _UNREAD.sub("this is no picture and no file of key points", _OF_COMMANDS.sub("", _FOLDER.sub("", text)))
    lines = text.splitlines()
    lines = [line for line in lines if line and "--" not in line and "docs/" not in line]
    left = len(lines) - _MOST_LINES
    shown = lines[:_MOST_LINES] + ([f"… and {left} more"] if left > 0 else [])
    return {"text": "\n".join(shown) or "This does not work with this model.", "error": True}


def reporting_errors(outputs: int, clears: int | None = None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate an event handler to send a PosegenError to its last output, a note, after *outputs* others.

    Args:
        outputs: number of the others, which stay as they are.
        clears: number of the output that is emptied with an error: the upload that was refused; None: none.
    """

    def answer(error: PosegenError) -> tuple:
        others = [gr.update(value=None) if number == clears else gr.skip() for number in range(outputs)]
        return *others, refusal(error)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def returning(*arguments: Any) -> tuple:
            try:
                return function(*arguments)
            except PosegenError as error:
                return answer(error)

        return returning

    return decorate
