"""People in three dimensions: dressed, lit bodies in any pose and from any side, drawn from a seed."""

from __future__ import annotations

from typing import Any

from posegen.hookspecs import hookimpl


@hookimpl
def posegen_register() -> None:
    """Register the data sets of pairs and clips."""
    from . import people3d  # noqa: F401


@hookimpl
def posegen_catalogue() -> list[Any]:
    """Return the preparation that draws pairs to a folder."""
    from . import preparing

    return [*preparing.PREPARATIONS]
