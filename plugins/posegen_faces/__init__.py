"""The faces domain: talking faces, structured by 68 landmarks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from posegen.hookspecs import hookimpl

if TYPE_CHECKING:
    from posegen.data.keypoints import KeypointLayout, Keypoints


@hookimpl
def posegen_register() -> None:
    """Register structure encoders of faces, their flow prior and data sets of clips."""
    from . import clips, drawn, landmark_flow, structure  # noqa: F401


@hookimpl
def posegen_catalogue() -> list[Any]:
    """Return the 68 landmarks of iBUG, talking faces, and the model drawnfaces."""
    from posegen.sharing import SharedModel

    from . import layouts, preparing

    shared = SharedModel("drawnfaces", Path(__file__).with_name("shared") / "drawnfaces")
    return [*layouts.LAYOUTS, *preparing.PREPARATIONS, shared]


@hookimpl
def posegen_read_keypoints(path: Path, layout: KeypointLayout, image: Path | None) -> Keypoints | None:
    """Read 68 landmarks from a ``.txt`` file of rows ``x,y``."""
    from .layouts import IBUG_68, read_landmarks

    return read_landmarks(path) if path.suffix.lower() == ".txt" and layout.names == IBUG_68.names else None


@hookimpl
def posegen_write_keypoints(path: Path, keypoints: Keypoints, layout: KeypointLayout) -> Path | None:
    """Write 68 landmarks as rows ``x,y``."""
    from .layouts import IBUG_68, write_landmarks

    return write_landmarks(path, keypoints) if layout.names == IBUG_68.names else None
