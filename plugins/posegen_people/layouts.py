"""Key-point layouts of people."""

from posegen.data.keypoints import KeypointLayout

OPENPOSE_18 = KeypointLayout(
    name="openpose18",
    names=(
        "nose", "neck",
        "right shoulder", "right elbow", "right wrist",
        "left shoulder", "left elbow", "left wrist",
        "right hip", "right knee", "right ankle",
        "left hip", "left knee", "left ankle",
        "right eye", "left eye", "right ear", "left ear",
    ),
    partner=(0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16),
    limbs=(
        (1, 0), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
        (0, 14), (14, 16), (0, 15), (15, 17),
    ),
    colors=(
        (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
        (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
        (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
    ),
)  # fmt: skip

LAYOUTS = (OPENPOSE_18,)
