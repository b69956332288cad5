"""Drawing paper dolls: flat textured parts under affine maps, and the exact flow between two such pictures.

A part lives in coordinates of its own, (u, v) in body units (1 = the height of a person): u across, v along.
A pose maps them to pixels. Shape and colour are functions of (u, v) alone: two poses show the same surface.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating]
Shape: TypeAlias = Callable[[Array, Array], Array]
"""(u, v) to the signed distance from the outline in body units, negative inside."""
Paint: TypeAlias = Callable[[Array, Array], Array]
"""(u, v), both N, to colours N 3 in [0, 1]."""

BACKGROUND = -1


@dataclass(frozen=True)
class Part:
    """One flat piece of a doll; ``box`` is u0, v0, u1, v1, a rectangle that holds all of it."""

    name: str
    shape: Shape
    box: tuple[float, float, float, float]
    paint: Paint


@dataclass(frozen=True)
class Placed:
    """Where a pose puts the parts: ``affines`` P 2 3, (u, v, 1) to (x, y) in pixels; ``order``, the indices
    of those that are drawn, back to front."""

    affines: NDArray[np.float64]
    order: Sequence[int]


@dataclass(frozen=True)
class Picture:
    """A drawing: ``image`` H W 3 in [0, 1]; ``topmost`` H W, the index of the part at each pixel centre or
    ``BACKGROUND``; ``local`` H W 2, the (u, v) of that part there."""

    image: Array
    topmost: NDArray[np.int16]
    local: Array


def draw(parts: Sequence[Part], placed: Placed, background: Array) -> Picture:
    """Paint *parts* over *background* (H W 3), with edges antialiased over one pixel."""
    height, width = background.shape[:2]
    image = background.reshape(-1, 3).copy()
    topmost = np.full(height * width, BACKGROUND, np.int16)
    local = np.zeros((height * width, 2), np.float32)
    y, x = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    for index in placed.order:
        part, affine = parts[index], placed.affines[index]
        rows, columns = _pixel_box(part.box, affine, height, width)
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        u, v = to_local(affine, x[None, columns], y[rows, None])
        distance = part.shape(u, v) * _pixels_per_unit(affine)
        row, column = np.nonzero(distance < 0.5)
        place = (row + rows.start) * width + column + columns.start
        distance, u, v = distance[row, column], u[row, column], v[row, column]
        below = image[place]
        image[place] = below + np.clip(0.5 - distance, 0, 1)[:, None] * (np.clip(part.paint(u, v), 0, 1) - below)
        inside = distance < 0
        topmost[place[inside]] = index
        local[place[inside]] = np.stack([u[inside], v[inside]], -1)
    shape = (height, width)
    return Picture(image.reshape(*shape, 3), topmost.reshape(shape), local.reshape(*shape, 2))


def exact_flow(
    parts: Sequence[Part], source: Placed, source_picture: Picture, target_picture: Picture
) -> tuple[Array, NDArray[np.bool_]]:
    """The backward flow from one picture of *parts* to another, and where what it points at can be seen.

    The flow of a pixel whose centre shows part i at (u, v) leads to where the source puts (u, v) of part i.
    It is visible if it lies within the image and no part is drawn over part i there, tested at the exact
    position, not at a pixel centre. A part's own edge hides nothing. The background does not move.

    Returns:
        flow 2 H W in pixels, channel 0 right and channel 1 down; visible H W.
    """
    height, width = target_picture.topmost.shape
    flow = np.zeros((2, height, width), np.float32)
    visible = source_picture.topmost == BACKGROUND
    row, column = np.nonzero(target_picture.topmost != BACKGROUND)
    index = target_picture.topmost[row, column]
    u, v = target_picture.local[row, column].T
    affine = source.affines.astype(np.float32)[index]
    x = affine[:, 0, 0] * u + affine[:, 0, 1] * v + affine[:, 0, 2]
    y = affine[:, 1, 0] * u + affine[:, 1, 1] * v + affine[:, 1, 2]
    flow[0, row, column] = x - column
    flow[1, row, column] = y - row
    within = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    visible[row, column] = within & ~_covered(parts, source, index, x, y)
    return flow, visible


def _covered(parts: Sequence[Part], placed: Placed, index: NDArray, x: Array, y: Array) -> NDArray[np.bool_]:
    """Whether a part in front of part *index* lies over the point (x, y); all N."""
    depth = np.full(len(parts), -1)
    depth[list(placed.order)] = np.arange(len(placed.order))
    own = depth[index]
    covered = np.zeros(len(x), bool)
    for front, other in enumerate(placed.order):
        u, v = to_local(placed.affines[other], x, y)
        u0, v0, u1, v1 = parts[other].box
        near = np.nonzero((own < front) & ~covered & (u > u0) & (u < u1) & (v > v0) & (v < v1))[0]
        if len(near):
            covered[near] = parts[other].shape(u[near], v[near]) < 0
    return covered


def to_local(affine: NDArray[np.float64], x: Array, y: Array) -> tuple[Array, Array]:
    """Pixels (x, y) to the (u, v) of a part that *affine* (2 3) places; x and y may broadcast."""
    (a, b, left), (c, d, top) = affine.tolist()
    unit = 1 / (a * d - b * c)
    x, y = x - left, y - top
    return x * (d * unit) - y * (b * unit), y * (a * unit) - x * (c * unit)


def _pixels_per_unit(affine: NDArray[np.float64]) -> float:
    return float(abs(affine[0, 0] * affine[1, 1] - affine[0, 1] * affine[1, 0]) ** 0.5)


def _pixel_box(
    box: tuple[float, float, float, float], affine: NDArray[np.float64], height: int, width: int
) -> tuple[slice, slice]:
    u0, v0, u1, v1 = box
    corners = affine @ np.array([[u0, u1, u0, u1], [v0, v0, v1, v1], [1, 1, 1, 1]])
    left, top = np.floor(corners.min(1)).astype(int) - 1
    right, bottom = np.ceil(corners.max(1)).astype(int) + 2
    return slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))


# Shapes ---------------------------------------------------------------------------------------------------


def capsule(length: float, start: float, end: float) -> Shape:
    """A limb along v from (0, 0) to (0, length), its radius going from *start* to *end*."""

    def distance(u: Array, v: Array) -> Array:
        along = np.clip(v * (1 / length), 0, 1)
        return np.sqrt(u * u + (v - along * length) ** 2) - (start + (end - start) * along)

    return distance


def ellipse(u0: float, v0: float, half_width: float, half_height: float) -> Shape:
    """An ellipse around (u0, v0); its distance is right at the outline and approximate elsewhere."""
    smaller = min(half_width, half_height)

    def distance(u: Array, v: Array) -> Array:
        return (np.sqrt(((u - u0) / half_width) ** 2 + ((v - v0) / half_height) ** 2) - 1) * smaller

    return distance


def outline(heights: Sequence[float] | Array, half_widths: Sequence[float] | Array, rounding: float) -> Shape:
    """A shape symmetric in u, as wide as *half_widths* at *heights* (rising v), its corners rounded."""
    us = np.array([0, *half_widths, 0], np.float32)
    vs = np.array([heights[0], *heights, heights[-1]], np.float32)

    def distance(u: Array, v: Array) -> Array:
        u = np.abs(u)
        nearest = np.full(np.broadcast_shapes(u.shape, v.shape), np.inf, np.float32)
        for k in range(len(us) - 1):
            du, dv = float(us[k + 1] - us[k]), float(vs[k + 1] - vs[k])
            pu, pv = u - us[k], v - vs[k]
            along = np.clip((pu * du + pv * dv) * (1 / (du * du + dv * dv)), 0, 1)
            nearest = np.minimum(nearest, (pu - along * du) ** 2 + (pv - along * dv) ** 2)
        inside = (v > heights[0]) & (v < heights[-1]) & (u < np.interp(v, heights, half_widths))
        return np.where(inside, -1, 1) * np.sqrt(nearest) - rounding

    return distance


def union(*shapes: Shape) -> Shape:
    """Everything that any of *shapes* holds."""

    def distance(u: Array, v: Array) -> Array:
        result = shapes[0](u, v)
        for shape in shapes[1:]:
            result = np.minimum(result, shape(u, v))
        return result

    return distance


def without(shape: Shape, hole: Shape) -> Shape:
    """*shape* with *hole* cut out."""
    return lambda u, v: np.maximum(shape(u, v), -hole(u, v))


# Colours --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """A cloth, a wall, a floor. Coarse on purpose: it is seen at 64 pixels.

    Args:
        kind: one of :data:`PATTERNS`.
        colours: 2 3 in [0, 1], ground and figure.
        period: of the repeat, in the units of (u, v).
        phase: in periods, for u and v.
        waves: 4 3, direction (2) and phase of the waves that make blotches.
        sharpness: pixels per unit; edges in the pattern are about one pixel wide.
    """

    kind: str
    colours: Array
    period: float
    phase: tuple[float, float]
    waves: Array
    sharpness: float

    def __call__(self, u: Array, v: Array) -> Array:
        """Colours N 3 at (u, v)."""
        first, second = self.colours
        if self.kind == "solid":
            return np.broadcast_to(first, (*u.shape, 3))
        weight = self._figure(u / self.period + self.phase[0], v / self.period + self.phase[1])
        return first + weight[..., None] * (second - first)

    def _figure(self, u: Array, v: Array) -> Array:
        """How much of the second colour, 0..1, at (u, v) in periods."""
        if self.kind == "gradient":
            return 0.5 - 0.5 * np.cos(np.pi * 0.45 * v)
        if self.kind == "horizontal stripes":
            wave = np.sin(2 * np.pi * v)
        elif self.kind == "vertical stripes":
            wave = np.sin(2 * np.pi * u)
        elif self.kind == "diagonal stripes":
            wave = np.sin(2 * np.pi * 0.7 * (u + v))
        elif self.kind == "checks":
            wave = 2 * np.sin(np.pi * u) * np.sin(np.pi * v)
        elif self.kind == "dots":
            wave = 1.2 * (np.cos(2 * np.pi * u) + np.cos(2 * np.pi * v)) - 0.5
        else:
            wave = sum(np.sin(2 * np.pi * (a * u + b * v) + c) for a, b, c in self.waves.tolist())
        return np.clip(0.5 + wave * (self.period * self.sharpness / (2 * np.pi)), 0, 1)


PATTERNS = (
    "solid",
    "horizontal stripes",
    "vertical stripes",
    "diagonal stripes",
    "checks",
    "dots",
    "gradient",
    "blotches",
)


# The person -----------------------------------------------------------------------------------------------


SIDES = ("right", "left")


@dataclass(frozen=True)
class Body:
    """Proportions, in body units. ``behind``: seen from behind, in both pictures."""

    head: tuple[float, float]
    neck: float
    torso: float
    shoulder: float
    waist: float
    hip: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    girth: float
    behind: bool


@dataclass(frozen=True)
class Wear:
    """Looks: what is put on the body, and its colours (RGB in [0, 1])."""

    skin: Array
    hair: Array
    haircut: str
    hat: bool
    beard: bool
    glasses: bool
    lips: Array
    smile: float
    eyes: Array
    shirt: Pattern
    sleeve: float
    neckline: str
    front: str
    trim: Array
    bottoms: Pattern
    bottoms_kind: str
    trouser: float
    shoes: Array
    sharpness: float

    def soft(self, distance: Array) -> Array:
        """A signed distance to a weight N 1 that is 1 inside, over about one pixel."""
        return np.clip(0.5 - distance * self.sharpness, 0, 1)[..., None]


def build_parts(body: Body, wear: Wear) -> list[Part]:
    limbs = [
        build(f"{side} {name}", body, wear, sign)
        for side, sign in zip(SIDES, signs(body), strict=True)
        for name, build in (
            ("thigh", _thigh),
            ("shin", _shin),
            ("upper arm", _upper_arm),
            ("forearm", _forearm),
        )
    ]
    return [
        *limbs,
        _neck(body, wear),
        _torso(body, wear),
        _skirt(body, wear),
        _head(body, wear),
        *_hair(body, wear),
    ]


def signs(body: Body) -> tuple[int, int]:
    """On which side of the image the person's right and left are: -1 = left."""
    return (1, -1) if body.behind else (-1, 1)


def _shaded(paint: Paint, half_width: float) -> Paint:
    """A round look: darker towards the sides, more on one of them. Moves with the part."""

    def shaded(u: Array, v: Array) -> Array:
        across = u * (1 / half_width) + 0.25
        return paint(u, v) * (1.04 - 0.24 * np.minimum(across * across, 1.6))[..., None]

    return shaded


def _upper_arm(name: str, body: Body, wear: Wear, sign: int) -> Part:
    start, end = 0.04 * body.girth, 0.033 * body.girth
    cuff = wear.sleeve * body.upper_arm

    def paint(u: Array, v: Array) -> Array:
        return wear.skin + wear.soft(v - cuff) * (wear.shirt(u, v) - wear.skin)

    shape = capsule(body.upper_arm, start, end)
    return Part(name, shape, (-start, -start, start, body.upper_arm + end), _shaded(paint, start))


def _forearm(name: str, body: Body, wear: Wear, sign: int) -> Part:
    length, start, end, hand = body.forearm, 0.033 * body.girth, 0.024 * body.girth, 0.034
    cuff = (wear.sleeve - 1) * length * 0.95

    def paint(u: Array, v: Array) -> Array:
        return wear.skin + wear.soft(v - cuff) * (wear.shirt(u, v + body.upper_arm) - wear.skin)

    shape = union(capsule(length, start, end), ellipse(0, length + 0.018, hand * 0.9, hand * 1.1))
    wide = max(start, hand)
    return Part(name, shape, (-wide, -start, wide, length + 0.02 + 1.2 * hand), _shaded(paint, wide))


def _thigh(name: str, body: Body, wear: Wear, sign: int) -> Part:
    start, end = 0.056 * body.girth, 0.043 * body.girth
    hem = _leg_hem(wear) * body.thigh

    def paint(u: Array, v: Array) -> Array:
        return wear.skin + wear.soft(v - hem) * (wear.bottoms(u, v) - wear.skin)

    return Part(
        name,
        capsule(body.thigh, start, end),
        (-start, -start, start, body.thigh + end),
        _shaded(paint, start),
    )


def _shin(name: str, body: Body, wear: Wear, sign: int) -> Part:
    length, start, end = body.shin, 0.043 * body.girth, 0.028 * body.girth
    hem = (_leg_hem(wear) - 1) * length
    foot = ellipse(sign * 0.022, length + 0.012, 0.056, 0.032)

    def paint(u: Array, v: Array) -> Array:
        colour = wear.skin + wear.soft(v - hem) * (wear.bottoms(u, v + body.thigh) - wear.skin)
        return colour + wear.soft(length - 0.018 - v) * (wear.shoes - colour)

    shape = union(capsule(length, start, end), foot)
    return Part(name, shape, (-0.082, -start, 0.082, length + 0.05), _shaded(paint, 0.06))


def _leg_hem(wear: Wear) -> float:
    """Where trouser legs end: 1 = the knee, 2 = the ankle; under a skirt the legs are bare."""
    return -1.0 if wear.bottoms_kind in ("skirt", "dress") else wear.trouser


def _neck(body: Body, wear: Wear) -> Part:
    radius, low = 0.036 * (0.6 + 0.4 * body.girth), 0.03
    length = body.neck + 0.05 + low

    def paint(u: Array, v: Array) -> Array:
        if wear.neckline == "high":
            return wear.shirt(u, v - length)
        return wear.skin * np.clip(1.0 - 0.25 * (1 - v / length), 0.8, 1)[..., None]

    return Part("neck", capsule(length, radius, radius * 1.1), (-0.06, -radius, 0.06, length + 0.06), paint)


def _torso(body: Body, wear: Wear) -> Part:
    round_ = 0.028
    heights = np.array([0.012, 0.035, 0.09, 0.62 * body.torso, body.torso - 0.02, body.torso + 0.02])
    widths = (
        np.array([0.045, body.shoulder, body.shoulder - 0.004, body.waist, body.hip, body.hip - 0.03]) - round_ * 0.6
    )
    shape = outline(heights, np.maximum(widths, 0.012), round_)
    belt = body.torso * 0.84
    wide = float(widths.max()) + round_ + 0.01

    def paint(u: Array, v: Array) -> Array:
        colour = _decorate(wear, u, v, wear.shirt(u, v))
        if not body.behind and wear.neckline in ("vee", "wide"):
            cut = np.abs(u) * 1.3 + v - 0.115 if wear.neckline == "vee" else np.hypot(u, v * 1.2) - 0.062
            colour = colour + wear.soft(cut) * (wear.skin - colour)
        if wear.bottoms_kind == "dress":
            return colour + wear.soft(np.abs(v - 0.62 * body.torso) - 0.014) * (wear.trim - colour)
        return colour + wear.soft(belt - v) * (wear.bottoms(u, v - belt) - colour)

    return Part("torso", shape, (-wide, -0.03, wide, body.torso + 0.06), _shaded(paint, wide))


def _decorate(wear: Wear, u: Array, v: Array, colour: Array) -> Array:
    """What is on the front of a shirt."""
    if wear.front == "open":
        return colour + wear.soft(np.abs(u) - 0.028) * (wear.trim - colour)
    if wear.front == "badge":
        return colour + wear.soft(np.hypot(u, v - 0.12) - 0.042) * (wear.trim - colour)
    if wear.front == "band":
        return colour + wear.soft(np.abs(v - 0.13) - 0.03) * (wear.trim - colour)
    if wear.front == "pocket":
        return colour + wear.soft(np.maximum(np.abs(u - 0.045), np.abs(v - 0.1)) - 0.024) * (wear.trim - colour)
    return colour


def _skirt(body: Body, wear: Wear) -> Part:
    """Begins at the belt; (0, 0) is the middle of the hips."""
    length = wear.trouser * 0.55 * body.thigh + 0.06
    flare = 0.6 + 0.35 * wear.trouser
    top = -0.16 * body.torso
    heights = [top, 0.0, length]
    hip = max(body.hip, 0.55 * body.hip + 0.058 * body.girth)  # as wide as the thighs below
    widths = [body.hip - 0.022, hip, hip * (1 + 0.45 * flare)]
    wide = widths[-1] + 0.02

    def paint(u: Array, v: Array) -> Array:
        folds = 1 - 0.1 * np.cos(u * 70 / (1 + v))
        return wear.bottoms(u, v - top) * folds[..., None]

    return Part(
        "skirt",
        outline(heights, widths, 0.014),
        (-wide, top - 0.02, wide, length + 0.02),
        _shaded(paint, wide),
    )


def _head(body: Body, wear: Wear) -> Part:
    a, b = body.head
    shape = union(ellipse(0, 0, a, b), ellipse(-a, 0.1 * b, 0.2 * a, 0.24 * b), ellipse(a, 0.1 * b, 0.2 * a, 0.24 * b))
    paint: Paint = (lambda u, v: np.broadcast_to(wear.skin, (*u.shape, 3))) if body.behind else _face(a, b, wear)
    return Part("head", shape, (-1.25 * a, -b, 1.25 * a, b), _shaded(paint, 1.3 * a))


def _face(a: float, b: float, wear: Wear) -> Paint:
    """Eyes, brows, cheeks, nose, mouth; both halves at once, by symmetry."""
    eye_u, eye_v = 0.4 * a, 0.08 * b

    def spot(u: Array, v: Array, at: tuple[float, float], radii: tuple[float, float]) -> Array:
        return wear.soft(ellipse(*at, *radii)(u, v))

    def paint(u: Array, v: Array) -> Array:
        side = np.abs(u)
        colour = wear.skin + 0.35 * spot(side, v, (0.58 * a, 0.42 * b), (0.2 * a, 0.16 * b)) * (wear.lips - wear.skin)
        if wear.beard:
            colour = colour + wear.soft(0.36 * b - v) * (wear.hair - colour)
        bent = v + wear.smile * side * side * (b / (a * a))
        colour = colour + spot(u, bent, (0, 0.62 * b), (0.38 * a, 0.08 * b)) * (wear.lips - colour)
        colour = colour - 0.18 * spot(u, v, (0.03 * a, 0.3 * b), (0.1 * a, 0.1 * b)) * colour
        colour = colour + spot(side, v, (eye_u, eye_v), (0.21 * a, 0.17 * b)) * (0.97 - colour)
        colour = colour + spot(side, v, (eye_u, eye_v), (0.12 * a, 0.14 * b)) * (wear.eyes - colour)
        if wear.glasses:
            ring = np.abs(np.hypot((side - eye_u) / 1.1, v - eye_v) - 0.3 * a) - 0.03 * a
            colour = colour + wear.soft(ring) * (wear.eyes - colour)
        return colour + spot(side, v, (eye_u, eye_v - 0.3 * b), (0.22 * a, 0.05 * b)) * (wear.hair - colour)

    return paint


def _hair(body: Body, wear: Wear) -> list[Part]:
    """Hair on the head, hair behind the head, and a hat; those that this person has not are never drawn."""
    a, b = body.head
    big = 1.5 if wear.haircut == "afro" else 1.14
    cap: Shape = ellipse(0, -0.12 * b, big * a, (0.6 + 0.4 * big) * b)
    fringe = {"fringe": 0.3, "bob": 0.22, "long": 0.12}.get(wear.haircut, 0.04)
    front = cap if body.behind else without(cap, ellipse(0.12 * a, (0.5 + fringe) * b, 0.88 * a, 0.95 * b))
    if not body.behind and wear.haircut not in ("bob", "long", "afro"):
        front = without(front, lambda u, v: 0.18 * b - v)  # ears free: nothing below the eyes
    low = {"bob": 0.95 * b, "long": 2.5 * b}.get(wear.haircut, 0.3 * b)
    if wear.haircut == "bun":
        back: Shape = ellipse(0, -1.2 * b, 0.5 * a, 0.34 * b)
    else:
        back = outline([-0.6 * b, 0, low], [0.8 * a, 1.0 * a, 0.85 * a], 0.24 * a)
    wide = max(big, 1.3) * a

    def strands(u: Array, v: Array) -> Array:
        return wear.hair * (1 + 0.16 * np.sin(u * 95 + 14 * v) + 0.1 * np.cos(v * 30))[..., None]

    def felt(u: Array, v: Array) -> Array:
        return wear.trim + wear.soft(np.abs(v + 0.5 * b) - 0.1 * b) * (1 - wear.trim - wear.trim)

    crown = outline([-1.35 * b, -0.5 * b], [0.6 * a, 0.95 * a], 0.2 * a)
    hat = union(crown, ellipse(0, -0.42 * b, 1.5 * a, 0.16 * b))
    return [
        Part("hair", front, (-wide, -1.7 * b, wide, 1.2 * b), _shaded(strands, 1.3 * a)),
        Part("back hair", back, (-wide, -1.8 * b, wide, low + 0.3 * a), _shaded(strands, 1.3 * a)),
        Part("hat", hat, (-1.6 * a, -1.7 * b, 1.6 * a, 0), _shaded(felt, 1.4 * a)),
    ]
