"""Key-point layouts of people."""

from collections.abc import Sequence

from posegen.data.keypoints import KeypointLayout, RigidPart

# Parts: name, ends by names of key points (the mean of those that a layout has), radius in lengths of the torso, reach,
# order, sides; see RigidPart.
_SHOULDERS, _HIPS = ("left shoulder", "right shoulder"), ("left hip", "right hip")
_FACE = ("nose", "left eye", "right eye", "left ear", "right ear", "head top")
_PARTS = (
    ("torso", ("neck",), _HIPS, 0.39, 0.5, -1.9, ((_SHOULDERS[1], _SHOULDERS[0]), (_HIPS[1], _HIPS[0]))),
    ("head", ("neck",), _FACE, 0.28, 0.5, 0.9, (("right ear", "left ear"), ("right eye", "left eye"))),
    ("hips", _HIPS, ("left knee", "right knee"), 0.30, 0.05, -1.7, ((_HIPS[1], _HIPS[0]),)),
    *(
        (f"{side} {part}", (f"{side} {start}",), (f"{side} {end}",), radius, reach, order, ())
        for side in ("right", "left")
        for part, start, end, radius, reach, order in (
            ("upper arm", "shoulder", "elbow", 0.14, -0.4, 1.2),
            ("forearm", "elbow", "wrist", 0.11, 0.13, 2.0),
            ("thigh", "hip", "knee", 0.24, 0.0, -0.7),
            ("shin", "knee", "ankle", 0.2, -0.05, -0.7),
        )
    ),
)


def body_parts(names: Sequence[str]) -> tuple[RigidPart, ...]:
    """Return the rigid parts of a body for a layout with points of these names.

    Radii, reaches and orders were fitted to the flow of drawn people (docs/method.md#guided-gfla-not-published). A
    layout without a neck uses the middle of the shoulders.
    """

    def indices(points: Sequence[str]) -> tuple[int, ...]:
        points = _SHOULDERS if tuple(points) == ("neck",) and "neck" not in names else points
        return tuple(names.index(point) for point in points if point in names)

    parts = []
    for name, start, end, radius, reach, order, sides in _PARTS:
        pairs = tuple((names.index(a), names.index(b)) for a, b in sides if {a, b} <= set(names))
        parts.append(RigidPart(name, indices(start), indices(end), radius, reach, order, pairs))
    return tuple(part for part in parts if part.start and part.end)


_OPENPOSE_18 = (
    "nose", "neck",
    "right shoulder", "right elbow", "right wrist",
    "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle",
    "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip

OPENPOSE_18 = KeypointLayout(
    name="openpose18",
    names=_OPENPOSE_18,
    partner=(0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16),
    limbs=(
        (1, 0), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13),
        (0, 14), (14, 16), (0, 15), (15, 17),
    ),
    parts=body_parts(_OPENPOSE_18),
    colors=(
        (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
        (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
        (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
    ),
)  # fmt: skip

LAYOUTS = (OPENPOSE_18,)
