"""The dance domain: clips of one person who moves, structured by key points and a drawn skeleton."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from posegen.hookspecs import hookimpl

if TYPE_CHECKING:
    from posegen.data.keypoints import KeypointLayout, Keypoints
    from posegen.data.pose_files import PoseFile


@hookimpl
def posegen_register() -> None:
    """Register clips from files, drawn clips, and their structure."""
    from . import clips, drawn, structure  # noqa: F401


@hookimpl
def posegen_catalogue() -> list[Any]:
    """Return Human3.6M's layout, FashionVideo, iPER, and data sets laid out like them."""
    from . import layouts, preparing

    return [*layouts.LAYOUTS, *preparing.PREPARATIONS]


@hookimpl
def posegen_read_keypoints(path: Path, layout: KeypointLayout) -> Keypoints | PoseFile | None:
    """Read Human3.6M's 17 points from cleaned points, or convert points that the people plugin reads."""
    from .keypoints import read_human36m
    from .layouts import HUMAN36M

    return read_human36m(path) if layout.names == HUMAN36M.names else None
