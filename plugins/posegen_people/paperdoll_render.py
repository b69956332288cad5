"""Drawing paper dolls: flat textured parts under affine maps, and the exact flow between two such pictures.

Each part has its own coordinates, (u, v) in body units (1 = the height of a person): u across, v along.
A pose maps them to pixels. Shape and color are functions of (u, v) alone: two poses show the same surface.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating]
Shape: TypeAlias = Callable[[Array, Array], Array]
"""(u, v), both N, to the signed distance N from the outline in body units, negative inside."""
Paint: TypeAlias = Callable[[Array, Array], Array]
"""(u, v), both N, to colors N 3 in [0, 1]."""

BACKGROUND = -1


@dataclass(frozen=True)
class Part:
    """One flat piece of a doll; ``box`` is its bounding box u0, v0, u1, v1."""

    name: str
    shape: Shape
    box: tuple[float, float, float, float]
    paint: Paint


@dataclass(frozen=True)
class Placement:
    """Placement of the parts in a picture: ``affines`` P 2 3, (u, v, 1) to (x, y) in pixels; ``order``, the indices
    of those that are drawn, back to front."""

    affines: NDArray[np.float64]
    order: Sequence[int]


@dataclass(frozen=True)
class Rendering:
    """A drawing: ``image`` H W 3 in [0, 1]; ``topmost`` H W, the index of the part at each pixel center or
    ``BACKGROUND``; ``local`` H W 2, the (u, v) of that part there."""

    image: Array
    topmost: NDArray[np.int16]
    local: Array


def draw(parts: Sequence[Part], placed: Placement, background: Array) -> Rendering:
    """Paint *parts* over *background* (H W 3), with edges antialiased over one pixel."""
    return draw_all(parts, [placed], background)[0]


def draw_all(parts: Sequence[Part], poses: Sequence[Placement], background: Array) -> list[Rendering]:
    """Draw several poses, each exactly as :func:`draw` does, in less time: shared work is done once.

    Shape and colors of a part are computed for all pictures together, because at these sizes the number of calls costs
    more than the number of pixels. They are painted together where the depth orders allow it.
    """
    height, width = background.shape[:2]
    image = np.tile(background.reshape(-1, 3), (len(poses), 1))
    topmost = np.full(len(image), BACKGROUND, np.int16)
    local = np.zeros((len(image), 2), np.float32)
    used = sorted({index for placed in poses for index in placed.order})
    strokes = _strokes(parts, used, np.stack([placed.affines for placed in poses], 1), height, width)
    for index, drawn in _common_order([list(placed.order) for placed in poses]):
        stroke = strokes[index] if len(drawn) == len(poses) else strokes[index].within(drawn, height * width)
        below = image.take(stroke.place, 0)
        image[stroke.place] = below + stroke.opacity * (stroke.color - below)
        topmost[stroke.inner_place] = index
        local[stroke.inner_place] = stroke.inner_local
    images, shape = image.reshape(-1, height, width, 3), (len(poses), height, width)
    return [Rendering(*one) for one in zip(images, topmost.reshape(shape), local.reshape(*shape, 2), strict=True)]


@dataclass(frozen=True)
class Stroke:
    """One part on the pixels of several pictures, which share one numbering: ``place`` N, ``opacity`` N 1 and ``color``
    N 3 of the pixels it touches; ``inner_place`` M and ``inner_local`` M 2, (u, v), of those whose center it covers.
    Places are sorted."""

    place: NDArray[np.intp]
    opacity: Array
    color: Array
    inner_place: NDArray[np.intp]
    inner_local: Array

    def within(self, pictures: Sequence[int], area: int) -> Stroke:
        """Return the stroke in some of the pictures, of *area* pixels each."""
        outer = _within(self.place, pictures, area)
        inner = _within(self.inner_place, pictures, area)
        return Stroke(
            self.place[outer],
            self.opacity[outer],
            self.color[outer],
            self.inner_place[inner],
            self.inner_local[inner],
        )


def _within(place: NDArray[np.intp], pictures: Sequence[int], area: int) -> slice | NDArray[np.intp]:
    """Select the sorted places that are in some of the pictures."""
    ends = place.searchsorted([edge for k in pictures for edge in (k * area, (k + 1) * area)]).tolist()
    if len(pictures) == 1:
        return slice(*ends)
    return np.concatenate([np.arange(*ends[k : k + 2]) for k in range(0, len(ends), 2)])


def _strokes(
    parts: Sequence[Part], used: Sequence[int], affines: NDArray[np.float64], height: int, width: int
) -> dict[int, Stroke]:
    """Return the strokes of the *used* parts by index; *affines* P T 2 3."""
    affines = affines[used]
    boxes = _pixel_boxes([parts[index].box for index in used], affines, height, width)
    left, top, u_x, u_y, v_x, v_y = (each[..., None] for each in _inverse(affines))
    x = np.arange(width, dtype=np.float32) - left  # P T W
    y = np.arange(height, dtype=np.float32) - top  # P T H
    u_x, u_y, v_x, v_y = x * u_x, y * u_y, x * v_x, y * v_y
    area = affines[..., 0, 0] * affines[..., 1, 1] - affines[..., 0, 1] * affines[..., 1, 0]
    pixels_per_unit = [[abs(value) ** 0.5 for value in row] for row in area.tolist()]
    starts = np.arange(affines.shape[1] * height)[:, None] * width  # of the pictures' rows
    columns = np.arange(width)
    strokes = {}
    for k, index in enumerate(used):
        sizes = [max(bottom - first, 0) * max(end - begin, 0) for first, bottom, begin, end in boxes[k]]
        u, v = np.empty((2, sum(sizes)), np.float32)
        place = np.empty(sum(sizes), np.intp)
        done = 0
        for t, (first, bottom, begin, end) in enumerate(boxes[k]):
            if not sizes[t]:
                continue
            piece, shape = slice(done, done + sizes[t]), (bottom - first, end - begin)
            np.subtract(u_x[k, t, begin:end], u_y[k, t, first:bottom, None], out=u[piece].reshape(shape))
            np.subtract(v_y[k, t, first:bottom, None], v_x[k, t, begin:end], out=v[piece].reshape(shape))
            rows = starts[t * height + first : t * height + bottom]
            np.add(rows, columns[begin:end], out=place[piece].reshape(shape))
            done += sizes[t]
        scale = np.repeat(np.array(pixels_per_unit[k]), sizes)
        strokes[index] = _stroke(parts[index], place, u, v, scale)
    return strokes


def _stroke(part: Part, place: NDArray[np.intp], u: Array, v: Array, pixels_per_unit: Array) -> Stroke:
    """Return the stroke of a part among pixels N that contain all of it."""
    distance = part.shape(u, v)
    distance = distance * pixels_per_unit.astype(distance.dtype)  # some shapes compute in float64
    near = (distance < 0.5).nonzero()[0]
    place, distance, u, v = place[near], distance[near], u[near], v[near]
    inner = (distance < 0).nonzero()[0]
    inner_local = np.empty((len(inner), 2), np.float32)
    u.take(inner, out=inner_local[:, 0])
    v.take(inner, out=inner_local[:, 1])
    return Stroke(place, _weight(0.5 - distance)[:, None], _weight(part.paint(u, v)), place[inner], inner_local)


def _common_order(orders: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[int]]]:
    """Yield parts and the pictures to paint them in, in few steps that keep the order of every picture."""
    left = Counter(part for order in orders for part in order)
    queues = [list(reversed(order)) for order in orders]
    while +left:
        heads = Counter(queue[-1] for queue in queues if queue)
        index = max(heads, key=lambda part: (heads[part] == left[part], heads[part]))
        pictures = [k for k, queue in enumerate(queues) if queue and queue[-1] == index]
        for k in pictures:
            queues[k].pop()
        left[index] -= len(pictures)
        yield index, pictures


def _weight(value: Array) -> Array:
    """Clip to [0, 1]; on small arrays twice as fast as ``np.clip``."""
    return np.minimum(np.maximum(value, 0), 1)


def exact_flow(
    parts: Sequence[Part], source: Placement, source_picture: Rendering, target_picture: Rendering
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the backward flow between two pictures of *parts*, and where the point it leads to is visible.

    The flow of a pixel whose center shows part i at (u, v) leads to where the source puts (u, v) of part i.
    It is visible if it lies within the image and no part is drawn over part i there, tested at the exact
    position, not at a pixel center. A part's own edge hides nothing. The background does not move.

    Returns:
        flow 2 H W in pixels, channel 0 right and channel 1 down; visible H W.
    """
    flow, visible = exact_flows(parts, [source], [source_picture], [target_picture])
    return flow[0], visible[0]


def exact_flows(
    parts: Sequence[Part],
    sources: Sequence[Placement],
    source_pictures: Sequence[Rendering],
    target_pictures: Sequence[Rendering],
) -> tuple[Array, NDArray[np.bool_]]:
    """Return several flows between pictures of the same *parts*, each exactly as :func:`exact_flow`, in less time.

    Returns:
        flow M 2 H W, visible M H W.
    """
    topmost = np.stack([picture.topmost for picture in target_pictures])
    flow = np.zeros((len(topmost), 2, *topmost.shape[1:]), np.float32)
    visible = np.stack([picture.topmost for picture in source_pictures]) == BACKGROUND
    height, width = topmost.shape[1:]
    pair, row, column = place = np.nonzero(topmost != BACKGROUND)
    index = topmost[place]
    u, v = np.concatenate([p.local[p.topmost != BACKGROUND] for p in target_pictures]).T
    affine = np.stack([placed.affines for placed in sources]).astype(np.float32)[pair, index]
    x = affine[:, 0, 0] * u + affine[:, 0, 1] * v + affine[:, 0, 2]
    y = affine[:, 1, 0] * u + affine[:, 1, 1] * v + affine[:, 1, 2]
    flow[pair, 0, row, column] = x - column
    flow[pair, 1, row, column] = y - row
    within = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    visible[place] = within & ~_covered(parts, sources, pair, index, x, y)
    return flow, visible


def _covered(
    parts: Sequence[Part], sources: Sequence[Placement], pair: NDArray, index: NDArray, x: Array, y: Array
) -> NDArray[np.bool_]:
    """Return whether a part in front of part *index* covers the point (x, y) of the source *pair*; all N."""
    depth = np.full((len(sources), len(parts)), -1)
    for k, placed in enumerate(sources):
        depth[k, list(placed.order)] = np.arange(len(placed.order))
    own = depth[pair, index]
    covered = np.zeros(len(x), bool)
    left, top, u_x, u_y, v_x, v_y = _inverse(np.stack([placed.affines for placed in sources], 1))  # each P M
    for other in np.flatnonzero((depth >= 0).any(0)).tolist():
        if len(sources) == 1:
            behind, at = ((own < depth[0, other]) & ~covered).nonzero()[0], slice(None)
        else:
            behind = ((own < depth[:, other].take(pair)) & ~covered).nonzero()[0]
            at = pair[behind]
        across, down = x[behind] - left[other, at], y[behind] - top[other, at]
        u = across * u_x[other, at] - down * u_y[other, at]
        v = down * v_y[other, at] - across * v_x[other, at]
        u0, v0, u1, v1 = parts[other].box
        near = ((u > u0) & (u < u1) & (v > v0) & (v < v1)).nonzero()[0]
        if len(near):
            covered[behind[near]] = parts[other].shape(u[near], v[near]) < 0
    return covered


def _inverse(affines: NDArray[np.float64]) -> tuple[Array, ...]:
    """Return the maps from pixels to (u, v) of parts placed by *affines* (… 2 3): left, top, u_x, u_y, v_x, v_y, each …
    float32; u = (x - left) u_x - (y - top) u_y and v = (y - top) v_y - (x - left) v_x."""
    (a, b, left), (c, d, top) = np.moveaxis(affines, (-2, -1), (0, 1))
    unit = 1 / (a * d - b * c)
    return tuple(each.astype(np.float32) for each in (left, top, d * unit, b * unit, c * unit, a * unit))


def _pixel_boxes(
    boxes: Sequence[tuple[float, float, float, float]], affines: NDArray[np.float64], height: int, width: int
) -> list[list[tuple[int, int, int, int]]]:
    """Return, for each part and picture (*affines* P T 2 3), first and last row, first and last column (the last ones
    exclusive) of the pixels that a part may touch."""
    u0, v0, u1, v1 = np.array(boxes).T
    corners = (
        affines @ np.array([[u0, u1, u0, u1], [v0, v0, v1, v1], np.ones((4, len(boxes)))]).transpose(2, 0, 1)[:, None]
    )
    left, top = np.moveaxis(np.floor(corners.min(3)).astype(int) - 1, 2, 0)
    right, bottom = np.moveaxis(np.ceil(corners.max(3)).astype(int) + 2, 2, 0)
    edges = np.maximum(top, 0), np.minimum(bottom, height), np.maximum(left, 0), np.minimum(right, width)
    return np.stack(edges, -1).tolist()


# Shapes ---------------------------------------------------------------------------------------------------


def capsule(length: float, start: float, end: float) -> Shape:
    """Return a limb along v from (0, 0) to (0, length), its radius changing from *start* to *end*."""

    def distance(u: Array, v: Array) -> Array:
        along = _weight(v * (1 / length))
        return np.sqrt(u * u + (v - along * length) ** 2) - (start + (end - start) * along)

    return distance


def ellipse(u0: float, v0: float, half_width: float, half_height: float) -> Shape:
    """Return an ellipse around (u0, v0); its distance is exact at the outline and approximate elsewhere."""
    smaller = min(half_width, half_height)

    def distance(u: Array, v: Array) -> Array:
        return (np.sqrt(((u - u0) / half_width) ** 2 + ((v - v0) / half_height) ** 2) - 1) * smaller

    return distance


def outline(heights: Sequence[float] | Array, half_widths: Sequence[float] | Array, rounding: float) -> Shape:
    """Return a shape symmetric in u, as wide as *half_widths* at *heights* (rising v), with rounded corners."""
    us = np.array([0, *half_widths, 0], np.float32)[:, None]
    vs = np.array([heights[0], *heights, heights[-1]], np.float32)[:, None]
    du, dv = np.diff(us, axis=0), np.diff(vs, axis=0)
    inverse = (1 / (du.astype(np.float64) ** 2 + dv.astype(np.float64) ** 2)).astype(np.float32)

    def distance(u: Array, v: Array) -> Array:
        u = np.abs(u)
        pu, pv = u - us[:-1], v - vs[:-1]  # segments N
        along = _weight((pu * du + pv * dv) * inverse)
        nearest = ((pu - along * du) ** 2 + (pv - along * dv) ** 2).min(0)
        inside = (v > heights[0]) & (v < heights[-1]) & (u < np.interp(v, heights, half_widths))
        return np.where(inside, -1, 1) * np.sqrt(nearest) - rounding

    return distance


def union(*shapes: Shape) -> Shape:
    """Return the union of shapes."""

    def distance(u: Array, v: Array) -> Array:
        result = shapes[0](u, v)
        for shape in shapes[1:]:
            result = np.minimum(result, shape(u, v))
        return result

    return distance


def without(shape: Shape, hole: Shape) -> Shape:
    """Return *shape* with *hole* cut out."""
    return lambda u, v: np.maximum(shape(u, v), -hole(u, v))


# Colors --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """Texture of a cloth, a wall or a floor. Coarse, since pictures may be 64 pixels high.

    Args:
        kind: one of :data:`PATTERNS`.
        colors: 2 3 in [0, 1], ground and figure.
        period: of the repeat, in the units of (u, v).
        phase: in periods, for u and v.
        waves: 4 3, direction (2) and phase of the waves that make blotches.
        sharpness: pixels per unit; edges in the pattern are about one pixel wide.
    """

    kind: str
    colors: Array
    period: float
    phase: tuple[float, float]
    waves: Array
    sharpness: float

    def __call__(self, u: Array, v: Array) -> Array:
        """Return colors N 3 at (u, v)."""
        first, second = self.colors
        if self.kind == "solid":
            return np.broadcast_to(first, (*u.shape, 3))
        weight = self._figure(u / self.period + self.phase[0], v / self.period + self.phase[1])
        return first + weight[..., None] * (second - first)

    def _figure(self, u: Array, v: Array) -> Array:
        """Return the weight of the second color, 0..1, at (u, v) in periods."""
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
        return _weight(0.5 + wave * (self.period * self.sharpness / (2 * np.pi)))


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
class Proportions:
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
class Outfit:
    """Clothes, hair and face, and their colors (RGB in [0, 1])."""

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
        """Convert a signed distance to a weight N 1 that is 1 inside, over about one pixel."""
        return _weight(0.5 - distance * self.sharpness)[..., None]


def build_parts(body: Proportions, wear: Outfit) -> list[Part]:
    """Return all parts of a person."""
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


def signs(body: Proportions) -> tuple[int, int]:
    """Return the side of the image on which the person's right and left are: -1 = left."""
    return (1, -1) if body.behind else (-1, 1)


def _shaded(paint: Paint, half_width: float) -> Paint:
    """Shade a paint so that it looks round: darker toward the sides, more on one of them. It moves with the part."""

    def shaded(u: Array, v: Array) -> Array:
        across = u * (1 / half_width) + 0.25
        return paint(u, v) * (1.04 - 0.24 * np.minimum(across * across, 1.6))[..., None]

    return shaded


def _upper_arm(name: str, body: Proportions, wear: Outfit, sign: int) -> Part:
    start, end = 0.04 * body.girth, 0.033 * body.girth
    cuff = wear.sleeve * body.upper_arm

    def paint(u: Array, v: Array) -> Array:
        return wear.skin + wear.soft(v - cuff) * (wear.shirt(u, v) - wear.skin)

    shape = capsule(body.upper_arm, start, end)
    return Part(name, shape, (-start, -start, start, body.upper_arm + end), _shaded(paint, start))


def _forearm(name: str, body: Proportions, wear: Outfit, sign: int) -> Part:
    length, start, end, hand = body.forearm, 0.033 * body.girth, 0.024 * body.girth, 0.034
    cuff = (wear.sleeve - 1) * length * 0.95

    def paint(u: Array, v: Array) -> Array:
        return wear.skin + wear.soft(v - cuff) * (wear.shirt(u, v + body.upper_arm) - wear.skin)

    shape = union(capsule(length, start, end), ellipse(0, length + 0.018, hand * 0.9, hand * 1.1))
    wide = max(start, hand)
    return Part(name, shape, (-wide, -start, wide, length + 0.02 + 1.2 * hand), _shaded(paint, wide))


def _thigh(name: str, body: Proportions, wear: Outfit, sign: int) -> Part:
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


def _shin(name: str, body: Proportions, wear: Outfit, sign: int) -> Part:
    length, start, end = body.shin, 0.043 * body.girth, 0.028 * body.girth
    hem = (_leg_hem(wear) - 1) * length
    foot = ellipse(sign * 0.022, length + 0.012, 0.056, 0.032)

    def paint(u: Array, v: Array) -> Array:
        color = wear.skin + wear.soft(v - hem) * (wear.bottoms(u, v + body.thigh) - wear.skin)
        return color + wear.soft(length - 0.018 - v) * (wear.shoes - color)

    shape = union(capsule(length, start, end), foot)
    return Part(name, shape, (-0.082, -start, 0.082, length + 0.05), _shaded(paint, 0.06))


def _leg_hem(wear: Outfit) -> float:
    """Return where trouser legs end: 1 = the knee, 2 = the ankle; under a skirt the legs are bare."""
    return -1.0 if wear.bottoms_kind in ("skirt", "dress") else wear.trouser


def _neck(body: Proportions, wear: Outfit) -> Part:
    radius, low = 0.036 * (0.6 + 0.4 * body.girth), 0.03
    length = body.neck + 0.05 + low

    def paint(u: Array, v: Array) -> Array:
        if wear.neckline == "high":
            return wear.shirt(u, v - length)
        return wear.skin * np.clip(1.0 - 0.25 * (1 - v / length), 0.8, 1)[..., None]

    return Part("neck", capsule(length, radius, radius * 1.1), (-0.06, -radius, 0.06, length + 0.06), paint)


def _torso(body: Proportions, wear: Outfit) -> Part:
    round_ = 0.028
    heights = np.array([0.012, 0.035, 0.09, 0.62 * body.torso, body.torso - 0.02, body.torso + 0.02])
    widths = (
        np.array([0.045, body.shoulder, body.shoulder - 0.004, body.waist, body.hip, body.hip - 0.03]) - round_ * 0.6
    )
    shape = outline(heights, np.maximum(widths, 0.012), round_)
    belt = body.torso * 0.84
    wide = float(widths.max()) + round_ + 0.01

    def paint(u: Array, v: Array) -> Array:
        color = _decorate(wear, u, v, wear.shirt(u, v))
        if not body.behind and wear.neckline in ("vee", "wide"):
            cut = np.abs(u) * 1.3 + v - 0.115 if wear.neckline == "vee" else np.hypot(u, v * 1.2) - 0.062
            color = color + wear.soft(cut) * (wear.skin - color)
        if wear.bottoms_kind == "dress":
            return color + wear.soft(np.abs(v - 0.62 * body.torso) - 0.014) * (wear.trim - color)
        return color + wear.soft(belt - v) * (wear.bottoms(u, v - belt) - color)

    return Part("torso", shape, (-wide, -0.03, wide, body.torso + 0.06), _shaded(paint, wide))


def _decorate(wear: Outfit, u: Array, v: Array, color: Array) -> Array:
    """Paint the decoration on the front of a shirt."""
    if wear.front == "open":
        return color + wear.soft(np.abs(u) - 0.028) * (wear.trim - color)
    if wear.front == "badge":
        return color + wear.soft(np.hypot(u, v - 0.12) - 0.042) * (wear.trim - color)
    if wear.front == "band":
        return color + wear.soft(np.abs(v - 0.13) - 0.03) * (wear.trim - color)
    if wear.front == "pocket":
        return color + wear.soft(np.maximum(np.abs(u - 0.045), np.abs(v - 0.1)) - 0.024) * (wear.trim - color)
    return color


def _skirt(body: Proportions, wear: Outfit) -> Part:
    """Return the skirt. It begins at the belt; (0, 0) is the middle of the hips."""
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


def _head(body: Proportions, wear: Outfit) -> Part:
    a, b = body.head
    shape = union(ellipse(0, 0, a, b), ellipse(-a, 0.1 * b, 0.2 * a, 0.24 * b), ellipse(a, 0.1 * b, 0.2 * a, 0.24 * b))
    paint: Paint = (lambda u, v: np.broadcast_to(wear.skin, (*u.shape, 3))) if body.behind else _face(a, b, wear)
    return Part("head", shape, (-1.25 * a, -b, 1.25 * a, b), _shaded(paint, 1.3 * a))


def _face(a: float, b: float, wear: Outfit) -> Paint:
    """Return the paint of eyes, brows, cheeks, nose and mouth; both halves at once, by symmetry."""
    eye_u, eye_v = 0.4 * a, 0.08 * b

    def spot(u: Array, v: Array, at: tuple[float, float], radii: tuple[float, float]) -> Array:
        return wear.soft(ellipse(*at, *radii)(u, v))

    def paint(u: Array, v: Array) -> Array:
        side = np.abs(u)
        color = wear.skin + 0.35 * spot(side, v, (0.58 * a, 0.42 * b), (0.2 * a, 0.16 * b)) * (wear.lips - wear.skin)
        if wear.beard:
            color = color + wear.soft(0.36 * b - v) * (wear.hair - color)
        bent = v + wear.smile * side * side * (b / (a * a))
        color = color + spot(u, bent, (0, 0.62 * b), (0.38 * a, 0.08 * b)) * (wear.lips - color)
        color = color - 0.18 * spot(u, v, (0.03 * a, 0.3 * b), (0.1 * a, 0.1 * b)) * color
        color = color + spot(side, v, (eye_u, eye_v), (0.21 * a, 0.17 * b)) * (0.97 - color)
        color = color + spot(side, v, (eye_u, eye_v), (0.12 * a, 0.14 * b)) * (wear.eyes - color)
        if wear.glasses:
            ring = np.abs(np.hypot((side - eye_u) / 1.1, v - eye_v) - 0.3 * a) - 0.03 * a
            color = color + wear.soft(ring) * (wear.eyes - color)
        return color + spot(side, v, (eye_u, eye_v - 0.3 * b), (0.22 * a, 0.05 * b)) * (wear.hair - color)

    return paint


def _hair(body: Proportions, wear: Outfit) -> list[Part]:
    """Return hair on and behind the head, and a hat; the depth order leaves out what a person does not have."""
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
