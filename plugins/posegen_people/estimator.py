"""RTMPose (Jiang et al., arXiv 2303.07399): find people and their key points with rtmlib and onnxruntime.

rtmlib fetches what it is not given as a file: so it gets files only, and their checksums are compared before.
"""

from __future__ import annotations

import contextlib
import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posegen.data import Keypoints, convert_keypoints
from posegen.data.estimators import Estimate, Figure, StructureEstimator
from posegen.data.pose_files import MIN_SCORE
from posegen.errors import CheckpointError, MissingWeightsError
from posegen.weights import WeightsFile, find_weights

from .layouts import COCO_17, OPENPOSE_18

ADDRESS = "https://download.openmmlab.com/mmpose/v1/projects/rtmposev1/onnx_sdk/"
MIRROR = "https://huggingface.co/Tau-J/RTMPose/resolve/main/rtmposev1/onnx_sdk/"
"""The author's copy of the same archives; rtmlib's own file.py falls back to it."""
INSTALL = "pip install --no-deps rtmlib && pip install onnxruntime tqdm"
"""Without its dependencies: it asks for opencv-python and opencv-contrib-python, two packages with one module, cv2. The
posegen brings OpenCV without a display, and they would be written over it."""


def _weights(name: str, stem: str, sha256: str) -> WeightsFile:
    return WeightsFile(
        f"{name} (end2end.onnx in the ZIP)",
        f"{stem}.onnx",
        f"{ADDRESS}{stem}.zip",
        sha256,
        used_by=("rtmpose",),
        member="end2end.onnx",
    )


# OpenMMLab prints no checksums. These are of the ONNX files in its archives, as five and more unrelated repositories on
# GitHub, which verify their downloads, print them; all agree, on the sizes too (101,400,344 and 54,330,655 bytes).
DETECTOR = _weights(
    "YOLOX-m, HumanArt and COCO, detector of RTMPose",
    "yolox_m_8xb8-300e_humanart-c2c7a14a",
    "3dea6513388889f0fff4b77bf7a26013600321b9eb9ceb0e9a400a82572f5f23",
)
POSE = _weights(
    "RTMPose-m, Body7, COCO's 17 points",
    "rtmpose-m_simcc-body7_pt-body7_420e-256x192-e48f03d0_20230504",
    "5c0a4bf67953e6d2ac43ce15e77dc9d5d354ae18430a47d2c5963a7bc5683e3c",
)
ALL = (DETECTOR, POSE)


def load() -> Estimate:
    """Load RTMPose with the published weights.

    Raises:
        MissingWeightsError: rtmlib, onnxruntime or weights are not on this machine; tells of all at once.
        CheckpointError: weights are damaged.
    """
    try:
        import onnxruntime  # noqa: F401
        import rtmlib

        missing = []
    except ImportError as error:
        missing = [f"the library {error.name} is not installed: {INSTALL}"]
    missing += [_how_to_get(file) for file in ALL if not file.path.is_file()]
    if missing:
        raise MissingWeightsError("\n".join([*missing, "Nothing is downloaded unasked."]))
    return RTMPose(rtmlib, find_weights(DETECTOR), find_weights(POSE))


def _how_to_get(file: WeightsFile) -> str:
    archive = file.address.rpartition("/")[2]
    place = shlex.quote(str(file.path))
    return (
        f"the weights {file.name!r} are missing: {file.path}\n"
        f"    posegen weights --download {file.file_name}\n"
        f"  or from {file.address} or {MIRROR}{archive}:\n"
        f"    mkdir -p {shlex.quote(str(file.path.parent))}\n"
        f"    unzip -p {archive} '*end2end.onnx' > {place}"
    )


class RTMPose:
    """Estimator of OpenPose's 18 key points: YOLOX finds boxes of people, RTMPose the points in each.

    Args:
        rtmlib: the library.
        detector: path of an ONNX file of YOLOX with its non-maximum suppression, as OpenMMLab exports it.
        pose: path of one of RTMPose with COCO's 17 points.

    Raises:
        CheckpointError: onnxruntime cannot read a file.
    """

    def __init__(self, rtmlib: Any, detector: Path, pose: Path) -> None:
        self.detector = _loaded(rtmlib.YOLOX, detector)
        self.pose = _loaded(rtmlib.RTMPose, pose)
        height, width = _input_size(self.detector)
        self.detector.model_input_size = height, width
        height, width = _input_size(self.pose)
        self.pose.model_input_size = width, height  # rtmlib counts the one so, the other so

    def __call__(self, image: np.ndarray) -> list[Figure]:
        """Find the people in an image uint8 H W 3, RGB. YOLOX was trained on BGR, RTMPose on RGB (rtmlib issue 48)."""
        boxes = self.detector(np.ascontiguousarray(image[..., ::-1]))
        if len(boxes) == 0:  # given no box, rtmlib takes the whole image for one
            return []
        points, scores = self.pose(image, bboxes=boxes)
        return [_figure(*found) for found in zip(points, scores, strict=True)]


def _figure(points: np.ndarray, scores: np.ndarray) -> Figure:
    """Convert COCO's 17 points to OpenPose's. Position and score of the neck are the mean of the shoulders'."""
    keypoints = Keypoints(points, scores >= MIN_SCORE)
    as_points = Keypoints(np.column_stack([scores, scores]), np.ones(len(scores), bool))
    found, sureness = (convert_keypoints(each, COCO_17.names, OPENPOSE_18) for each in (keypoints, as_points))
    return Figure(found, sureness.points[:, 0])


def _loaded(tool: Any, path: Path) -> Any:
    """Load a tool of rtmlib from a local file; rtmlib would download a missing one."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it loads
            return tool(str(path.resolve(strict=True)), backend="onnxruntime", device="cpu")
    except Exception as error:  # onnxruntime's are of many kinds
        raise CheckpointError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error


def _input_size(tool: Any) -> tuple[int, int]:
    """Return the (H, W) a network was exported for."""
    height, width = tool.session.get_inputs()[0].shape[-2:]
    if not isinstance(height, int) or not isinstance(width, int):
        raise CheckpointError(f"{tool.onnx_model} is no network of one size: it takes {height}×{width}")
    return height, width


ESTIMATORS: Sequence[StructureEstimator] = (StructureEstimator("rtmpose", OPENPOSE_18.name, load),)
