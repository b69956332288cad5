"""Drawn data of objects: cars and chairs made of solids.

Textured solids drawn on the fly from a seed, each from two views, with the exact flow and visibility between them.
Nothing is downloaded, and nothing is stored.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray

from posegen.data import PairDataset
from posegen.data.datasets import check_drawing
from posegen.errors import ConfigError
from posegen.records import Pair
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

from .drawn_render import (
    BACK,
    FRONT,
    LEFT,
    RIGHT,
    TOP,
    Array,
    Camera,
    Paint,
    Solid,
    SolidObject,
    box,
    column,
    draw,
    exact_flow,
    tapered,
    wheel,
)
from .structure import View, ViewEncoder

SMALLEST = 32
"""Smallest side of a picture in pixels."""
FILL = 0.94
"""Largest fraction of the picture's width or height that an object covers."""


@dataclass(frozen=True)
class ViewScene:
    """Everything a pair is drawn from: an object, two cameras with their views, the background's color."""

    thing: SolidObject
    source: Camera
    target: Camera
    source_view: View
    target_view: View
    background: Array


@DATASETS.register_module()
class DrawnSolids(PairDataset):
    """Pairs of pictures of one synthetic object from two views, with exact flow, visibility and foreground.

    The two views of a pair are different classes of the structure encoder. Equal (seed, index, size) give the
    same pair. The camera is orthographic; light and texture are fixed to the object, so that a surface has one color in
    all views.

    Args:
        length: number of pairs.
        structure: a :class:`ViewEncoder`, or its config.
        kind: ``"car"`` or ``"chair"``.
        size: (height, width) of the pictures in pixels, 32 at least.
        seed: 0 or more.
        largest_turn: largest number of azimuth classes between source and target; None: any. After a large turn both
            views show little of the same surface.
        matches: number of surface points, visible in both views, that are given as the pair's ``matches``; 0: none, as
            in the published files.

    Raises:
        ConfigError: a size, length, seed, turn, kind or number of matches out of range.
    """

    def __init__(
        self,
        length: int,
        structure: ViewEncoder | dict[str, Any],
        kind: str = "car",
        size: Sequence[int] = (64, 64),
        seed: int = 0,
        largest_turn: int | None = None,
        matches: int = 0,
    ) -> None:
        self.size = check_drawing("DrawnSolids", size, SMALLEST, seed, length=length)
        if kind not in KINDS:
            raise ConfigError(f"DrawnSolids: kind is one of {', '.join(map(repr, KINDS))}; got {kind!r}")
        if largest_turn is not None and largest_turn < 1:
            raise ConfigError(f"DrawnSolids: largest_turn must be 1 or more, or None; got {largest_turn}")
        if matches < 0:
            raise ConfigError(f"DrawnSolids: matches must be 0 or more, got {matches}")
        self.length, self.kind, self.seed, self.largest_turn = length, kind, seed, largest_turn
        self.matches = matches
        self.structure: ViewEncoder = STRUCTURE_ENCODERS.build_part(structure)
        if self.structure.azimuths < 2:
            raise ConfigError("DrawnSolids: a structure of one azimuth has no two views")

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Pair:
        """Return the pair at a number; IndexError: no such pair."""
        if not 0 <= index < self.length:
            raise IndexError(f"pair {index} of {self.length}")
        scene = self.scene(index)
        flow, visible, foreground = exact_flow(scene.thing, scene.source, scene.target)
        return Pair(
            source=_tensor(draw(scene.thing, scene.source, scene.background)),
            source_structure=self.structure.encode(scene.source_view),
            target=_tensor(draw(scene.thing, scene.target, scene.background)),
            target_structure=self.structure.encode(scene.target_view),
            name=f"{self._name(index, scene.source_view)}_2_{self._name(index, scene.target_view)}_vis",
            flow=torch.from_numpy(flow),
            visible=torch.from_numpy(visible[None].astype(np.float32)),
            foreground=torch.from_numpy(foreground[None].astype(np.float32)),
            matches=self._matches(index, flow, visible & foreground) if self.matches else None,
        )

    def _matches(self, index: int, flow: Array, where: NDArray[np.bool_]) -> torch.Tensor:
        """Return random points of the object that both views show, as in :class:`posegen.records.Pair`; NaN: none."""
        rng = np.random.default_rng([self.seed, index, 1])  # apart from what the scene is drawn from
        places = np.argwhere(where)
        if not len(places):
            return torch.full((self.matches, 4), torch.nan)
        y, x = rng.choice(places, self.matches).T
        target = np.stack([x, y], 1).astype(np.float32)
        return torch.from_numpy(np.concatenate([target, target + flow[:, y, x].T], 1))

    def scene(self, index: int) -> ViewScene:
        """Return everything that pair *index* is drawn from."""
        rng = np.random.default_rng([self.seed, index])
        thing = SolidObject(KINDS[self.kind](rng, pixel=1 / max(self.size)))
        source, target = self._random_views(rng)
        background = np.full(3, rng.choice([1.0, 1.0, rng.uniform(0.86, 0.97)]), np.float32)
        return ViewScene(thing, self.camera(thing, source), self.camera(thing, target), source, target, background)

    def camera(self, thing: SolidObject, view: View) -> Camera:
        """Return the camera of a view of an object; distance and center are the same for all views."""
        corners = thing.corners
        low, high = corners.min(0), corners.max(0)
        middle = (low + high) / 2
        radius = np.linalg.norm((corners - middle)[:, :2], axis=1).max()
        steepest = np.radians(self.structure.elevation_step * (self.structure.elevations - 1))
        tall = (high[2] - low[2]) * np.cos(steepest) + 2 * radius * np.sin(steepest)
        scale = FILL * min(self.size[1] / (2 * radius), self.size[0] / max(tall, high[2] - low[2]))
        azimuth = 2 * np.pi * view.azimuth / self.structure.azimuths
        elevation = np.radians(self.structure.elevation_step * view.elevation)
        return Camera(azimuth, elevation, scale, middle, self.size)

    def _random_views(self, rng: Generator) -> tuple[View, View]:
        around = self.structure.azimuths
        largest = min(self.largest_turn or around, around // 2)
        azimuth = int(rng.integers(around))
        turn = int(rng.integers(1, largest + 1)) * int(rng.choice([-1, 1]))
        first, second = (int(k) for k in rng.integers(self.structure.elevations, size=2))
        return View(azimuth, first), View((azimuth + turn) % around, second)

    def _name(self, index: int, view: View) -> str:
        """Return MODEL_AZIMUTH_ELEVATION, in steps of 10° and in degrees, the names of ShapeNet renders."""
        azimuth = round(36 * view.azimuth / self.structure.azimuths)
        return f"{self.kind}{index:05d}_{azimuth}_{round(self.structure.elevation_step * view.elevation)}"


def _tensor(image: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1), np.float32) * 2 - 1)


# Paint ----------------------------------------------------------------------------------------------------

PATTERNS = ("plain", "stripes", "stripes", "checks", "spots", "waves", "blotches")
GLASS, TYRE = np.array([0.17, 0.21, 0.28]), np.array([0.11, 0.11, 0.12])
LAMP, TAIL, METAL = np.array([1.0, 0.96, 0.72]), np.array([0.85, 0.08, 0.06]), np.array([0.72, 0.74, 0.78])
WOODS = ((0.55, 0.34, 0.18), (0.72, 0.52, 0.32), (0.36, 0.22, 0.13), (0.86, 0.72, 0.52), (0.2, 0.2, 0.22))


def random_color(rng: Generator) -> Array:
    """Draw a color: mostly saturated, sometimes white, gray or black."""
    if rng.random() < 0.15:
        return np.full(3, rng.choice([0.15, 0.4, 0.9]))
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.5, 0.95), rng.uniform(0.45, 0.95)))


def other_color(rng: Generator, first: Array, difference: float = 0.7) -> Array:
    """Draw a color that differs from *first* by at least so much, summed over channels."""
    second = random_color(rng)
    while np.abs(second - first).sum() < difference:
        second = random_color(rng)
    return second


@dataclass(frozen=True)
class Pattern:
    """A texture of two colors (2 3) with a *period* in units of the object; *pixel*: the width of its edges."""

    kind: str
    colors: Array
    period: float
    phase: tuple[float, float]
    angle: float
    waves: Array  # 4 3
    pixel: float

    def __call__(self, u: Array, v: Array) -> Array:
        """Return colors N 3 at (u, v) of a face, N each."""
        return self.colors[0] + self._share(u, v)[:, None] * (self.colors[1] - self.colors[0])

    def _share(self, u: Array, v: Array) -> Array:
        if self.kind == "plain":
            return np.zeros(len(u))
        c, s = np.cos(self.angle), np.sin(self.angle)
        u, v = (c * u + s * v) / self.period + self.phase[0], (c * v - s * u) / self.period + self.phase[1]
        sharp = self.period / self.pixel
        if self.kind == "blotches":
            return _edge(sum(np.sin(3.6 * (a * u + b * v) + p) for a, b, p in self.waves), sharp * 0.2)
        if self.kind == "waves":
            u = u + 0.25 * np.sin(2 * np.pi * v * 0.7)
        across, along = _triangle(u), _triangle(v)
        if self.kind == "checks":
            return _edge(across, sharp) + _edge(along, sharp) - 2 * _edge(across, sharp) * _edge(along, sharp)
        if self.kind == "spots":
            return _edge(0.3 - np.hypot(u - np.round(u), v - np.round(v)), sharp)
        return _edge(across, sharp)


def _triangle(u: Array) -> Array:
    """Return the signed distance to the nearest edge of stripes of period 1, each half of it wide."""
    return 0.25 - np.abs(u - np.round(u))


def _edge(distance: Array, sharp: float) -> Array:
    return np.clip(distance * sharp + 0.5, 0, 1)


def random_pattern(rng: Generator, pixel: float, periods: tuple[float, float], first: Array | None = None) -> Pattern:
    """Draw a pattern of random kind, colors and period."""
    ground = random_color(rng) if first is None else first
    return Pattern(
        kind=str(rng.choice(PATTERNS)),
        colors=np.stack([ground, other_color(rng, ground)]),
        period=rng.uniform(*periods),
        phase=(rng.random(), rng.random()),
        angle=float(rng.choice([0, 0, np.pi / 2, np.pi / 4])),
        waves=np.c_[rng.uniform(-1, 1, (4, 2)), rng.uniform(0, 2 * np.pi, 4)],
        pixel=pixel,
    )


def on_faces(pattern: Pattern) -> Paint:
    """Return a paint with *pattern* on each face of a box."""

    def paint(points: Array, face: np.ndarray) -> Array:
        first = np.where(face // 2 == 0, points[:, 1], points[:, 0])
        second = np.where(face // 2 == 2, points[:, 1], points[:, 2])
        return pattern(first, second)

    return paint


def plain(color: Sequence[float] | Array) -> Paint:
    """Return a paint of one color."""
    return lambda points, face: np.broadcast_to(np.asarray(color, float), points.shape)


def _blend(colors: Array, share: Array, color: Array) -> Array:
    return colors + share[:, None] * (color - colors)


def _within(distance_u: Array, distance_v: Array, sharp: float) -> Array:
    """Return the coverage of a rectangle at a point, given its distances from the sides."""
    return _edge(np.minimum(distance_u, distance_v), sharp)


# Cars -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CarBuild:
    """Lengths of a car, its own being about 1; ``cabin``: from, to (x, at its foot); ``slants`` of its front, back and
    sides."""

    length: float
    width: float
    floor: float
    waist: float
    roof: float
    cabin: tuple[float, float]
    slants: tuple[float, float, float]
    nose: tuple[float, float]  # how far the top of the body is drawn in, at front and back
    wheel: float


CARS = {  # cabin from, to, slants at front and back, roof above the waist; ranges
    "saloon": ((-0.36, -0.30), (0.20, 0.26), (0.13, 0.18), (0.10, 0.16), (0.13, 0.16)),
    "hatchback": ((-0.49, -0.47), (0.18, 0.25), (0.13, 0.18), (0.03, 0.09), (0.15, 0.19)),
    "van": ((-0.50, -0.49), (0.33, 0.40), (0.08, 0.14), (0.0, 0.02), (0.22, 0.28)),
    "pickup": ((-0.10, -0.05), (0.22, 0.28), (0.10, 0.14), (0.01, 0.03), (0.15, 0.18)),
    "coupe": ((-0.42, -0.36), (0.08, 0.14), (0.16, 0.20), (0.18, 0.24), (0.11, 0.13)),
}


def random_car(rng: Generator, pixel: float) -> list[Solid]:
    """Draw the solids of a random car; *pixel*: about the size of one, in units of the object."""
    kind = str(rng.choice(list(CARS)))
    build = _random_car_build(rng, kind)
    color = random_color(rng)
    pattern = random_pattern(rng, pixel, (0.16, 0.34), color)
    solids = [_car_body(rng, build, pattern, pixel), _car_cabin(rng, build, pattern, pixel)]
    solids += _car_wheels(rng, build, pixel)
    if kind == "pickup":
        solids += _pickup_bed(build, on_faces(pattern))
    return solids + _car_extras(rng, build, kind, color, pixel)


def _random_car_build(rng: Generator, kind: str) -> CarBuild:
    start, end, front, back, roof = (rng.uniform(*bounds) for bounds in CARS[kind])
    length, radius = rng.uniform(0.92, 1.08), rng.uniform(0.078, 0.1)
    floor = rng.uniform(0.55, 0.75) * radius
    waist = floor + rng.uniform(0.13, 0.17)
    return CarBuild(
        length=length,
        width=rng.uniform(0.38, 0.46),
        floor=floor,
        waist=waist,
        roof=waist + roof,
        cabin=(start * length, end * length),
        slants=(front, back, rng.uniform(0.02, 0.05)),
        nose=(rng.uniform(0.01, 0.06), rng.uniform(0.0, 0.04)),
        wheel=radius,
    )


def _car_body(rng: Generator, build: CarBuild, pattern: Pattern, pixel: float) -> Solid:
    half, side, sharp = build.length / 2, build.width / 2, 1 / pixel
    lamp_height = build.floor + 0.62 * (build.waist - build.floor)
    lamp, lamp_place = rng.uniform(0.028, 0.042), side * rng.uniform(0.6, 0.75)
    grille = np.array([0.16, 0.16, 0.18]) if rng.random() < 0.7 else METAL
    band, stripe = other_color(rng, pattern.colors[0]), rng.choice(["none", "sill", "racing", "belt"])
    door = rng.uniform(-0.05, 0.02)

    def paint(points: Array, face: np.ndarray) -> Array:
        x, y, z = points.T
        colors = on_faces(pattern)(points, face)
        if stripe == "sill":
            colors = _blend(colors, _edge(build.floor + 0.045 - z, sharp), band)
        if stripe == "belt":
            colors = _blend(colors, _edge(0.022 - np.abs(z - lamp_height + 0.02), sharp), band)
        if stripe == "racing":
            colors = _blend(colors, _edge(0.045 - np.abs(y), sharp) * (face // 2 != 1), band)
        at_side = face // 2 == 1
        gaps = np.abs(np.stack([x - door, x - door - 0.2, x - door + 0.2])).min(0)
        colors = _blend(colors, at_side * _edge(0.004 - gaps, sharp), 0.35 * pattern.colors[0])
        arch = np.hypot(np.abs(x) - _axle(build), z - build.wheel)
        colors = _blend(colors, at_side * _edge(1.16 * build.wheel - arch, sharp), np.full(3, 0.07))
        lamps = _within(lamp * 1.3 - np.abs(np.abs(y) - lamp_place), lamp - np.abs(z - lamp_height), sharp)
        colors = _blend(colors, (face == FRONT) * lamps, LAMP)
        colors = _blend(colors, (face == BACK) * lamps, TAIL)
        middle = _within(lamp_place * 0.5 - np.abs(y), 0.032 - np.abs(z - lamp_height + 0.01), sharp)
        colors = _blend(colors, (face == FRONT) * middle, grille)
        plate = _within(0.06 - np.abs(y), 0.02 - np.abs(z - build.floor - 0.045), sharp)
        return _blend(colors, (face == BACK) * plate, np.full(3, 0.93))

    low, high = (-half, -side, build.floor), (half, side, build.waist)
    return tapered(low, high, paint, (*build.nose, 0.012))


def _axle(build: CarBuild) -> float:
    return 0.31 * build.length


def _car_cabin(rng: Generator, build: CarBuild, pattern: Pattern, pixel: float) -> Solid:
    (start, end), (front, back, side) = build.cabin, build.slants
    foot, roof, sharp = build.waist - 0.005, build.roof, 1 / pixel
    pillars = np.array([start + rng.uniform(0.38, 0.62) * (end - start)])
    if end - start > 0.7:
        pillars = start + np.array([0.36, 0.7]) * (end - start)
    frame, half = 0.02, build.width / 2 - 0.012
    glass = GLASS + rng.uniform(-0.05, 0.08, 3)
    panels = rng.random() < 0.4  # a van without rear windows
    sunroof = rng.random() < 0.25

    def paint(points: Array, face: np.ndarray) -> Array:
        x, y, z = points.T
        colors = on_faces(pattern)(points, face)
        up = (z - foot) / (roof - foot)
        tall = np.minimum(z - foot - frame * 0.6, roof - frame - z)
        across = half - side * up - np.abs(y) - frame
        ends = _within(across, tall, sharp)
        colors = _blend(colors, ((face == FRONT) | (face == BACK)) * ends, glass)
        along = np.minimum(x - start - back * up, end - front * up - x) - frame * 1.3
        along = np.minimum(along, np.abs(x[:, None] - pillars).min(1) - frame * 0.55)
        if panels and end - start > 0.7:
            along = np.minimum(along, x - pillars[-1])
        colors = _blend(colors, ((face == LEFT) | (face == RIGHT)) * _within(along, tall, sharp), glass)
        if sunroof:
            middle = (start + back + end - front) / 2
            hole = _within(0.09 - np.abs(x - middle), 0.1 - np.abs(y), sharp)
            colors = _blend(colors, (face == TOP) * hole, glass)
        return colors

    return tapered((start, -half, foot), (end, half, roof), paint, (front, back, side))


def _car_wheels(rng: Generator, build: CarBuild, pixel: float) -> list[Solid]:
    sharp, spokes = 1 / pixel, int(rng.choice([0, 4, 5, 6]))
    hub = METAL if rng.random() < 0.6 else random_color(rng)
    rim = rng.uniform(0.58, 0.72) * build.wheel

    def paint(points: Array, face: np.ndarray) -> Array:
        distance = np.hypot(points[:, 0], points[:, 2])
        share = _edge(rim - distance, sharp)
        if spokes:
            gap = np.cos(spokes * np.arctan2(points[:, 2], points[:, 0])) * distance
            share *= 1 - 0.75 * _edge(gap - 0.4 * distance, sharp) * _edge(distance - 0.3 * rim, sharp)
        return _blend(np.broadcast_to(TYRE, points.shape), share * (face >= 14), hub)

    out = build.width / 2 - 0.022
    return [wheel(build.wheel, 0.06, paint, (x * _axle(build), y * out, build.wheel)) for x in (-1, 1) for y in (-1, 1)]


def _pickup_bed(build: CarBuild, paint: Paint) -> list[Solid]:
    start, end, side = -build.length / 2 + build.nose[1], build.cabin[0] + 0.03, build.width / 2 - 0.012
    low, high, wall = build.waist - 0.01, build.waist + 0.06, 0.022
    return [
        box((start, -side, low), (end, -side + wall, high), paint),
        box((start, side - wall, low), (end, side, high), paint),
        box((start, -side, low), (start + wall, side, high), paint),
        box((start, -side, low), (end, side, low + 0.014), plain((0.22, 0.22, 0.24))),
    ]


def _car_extras(rng: Generator, build: CarBuild, kind: str, color: Array, pixel: float) -> list[Solid]:
    """Draw bumpers, mirrors, and sometimes a sign or a load on the roof, or a wing."""
    half, side = build.length / 2, build.width / 2
    dark = plain((0.2, 0.2, 0.22) if rng.random() < 0.6 else 0.75 * color)
    low, high = build.floor, build.floor + rng.uniform(0.035, 0.055)
    solids = [
        box((half - 0.03, -side * 0.97, low), (half + 0.018, side * 0.97, high), dark),
        box((-half - 0.018, -side * 0.97, low), (-half + 0.03, side * 0.97, high), dark),
    ]
    place, sill = build.cabin[1] - build.slants[0] * 0.35, build.waist
    for sign in (-1, 1):
        inner, outer = sorted((sign * (side - 0.02), sign * (side + 0.035)))
        solids.append(box((place - 0.018, inner, sill + 0.015), (place + 0.018, outer, sill + 0.05), dark))
    chance = rng.random()
    if chance < 0.26:
        solids.append(_on_the_roof(rng, build, color, pixel))
    elif chance < 0.5 and kind in ("saloon", "coupe"):
        solids += _wing(build, plain(other_color(rng, color, 0.3)))
    return solids


def _on_the_roof(rng: Generator, build: CarBuild, color: Array, pixel: float) -> Solid:
    start, end = build.cabin[0] + build.slants[1], build.cabin[1] - build.slants[0]
    middle, roof = (start + end) / 2, build.roof
    if rng.random() < 0.5:
        sign = plain(other_color(rng, color))
        return box((middle - 0.035, -0.08, roof), (middle + 0.035, 0.08, roof + 0.045), sign)
    load, reach = on_faces(random_pattern(rng, pixel, (0.1, 0.2))), min(0.2, (end - start) / 2)
    return box((middle - reach, -0.12, roof), (middle + reach, 0.12, roof + 0.07), load)


def _wing(build: CarBuild, paint: Paint) -> list[Solid]:
    back, side, sill = -build.length / 2 + build.nose[1], build.width / 2, build.waist
    blade = box((back, -side * 0.92, sill + 0.045), (back + 0.085, side * 0.92, sill + 0.062), paint)
    posts = [
        box((back + 0.03, y - 0.01, sill - 0.01), (back + 0.05, y + 0.01, sill + 0.05), paint)
        for y in (-0.6 * side, 0.6 * side)
    ]
    return [blade, *posts]


# Chairs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ChairBuild:
    """Lengths of a chair, its height being about 1; the seat's middle is at x = y = 0. ``lean``: radians."""

    width: float
    depth: float
    seat: float  # the height of its top
    thickness: float
    back: float
    lean: float
    leg: float


def random_chair(rng: Generator, pixel: float) -> list[Solid]:
    """Draw the solids of a random chair; *pixel*: about the size of one, in units of the object."""
    build = ChairBuild(
        width=rng.uniform(0.44, 0.58),
        depth=rng.uniform(0.42, 0.54),
        seat=rng.uniform(0.4, 0.5),
        thickness=rng.uniform(0.05, 0.11),
        back=rng.uniform(0.42, 0.6),
        lean=rng.uniform(0.04, 0.26),
        leg=rng.uniform(0.04, 0.062),
    )
    wood = np.array(WOODS[rng.integers(len(WOODS))]) if rng.random() < 0.7 else random_color(rng)
    cover = on_faces(random_pattern(rng, pixel, (0.14, 0.3)))
    back_cover = cover if rng.random() < 0.6 else on_faces(random_pattern(rng, pixel, (0.14, 0.3)))
    solids = [_chair_seat(build, cover), *_chair_back(rng, build, back_cover, wood)]
    solids += _pedestal(rng, build, wood) if rng.random() < 0.25 else _chair_legs(rng, build, wood)
    return solids + (_arms(rng, build, wood, cover) if rng.random() < 0.5 else [])


def _chair_seat(build: ChairBuild, cover: Paint) -> Solid:
    half, side = build.depth / 2, build.width / 2
    low, high = (-half, -side, build.seat - build.thickness), (half, side, build.seat)
    return tapered(low, high, cover, (0.015, 0.0, 0.01))


def _chair_back(rng: Generator, build: ChairBuild, cover: Paint, wood: Array) -> list[Solid]:
    """Draw the back, which stands on the seat's back edge and leans back around y."""
    foot = (-build.depth / 2 + 0.03, 0, build.seat - 0.02)
    side, thick, top = build.width / 2, rng.uniform(0.04, 0.07), build.back
    frame = plain(wood)

    def panel(y0: float, y1: float, z0: float, z1: float, paint: Paint, depth: float = thick) -> Solid:
        return box((-depth / 2, y0, z0), (depth / 2, y1, z1), paint, center=foot, pitch=build.lean)

    kind = rng.choice(["whole", "whole", "raised", "slats", "bars"])
    if kind == "whole":
        return [tapered((-thick / 2, -side, 0), (thick / 2, side, top), cover, (0.0, 0.0, 0.03), foot, build.lean)]
    posts = [panel(-side, -side + 0.05, 0, top, frame), panel(side - 0.05, side, 0, top, frame)]
    if kind == "raised":
        return [*posts, panel(-side, side, top * 0.42, top, cover, thick * 1.15)]
    if kind == "slats":
        edges = np.linspace(-side + 0.05, side - 0.05, 2 * int(rng.integers(3, 5)) + 2)[1:-1]
        slats = [panel(a, b, 0, top, cover, thick * 0.5) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        return [*posts, *slats, panel(-side, side, top - 0.09, top + 0.01, frame, thick * 1.15)]
    heights = np.linspace(0.2, 0.86, int(rng.integers(2, 4))) * top
    return [*posts, *(panel(-side, side, z, z + 0.14 * top, cover, thick * 1.1) for z in heights)]


def _chair_legs(rng: Generator, build: ChairBuild, wood: Array) -> list[Solid]:
    paint, leg = plain(wood), build.leg
    x, y, top = build.depth / 2 - leg / 2 - 0.01, build.width / 2 - leg / 2 - 0.01, build.seat - build.thickness
    splay = rng.uniform(0, 0.12) if rng.random() < 0.4 else 0.0
    legs = []
    for at_x in (-x, x):
        pitch = float(np.sign(at_x) * splay)
        for at_y in (-y, y):
            low, high = (-leg / 2, -leg / 2, -top / np.cos(pitch)), (leg / 2, leg / 2, 0.02)
            legs.append(box(low, high, paint, center=(at_x, at_y, top), pitch=pitch))
    if rng.random() < 0.4 and not splay:
        foot, bar = rng.uniform(0.3, 0.5) * top, 0.028
        legs += [box((-x, s * y - bar / 2, foot), (x, s * y + bar / 2, foot + bar), paint) for s in (-1, 1)]
    return legs


def _pedestal(rng: Generator, build: ChairBuild, wood: Array) -> list[Solid]:
    color = METAL if rng.random() < 0.5 else wood
    top = build.seat - build.thickness
    solids = [column(0.035, top, plain(color), (0, 0, 0))]
    if rng.random() < 0.5:
        return [*solids, column(rng.uniform(0.2, 0.25), 0.035, plain(color), (0, 0, 0), sides=16)]
    reach = rng.uniform(0.24, 0.29)
    return [
        *solids,
        box((-reach, -0.025, 0), (reach, 0.025, 0.05), plain(color)),
        box((-0.025, -reach, 0), (0.025, reach, 0.05), plain(color)),
    ]


def _arms(rng: Generator, build: ChairBuild, wood: Array, cover: Paint) -> list[Solid]:
    height = build.seat + rng.uniform(0.18, 0.25)
    start, end = -build.depth / 2, build.depth / 2 - rng.uniform(0.02, 0.1)
    side, wide, foot = build.width / 2, rng.uniform(0.05, 0.075), build.seat - build.thickness
    closed, frame = rng.random() < 0.4, plain(wood)
    solids = []
    for sign in (-1, 1):
        low, high = sorted((sign * side, sign * (side + wide)))
        if closed:
            solids.append(box((start, low, foot), (end, high, height), cover))
            continue
        middle = (low + high) / 2
        solids.append(box((start, low, height - 0.04), (end, high, height), frame))
        solids.append(box((end - 0.05, middle - 0.02, foot), (end - 0.01, middle + 0.02, height - 0.03), frame))
    return solids


KINDS = {"car": random_car, "chair": random_chair}
