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

BODY_PARTS = tuple(name for name, *_ in _PARTS)
"""Names of the rigid parts of a body."""


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


_REST = {
    "head top": (0.0, 0.0),
    "nose": (0.0, 0.081),
    "left eye": (0.017, 0.063),
    "left ear": (0.043, 0.074),
    "neck": (0.0, 0.199),
    "thorax": (0.0, 0.199),
    "spine": (0.0, 0.335),
    "mid hip": (0.0, 0.47),
    "pelvis": (0.0, 0.47),
    "left shoulder": (0.099, 0.199),
    "left elbow": (0.152, 0.344),
    "left wrist": (0.211, 0.466),
    "left hip": (0.065, 0.47),
    "left knee": (0.079, 0.706),
    "left ankle": (0.094, 0.954),
    "left big toe": (0.092, 0.984),
    "left small toe": (0.122, 0.984),
    "left heel": (0.094, 0.97),
}
_REST |= {f"right{name[4:]}": (-x, y) for name, (x, y) in _REST.items() if name.startswith("left ")}


def rest_pose(names: Sequence[str]) -> tuple[tuple[float, float] | None, ...]:
    """Return a person who stands and faces the viewer, arms a little apart, for a layout with points of these names.

    The unit is the person's height. Places are those of the mean body of people in 3D (plugin posegen_people3d) with
    the arms turned out by 0.35 and the legs by 0.06 radians, seen from the front; heels and small toes, which it does
    not have, are set beside the ankles and toes. Points of faces and hands are left out.
    """
    return tuple(_REST.get(name) for name in names)


def _layout(
    name: str,
    names: Sequence[str],
    limbs: Sequence[tuple[str, str]],
    colors: Sequence[tuple[int, int, int]],
    means: Sequence[tuple[str, tuple[str, ...]]] = (),
) -> KeypointLayout:
    """Build a layout of people from the names of its points, from which the rest follows."""
    number = {point: k for k, point in enumerate(names)}
    return KeypointLayout(
        name=name,
        names=tuple(names),
        partner=tuple(number[_partner(point)] for point in names),
        limbs=tuple((number[start], number[end]) for start, end in limbs),
        colors=tuple(colors),
        parts=body_parts(names),
        means=tuple(means),
        stand_ins=(("nose", ("neck", "head top")),) if "nose" in number else (),
        rest=rest_pose(names),
    )


def _partner(point: str) -> str:
    """Return the name of a point's mirror image."""
    side, _, rest = point.partition(" ")
    if side == "face":
        return f"face {_FACE_PARTNERS[int(rest)]}"
    return f"{'right' if side == 'left' else 'left'} {rest}" if side in ("left", "right") else point


_FACE_PARTNERS = {
    k: total - k
    for total, points in (
        (16, range(17)), (43, range(17, 27)), (66, range(31, 36)), (102, range(48, 55)), (114, range(55, 60)),
        (124, range(60, 65)), (132, range(65, 68)), (81, (36, 37, 38, 39, 42, 43, 44, 45)), (87, (40, 41, 46, 47)),
        *((2 * k, (k,)) for k in range(27, 31)),
    )
    for k in points
}  # fmt: skip
"""Mirror images of the 68 landmarks of a face (iBUG 300-W): the numbers of two partners have a known sum."""

_HUES = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
    (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255),
    (255, 0, 170), (255, 0, 85),
)  # fmt: skip

_ARMS = tuple(
    (f"{side} {start}", f"{side} {end}")
    for side in ("right", "left")
    for start, end in (("shoulder", "elbow"), ("elbow", "wrist"))
)
_LEGS = tuple(
    (f"{side} {start}", f"{side} {end}")
    for side in ("right", "left")
    for start, end in (("hip", "knee"), ("knee", "ankle"))
)
_FEET = tuple(
    (f"{side} ankle", f"{side} {end}") for side in ("right", "left") for end in ("big toe", "small toe", "heel")
)
_HEAD = (("nose", "right eye"), ("right eye", "right ear"), ("nose", "left eye"), ("left eye", "left ear"))
_NECK = (("neck", ("right shoulder", "left shoulder")),)

_OPENPOSE_18 = (
    "nose", "neck",
    "right shoulder", "right elbow", "right wrist",
    "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle",
    "left hip", "left knee", "left ankle",
    "right eye", "left eye", "right ear", "left ear",
)  # fmt: skip

OPENPOSE_18 = _layout(
    "openpose18",
    _OPENPOSE_18,
    (
        ("neck", "nose"),
        ("neck", "right shoulder"), ("right shoulder", "right elbow"), ("right elbow", "right wrist"),
        ("neck", "left shoulder"), ("left shoulder", "left elbow"), ("left elbow", "left wrist"),
        ("neck", "right hip"), ("right hip", "right knee"), ("right knee", "right ankle"),
        ("neck", "left hip"), ("left hip", "left knee"), ("left knee", "left ankle"),
        *_HEAD,
    ),
    _HUES,
    _NECK,
)  # fmt: skip
"""OpenPose's 18 points, and those of the lists of Market-1501 and DeepFashion."""

_COLORS = dict(zip(_OPENPOSE_18, _HUES, strict=True))
_COLORS |= {"mid hip": (255, 255, 255), "head top": _COLORS["nose"]}
_COLORS |= {
    f"{side} {point}": _COLORS[f"{side} ankle"]
    for side in ("right", "left")
    for point in ("big toe", "small toe", "heel")
}


def _colors(names: Sequence[str]) -> list[tuple[int, int, int]]:
    """Return the colors that OpenPose's points have, and gray for points of faces and hands."""
    return [_COLORS.get(name, (160, 160, 160)) for name in names]


_BODY_25 = (*_OPENPOSE_18[:8], "mid hip", *_OPENPOSE_18[8:], *(
    f"{side} {point}" for side in ("left", "right") for point in ("big toe", "small toe", "heel")
))  # fmt: skip

BODY_25 = _layout(
    "body25",
    _BODY_25,
    (
        ("neck", "mid hip"), ("neck", "right shoulder"), ("neck", "left shoulder"), *_ARMS,
        ("mid hip", "right hip"), ("mid hip", "left hip"), *_LEGS, *_FEET,
        ("neck", "nose"), *_HEAD,
    ),
    _colors(_BODY_25),
    (*_NECK, ("mid hip", ("right hip", "left hip"))),
)  # fmt: skip
"""OpenPose's 25 points."""

_COCO_17 = (
    "nose", "left eye", "right eye", "left ear", "right ear",
    "left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist", "right wrist",
    "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
)  # fmt: skip
_COCO_LIMBS = (
    ("left shoulder", "right shoulder"), ("left hip", "right hip"),
    ("right shoulder", "right hip"), ("left shoulder", "left hip"), *_ARMS, *_LEGS,
    *_HEAD,
    ("right ear", "right shoulder"), ("left ear", "left shoulder"),
)  # fmt: skip

COCO_17 = _layout("coco17", _COCO_17, _COCO_LIMBS, _colors(_COCO_17))
"""COCO's 17 points."""

_LSP_14 = ("head top", "neck", *_OPENPOSE_18[2:14])

LSP_14 = _layout(
    "lsp14",
    _LSP_14,
    (
        ("neck", "head top"), ("neck", "right shoulder"), ("neck", "left shoulder"), *_ARMS,
        ("neck", "right hip"), ("neck", "left hip"), *_LEGS,
    ),
    _colors(_LSP_14),
    _NECK,
)  # fmt: skip
"""The 14 points of Leeds Sports Pose (Johnson and Everingham, BMVC 2010), head and neck first."""

_WHOLE_BODY_133 = (
    *_COCO_17,
    *(f"{side} {point}" for side in ("left", "right") for point in ("big toe", "small toe", "heel")),
    *(f"face {k}" for k in range(68)),
    *(f"{side} hand {k}" for side in ("left", "right") for k in range(21)),
)
_FINGERS = tuple(
    (f"{side} hand {start}", f"{side} hand {end}")
    for side in ("right", "left")
    for finger in range(1, 21, 4)
    for start, end in zip((0, *range(finger, finger + 3)), range(finger, finger + 4), strict=True)
)

WHOLE_BODY_133 = _layout("wholebody133", _WHOLE_BODY_133, (*_COCO_LIMBS, *_FEET, *_FINGERS), _colors(_WHOLE_BODY_133))
"""The 133 points of COCO-WholeBody (Jin et al., ECCV 2020), which DWPose finds: body, feet, face, hands."""

LAYOUTS = (OPENPOSE_18, BODY_25, COCO_17, LSP_14, WHOLE_BODY_133)
