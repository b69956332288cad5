"""Key-point layouts of dancers, and the conversion from OpenPose's points to Human3.6M's."""

from __future__ import annotations

import numpy as np
from posegen_people.layouts import OPENPOSE_18, body_parts, rest_pose

from posegen.data import KeypointLayout, Keypoints

_HUMAN36M = (
    "pelvis",
    "right hip", "right knee", "right ankle",
    "left hip", "left knee", "left ankle",
    "spine", "thorax", "nose", "head top",
    "left shoulder", "left elbow", "left wrist",
    "right shoulder", "right elbow", "right wrist",
)  # fmt: skip

HUMAN36M = KeypointLayout(
    name="human36m",
    names=_HUMAN36M,
    partner=(0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13),
    limbs=(
        (0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (5, 6), (0, 7), (7, 8), (8, 9), (9, 10),
        (8, 11), (11, 12), (12, 13), (8, 14), (14, 15), (15, 16),
    ),
    parts=body_parts(_HUMAN36M),
    rest=rest_pose(_HUMAN36M),
    colors=(
        (255, 255, 255),
        (0, 255, 170), (0, 255, 255), (0, 170, 255),
        (0, 85, 255), (60, 60, 255), (85, 0, 255),
        (255, 0, 0), (255, 0, 85), (255, 0, 170), (255, 0, 255),
        (85, 255, 0), (0, 255, 0), (0, 255, 85),
        (255, 85, 0), (255, 170, 0), (255, 255, 0),
    ),
)  # fmt: skip

LAYOUTS = (HUMAN36M,)


def human36m_from_openpose(keypoints: Keypoints) -> Keypoints:
    """Convert OpenPose's 18 points to Human3.6M's 17.

    Shoulders, elbows, wrists, hips, knees and ankles are the same. The pelvis is the middle of the hips; the thorax
    is the neck (without one, the middle of the shoulders); the spine is the middle of pelvis and thorax. The nose is
    the nose, or, of a head seen from behind, the middle of the ears. The head top is as far above the nose as
    the nose is above the thorax: so it is in a person who stands upright and looks ahead. A point is missing where one
    it is made from is missing.
    """
    found = {name: keypoints.points[k] for k, name in enumerate(OPENPOSE_18.names) if keypoints.present[k]}

    def add(name: str, first: str, second: str, weights: tuple[float, float] = (0.5, 0.5)) -> None:
        if name not in found and first in found and second in found:
            found[name] = weights[0] * found[first] + weights[1] * found[second]

    if "neck" in found:
        found["thorax"] = found["neck"]
    add("thorax", "right shoulder", "left shoulder")
    add("pelvis", "right hip", "left hip")
    add("spine", "pelvis", "thorax")
    add("nose", "right ear", "left ear")
    add("head top", "nose", "thorax", (2, -1))
    missing = np.zeros(2, np.float32)
    return Keypoints(
        np.array([found.get(name, missing) for name in HUMAN36M.names]),
        np.array([name in found for name in HUMAN36M.names]),
    )
