"""The views domain: objects seen from another side (cars and chairs of ShapeNet, drawn solids)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from posegen.hookspecs import hookimpl

if TYPE_CHECKING:
    from posegen.preparing import Preparation


@hookimpl
def posegen_register() -> None:
    """The view encoder, networks that take a view, and data sets of views."""
    from . import drawn, networks, structure, views  # noqa: F401


@hookimpl
def posegen_preparations() -> Sequence[Preparation]:
    """ShapeNet's cars and chairs."""
    from . import preparing

    return preparing.PREPARATIONS
