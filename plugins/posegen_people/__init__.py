"""The people domain: pairs of pictures of one person, structured by key points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from posegen.hookspecs import hookimpl

if TYPE_CHECKING:
    from posegen.data.keypoints import KeypointLayout, Keypoints
    from posegen.poses import StructureEstimator
    from posegen.preparing import Preparation
    from posegen.weights import WeightsFile


@hookimpl
def posegen_register() -> None:
    """Data sets of people, and a loss of their flows."""
    from . import body_mask, limb_flow, pairs, paperdoll  # noqa: F401


@hookimpl
def posegen_keypoint_layouts() -> Sequence[KeypointLayout]:
    """OpenPose's 18 points."""
    from .layouts import LAYOUTS

    return LAYOUTS


@hookimpl
def posegen_read_keypoints(path: Path, layout: KeypointLayout, image: Path | None) -> Keypoints | None:
    """OpenPose's 18 points from OpenPose, COCO or MMPose JSON, or from an annotation list."""
    from .annotations import read_keypoints
    from .layouts import OPENPOSE_18

    return read_keypoints(path, image) if layout.names == OPENPOSE_18.names else None


@hookimpl
def posegen_write_keypoints(path: Path, keypoints: Keypoints, layout: KeypointLayout) -> Path | None:
    """OpenPose's 18 points as OpenPose writes them."""
    from .annotations import write_openpose
    from .layouts import OPENPOSE_18

    return write_openpose(path, keypoints) if layout.names == OPENPOSE_18.names else None


@hookimpl
def posegen_shared_models() -> Mapping[str, Path]:
    """One of paper dolls."""
    return {"paperdolls": Path(__file__).with_name("shared") / "paperdolls"}


@hookimpl
def posegen_structure_estimators() -> Sequence[StructureEstimator]:
    """RTMPose, which gives OpenPose's 18 points."""
    from . import estimator

    return estimator.ESTIMATORS


@hookimpl
def posegen_weights() -> Sequence[WeightsFile]:
    """Those of RTMPose."""
    from . import estimator

    return estimator.ALL


@hookimpl
def posegen_preparations() -> Sequence[Preparation]:
    """Market-1501 and DeepFashion."""
    from . import preparing

    return preparing.PREPARATIONS
