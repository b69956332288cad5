"""The faces domain: talking faces, structured by 68 landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from posegen.hookspecs import hookimpl

if TYPE_CHECKING:
    from posegen.data.keypoints import KeypointLayout, Keypoints
    from posegen.preparing import Preparation


@hookimpl
def posegen_register() -> None:
    """The structure encoder of faces, and data sets of clips."""
    from . import clips, drawn, structure  # noqa: F401


@hookimpl
def posegen_keypoint_layouts() -> Sequence[KeypointLayout]:
    """The 68 landmarks of iBUG."""
    from .layouts import LAYOUTS

    return LAYOUTS


@hookimpl
def posegen_read_keypoints(path: Path, layout: KeypointLayout, image: Path | None) -> Keypoints | None:
    """68 landmarks from a ``.txt`` file of rows ``x,y``."""
    from .layouts import IBUG_68, read_landmarks

    return read_landmarks(path) if path.suffix.lower() == ".txt" and layout.names == IBUG_68.names else None


@hookimpl
def posegen_preparations() -> Sequence[Preparation]:
    """Talking faces."""
    from . import preparing

    return preparing.PREPARATIONS
