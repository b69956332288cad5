"""Pose estimators that need no download: BlazePose for people, and the face mesh, with their networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from posegen.hookspecs import Command, hookimpl


@hookimpl
def posegen_catalogue() -> list[Any]:
    """Return both estimators, their layouts, and the files of their networks."""
    from . import estimators, networks

    return [*estimators.LAYOUTS, *estimators.ESTIMATORS, *networks.ALL]


@hookimpl
def posegen_commands() -> Sequence[Command]:
    """Return ``posegen keypoints``."""
    return [Command("keypoints", "Find key points in photographs and videos.", "posegen_blazepose.command")]
