"""The dance domain."""

from __future__ import annotations

from posegen.hookspecs import hookimpl


@hookimpl
def posegen_register() -> None:
    """Import the modules in which the domain's parts register themselves."""
