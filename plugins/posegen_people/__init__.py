"""The people domain: pairs of pictures of one person, structured by key points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from posegen.hookspecs import hookimpl

if TYPE_CHECKING:
    from posegen.data.keypoints import KeypointLayout, Keypoints
    from posegen.data.pose_files import PoseFile


@hookimpl
def posegen_register() -> None:
    """Register data sets of people, a prior and a loss of their flows."""
    from . import body_mask, limb_flow, pairs, paperdoll, turning_flow  # noqa: F401


@hookimpl
def posegen_catalogue() -> list[Any]:
    """Return the layouts, Market-1501 and DeepFashion, RTMPose with its weights, and the model paperdolls."""
    from posegen.sharing import SharedModel

    from . import estimator, layouts, preparing

    shared = SharedModel("paperdolls", Path(__file__).with_name("shared") / "paperdolls")
    return [*layouts.LAYOUTS, *preparing.PREPARATIONS, *estimator.ESTIMATORS, *estimator.ALL, shared]


@hookimpl
def posegen_read_keypoints(path: Path, layout: KeypointLayout) -> PoseFile | None:
    """Read a layout of people from JSON of OpenPose, COCO, MMPose, AlphaPose and others, or from an annotation list."""
    from .layouts import LAYOUTS
    from .pose_formats import read_poses

    return read_poses(path, layout) if any(layout.names == one.names for one in LAYOUTS) else None


@hookimpl
def posegen_write_keypoints(path: Path, keypoints: Keypoints, layout: KeypointLayout) -> Path | None:
    """Write OpenPose's 18 points as OpenPose does, and other layouts of people in posegen's own format."""
    from .annotations import write_openpose, write_own
    from .layouts import LAYOUTS, OPENPOSE_18

    if layout.names == OPENPOSE_18.names:
        return write_openpose(path, keypoints)
    known = keypoints.frame is not None and any(layout.names == one.names for one in LAYOUTS)
    return write_own(path, keypoints, layout) if known else None
