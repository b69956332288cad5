"""The views domain: objects seen from another side (cars and chairs of ShapeNet, drawn solids)."""

from __future__ import annotations

from typing import Any

from posegen.hookspecs import hookimpl


@hookimpl
def posegen_register() -> None:
    """Register the view encoder, networks that take a view, and data sets of views."""
    from . import drawn, networks, structure, turntable, views  # noqa: F401


@hookimpl
def posegen_catalogue() -> list[Any]:
    """Return ShapeNet's cars and chairs."""
    from . import preparing

    return [*preparing.PREPARATIONS]
