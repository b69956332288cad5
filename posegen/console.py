"""Standard output and error: steps of a command, characters that cannot be shown, a reader that has gone."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import TextIO

CLOSED_PIPE = 141
"""Exit status after writing to a pipe without a reader, as shells use it."""


def replace_unknown_characters() -> None:
    """Print a question mark for each character that the encoding of standard output or standard error lacks.

    Otherwise the interpreter ends the command with a UnicodeEncodeError.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not in a notebook
            stream.reconfigure(errors="replace")


def show_step(step: str) -> None:
    """Print a step of a command that takes a moment, for the person at the terminal; nothing in a pipe or file."""
    if sys.stderr.isatty():
        print(f"{step} …", file=sys.stderr, flush=True)


def discard_output() -> bool:
    """Write standard output and standard error to nowhere from now on, as far as nobody reads them.

    Otherwise the interpreter reports a broken pipe when it exits.

    Returns:
        Whether nobody reads one of them.
    """
    closed = [stream for stream in (sys.stdout, sys.stderr) if _is_closed(stream)]
    for stream in closed:
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
    return bool(closed)


def _is_closed(stream: TextIO) -> bool:
    """Return whether a stream writes to a pipe whose reader has gone."""
    try:
        stream.flush()
        number = stream.fileno()
    except BrokenPipeError:
        return True
    except (OSError, ValueError):  # no file, as in a notebook
        return False
    if sys.platform == "win32":
        return False
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
