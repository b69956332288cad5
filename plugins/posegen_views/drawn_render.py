"""Draw solids: convex textured parts under an orthographic camera, and the exact flow between two such pictures.

Object coordinates: x forward, y left, z up; lengths in units of the object, about 1. Each part has its own coordinates,
in which its planes are given and of which its paint is a function: every view shows the same surface. Light is fixed to
the object, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating]
Paint: TypeAlias = Callable[[Array, NDArray[np.intp]], Array]
"""Points N 3 in the part's coordinates and the face each lies on, N, to colors N 3 in [0, 1]."""

BACKGROUND = -1
AGREE = 1e-4  # in units of the object: depths that differ by less are the same surface
GRAZING = 0.05  # a face seen at a smaller cosine is a line: what is on it cannot be told
EDGE_ON = 1e-6  # faces that are seen at a smaller cosine are kept at it, so that nothing is divided by zero
LIGHT = np.array([0.35, 0.25, 0.9]) / np.linalg.norm([0.35, 0.25, 0.9])
SAMPLES = 2  # rays a pixel in each direction


@dataclass(frozen=True)
class Solid:
    """A convex part: the points X with ``normals @ X <= offsets``, in its own coordinates.

    ``normals`` F 3 of length 1, ``offsets`` F; ``corners`` N 3, points whose hull holds it. ``frame`` 3 3, a rotation,
    and ``center`` 3 place it in the object: X_object = frame @ X + center.
    """

    normals: Array
    offsets: Array
    corners: Array
    paint: Paint
    center: Array = field(default_factory=lambda: np.zeros(3))
    frame: Array = field(default_factory=lambda: np.eye(3))

    def in_object(self) -> tuple[Array, Array, Array]:
        """Return normals, offsets and corners in object coordinates."""
        normals = self.normals @ self.frame.T
        return normals, self.offsets + normals @ self.center, self.corners @ self.frame.T + self.center


class SolidObject:
    """An object: its solids.

    Args:
        solids: its parts; where two coincide, the first is seen.
    """

    def __init__(self, solids: Sequence[Solid]) -> None:
        self.solids = list(solids)
        placed = [solid.in_object() for solid in solids]
        self.normals = [normals for normals, _, _ in placed]
        self.offsets = [offsets for _, offsets, _ in placed]
        self.corners = np.concatenate([corners for _, _, corners in placed])  # of all parts, N 3
        self.starts = np.cumsum([0, *(len(corners) for _, _, corners in placed[:-1])])  # of each part's among them
        self.shades = [0.74 + 0.26 * np.clip(normals @ LIGHT, -0.4, 1) for normals in self.normals]


@dataclass(frozen=True)
class Camera:
    """An orthographic camera, which shows the object point ``middle`` at the picture's center, ``scale`` pixels a unit.

    ``azimuth`` and ``elevation`` in radians: azimuth 0 looks at the object's front, it grows toward its left side.
    """

    azimuth: float
    elevation: float
    scale: float
    middle: Array
    size: tuple[int, int]  # H, W

    @cached_property
    def axes(self) -> tuple[Array, Array, Array]:
        """Return right, up and away from the camera, in object coordinates."""
        c, s = np.cos(self.azimuth), np.sin(self.azimuth)
        ce, se = np.cos(self.elevation), np.sin(self.elevation)
        return np.array([-s, c, 0]), np.array([-se * c, -se * s, ce]), np.array([-ce * c, -ce * s, -se])

    def project(self, points: Array) -> tuple[Array, Array, Array]:
        """Project object points N 3: x and y in pixels, the center of the first pixel at 0, and depth."""
        right, up, away = self.axes
        moved = points - self.middle
        height, width = self.size
        x = (width - 1) / 2 + self.scale * (moved @ right)
        y = (height - 1) / 2 - self.scale * (moved @ up)
        return x, y, moved @ away

    def unproject(self, x: Array, y: Array, depth: Array) -> Array:
        """Return the object points N 3 at pixels and depths N."""
        right, up, away = self.axes
        height, width = self.size
        across, along = (x - (width - 1) / 2) / self.scale, ((height - 1) / 2 - y) / self.scale
        return self.middle + across[:, None] * right + along[:, None] * up + depth[:, None] * away

    def planes(self, thing: SolidObject) -> list[Planes]:
        """Return the depth of the planes of each part at each pixel."""
        normals, offsets = np.concatenate(thing.normals), np.concatenate(thing.offsets)
        right, up, away = self.axes
        height, width = self.size
        slope = normals @ away
        slope = np.where(np.abs(slope) < EDGE_ON, EDGE_ON, slope)
        per_x = -(normals @ right) / slope / self.scale
        per_y = (normals @ up) / slope / self.scale
        start = (offsets - normals @ self.middle) / slope - per_x * (width - 1) / 2 - per_y * (height - 1) / 2
        coefficients, facing = np.stack([per_x, per_y, start], 1), slope < 0
        ends = np.cumsum([len(offsets) for offsets in thing.offsets])
        return [Planes(coefficients[a:b], facing[a:b]) for a, b in zip([0, *ends], ends, strict=False)]

    def boxes(self, thing: SolidObject) -> tuple[Array, Array]:
        """Return least and largest (x, y, depth) of each part, P 3 each."""
        at = np.stack(self.project(thing.corners), 1)
        return np.minimum.reduceat(at, thing.starts), np.maximum.reduceat(at, thing.starts)


class Planes(NamedTuple):
    """A part's planes as a camera sees them: ``depth = a·x + b·y + c`` at pixel (x, y), coefficients F 3; ``facing`` F,
    which of them face the camera: where a ray enters."""

    coefficients: Array
    facing: NDArray[np.bool_]

    def enter(self, x: Array, y: Array) -> Array:
        """Return the depth at which rays at pixels (x, y), which broadcast, enter the part; infinite if they miss."""
        enter, leave = self._fold(np.maximum, self.facing, x, y), self._fold(np.minimum, ~self.facing, x, y)
        enter[enter >= leave] = np.inf
        return enter

    def _fold(self, extreme: np.ufunc, chosen: NDArray[np.bool_], x: Array, y: Array) -> Array:
        """Return the largest or smallest depth of the chosen planes."""
        result: Array | None = None
        for a, b, c in self.coefficients[chosen].tolist():  # Python's numbers leave the pixels' precision as it is
            depth = a * x + (b * y + c)
            result = depth if result is None else extreme(result, depth, out=result)
        if result is None:
            raise ValueError("a solid needs planes on all sides")
        return result

    def face(self, x: Array, y: Array) -> NDArray[np.intp]:
        """Return the face through which rays at pixels (x, y), N each, enter."""
        depth = self.coefficients @ np.stack([x, y, np.ones_like(x)])
        depth[~self.facing] = -np.inf
        return depth.argmax(0)


class RayHits(NamedTuple):
    """First hits of rays, H W each: ``part`` (or ``BACKGROUND``) and ``depth``."""

    part: NDArray[np.int16]
    depth: Array

    def by_part(self, parts: int) -> Iterator[tuple[int, NDArray[np.intp], NDArray[np.intp]]]:
        """Return index, rows and columns of each visible part."""
        row, column = np.nonzero(self.part != BACKGROUND)
        part = self.part[row, column]
        order = np.argsort(part, kind="stable")
        ends = np.searchsorted(part[order], np.arange(parts + 1))
        for index, (start, end) in enumerate(itertools.pairwise(ends)):
            if start < end:
                yield index, row[order[start:end]], column[order[start:end]]


def look(thing: SolidObject, camera: Camera, x: Array, y: Array) -> RayHits:
    """Cast rays at the crossings of pixel columns *x* and rows *y*; return their first hits."""
    part = np.full((len(y), len(x)), BACKGROUND, np.int16)
    nearest = np.full(part.shape, np.inf, x.dtype)
    for index, (planes, low, high) in enumerate(zip(camera.planes(thing), *camera.boxes(thing), strict=True)):
        columns, rows = (slice(*np.searchsorted(at, [low[k], high[k]])) for k, at in enumerate((x, y)))
        box = (rows, columns)
        if not part[box].size:
            continue
        depth = planes.enter(x[None, columns], y[rows, None])
        front = depth < nearest[box]
        np.copyto(nearest[box], depth, where=front)
        np.copyto(part[box], np.int16(index), where=front)
    return RayHits(part, nearest)


def draw(thing: SolidObject, camera: Camera, background: Array) -> Array:
    """Draw the object on a *background* (3 numbers in [0, 1]): H W 3 in [0, 1], edges antialiased."""
    height, width = camera.size
    half = 0.5 / SAMPLES - 0.5
    x, y = (np.arange(n * SAMPLES, dtype=np.float32) / SAMPLES + np.float32(half) for n in (width, height))
    seen = look(thing, camera, x, y)
    image = np.empty((*seen.part.shape, 3), np.float32)
    image[:] = background
    planes = camera.planes(thing)
    for index, row, column in seen.by_part(len(thing.solids)):
        solid, at_x, at_y = thing.solids[index], x[column], y[row]
        face = planes[index].face(at_x, at_y)
        local = (camera.unproject(at_x, at_y, seen.depth[row, column]) - solid.center) @ solid.frame
        image[row, column] = np.clip(solid.paint(local, face), 0, 1) * thing.shades[index][face, None]
    inner = [image[i::SAMPLES, j::SAMPLES] for i in range(SAMPLES) for j in range(SAMPLES)]
    return sum(inner[1:], start=inner[0]) / np.float32(SAMPLES**2)


def exact_flow(
    thing: SolidObject, source: Camera, target: Camera
) -> tuple[Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the backward flow from *target* to *source*, and where the point it leads to is visible.

    The flow of a pixel whose center shows a point of the surface leads to where the source shows that point. It is
    visible if its face is turned to the source's camera and the ray at that exact place, no pixel center, hits this
    point first. The background does not move; it is visible where the source shows it too.

    Returns:
        flow 2 H W in pixels, channel 0 right and channel 1 down; visible H W; foreground H W, the object in the target.
    """
    height, width = target.size
    columns, rows = np.arange(width, dtype=float), np.arange(height, dtype=float)
    seen = look(thing, target, columns, rows)
    foreground = seen.part != BACKGROUND
    flow = np.zeros((2, height, width), np.float32)
    visible = look(thing, source, columns, rows).part == BACKGROUND
    row, column = np.nonzero(foreground)
    x, y, depth = source.project(target.unproject(columns[column], rows[row], seen.depth[row, column]))
    flow[0, row, column] = x - column
    flow[1, row, column] = y - row
    within = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    turned_to = _turned_to(thing, source, target, seen)[row, column]
    visible[row, column] = within & turned_to & ~_hidden(thing, source, x, y, depth)
    return flow, visible, foreground


def _turned_to(thing: SolidObject, source: Camera, target: Camera, seen: RayHits) -> NDArray[np.bool_]:
    """Return whether the face at each pixel center of the target is turned to the source's camera; H W."""
    turned = np.zeros(seen.part.shape, bool)
    planes, away = target.planes(thing), source.axes[2]
    for index, row, column in seen.by_part(len(thing.solids)):
        face = planes[index].face(column.astype(float), row.astype(float))
        turned[row, column] = (thing.normals[index] @ away < -GRAZING)[face]
    return turned


def _hidden(thing: SolidObject, camera: Camera, x: Array, y: Array, depth: Array) -> NDArray[np.bool_]:
    """Return whether something is in front of the object points at pixels (x, y) and *depth*; all N."""
    hidden = np.zeros(len(x), bool)
    at = np.stack([x, y, depth], 1)
    for planes, low, high in zip(camera.planes(thing), *camera.boxes(thing), strict=True):
        near = ~hidden & (at >= low).all(1) & (at[:, :2] <= high[:2]).all(1)
        near = np.nonzero(near)[0]
        if len(near):
            hidden[near] = planes.enter(x[near], y[near]) < depth[near] - AGREE
    return hidden


# Solids ---------------------------------------------------------------------------------------------------


def box(
    low: Sequence[float], high: Sequence[float], paint: Paint, center: Sequence[float] = (0, 0, 0), pitch: float = 0
) -> Solid:
    """Return a box from *low* to *high* in its own coordinates, tilted back by *pitch* (radians) around y.

    Faces: front, back (x), left, right (y), top, bottom (z).
    """
    return tapered(low, high, paint, center=center, pitch=pitch)


FRONT, BACK, LEFT, RIGHT, TOP, BOTTOM = range(6)


def tapered(
    low: Sequence[float],
    high: Sequence[float],
    paint: Paint,
    top: tuple[float, float, float] = (0, 0, 0),
    center: Sequence[float] = (0, 0, 0),
    pitch: float = 0,
) -> Solid:
    """Return a box whose top is narrower by *top* = (front, back, either side). Faces: see :func:`box`."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    height = z1 - z0
    front, back, side = top
    normals = np.array(
        [[height, 0, front], [-height, 0, back], [0, height, side], [0, -height, side], [0, 0, 1], [0, 0, -1]], float
    )
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    on = np.array([[x1, 0, z0], [x0, 0, z0], [0, y1, z0], [0, y0, z0], [0, 0, z1], [0, 0, z0]], float)
    corners = np.array(
        [[x, y, z0] for x in (x0, x1) for y in (y0, y1)]
        + [[x, y, z1] for x in (x0 + back, x1 - front) for y in (y0 + side, y1 - side)]
    )
    c, s = np.cos(pitch), np.sin(pitch)
    frame = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    return Solid(normals, (normals * on).sum(1), corners, paint, np.array(center, float), frame)


def wheel(radius: float, width: float, paint: Paint, center: Sequence[float], sides: int = 14) -> Solid:
    """Return a prism of *sides* around the y axis. Faces: the sides, then left and right."""
    angles = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    around = np.stack([np.cos(angles), np.zeros(sides), np.sin(angles)], 1)
    normals = np.concatenate([around, [[0, 1, 0], [0, -1, 0]]])
    offsets = np.concatenate([np.full(sides, radius * np.cos(np.pi / sides)), [width / 2, width / 2]])
    edges = angles + np.pi / sides
    rim = radius * np.stack([np.cos(edges), np.zeros(sides), np.sin(edges)], 1)
    corners = np.concatenate([rim + np.array([0, width / 2, 0]), rim - np.array([0, width / 2, 0])])
    return Solid(normals, offsets, corners, paint, np.array(center, float))


def column(radius: float, height: float, paint: Paint, center: Sequence[float], sides: int = 10) -> Solid:
    """Return a prism of *sides* around the z axis, its foot at *center*. Faces: the sides, then top and bottom."""
    lying = wheel(radius, height, paint, (0, 0, 0), sides)
    upright = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)  # y becomes z
    normals, corners = lying.normals @ upright.T, lying.corners @ upright.T
    return Solid(normals, lying.offsets, corners, paint, np.array(center, float) + np.array([0, 0, height / 2]))
