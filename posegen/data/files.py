"""Files of a folder, in the order a person would put them."""

from __future__ import annotations

import re
from pathlib import Path


def natural_order(path: Path | str) -> list[tuple[int, int, str]]:
    """A key to sort names by, numbers by their value: ``2.png`` before ``10.png``."""
    parts = re.split(r"([0-9]+)", Path(path).name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts if part]
