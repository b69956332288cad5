"""Files of a folder in the order a person would put them, and files that are written whole or not at all."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def natural_order(path: Path | str) -> list[tuple[int, int, str]]:
    """A key to sort names by, numbers by their value: ``2.png`` before ``10.png``."""
    parts = re.split(r"([0-9]+)", Path(path).name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A temporary path beside *path* to write to, renamed to *path* at the end: whoever sees the file sees the whole of
    it, and an error leaves what was there before. Parent folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
