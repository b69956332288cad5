"""People in three dimensions: dressed, lit bodies in any pose and from any side, drawn from a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from posegen.hookspecs import hookimpl


@hookimpl
def posegen_register() -> None:
    """Register the data sets of pairs and clips."""
    from . import people3d  # noqa: F401


@hookimpl
def posegen_catalogue() -> list[Any]:
    """Return the preparation that draws pairs to a folder, and the model people3d."""
    from posegen.sharing import SharedModel

    from . import preparing

    folder = Path(__file__).with_name("shared") / "people3d"
    return [*preparing.PREPARATIONS, SharedModel("people3d", folder, examples=(40, 55, 16, 34, 39, 9, 8, 12))]
