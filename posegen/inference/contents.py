"""Describe a file that is in no format that is read, for errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..data.pose_files import kept_json
from ..errors import ConfigError, DataError
from ..files import MOST_OF_A_FRAME, printable, read_plain, read_text

MOST_KEYS = 8
MOST_LETTERS = 200
FIRST_LETTERS = 60


def describe_content(path: Path) -> str:
    """Describe what a file holds in at most 200 characters; nothing in it is executed."""
    describe = _DESCRIBED.get(path.suffix.lower(), _text)
    try:
        return printable(describe(path))[:MOST_LETTERS]
    except (DataError, ConfigError, ValueError, OSError, EOFError, RecursionError):
        return f"{path.stat().st_size:,} bytes"


def _json(path: Path) -> str:
    return _value(kept_json(path))


def _yaml(path: Path) -> str:
    return _value(read_plain(path)[0])


def _value(content: Any) -> str:
    if isinstance(content, dict):
        return f"an object with {', '.join(map(repr, list(content)[:MOST_KEYS])) or 'nothing in it'}"
    return f"a list of {len(content)}" if isinstance(content, list) else type(content).__name__


def _lines(path: Path) -> str:
    lines = read_text(path, MOST_OF_A_FRAME).splitlines()
    return f"{len(lines)} lines, the first {_value(json.loads(lines[0]))}" if lines else "an empty file"


def _array(path: Path) -> str:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    return f"an array {'×'.join(map(str, array.shape))} of {array.dtype}"


def _text(path: Path) -> str:
    words = read_text(path, MOST_OF_A_FRAME).split()
    return f"a text that begins {' '.join(words)[:FIRST_LETTERS]!r}" if words else "an empty file"


_DESCRIBED: dict[str, Callable[[Path], str]] = {
    ".json": _json,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".jsonl": _lines,
    ".npy": _array,
}
