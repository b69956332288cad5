"""Preference tests: raters choose between two images on a local page."""

from __future__ import annotations

from collections.abc import Sequence

from posegen.hookspecs import Command, hookimpl


@hookimpl
def posegen_commands() -> Sequence[Command]:
    """Add ``posegen study``."""
    return [Command("study", "Run a preference test: which image is real, or better?", "posegen_study.command")]
