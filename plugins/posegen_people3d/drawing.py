"""Draw a dressed person, and compute the exact flow between two pictures of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .body import Array, PosedBody, Shape
from .paint import Surface, colors
from .raster import NOTHING, Buffer, rasterize
from .scene import FLAT, Camera, Light
from .wardrobe import TWO_SIDED, Dressed, Outfit

SAMPLES = 2
"""Samples of a pixel along each side."""
SHADOW_SIDE = 160
"""Side of the shadow map in pixels."""
BIAS = 0.03
"""Meters by which a surface must lie behind what shades it."""
SAME = 0.015
"""Meters between depths that still are one surface."""


@dataclass(frozen=True)
class Person:
    """A person: ``shape``, ``wear``, and the ``dressed`` mesh."""

    shape: Shape
    wear: Outfit
    dressed: Dressed


@dataclass(frozen=True)
class Figure:
    """A person in a picture.

    Args:
        person: the person.
        vertices: V 3 in the world.
        landmarks: positions in the world by name.
        camera: whose picture it is.
        light: of the scene.
    """

    person: Person
    vertices: Array
    landmarks: dict[str, Array]
    camera: Camera
    light: Light

    @property
    def two_sided(self) -> NDArray[np.bool_]:
        """Triangles that are seen from both sides."""
        return np.isin(self.person.dressed.mesh.pieces, TWO_SIDED)

    def rasterized(self, camera: Camera) -> Buffer:
        """Return the samples of the picture of a camera."""
        points, near = camera.project(self.vertices)
        return rasterize(points, near, self.person.dressed.mesh.triangles, camera.size, self.two_sided)


@dataclass(frozen=True)
class Drawing:
    """A drawn figure.

    Args:
        figure: what is drawn.
        image: H W 3 in [0, 1].
        centers: samples at the centers of the pixels.
        fine: the samples that the image was made of.
    """

    figure: Figure
    image: Array
    centers: Buffer
    fine: Buffer

    @property
    def covered(self) -> Array:
        """Return the share of each pixel that the figure covers, H W."""
        return _share_of_hits(self.fine)

    @classmethod
    def outline(cls, figure: Figure) -> Drawing:
        """Return a drawing without colors, for what hides what."""
        camera = figure.camera
        return cls(
            figure, np.zeros((*camera.size, 3)), figure.rasterized(camera), figure.rasterized(camera.scaled(SAMPLES))
        )


def stand(person: Person, posed: PosedBody, heading: float, place: Array, camera: Camera, light: Light) -> Figure:
    """Put a posed person into the world.

    Args:
        person: the person.
        posed: their posed body.
        heading: angle in radians around the vertical; 0 faces the camera, positive turns to the picture's right.
        place: 3, where they stand.
        camera: the camera.
        light: the light.
    """
    turn = turned(heading).T
    landmarks = {name: point @ turn + place for name, point in posed.landmarks.items()}
    return Figure(person, posed.vertices @ turn + place, landmarks, camera, light)


def turned(heading: float) -> Array:
    """Return the matrix 3 3 of a turn around the vertical."""
    c, s = np.cos(heading), np.sin(heading)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def draw(figure: Figure, background: Array) -> Drawing:
    """Draw a person on a background H W 3 in [0, 1]."""
    camera = figure.camera
    fine = figure.rasterized(camera.scaled(SAMPLES))
    hit = fine.triangle != NOTHING
    image, light = background, figure.light
    shadow = None if light is FLAT else _ShadowMap(figure)
    if shadow is not None:
        image = _ground_shadow(figure, image, shadow)
    height, width = camera.size
    person = np.zeros((*hit.shape, 3))
    person[hit] = _samples(figure, fine, hit, shadow)
    summed = person.reshape(height, SAMPLES, width, SAMPLES, 3).sum((1, 3))
    image = summed / SAMPLES**2 + (1 - _share_of_hits(fine)[..., None]) * image
    return Drawing(figure, np.clip(image, 0, 1), figure.rasterized(camera), fine)


def _share_of_hits(fine: Buffer) -> Array:
    height, width = fine.triangle.shape
    hit = fine.triangle != NOTHING
    return hit.reshape(height // SAMPLES, SAMPLES, width // SAMPLES, SAMPLES).mean((1, 3))


def _samples(figure: Figure, buffer: Buffer, hit: NDArray[np.bool_], shadow: _ShadowMap | None) -> Array:
    """Return the colors N 3 of the samples that show the person."""
    dressed, camera = figure.person.dressed, figure.camera
    triangle, weights = buffer.triangle[hit], buffer.weights[hit].astype(np.float64)
    corners = dressed.mesh.triangles[triangle]
    normals = vertex_normals(figure.vertices, dressed.mesh.triangles)
    attributes = np.column_stack([dressed.place, dressed.sleeve, dressed.head, figure.vertices, normals])
    values = np.einsum("nk,nkc->nc", weights, attributes[corners])
    surface = Surface(dressed.mesh.pieces[triangle], values[:, :3], values[:, 3], values[:, 4])
    world, normal = values[:, 5:8], values[:, 8:11]
    view = camera.place - world
    depth = np.linalg.norm(view, axis=1, keepdims=True)
    view /= depth
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    inner = ((normal * view).sum(1) < 0) & figure.two_sided[triangle]
    normal[inner] *= -1
    color, shine = colors(figure.person.wear, surface, float(depth.mean()) / camera.focal)
    color[inner] *= 0.55
    if shadow is None:
        return color
    return figure.light.shade(color, normal, shadow.lit(world), shine, view)


def vertex_normals(vertices: Array, triangles: NDArray[np.int32]) -> Array:
    """Return unit normals V 3."""
    a, b, c = vertices[triangles].transpose(1, 0, 2)
    faces = np.cross(b - a, c - a)
    index = triangles.T.ravel()
    normals = np.stack([np.bincount(index, np.tile(faces[:, axis], 3), len(vertices)) for axis in range(3)], 1)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)


class _ShadowMap:
    """Depths of a figure as seen from the key light."""

    def __init__(self, figure: Figure) -> None:
        toward = figure.light.toward
        side = np.cross((0, 1.0, 0), toward)
        side /= np.linalg.norm(side)
        self.axes = np.stack([side, -np.cross(toward, side), toward], 1)
        seen = figure.vertices @ self.axes
        self.low, high = seen.min(0), seen.max(0)
        self.scale = (SHADOW_SIDE - 8) / max(*(high - self.low)[:2])
        points = (seen[:, :2] - self.low[:2]) * self.scale + 4
        near = 1 / (high[2] - seen[:, 2] + 1)
        triangles = figure.person.dressed.mesh.triangles
        both = np.ones(len(triangles), bool)
        self.buffer = rasterize(points, near, triangles, (SHADOW_SIDE, SHADOW_SIDE), both)
        self.height = np.where(self.buffer.nearness > 0, high[2] + 1 - 1 / np.maximum(self.buffer.nearness, 1e-9), -1e9)

    def lit(self, points: Array, bias: float = BIAS) -> Array:
        """Return how much light arrives at points N 3, 0 to 1: the mean of the four nearest places of the map."""
        seen = points @ self.axes
        place = (seen[:, :2] - self.low[:2]) * self.scale + 4
        first = np.floor(place).astype(int)
        share = place - first
        total = np.zeros(len(points))
        for right in (0, 1):
            for down in (0, 1):
                x, y = (np.clip(first[:, k] + d, 0, SHADOW_SIDE - 1) for k, d in enumerate((right, down)))
                weight = np.abs(1 - right - share[:, 0]) * np.abs(1 - down - share[:, 1])
                total += weight * (self.height[y, x] < seen[:, 2] + bias)
        return total


def _ground_shadow(figure: Figure, background: Array, shadow: _ShadowMap) -> Array:
    """Return the background with the soft shadow of the person on the floor."""
    from scipy import ndimage

    camera, light = figure.camera, figure.light
    rays = camera.rays()
    down = rays[..., 1] < -1e-3
    reach = camera.place[1] / np.maximum(-rays[..., 1], 1e-3)
    points = camera.place + rays * reach[..., None]
    near = down & (np.hypot(points[..., 0], points[..., 2]) < 3.5)
    dark = np.zeros(camera.size)
    dark[near] = 1 - shadow.lit(points[near], 0.0)
    feet = [figure.landmarks[f"{side} {part}"] for side in ("left", "right") for part in ("ankle", "toes")]
    contact = np.zeros(camera.size)
    for foot in feet:
        away = ((points[..., 0] - foot[0]) ** 2 + (points[..., 2] - foot[2]) ** 2) / 0.13**2
        contact = np.maximum(contact, 0.55 * np.exp(-away) * np.exp(-max(foot[1] - 0.1, 0) / 0.08) * down)
    dark = ndimage.gaussian_filter(dark, camera.focal / reach[near].mean() * 0.02 if near.any() else 1.0)
    strength = light.key.mean() / (light.key.mean() + light.sky.mean())
    return background * (1 - 0.75 * strength * dark)[..., None] * (1 - contact)[..., None]


def exact_flow(source: Drawing, target: Drawing) -> tuple[Array, NDArray[np.bool_]]:
    """Return the backward flow from one picture of a person to another, and where the point it leads to is visible.

    The flow of a pixel that shows the person leads to where the source shows the same point of the surface. It is
    visible if the source's z-buffer has the same surface there. The background does not move.

    Returns:
        flow 2 H W in pixels, x before y; visible H W.
    """
    height, width = target.centers.triangle.shape
    flow = np.zeros((2, height, width))
    visible = source.centers.triangle == NOTHING
    hit = target.centers.triangle != NOTHING
    rows, columns = np.nonzero(hit)
    triangle, weights = target.centers.triangle[hit], target.centers.weights[hit].astype(np.float64)
    corners = target.figure.person.dressed.mesh.triangles[triangle]
    points = np.einsum("nk,nkc->nc", weights, source.figure.vertices[corners])
    place, near = source.figure.camera.project(points)
    flow[:, rows, columns] = (place - np.stack([columns, rows], 1)).T
    visible[hit] = seen(source, place, near) & _faces_camera(source.figure, triangle, points)
    return flow, visible


def seen(picture: Drawing, place: Array, near: Array, tolerance: float = SAME) -> NDArray[np.bool_]:
    """Return whether points at (x, y) N 2 with a nearness N are inside of a picture and not hidden."""
    height, width = picture.centers.triangle.shape
    inside = ((place >= 0) & (place <= (width - 1, height - 1))).all(1)
    index = np.rint((place + 0.5) * SAMPLES - 0.5).astype(int)
    x = np.clip(index[:, 0], 0, width * SAMPLES - 1)
    y = np.clip(index[:, 1], 0, height * SAMPLES - 1)
    front = picture.fine.nearness[y, x]
    return inside & (1 / np.maximum(front, 1e-9) > 1 / near - tolerance)


def _faces_camera(figure: Figure, triangle: NDArray[np.int32], points: Array) -> NDArray[np.bool_]:
    a, b, c = figure.vertices[figure.person.dressed.mesh.triangles[triangle]].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    return ((normal * (figure.camera.place - points)).sum(1) > 0) | figure.two_sided[triangle]
