"""A local page to try a model: edit a pose, see the result, and see where each pixel of it comes from."""

from __future__ import annotations

from collections.abc import Sequence

from posegen.hookspecs import Command, hookimpl


@hookimpl
def posegen_commands() -> Sequence[Command]:
    """Add ``posegen app``."""
    return [Command("app", "Try a model on a local page: edit a pose and see the result.", "posegen_app.command")]
