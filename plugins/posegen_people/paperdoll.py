"""Paper dolls: drawn data of people.

Dressed, articulated figures are drawn from a seed, each in two poses, with the exact flow and visibility between
them. Nothing is downloaded or stored.

All lengths are in body units (1 = about the height of a standing person) until a pose is framed in pixels;
angles are in radians, 0 = straight down, positive toward the right of the image.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from posegen.data import Keypoints, PairDataset
from posegen.data.datasets import check_drawing, jitter_color
from posegen.records import Pair
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

from .layouts import OPENPOSE_18
from .paperdoll_render import (
    PATTERNS,
    SIDES,
    Array,
    Outfit,
    Part,
    Pattern,
    Placement,
    Proportions,
    Rendering,
    build_parts,
    draw,
    draw_all,
    exact_flow,
    signs,
)

SMALLEST = 16
"""Smallest side of a picture in pixels."""


@dataclass(frozen=True)
class PlacedDoll:
    """A person placed in a picture."""

    placed: Placement
    keypoints: Keypoints


@dataclass(frozen=True)
class PosedDoll:
    """A person in a stance, not yet in a picture: affine maps of the parts and positions of the joints by name, in body
    units around the middle of the hips."""

    stance: Stance
    affines: dict[str, np.ndarray]
    joints: dict[str, np.ndarray]


@dataclass(frozen=True)
class Doll:
    """A person: proportions, outfit, and the parts that are drawn."""

    body: Proportions
    wear: Outfit
    parts: list[Part]

    def stand(self, stance: Stance) -> PosedDoll:
        """Put the person into a stance."""
        return PosedDoll(stance, *_assemble(self.body, stance))

    def place(self, figure: PosedDoll, scale: float, hips: np.ndarray) -> PlacedDoll:
        """Place a person in a picture, with its depth order: *scale* pixels per body unit, *hips* in pixels."""
        placed = np.stack([figure.affines[part.name] for part in self.parts]) * scale
        placed[:, :, 2] += hips
        index = {part.name: k for k, part in enumerate(self.parts)}
        order = [index[name] for name in _depth_order(self.body, self.wear, figure.stance)]
        present = np.array([_can_be_seen(name, self.body, self.wear) for name in OPENPOSE_18.names])
        points = np.array([figure.joints[name] for name in OPENPOSE_18.names]) * scale + hips
        return PlacedDoll(Placement(placed, order), Keypoints(points, present))


@dataclass(frozen=True)
class DollScene:
    """Everything a pair is drawn from: a person's parts, two poses of them, the background H W 3 in [0, 1]."""

    parts: list[Part]
    source: PlacedDoll
    target: PlacedDoll
    background: Array


@DATASETS.register_module()
class PaperDolls(PairDataset):
    """Pairs of pictures of one synthetic person, with exact flow, visibility and foreground.

    The same (seed, index, size) always gives the same pair. Data sets of different seeds share no person. Some people
    are seen from behind, in both pictures. A key point is missing if it is outside of the picture or, in the face,
    covered by hair or an arm.

    Args:
        length: number of pairs.
        structure: the structure encoder, as a config or built; its layout must be OpenPose's 18 points.
        size: (height, width) of the pictures in pixels, 16 at least; people are scaled by the height.
        seed: 0 or more.

    Raises:
        ConfigError: a size, length or seed out of range, or an encoder of another layout.
    """

    drawn_options = ("length", "seed")

    def __init__(self, length: int, structure: Any, size: tuple[int, int] = (64, 64), seed: int = 0) -> None:
        self.size = check_drawing("PaperDolls", size, SMALLEST, seed, length=length)
        self.length, self.seed = length, seed
        self.structure = STRUCTURE_ENCODERS.build_part(structure)
        self.structure.require_layout(OPENPOSE_18, type(self).__name__)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < self.length:
            raise IndexError(f"pair {index} of {self.length}")
        scene = self.scene(index)
        source, target = draw_all(scene.parts, [scene.source.placed, scene.target.placed], scene.background)
        flow, visible = exact_flow(scene.parts, scene.source.placed, source, target)
        return Pair(
            source=picture_tensor(source),
            source_structure=self.structure.encode(seen_keypoints(scene.parts, scene.source, source), self.size),
            target=picture_tensor(target),
            target_structure=self.structure.encode(seen_keypoints(scene.parts, scene.target, target), self.size),
            name=f"doll{index:05d}_a_2_doll{index:05d}_b_vis",
            flow=torch.from_numpy(flow),
            visible=torch.from_numpy(visible[None].astype(np.float32)),
            foreground=torch.from_numpy((target.topmost[None] >= 0).astype(np.float32)),
        )

    def motion(self, index: int, frames: int) -> list[Keypoints]:
        """Return key points of a motion of the person of pair *index*, from the source's pose and back to it.

        They count pixels of the source. The person waves twice with one arm, drops the other, and sways.

        Args:
            index: of the pair.
            frames: how many, 2 or more; the first and the last are the source's own pose.
        """
        rng = np.random.default_rng([self.seed, index])
        doll = random_doll(rng, self.size)  # as in :meth:`scene`, whose source comes first
        own = doll.stand(random_stance(rng))
        scale, hips = random_frame(list(own.joints.values()), self.size, rng)
        stances = [waving(own.stance, time) for time in np.linspace(0, 1, frames)]
        poses = [doll.place(doll.stand(stance), scale, hips) for stance in stances]
        nothing = np.zeros((*self.size, 3), np.float32)  # drawn only to see what hides what, one picture at a time
        return [seen_keypoints(doll.parts, pose, draw(doll.parts, pose.placed, nothing)) for pose in poses]

    def scene(self, index: int) -> DollScene:
        """Return everything that pair *index* is drawn from."""
        rng = np.random.default_rng([self.seed, index])
        doll = random_doll(rng, self.size)
        return DollScene(
            parts=doll.parts,
            source=_random_pose(doll, self.size, rng),
            target=_random_pose(doll, self.size, rng),
            background=random_background(self.size, rng),
        )


def picture_tensor(picture: Rendering) -> torch.Tensor:
    """Convert a drawing to an image of the records: 3 H W in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture.image.transpose(2, 0, 1)) * 2 - 1)


def seen_keypoints(parts: Sequence[Part], pose: PlacedDoll, picture: Rendering) -> Keypoints:
    """Return the key points of a pose; those outside the picture, and of a face behind an arm, are missing."""
    height, width = picture.topmost.shape
    points, present = pose.keypoints.points, pose.keypoints.present.copy()
    present &= ((points >= 0) & (points <= (width - 1, height - 1))).all(1)
    for k in np.nonzero(present & FACE)[0]:
        x, y = np.rint(points[k]).astype(int)
        top = int(picture.topmost[y, x])
        present[k] = top < 0 or parts[top].name in ("head", "hair", "hat")
    return Keypoints(points, present)


FACE = np.array([name.split()[-1] in ("nose", "eye", "ear") for name in OPENPOSE_18.names])


# The person -----------------------------------------------------------------------------------------------


HAIRCUTS = ("short", "short", "fringe", "bob", "long", "long", "bun", "afro", "bald")
FRONTS = ("plain", "plain", "plain", "open", "badge", "band", "pocket")
BOTTOMS = ("trousers", "trousers", "shorts", "skirt", "dress")
SKINS = (
    (0.98, 0.85, 0.74),
    (0.94, 0.76, 0.62),
    (0.86, 0.66, 0.48),
    (0.70, 0.48, 0.33),
    (0.50, 0.33, 0.22),
    (0.36, 0.23, 0.16),
)
HAIRS = (
    (0.10, 0.08, 0.08),
    (0.26, 0.15, 0.09),
    (0.45, 0.27, 0.13),
    (0.86, 0.68, 0.36),
    (0.68, 0.28, 0.12),
    (0.72, 0.72, 0.74),
)


def random_doll(rng: Generator, size: tuple[int, int]) -> Doll:
    """Draw a random person for pictures of *size* (H, W)."""
    body, wear = _random_body(rng), _random_wear(rng, sharpness=0.82 * size[0])
    return Doll(body, wear, build_parts(body, wear))


def _random_body(rng: Generator) -> Proportions:
    girth = rng.uniform(0.92, 1.35)
    return Proportions(
        head=(rng.uniform(0.072, 0.085), rng.uniform(0.088, 0.102)),
        neck=rng.uniform(0.02, 0.035),
        torso=rng.uniform(0.27, 0.31),
        shoulder=rng.uniform(0.085, 0.11) * (0.7 + 0.3 * girth),
        waist=rng.uniform(0.062, 0.085) * girth,
        hip=rng.uniform(0.075, 0.092) * (0.6 + 0.4 * girth),
        upper_arm=rng.uniform(0.145, 0.17),
        forearm=rng.uniform(0.14, 0.16),
        thigh=rng.uniform(0.19, 0.23),
        shin=rng.uniform(0.19, 0.225),
        girth=girth,
        behind=rng.random() < 0.15,
    )


def _random_wear(rng: Generator, sharpness: float) -> Outfit:
    kind = str(rng.choice(BOTTOMS))
    shirt = _random_pattern(rng, sharpness, (0.08, 0.17))
    dyed = rng.random() < 0.15
    man = rng.random() < 0.5
    return Outfit(
        skin=jitter_color(rng, SKINS[rng.integers(len(SKINS))]),
        hair=_random_color(rng) if dyed else jitter_color(rng, HAIRS[rng.integers(len(HAIRS))]),
        haircut=str(rng.choice(HAIRCUTS)),
        hat=rng.random() < 0.12,
        beard=man and rng.random() < 0.35,
        glasses=rng.random() < 0.15,
        lips=jitter_color(rng, (0.75, 0.25, 0.28)),
        smile=rng.uniform(-0.3, 1.4),
        eyes=jitter_color(rng, (0.13, 0.14, 0.2)),
        shirt=shirt,
        sleeve=float(rng.choice([0.02, 0.3, 0.55, 1.0, 1.7, 2.0, 2.0])),
        neckline=str(rng.choice(["round", "vee", "wide", "high"])),
        front=str(rng.choice(FRONTS)),
        trim=_random_color(rng),
        bottoms=shirt if kind == "dress" else _random_pattern(rng, sharpness, (0.08, 0.2)),
        bottoms_kind=kind,
        trouser=rng.uniform(0.35, 0.95) if kind == "shorts" else float(rng.choice([1.5, 1.92, 1.92])),
        shoes=_random_color(rng),
        sharpness=sharpness,
    )


def _random_color(rng: Generator) -> Array:
    """Draw a color: mostly saturated, sometimes white, gray or black."""
    if rng.random() < 0.15:
        return np.full(3, rng.choice([0.1, 0.3, 0.92]), np.float32)
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 1), rng.uniform(0.4, 1)), np.float32)


def _random_pattern(rng: Generator, sharpness: float, periods: tuple[float, float]) -> Pattern:
    first = second = _random_color(rng)
    while np.abs(first - second).sum() < 0.7:  # the pattern must be visible
        second = _random_color(rng)
    return Pattern(
        kind=str(rng.choice(PATTERNS)),
        colors=np.stack([first, second]),
        period=rng.uniform(*periods),
        phase=(rng.random(), rng.random()),
        waves=np.c_[rng.uniform(-0.8, 0.8, (4, 2)), rng.uniform(0, 2 * np.pi, 4)],
        sharpness=sharpness,
    )


# The pose -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limb:
    """An arm or a leg: ``angle``, outwards from straight down; ``bend`` of elbow or knee, positive outwards;
    ``scales``, the foreshortening of both halves; ``front``, nearer than the torso (arm) or the other leg."""

    angle: float
    bend: float
    scales: tuple[float, float]
    front: bool


@dataclass(frozen=True)
class Stance:
    """Angles of the joints; ``turn`` and ``squash`` scale the torso across and along, ``nod`` the head."""

    lean: float
    turn: float
    squash: float
    tilt: float
    nod: float
    arms: tuple[Limb, Limb]
    legs: tuple[Limb, Limb]


# angle from, to; bend from, to; how often in front of the torso
ARMS = {
    "hang": (0.0, 0.4, -0.6, 0.05, 0.65),
    "hand on hip": (0.6, 1.0, -1.9, -1.3, 0.5),
    "across": (0.1, 0.5, -2.2, -1.5, 1.0),
    "on the chest": (0.2, 0.7, -2.7, -2.2, 1.0),
    "out": (1.0, 1.7, -0.5, 0.4, 0.6),
    "up": (2.1, 2.9, -0.6, 0.5, 0.4),
    "wave": (0.9, 1.5, 0.9, 1.7, 0.6),
    "any": (-0.3, 2.8, -2.0, 0.6, 0.6),
}
LEGS = {
    "stand": (-0.02, 0.16, -0.12, 0.05),
    "apart": (0.25, 0.55, -0.4, 0.0),
    "bent": (0.3, 0.75, -1.0, -0.4),
    "stride": (-0.25, 0.3, -0.35, 0.25),
}


def random_stance(rng: Generator) -> Stance:
    """Draw a random stance."""
    front = bool(rng.random() < 0.5)
    return Stance(
        lean=rng.normal(0, 0.13),
        turn=rng.uniform(0.78, 1),
        squash=rng.uniform(0.88, 1),
        tilt=rng.normal(0, 0.14),
        nod=rng.uniform(0.9, 1),
        arms=(_random_arm(rng), _random_arm(rng)),
        legs=(_random_leg(rng, front), _random_leg(rng, not front)),
    )


WAVING = Limb(angle=1.3, bend=1.2, scales=(0.9, 0.9), front=True)
HANGING = Limb(angle=0.25, bend=-0.2, scales=(0.9, 0.9), front=True)
"""Arms in the middle of the motion, within the ranges of ``ARMS``."""
WAVES = 2
SWING, SWAY = 0.5, 0.07
"""Amplitudes in radians of the waving forearm and of the torso."""


def waving(stance: Stance, time: float) -> Stance:
    """Return the stance at a *time* in [0, 1] of a wave that begins and ends in *stance*; the other arm hangs."""
    way = np.sin(np.pi * time)
    swing, sway = np.sin(2 * np.pi * WAVES * time), np.sin(2 * np.pi * time)
    waved = _between(stance.arms[0], replace(WAVING, bend=WAVING.bend + SWING * swing), way)
    arms = waved, _between(stance.arms[1], HANGING, way)
    return replace(stance, lean=stance.lean + SWAY * sway, tilt=stance.tilt - SWAY * sway, arms=arms)


def _between(start: Limb, end: Limb, share: float) -> Limb:
    """Interpolate between two limbs; the depth order is that of *start*."""
    first, second = (np.array([limb.angle, limb.bend, *limb.scales]) for limb in (start, end))
    angle, bend, upper, lower = (first + share * (second - first)).tolist()
    return Limb(angle, bend, (upper, lower), start.front)


def _random_arm(rng: Generator) -> Limb:
    low, high, bend_low, bend_high, front = ARMS[str(rng.choice(list(ARMS)))]
    scales = (rng.uniform(0.65, 1), rng.uniform(0.65, 1))
    return Limb(rng.uniform(low, high), rng.uniform(bend_low, bend_high), scales, bool(rng.random() < front))


def _random_leg(rng: Generator, front: bool) -> Limb:
    low, high, bend_low, bend_high = LEGS[str(rng.choice(list(LEGS)))]
    scales = (rng.uniform(0.75, 1), rng.uniform(0.7, 1))
    return Limb(rng.uniform(low, high), rng.uniform(bend_low, bend_high), scales, front)


def _random_pose(doll: Doll, size: tuple[int, int], rng: Generator) -> PlacedDoll:
    """Draw a random stance, its place in the picture, and its depth order."""
    figure = doll.stand(random_stance(rng))
    return doll.place(figure, *random_frame(list(figure.joints.values()), size, rng))


def _direction(angle: float) -> np.ndarray:
    return np.array([np.sin(angle), np.cos(angle)])


def _affine(origin: np.ndarray, angle: float, across: float = 1, along: float = 1) -> np.ndarray:
    sine, cosine = np.sin(angle), np.cos(angle)
    x, y = origin
    return np.array([[cosine * across, sine * along, x], [-sine * across, cosine * along, y]])


def _assemble(body: Proportions, stance: Stance) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return affine maps of the parts and positions of the joints, in body units around the middle of the hips."""
    down, across = _direction(stance.lean), _affine(np.zeros(2), stance.lean)[:, 0]
    collar = -down * body.torso * stance.squash
    tilt = stance.lean + stance.tilt
    up = -_direction(tilt)
    head = collar + up * (body.neck + body.head[1] * 0.9 * stance.nod)
    affines = {
        "torso": _affine(collar, stance.lean, stance.turn, stance.squash),
        "neck": _affine(collar + up * (body.neck + 0.05), tilt),
        **{name: _affine(head, tilt, 1, stance.nod) for name in ("head", "hair", "back hair", "hat")},
        "skirt": _skirt_affine(stance, signs(body)),
    }
    joints = {"neck": collar, **_face_joints(body, affines["head"])}
    for side, sign, arm, leg in zip(SIDES, signs(body), stance.arms, stance.legs, strict=True):
        shoulder = collar + across * sign * (body.shoulder - 0.008) * stance.turn + down * 0.045
        hip = across * sign * (body.hip * 0.55) * stance.turn
        arms = _bend(shoulder, arm, sign, stance.lean, (body.upper_arm, body.forearm))
        legs = _bend(hip, leg, sign, 0.35 * stance.lean, (body.thigh, body.shin))
        affines |= {f"{side} upper arm": arms[0], f"{side} forearm": arms[1]}
        affines |= {f"{side} thigh": legs[0], f"{side} shin": legs[1]}
        joints |= {f"{side} shoulder": shoulder, f"{side} elbow": arms[1][:, 2], f"{side} wrist": arms[2]}
        joints |= {f"{side} hip": hip, f"{side} knee": legs[1][:, 2], f"{side} ankle": legs[2]}
    return affines, joints


def _bend(
    start: np.ndarray, limb: Limb, sign: int, lean: float, lengths: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the affine maps of the two halves of a limb, and the position of its end."""
    first = sign * limb.angle + lean
    second = first + sign * limb.bend
    middle = start + _direction(first) * lengths[0] * limb.scales[0]
    end = middle + _direction(second) * lengths[1] * limb.scales[1]
    return _affine(start, first, 1, limb.scales[0]), _affine(middle, second, 1, limb.scales[1]), end


def _skirt_affine(stance: Stance, signs: tuple[int, int]) -> np.ndarray:
    """Return the affine map of a skirt, which swings and spreads with the legs."""
    angles = [sign * leg.angle for sign, leg in zip(signs, stance.legs, strict=True)]
    spread = abs(angles[0] - angles[1])
    swing = 0.5 * stance.lean + 0.35 * sum(angles)
    return _affine(np.zeros(2), swing, stance.turn * (0.95 + 0.4 * min(spread, 1.0)), stance.squash)


def _face_joints(body: Proportions, head: np.ndarray) -> dict[str, np.ndarray]:
    a, b = body.head
    sign = signs(body)[0]
    local = {
        "nose": (0, 0.3 * b),
        "right eye": (sign * 0.4 * a, 0.08 * b),
        "left eye": (-sign * 0.4 * a, 0.08 * b),
        "right ear": (sign * 1.02 * a, 0.1 * b),
        "left ear": (-sign * 1.02 * a, 0.1 * b),
    }
    return {name: head @ np.array([*place, 1]) for name, place in local.items()}


def _can_be_seen(name: str, body: Proportions, wear: Outfit) -> bool:
    if name.endswith(("nose", "eye")):
        return not body.behind
    if name.endswith("ear"):
        return wear.haircut not in ("bob", "long", "afro")
    return True


def _depth_order(body: Proportions, wear: Outfit, stance: Stance) -> list[str]:
    """Return the names of the parts that are drawn, back to front."""
    arms = dict(zip(SIDES, stance.arms, strict=True))
    behind = [f"{s} {part}" for s in SIDES if not arms[s].front for part in ("forearm", "upper arm")]
    before = [f"{s} {part}" for s in SIDES if arms[s].front for part in ("upper arm", "forearm")]
    near = sorted(zip(SIDES, stance.legs, strict=True), key=lambda item: item[1].front)
    legs = [f"{side} {part}" for side, _ in near for part in ("shin", "thigh")]
    skirt = ["skirt"] if wear.bottoms_kind in ("skirt", "dress") else []
    hair = [] if wear.haircut == "bald" else ["hair"]
    back_hair = ["back hair"] if wear.haircut in ("bob", "long", "bun") else []
    hat = ["hat"] if wear.hat else []
    if body.behind:
        return [*before, *legs, *skirt, "neck", "torso", "head", *hair, *back_hair, *hat, *behind]
    return [*back_hair, *behind, *legs, "torso", *skirt, "neck", "head", *hair, *hat, *before]


BODY_MARGIN = np.array([[0.05, 0.09], [0.05, 0.06]])
"""Extent of the body beyond its joints: left and up (the crown), right and down (the feet)."""


def random_frame(joints: Sequence[np.ndarray], size: tuple[int, int], rng: Generator) -> tuple[float, np.ndarray]:
    """Draw pixels per body unit and the position of the hips, so that *joints* are nearly always inside."""
    height, width = size
    points, frame = np.array(joints), np.array([width, height])
    low, high = points.min(0) - BODY_MARGIN[0], points.max(0) + BODY_MARGIN[1]
    scale = min(height * rng.uniform(0.86, 1.02), *(0.97 * frame / (high - low)))
    middle = frame * (0.5, 0.52) + rng.normal(0, (0.044, 0.028), 2) * height
    first, last = 0.015 * frame - low * scale, 0.985 * frame - high * scale
    hips = np.clip(middle, first, last)
    if rng.random() < 0.06:  # sometimes cut off by the edge
        hips += rng.uniform(-0.08, 0.08, 2) * height
    return scale, hips - 0.5


# The background -------------------------------------------------------------------------------------------


def random_background(size: tuple[int, int], rng: Generator) -> Array:
    """Draw a background H W 3: a plain or structured wall, sometimes with a floor; contrast varies."""
    height, width = size
    v, u = np.mgrid[:height, :width].astype(np.float32) / height
    color = _random_wall(rng, height)(u, v)
    if rng.random() < 0.45:
        edge = np.clip((v - rng.uniform(0.62, 0.82)) * height + 0.5, 0, 1)[..., None]
        color = color + edge * (_random_wall(rng, height)(u, v * 1.6) - color)
    return np.ascontiguousarray(color, np.float32)


def _random_wall(rng: Generator, sharpness: float) -> Callable[[Array, Array], Array]:
    pattern = _random_pattern(rng, sharpness, (0.15, 0.4))
    contrast = rng.uniform(0.15, 0.75)
    pale = np.float32(rng.uniform(0, 0.45)) * (1 - pattern.colors[0])
    ground = pattern.colors[0] + pale
    pattern.colors[1] = ground + contrast * (pattern.colors[1] - ground)
    pattern.colors[0] = ground
    return pattern
