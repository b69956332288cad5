"""Outfits: what a person wears, and the mesh that it gives them.

Garments are offset surfaces of the body; skirts, hair, hats and bags are meshes of their own. All of it is decided in
the rest pose of the mean body ("canonical" positions), where a sleeve ends at the same place for everybody.
"""

from __future__ import annotations

import colorsys
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .body import PIECES, Array, BodyModel, Mesh, Shape, body_model

HAIR, HAT, VISOR, BAG, STRAP = range(len(PIECES), len(PIECES) + 5)
"""Numbers of the pieces that are no part of the body model."""
BODY, EYES, SKIRT = range(3)
TWO_SIDED = (SKIRT, HAIR, VISOR)
HEAD = 0.35
"""Share of the head's motion from which a place is head, not neck."""
MOVING = ("shoulder", "elbow", "wrist")


@dataclass(frozen=True)
class Canonical:
    """The mean body in the rest pose.

    Args:
        place: V 3, positions of the vertices.
        sleeve: V, how far down an arm: 0 shoulder, 1 elbow, 2 wrist; -1 elsewhere.
        leg, foot, head: V in [0, 1], membership.
        joints: name to position of joints and points.
    """

    place: Array
    sleeve: Array
    leg: Array
    foot: Array
    head: Array
    joints: dict[str, Array]


@functools.lru_cache(maxsize=1)
def canonical() -> Canonical:
    """Return the mean body, computed once per process."""
    model = body_model()
    place, joints, points = model.split(model.center)
    at = dict(zip(model.joints, joints, strict=True)) | dict(zip(model.points, points, strict=True))
    sleeve = np.full(len(place), -1.0)
    for side in ("left", "right"):
        arm = _share(model, [f"{side} {joint}" for joint in MOVING]) > 0.5
        shoulder, elbow, wrist = (at[f"{side} {joint}"] for joint in MOVING)
        upper = (place - shoulder) @ (elbow - shoulder) / ((elbow - shoulder) @ (elbow - shoulder))
        lower = (place - elbow) @ (wrist - elbow) / ((wrist - elbow) @ (wrist - elbow))
        along = np.where(lower > 0, 1 + lower, np.minimum(upper, 1))
        sleeve[arm] = np.maximum(along, 0.02)[arm]
    return Canonical(
        place=place,
        sleeve=sleeve,
        leg=_share(model, [f"{side} {joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle")]),
        foot=_share(model, ["left ankle", "right ankle"]),
        head=_share(model, ["head"]),
        joints=at,
    )


def _share(model: BodyModel, joints: Sequence[str]) -> Array:
    """Return the share V in [0, 1] by which joints move the vertices."""
    chosen = np.isin(model.joint_index, [model.joints.index(joint) for joint in joints])
    return (model.joint_weight * chosen).sum(1)


@dataclass(frozen=True)
class Cloth:
    """A fabric.

    Args:
        pattern: one of ``paint.PATTERNS``.
        colors: 2 3 in [0, 1].
        period: of the pattern in meters.
        seed: of its noise.
        grain: strength of the weave.
        shine: strength of highlights.
    """

    pattern: str
    colors: Array
    period: float
    seed: int
    grain: float
    shine: float


@dataclass(frozen=True)
class Outfit:
    """Skin, hair and clothes of a person; lengths in meters, heights on the canonical body.

    Args:
        skin, hair, lips, eyes: colors.
        haircut: one of HAIRCUTS.
        beard: 0 none to 1 dense.
        glasses: whether the person wears glasses.
        top, bottom, jacket, socks: fabrics; no jacket: None.
        sleeve, jacket_sleeve: how far down the arms, as :attr:`Canonical.sleeve`.
        hem, jacket_hem: lower edge of the top and of the jacket.
        neckline: kind and width.
        fit: looseness of the top; 1 lies on the body's smooth hull.
        bottom_kind: "trousers", "skirt" or "dress".
        bottom_hem: lower edge.
        flare: how much trousers or a skirt widen downwards.
        waist: upper edge of the bottoms.
        opening: half width of an open jacket; 0 closed.
        shoes: color; shoe_top: height of their edge; sole: color.
        hat: "", "cap" or "beanie"; hat_color.
        bag: "", "backpack" or "handbag"; bag_side; bag_color.
        print_kind: what is printed on the chest: "", "logo", "stripe" or "pocket".
        trim: color of prints, buttons and edges.
    """

    skin: Array
    hair: Array
    lips: Array
    eyes: Array
    haircut: str
    beard: float
    glasses: bool
    top: Cloth
    bottom: Cloth
    jacket: Cloth | None
    sleeve: float
    jacket_sleeve: float
    hem: float
    jacket_hem: float
    neckline: tuple[str, float]
    fit: float
    bottom_kind: str
    bottom_hem: float
    flare: float
    waist: float
    opening: float
    shoes: Array
    shoe_top: float
    sole: Array
    hat: str
    hat_color: Array
    bag: str
    bag_side: str
    bag_color: Array
    print_kind: str
    trim: Array


SKINS = (
    (0.96, 0.82, 0.73),
    (0.92, 0.74, 0.62),
    (0.85, 0.65, 0.50),
    (0.75, 0.54, 0.38),
    (0.61, 0.42, 0.29),
    (0.47, 0.31, 0.21),
    (0.34, 0.22, 0.16),
)
HAIRS = (
    (0.07, 0.06, 0.06),
    (0.12, 0.09, 0.08),
    (0.24, 0.15, 0.09),
    (0.40, 0.26, 0.14),
    (0.76, 0.60, 0.36),
    (0.55, 0.25, 0.12),
    (0.66, 0.66, 0.67),
)
HAIRCUTS = ("bald", "buzz", "short", "curly", "afro", "bob", "long", "tail", "bun")


def random_outfit(rng: Generator, gender: float) -> Outfit:
    """Draw an outfit; *gender*, 0 male to 1 female, shifts some shares."""
    at = canonical().joints
    woman = gender > 0.5
    tone = int(rng.integers(len(SKINS)))
    skin = _near(rng, SKINS[tone])
    hairs = (0, 1, 2, 6) if tone > 3 else range(len(HAIRS))
    kind = str(rng.choice(["trousers", "skirt", "dress"], p=[0.62, 0.18, 0.2] if woman else [0.96, 0.02, 0.02]))
    knee, ankle, hips, waist = at["left knee"][1], at["left ankle"][1], at["left hip"][1], at["waist"][1]
    if kind == "trousers":
        bottom_hem = float(
            rng.choice([ankle - 0.03, ankle + 0.06, knee - 0.05, knee + 0.12], p=[0.62, 0.12, 0.14, 0.12])
        )
    else:
        bottom_hem = rng.uniform(ankle + 0.12, hips - 0.28)
    top = random_cloth(rng)
    return Outfit(
        skin=skin,
        hair=random_color(rng) if rng.random() < 0.06 else _near(rng, HAIRS[rng.choice(hairs)]),
        lips=np.clip(skin * (0.86, 0.62, 0.62) + (0.06, 0.0, 0.01), 0, 1)
        if not woman
        else _near(rng, (0.68, 0.25, 0.27)),
        eyes=np.array(((0.25, 0.15, 0.08), (0.2, 0.32, 0.45), (0.25, 0.35, 0.2))[rng.choice(3, p=[0.7, 0.18, 0.12])]),
        haircut=_haircut(rng, woman),
        beard=rng.uniform(0.2, 1) if not woman and rng.random() < 0.4 else 0.0,
        glasses=bool(rng.random() < 0.15),
        top=top,
        bottom=top if kind == "dress" else random_cloth(rng, calm=True),
        jacket=random_cloth(rng, calm=True) if rng.random() < (0.15 if kind == "dress" else 0.3) else None,
        sleeve=float(rng.choice([0.06, 0.35, 0.6, 1.0, 1.6, 1.97], p=[0.12, 0.2, 0.25, 0.05, 0.08, 0.3])),
        jacket_sleeve=float(rng.choice([1.97, 1.97, 1.5])),
        hem=rng.uniform(hips - 0.1, hips + 0.03),
        jacket_hem=rng.uniform(hips - 0.3, hips + 0.02),
        neckline=(str(rng.choice(["round", "round", "vee", "high"])), rng.uniform(0.085, 0.125)),
        fit=rng.uniform(0.7, 1.6),
        bottom_kind=kind,
        bottom_hem=bottom_hem,
        flare=float(np.clip(rng.normal(0.3, 0.3), 0, 1)),
        waist=waist + rng.uniform(-0.01, 0.06),
        opening=float(rng.choice([0.0, rng.uniform(0.03, 0.09)])),
        shoes=_near(rng, ((0.08, 0.07, 0.07), (0.3, 0.2, 0.13), (0.85, 0.85, 0.85))[rng.integers(3)])
        if rng.random() < 0.65
        else random_color(rng),
        shoe_top=ankle + float(rng.choice([-0.02, 0.03, 0.12])),
        sole=_near(rng, (0.9, 0.9, 0.88)) if rng.random() < 0.5 else _near(rng, (0.1, 0.1, 0.1)),
        hat=str(rng.choice(["", "cap", "beanie"], p=[0.84, 0.1, 0.06])),
        hat_color=random_color(rng),
        bag=str(rng.choice(["", "backpack", "handbag"], p=[0.8, 0.14, 0.06])),
        bag_side=str(rng.choice(["left", "right"])),
        bag_color=random_color(rng),
        print_kind=str(rng.choice(["", "logo", "stripe", "pocket"], p=[0.5, 0.25, 0.1, 0.15])),
        trim=random_color(rng),
    )


def _haircut(rng: Generator, woman: bool) -> str:
    shares = (
        (0.0, 0.03, 0.12, 0.1, 0.07, 0.2, 0.28, 0.12, 0.08)
        if woman
        else (0.1, 0.22, 0.4, 0.13, 0.05, 0.03, 0.05, 0.02, 0)
    )
    return str(rng.choice(HAIRCUTS, p=shares))


def random_color(rng: Generator) -> Array:
    """Draw the color of a garment: often dark, gray or white."""
    if rng.random() < 0.4:
        return np.clip(np.full(3, rng.choice([0.07, 0.12, 0.3, 0.55, 0.88])) + rng.normal(0, 0.02, 3), 0, 1)
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.25, 0.95), rng.uniform(0.2, 0.92)))


def random_cloth(rng: Generator, calm: bool = False) -> Cloth:
    """Draw a fabric; a *calm* one is more often plain."""
    first = random_color(rng)
    second = random_color(rng)
    while np.abs(first - second).sum() < 0.5:  # the pattern must be visible
        second = random_color(rng)
    names = ("plain", "stripes", "bands", "checks", "dots", "blotches", "flowers", "gradient", "denim")
    shares = (
        (0.5, 0.06, 0.06, 0.1, 0.02, 0.06, 0.0, 0.02, 0.18)
        if calm
        else (0.3, 0.1, 0.16, 0.14, 0.07, 0.06, 0.08, 0.06, 0.03)
    )
    pattern = str(rng.choice(names, p=shares))
    if pattern == "denim":
        blue = np.array(colorsys.hsv_to_rgb(rng.uniform(0.57, 0.64), rng.uniform(0.3, 0.7), rng.uniform(0.2, 0.65)))
        first, second = blue, np.clip(blue * 1.35 + 0.08, 0, 1)
    return Cloth(pattern, np.stack([first, second]), rng.uniform(0.04, 0.14), int(rng.integers(1 << 30)),
                 rng.uniform(0.0, 0.06), rng.uniform(0.0, 0.25))  # fmt: skip


def _near(rng: Generator, color: Sequence[float]) -> Array:
    return np.clip(np.array(color) * rng.uniform(0.9, 1.1) + rng.normal(0, 0.015, 3), 0, 1)


# What is covered -----------------------------------------------------------------------------------------------


def covered_by_top(wear: Outfit, place: Array, sleeve: Array, head: Array) -> NDArray[np.bool_]:
    """Return which canonical places the top covers."""
    x, y, z = place.T
    kind, width = wear.neckline
    neck = canonical().joints["neck"]
    reach = np.sqrt((x / 1.0) ** 2 + ((y - neck[1] - 0.03) / 1.1) ** 2 + (z - neck[2] + 0.01) ** 2)
    bare = (y > neck[1] - 0.3) & (reach < (0.0 if kind == "high" else width))
    if kind == "vee":
        bare |= (z > neck[2]) & (np.abs(x) < (y - (neck[1] - 0.16)) * 0.42)
    edge = neck[1] + (0.055 if kind == "high" else 0.035)
    body = y > (canonical().joints["left hip"][1] - 0.1 if wear.bottom_kind == "dress" else wear.hem)
    return np.where(sleeve > 0, sleeve < wear.sleeve, body & (y < edge) & ~bare & (head < HEAD))


def covered_by_jacket(wear: Outfit, place: Array, sleeve: Array, head: Array) -> NDArray[np.bool_]:
    """Return which canonical places the jacket covers."""
    if wear.jacket is None:
        return np.zeros(len(place), bool)
    x, y, z = place.T
    neck = canonical().joints["neck"]
    reach = np.sqrt(x**2 + (y - neck[1] - 0.03) ** 2 + (z - neck[2] + 0.01) ** 2)
    lapel = np.maximum(0, (y - neck[1] + 0.2) * 0.3)
    bare = (z > 0) & (np.abs(x) < wear.opening + lapel)
    return np.where(
        sleeve > 0,
        sleeve < wear.jacket_sleeve,
        (y > wear.jacket_hem) & (reach > 0.09) & ~bare & (y < neck[1] + 0.03) & (head < HEAD),
    )


def covered_by_trousers(wear: Outfit, place: Array, sleeve: Array) -> NDArray[np.bool_]:
    """Return which canonical places trousers cover; under a skirt, the shorts that everybody wears."""
    hem = wear.bottom_hem if wear.bottom_kind == "trousers" else canonical().joints["left hip"][1] - 0.16
    return (sleeve < 0) & (place[:, 1] < wear.waist) & (place[:, 1] > hem)


def covered_by_shoes(wear: Outfit, place: Array) -> NDArray[np.bool_]:
    """Return which canonical places shoes cover."""
    return place[:, 1] < wear.shoe_top


# The mesh ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dressed:
    """A dressed person: the mesh, and for each vertex the canonical ``place`` V 3, ``sleeve`` V and ``head`` V."""

    mesh: Mesh
    place: Array
    sleeve: Array
    head: Array


def dress(shape: Shape, wear: Outfit) -> Dressed:
    """Return the mesh of a person with their clothes."""
    model, body = body_model(), canonical()
    vertices = shape.vertices + _thickness(wear)[:, None] * _normals(shape.vertices, model.triangles)
    if wear.bottom_kind != "trousers":
        vertices = _shape_skirt(vertices, shape, wear)
    kept = _visible_triangles(wear)
    parts = [
        _Extra(vertices, model.joint_index, model.joint_weight, model.triangles[kept], model.pieces[kept], body.place)
    ]
    parts += _hair(shape, wear) + _hat(shape, wear) + _bag(shape, wear)
    offsets = np.cumsum([0, *(len(part.vertices) for part in parts[:-1])])
    mesh = Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.joint_index for part in parts]),
        np.concatenate([part.joint_weight for part in parts]),
        np.concatenate([part.triangles + offset for part, offset in zip(parts, offsets, strict=True)]).astype(np.int32),
        np.concatenate([part.pieces for part in parts]),
    )
    more = len(mesh.vertices) - model.count
    return Dressed(
        mesh,
        np.concatenate([part.place for part in parts]),
        np.concatenate([body.sleeve, np.full(more, -1.0)]),
        np.concatenate([body.head, np.zeros(more)]),
    )


@dataclass(frozen=True)
class _Extra:
    """A skinned piece; ``place`` are canonical positions for its texture."""

    vertices: Array
    joint_index: NDArray[np.int32]
    joint_weight: Array
    triangles: NDArray[np.int32]
    pieces: NDArray[np.int32]
    place: Array


def _normals(vertices: Array, triangles: NDArray[np.int32]) -> Array:
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    faces = np.cross(b - a, c - a)
    normals = np.stack(
        [sum(np.bincount(triangles[:, k], faces[:, axis], len(vertices)) for k in range(3)) for axis in range(3)], 1
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


def _thickness(wear: Outfit) -> Array:
    """Return how far clothes and hair lift each vertex of the body model off the skin, in meters."""
    model, body = body_model(), canonical()
    hull = np.minimum(model.cloth, 0.04)
    thickness = np.zeros(model.count)
    legs = covered_by_trousers(wear, body.place, body.sleeve)
    loose = 0.003 + 0.8 * hull
    if wear.bottom_kind == "trousers":
        knee, ankle = body.joints["left knee"][1], body.joints["left ankle"][1]
        loose = loose + 0.035 * wear.flare * np.clip((knee + 0.25 - body.place[:, 1]) / (knee + 0.25 - ankle), 0, 1)
    thickness[legs] = np.maximum(thickness, loose)[legs]
    top = covered_by_top(wear, body.place, body.sleeve, body.head)
    thickness[top] = np.maximum(thickness, 0.004 + wear.fit * hull + 0.006 * (body.sleeve > 0.2))[top]
    jacket = covered_by_jacket(wear, body.place, body.sleeve, body.head)
    thickness[jacket] = np.maximum(thickness + 0.006, 0.012 + 1.3 * hull)[jacket]
    shoes = covered_by_shoes(wear, body.place)
    thickness[shoes] = 0.009
    scalp, lift = hair_cover(wear, body.place), HAIR_LIFT[wear.haircut]
    crown = np.clip((body.place[:, 1] - body.joints["left ear"][1] + 0.02) / 0.1, 0.35, 1)
    thickness += np.where(body.head > 0.5, scalp * lift * (0.5 + 0.5 * crown), 0)
    faces = model.triangles[model.pieces == BODY]
    return _smooth(thickness, faces) * np.isin(np.arange(model.count), faces)


def _smooth(values: Array, triangles: NDArray[np.int32]) -> Array:
    """Average a value over the neighbors of each vertex, half and half with its own."""
    total, count = np.zeros(len(values)), np.zeros(len(values))
    for first, second in ((0, 1), (1, 2), (2, 0), (1, 0), (2, 1), (0, 2)):
        total += np.bincount(triangles[:, first], values[triangles[:, second]], len(values))
        count += np.bincount(triangles[:, first], minlength=len(values))
    return 0.5 * values + 0.5 * total / np.maximum(count, 1)


def _visible_triangles(wear: Outfit) -> NDArray[np.bool_]:
    """Return which triangles of the body model are drawn: no legs inside of a skirt, no skirt below its hem."""
    model, body = body_model(), canonical()
    height = body.place[model.triangles, 1]
    skirt = model.pieces == SKIRT
    if wear.bottom_kind == "trousers":
        return ~skirt
    arm = (body.sleeve[model.triangles] > 0).any(1)
    inside = ~skirt & ~arm & (height.min(1) > wear.bottom_hem + 0.05) & (height.max(1) < wear.waist - 0.03)
    return np.where(skirt, height.min(1) > wear.bottom_hem, ~inside)


def _shape_skirt(vertices: Array, shape: Shape, wear: Outfit) -> Array:
    """Widen a skirt downwards, and lay its upper edge around the clothes above it."""
    model, body = body_model(), canonical()
    skirt = np.unique(model.triangles[model.pieces == SKIRT])
    middle = (shape.joints[model.joints.index("left hip")] + shape.joints[model.joints.index("right hip")]) / 2
    drop = np.clip((wear.waist - body.place[skirt, 1]) / 0.9, 0, 1)
    widened = 1.0 + 0.06 + 0.55 * wear.flare * drop
    moved = vertices.copy()
    for axis in (0, 2):
        moved[skirt, axis] = middle[axis] + (vertices[skirt, axis] - middle[axis]) * widened
    return moved


# Hair, hats and bags

HAIR_LIFT = {
    "bald": 0.0,
    "buzz": 0.004,
    "short": 0.016,
    "curly": 0.028,
    "afro": 0.075,
    "bob": 0.018,
    "long": 0.016,
    "tail": 0.010,
    "bun": 0.010,
}
"""Height in meters of the hair above the scalp."""


def hair_cover(wear: Outfit, place: Array) -> Array:
    """Return how much of each canonical place N 3 of the head is covered by hair, 0 to 1 with a soft edge."""
    if wear.haircut == "bald":
        return np.zeros(len(place))
    at = canonical().joints
    ear, top, nose = at["left ear"], at["head top"], at["nose"]
    x, y, z = place.T
    tall = top[1] - ear[1]
    front = np.clip((z - ear[2]) / (nose[2] - ear[2]), -1, 1)  # 0 at the ears
    line = np.where(
        front > 0,
        ear[1] + tall * np.minimum(0.05 + 1.9 * np.maximum(front - 0.12, 0), 0.62 + 0.1 * np.cos(x / 0.05)),
        ear[1] - np.minimum(-front * 0.5, 0.085),
    )
    around = np.abs(np.abs(x) - abs(ear[0])) < 0.022
    line = np.where(around & (np.abs(z - ear[2]) < 0.03), np.maximum(line, ear[1] + 0.03), line)
    return np.clip((y - line) / 0.012 + 0.5, 0, 1)


def _head_frame(shape: Shape) -> tuple[Array, Array]:
    """Return center and half axes of the head: across, up, and to the back."""
    point = dict(zip(body_model().points, shape.points, strict=True))
    middle = (point["left ear"] + point["right ear"]) / 2
    head = body_model().joints.index("head")
    skull = shape.vertices[: body_model().body_count][canonical().head[: body_model().body_count] > 0.9]
    skull = skull[skull[:, 1] > middle[1]]
    low, high = skull.min(0), skull.max(0)
    center = np.array([middle[0], middle[1] + 0.02, (low[2] + high[2]) / 2 - 0.005])
    del head
    return center, np.array([(high[0] - low[0]) / 2, high[1] - center[1], center[2] - low[2]])


def _rigid(
    vertices: Array, triangles: Array, piece: int, joint: str, place: Array | None = None, second: Array | None = None
) -> _Extra:
    """Return a piece that one joint moves; *second* V is the share of the chest."""
    joints = body_model().joints
    index = np.zeros((len(vertices), 4), np.int32)
    index[:, 0], index[:, 1] = joints.index(joint), joints.index("chest")
    weight = np.zeros((len(vertices), 4))
    weight[:, 1] = 0 if second is None else second
    weight[:, 0] = 1 - weight[:, 1]
    faces = np.asarray(triangles, np.int32)
    return _Extra(
        vertices, index, weight, faces, np.full(len(faces), piece, np.int32), vertices if place is None else place
    )


def grid(rows: int, columns: int, closed: bool = False) -> NDArray[np.int32]:
    """Return the triangles of a grid of vertices, row by row; *closed*: the last column meets the first."""
    row, column = np.mgrid[: rows - 1, : columns if closed else columns - 1]
    following = (column + 1) % columns
    a, b = row * columns + column, row * columns + following
    c, d = a + columns, b + columns
    return np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)]).astype(
        np.int32
    )


def ball(
    center: Array, radii: Sequence[float], power: float = 1.0, rows: int = 9, columns: int = 14
) -> tuple[Array, Array]:
    """Return vertices and triangles of an ellipsoid; a *power* below 1 makes a rounded box."""
    polar, around = np.meshgrid(np.linspace(0, np.pi, rows), np.arange(columns) * 2 * np.pi / columns, indexing="ij")

    def bent(value: Array) -> Array:
        return np.sign(value) * np.abs(value) ** power

    unit = np.stack(
        [bent(np.sin(polar)) * bent(np.sin(around)), bent(np.cos(polar)), bent(np.sin(polar)) * bent(np.cos(around))],
        -1,
    )
    return center + unit.reshape(-1, 3) * np.array(radii), grid(rows, columns, closed=True)


LENGTHS = {"bob": 0.17, "long": 0.38}


def _hair(shape: Shape, wear: Outfit) -> list[_Extra]:
    """Return the hair that does not lie on the scalp."""
    center, (across, up, back) = _head_frame(shape)
    if wear.haircut in LENGTHS:
        rows, columns, length = 16, 30, LENGTHS[wear.haircut]
        share, side = np.meshgrid(np.linspace(0, 1, rows), np.linspace(-1, 1, columns), indexing="ij")
        reach = 2.0  # radians from the middle of the back to the front edge of each side
        lift = HAIR_LIFT[wear.haircut] + 0.008
        bow = np.minimum(share / 0.45, 1) * np.pi / 2  # over the skull, then straight down
        drop = np.maximum(share - 0.45, 0) / 0.55 * length
        wide = np.sin(bow) + 0.18 * drop / length
        around = side * reach * (1 - 0.12 * drop / max(LENGTHS.values()))
        x = center[0] + (across + lift) * wide * np.sin(around)
        y = center[1] + (up + lift) * np.cos(bow) - drop
        z = center[2] - (back + lift) * wide * np.cos(around) - 0.02 * drop / length
        vertices = np.stack([x, y, z], -1).reshape(-1, 3)
        place = np.stack([around * 0.1, -share * 0.4, np.zeros_like(share)], -1).reshape(-1, 3)
        chest = 0.6 * np.clip(drop / 0.3 - 0.35, 0, 1).reshape(-1)
        return [_rigid(vertices, grid(rows, columns), HAIR, "head", place, chest)]
    if wear.haircut == "bun":
        vertices, faces = ball(center + np.array((0, 0.55 * up, -1.05 * back)), (0.045, 0.045, 0.04))
        return [_rigid(vertices, faces, HAIR, "head", vertices - center)]
    if wear.haircut == "tail":
        vertices, faces = ball(center + np.array((0, -0.11, -back - 0.03)), (0.035, 0.17, 0.032))
        return [_rigid(vertices, faces, HAIR, "head", vertices - center)]
    return []


def _hat(shape: Shape, wear: Outfit) -> list[_Extra]:
    if not wear.hat:
        return []
    center, (across, up, back) = _head_frame(shape)
    lift = min(HAIR_LIFT[wear.haircut], 0.03) + 0.012
    rows, columns = 8, 24
    low = 0.25 if wear.hat == "cap" else 0.05
    polar, around = np.meshgrid(
        np.linspace(0, np.arccos(low), rows), np.arange(columns) * 2 * np.pi / columns, indexing="ij"
    )
    unit = np.stack([np.sin(polar) ** 0.8 * np.sin(around), np.cos(polar), np.sin(polar) ** 0.8 * np.cos(around)], -1)
    vertices = center + unit.reshape(-1, 3) * (across + lift, up + lift + 0.01, back + lift + 0.004)
    hats = [_rigid(vertices, grid(rows, columns, closed=True), HAT, "head", vertices - center)]
    if wear.hat == "cap":
        out, side = np.meshgrid(np.linspace(0, 1, 4), np.linspace(-1.15, 1.15, 13), indexing="ij")
        radius_x, radius_z = across + lift, back + lift + 0.004
        x = radius_x * np.sin(side)
        z = radius_z * np.cos(side) + out * 0.075 * np.cos(side * 1.3)
        y = low * (up + lift) - 0.012 * out - 0.02 * out * np.abs(np.sin(side))
        visor = center + np.stack([x, y, z], -1).reshape(-1, 3)
        hats.append(_rigid(visor, grid(4, 13), VISOR, "head", visor - center))
    return hats


def _bag(shape: Shape, wear: Outfit) -> list[_Extra]:
    joints = dict(zip(body_model().joints, shape.joints, strict=True))
    if wear.bag == "backpack":
        torso = shape.vertices[: body_model().body_count]
        near = np.abs(torso[:, 1] - joints["chest"][1] - 0.05) < 0.15
        back = torso[near & (np.abs(torso[:, 0]) < 0.15), 2].min()
        center = np.array([0, joints["chest"][1] + 0.05, back - 0.075])
        vertices, faces = ball(center, (0.15, 0.22, 0.085), 0.45, 12, 20)
        return [_rigid(vertices, faces, BAG, "chest", vertices - center)]
    if wear.bag == "handbag":
        wrist, elbow = joints[f"{wear.bag_side} wrist"], joints[f"{wear.bag_side} elbow"]
        along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
        side = np.cross(along, (0, 0, 1.0))
        frame = np.stack([side / np.linalg.norm(side), -along, np.array([0, 0, 1.0])])
        local, faces = ball(np.zeros(3), (0.045, 0.12, 0.14), 0.45, 10, 18)
        return [_rigid(wrist + 0.27 * along + local @ frame, faces, BAG, f"{wear.bag_side} wrist", local)]
    return []
