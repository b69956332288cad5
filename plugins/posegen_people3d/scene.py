"""Scenes: camera, light, background, and the effects of a sensor.

World: meters; the person stands near the origin, y is up, the camera looks along -z.
"""

from __future__ import annotations

import colorsys
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from posegen.data.images import IMAGE_ENDINGS, read_image
from posegen.errors import ConfigError

from .body import Array
from .paint import noise


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: ``place`` in the world, ``pitch`` in radians (positive looks down), ``focal`` length and
    ``center`` (x, y) in pixels of a picture of ``size`` (H, W)."""

    place: Array
    pitch: float
    focal: float
    center: Array
    size: tuple[int, int]

    def project(self, points: Array) -> tuple[Array, Array]:
        """Return (x, y) N 2 in pixels, and the nearness N, the reciprocal of the depth, of points N 3."""
        sine, cosine = np.sin(self.pitch), np.cos(self.pitch)
        away = points - self.place
        up = away[:, 1] * cosine - away[:, 2] * sine
        near = -1 / (away[:, 2] * cosine + away[:, 1] * sine)
        flat = np.stack([away[:, 0] * near, -up * near], 1)
        return flat * self.focal + self.center, near

    def rays(self) -> Array:
        """Return the directions H W 3 of the pixels in the world; their component along the view is 1."""
        height, width = self.size
        y, x = np.mgrid[:height, :width]
        right, down = (x - self.center[0]) / self.focal, (y - self.center[1]) / self.focal
        sine, cosine = np.sin(self.pitch), np.cos(self.pitch)
        return np.stack([right, -down * cosine - sine, -cosine + down * sine], -1)

    def scaled(self, factor: int) -> Camera:
        """Return the camera of the same picture with *factor* times as many pixels a side."""
        height, width = self.size
        center = (self.center + 0.5) * factor - 0.5
        return Camera(self.place, self.pitch, self.focal * factor, center, (height * factor, width * factor))

    def moved(self, shift: Array) -> Camera:
        """Return the camera whose picture is shifted by (x, y) pixels."""
        return Camera(self.place, self.pitch, self.focal, self.center + shift, self.size)


def frame(extents: list[Array], size: tuple[int, int], rng: Generator) -> Camera:
    """Draw a camera whose picture of *size* (H, W) shows people.

    Args:
        extents: points N 3 in the world that outline each person.
        size: of the picture.
        rng: source of random numbers.
    """
    height, width = size
    distance, level = rng.uniform(3.0, 7.0), rng.uniform(0.7, 2.2)
    place = np.array([rng.normal(0, 0.1), level, distance])
    pitch = np.arctan2(level - 0.9, distance) + rng.normal(0, 0.02)
    camera = Camera(place, pitch, 1.0, np.zeros(2), size)
    points = np.concatenate([camera.project(each)[0] for each in extents])
    low, high = points.min(0), points.max(0)
    focal = min(
        height * rng.uniform(0.84, 0.97) / (high[1] - low[1]), width * rng.uniform(0.92, 1.15) / (high[0] - low[0])
    )
    room = np.array([width, height]) - focal * (high - low)
    center = -low * focal + room * (0.5 + rng.uniform(-0.3, 0.3, 2)) - 0.5
    return Camera(place, pitch, focal, center, size)


@dataclass(frozen=True)
class Light:
    """Light of a scene: ``toward`` 3, the direction to the key light, with its ``key`` color 3; ``sky`` and ``floor``
    3, the colors of what comes from above and from below."""

    toward: Array
    key: Array
    sky: Array
    floor: Array

    def shade(self, color: Array, normals: Array, lit: Array, shine: Array, view: Array) -> Array:
        """Return lit colors N 3.

        Args:
            color: N 3.
            normals: N 3, unit length.
            lit: N in [0, 1], how much of the key light arrives.
            shine: N, strength of highlights.
            view: N 3, unit directions to the camera.
        """
        facing = np.maximum(normals @ self.toward, 0) * lit
        above = (0.5 + 0.5 * normals[:, 1])[:, None]
        light = self.floor + above * (self.sky - self.floor) + facing[:, None] * self.key
        half = view + self.toward
        half /= np.linalg.norm(half, axis=1, keepdims=True)
        gloss = np.maximum((normals * half).sum(1), 0) ** 24 * lit * shine
        return color * light + gloss[:, None] * self.key


def random_light(rng: Generator) -> Light:
    """Draw a light between an overcast sky and a hard lamp."""
    turn, height = rng.uniform(-np.pi, np.pi) * rng.uniform(0.3, 1), rng.uniform(0.35, 1.2)
    toward = np.array([np.sin(turn) * np.cos(height), np.sin(height), np.cos(turn) * np.cos(height)])
    share = rng.uniform(0.15, 0.75)
    warm = np.array([1 + rng.normal(0, 0.05), 1.0, 1 + rng.normal(0, 0.07)])
    rest = 0.98 - 0.55 * share
    return Light(toward, 0.85 * share * warm, rest * (2 - warm), rest * rng.uniform(0.45, 0.8) * np.ones(3))


FLAT = Light(np.array([0.0, 1.0, 0.0]), np.zeros(3), np.ones(3), np.ones(3))
"""The same light everywhere, without a shadow."""


# The background ------------------------------------------------------------------------------------------------


def random_background(rng: Generator, camera: Camera, photographs: Sequence[Path] = ()) -> Array:
    """Draw a background H W 3 in [0, 1]: a room, a street, a park or a studio; or a crop of a photograph.

    Args:
        rng: source of random numbers.
        camera: the camera.
        photographs: image files to use instead in most pictures.
    """
    from scipy import ndimage

    if photographs and rng.random() < 0.8:
        return _photograph(rng, camera.size, photographs[int(rng.integers(len(photographs)))])
    kind = rng.choice(["room", "street", "park", "studio"], p=[0.4, 0.28, 0.17, 0.15])
    seed = int(rng.integers(1 << 30))
    rays = camera.rays().reshape(-1, 3)
    distance = rng.uniform(1.0, 5.0) if kind in ("room", "studio") else rng.uniform(4.0, 14.0)
    to_wall = (camera.place[2] + distance) / -np.minimum(rays[:, 2], -1e-6)
    to_floor = camera.place[1] / np.maximum(-rays[:, 1], 1e-6)
    on_floor = to_floor < to_wall
    reach = np.minimum(to_floor, to_wall)[:, None]
    points = camera.place + rays * reach
    pixel = reach[:, 0] / camera.focal
    wall, floor = _WALLS[str(kind)](rng, seed), _FLOORS[str(kind)](rng, seed)
    color = np.where(on_floor[:, None], floor(points, pixel), wall(points, pixel))
    if kind == "studio":
        fade = np.clip((to_floor - 0.55 * to_wall) / (0.45 * to_wall), 0, 1)[:, None]
        color = np.where(on_floor[:, None], color + fade**2 * (wall(points, pixel) - color), color)
    picture = np.clip(color, 0, 1).reshape(*camera.size, 3)
    blur = rng.uniform(0.0, 0.012) * camera.size[0] if rng.random() < 0.5 else 0.4
    return ndimage.gaussian_filter(picture, (blur, blur, 0))


def _photograph(rng: Generator, size: tuple[int, int], file: Path) -> Array:
    image = Image.fromarray(read_image(file))
    height, width = size
    scale = max(height / image.height, width / image.width) * rng.uniform(1, 1.6)
    tall, wide = max(height, round(image.height * scale)), max(width, round(image.width * scale))
    image = image.resize((wide, tall), Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC)
    top, left = rng.integers(tall - height + 1), rng.integers(wide - width + 1)
    return np.asarray(image, np.float64)[top : top + height, left : left + width] / 255


def find_photographs(folder: str | None) -> tuple[Path, ...]:
    """Return the image files of a folder in order; none for None.

    Raises:
        ConfigError: the folder has no images.
    """
    if folder is None:
        return ()
    found = tuple(sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in IMAGE_ENDINGS))
    if not found:
        raise ConfigError(f"backgrounds: {folder!r} is a folder without images")
    return found


def _pale(rng: Generator, saturation: float = 0.5) -> Array:
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, saturation) ** 1.5, rng.uniform(0.25, 0.95)))


def _lines(value: Array, period: float, width: float, pixel: Array) -> Array:
    """Return 1 on lines of a *width* every *period*, with soft edges; faint where lines are finer than pixels."""
    off = np.abs((value / period) % 1 - 0.5) * period
    strength = np.clip(period / (3 * pixel), 0, 1)
    return np.clip((width / 2 - (period / 2 - off)) / pixel + 0.5, 0, 1) * strength


def _plain_wall(rng: Generator, seed: int):
    color = _pale(rng)
    return lambda p, pixel: color * (1 + 0.05 * noise(p, seed, 1.5))[:, None]


def _room_wall(rng: Generator, seed: int):
    color, other, board = _pale(rng), _pale(rng), rng.uniform(0.05, 0.15)
    kind = rng.choice(["plain", "stripes", "bricks", "panels"])
    things = [
        (rng.uniform(-3, 3), rng.uniform(0.9, 1.9), *rng.uniform(0.15, 0.6, 2), _pale(rng, 0.9))
        for _ in range(rng.integers(5))
    ]
    if rng.random() < 0.4:
        things.append((rng.uniform(-2.5, 2.5), 1.0, 0.45, 1.05, _pale(rng)))  # a door

    def paint(p: Array, pixel: Array) -> Array:
        x, y, _ = p.T
        result = color * (1 + 0.05 * noise(p, seed, 1.2))[:, None]
        if kind == "stripes":
            result = result + 0.5 * _lines(x, 0.3, 0.15, pixel)[:, None] * (other - result)
        elif kind == "bricks":
            row = np.floor(y / 0.12)
            joints = np.maximum(_lines(y, 0.12, 0.015, pixel), _lines(x + 0.12 * (row % 2), 0.24, 0.015, pixel))
            result = result * (1 - 0.35 * joints)[:, None]
        elif kind == "panels":
            result = result * (1 - 0.3 * _lines(x, 0.8, 0.02, pixel))[:, None]
        for left, low, wide, tall, paintwork in things:
            inside = np.maximum(np.abs(x - left) - wide, np.abs(y - low) - tall)
            result = np.where((inside < 0)[:, None], paintwork, result)
            result = np.where((np.abs(inside + 0.02) < 0.02)[:, None], paintwork * 0.5, result)
        return np.where((y < board)[:, None], 0.6 * other + 0.2, result)

    return paint


def _street_wall(rng: Generator, seed: int):
    sky, color, glass = np.array((0.7, 0.8, 0.95)) * rng.uniform(0.6, 1.05), _pale(rng), _pale(rng) * 0.5
    top, step, storey = rng.uniform(2.5, 9), rng.uniform(0.9, 2.2), rng.uniform(1.6, 3)

    def paint(p: Array, pixel: Array) -> Array:
        x, y, _ = p.T
        house = np.floor(x / 6 + 0.3)
        tone = 1 + 0.25 * np.sin(house * 12.9 + seed % 7)
        facade = color * (tone * (1 + 0.06 * noise(p, seed, 0.7)))[:, None]
        window = (np.abs((x / step) % 1 - 0.5) < 0.27) & (np.abs((y / storey) % 1 - 0.55) < 0.28)
        facade = np.where(window[:, None], glass * (1 + 0.3 * np.sin(np.floor(x / step) * 5))[:, None], facade)
        above = y > top + 1.5 * np.sin(house * 4.1)
        return np.where(above[:, None], sky + 0.12 * noise(p, seed + 5, 5.0)[:, None], facade)

    return paint


def _park_wall(rng: Generator, seed: int):
    sky = np.array((0.72, 0.82, 0.95)) * rng.uniform(0.7, 1.05)
    leaf = np.array((0.2, 0.34, 0.13)) * rng.uniform(0.7, 1.5)
    top = rng.uniform(1.5, 6)

    def paint(p: Array, pixel: Array) -> Array:
        edge = top + 0.7 * noise(p * (1, 0, 0), seed, 3.0) + 0.2 * noise(p, seed + 1, 0.5)
        leaves = leaf * (1 + 0.35 * noise(p, seed + 2, 0.4) + 0.3 * noise(p, seed + 3, 1.7))[:, None]
        trunk = _lines(p[:, 0] + 0.3 * noise(p * (1, 0, 0), seed + 7, 4), 2.7, 0.22, pixel) * (p[:, 1] < 1.7)
        leaves = leaves + trunk[:, None] * (np.array((0.25, 0.18, 0.12)) - leaves)
        return np.where((p[:, 1] > edge)[:, None], sky, leaves)

    return paint


def _plain_floor(rng: Generator, seed: int):
    color = _pale(rng, 0.3)
    return lambda p, pixel: color * (1 + 0.04 * noise(p, seed + 9, 0.8))[:, None]


def _room_floor(rng: Generator, seed: int):
    kind, color = rng.choice(["planks", "tiles", "carpet"]), _pale(rng, 0.4)
    wood = np.array((0.55, 0.38, 0.24)) * rng.uniform(0.5, 1.5)
    size = rng.uniform(0.25, 0.7)

    def paint(p: Array, pixel: Array) -> Array:
        x, _, z = p.T
        if kind == "planks":
            plank = np.floor(x / 0.14)
            tone = 1 + 0.12 * np.sin(plank * 78.2) + 0.08 * noise(p, seed, 0.12, (1, 1, 12))
            return wood * (tone * (1 - 0.35 * _lines(x, 0.14, 0.008, pixel)))[:, None]
        tiles = np.maximum(_lines(x, size, 0.02, pixel), _lines(z, size, 0.02, pixel)) if kind == "tiles" else 0
        return color * ((1 + 0.08 * noise(p, seed, 0.2)) * (1 - 0.3 * tiles))[:, None]

    return paint


def _street_floor(rng: Generator, seed: int):
    color, size = np.full(3, rng.uniform(0.25, 0.65)) + rng.normal(0, 0.02, 3), rng.uniform(0.4, 1.0)
    curb = rng.uniform(-4, -1)

    def paint(p: Array, pixel: Array) -> Array:
        x, _, z = p.T
        slabs = np.maximum(_lines(x, size, 0.02, pixel), _lines(z, size, 0.02, pixel))
        walk = color * (1 + 0.07 * noise(p, seed, 0.25) - 0.25 * slabs)[:, None]
        road = 0.55 * color * (1 + 0.06 * noise(p, seed + 1, 0.3))[:, None]
        return np.where((z < curb)[:, None], road, walk)

    return paint


def _park_floor(rng: Generator, seed: int):
    grass, path = (
        np.array((0.3, 0.42, 0.17)) * rng.uniform(0.6, 1.4),
        np.array((0.6, 0.53, 0.44)) * rng.uniform(0.7, 1.2),
    )
    middle = rng.uniform(-1.5, 1.5)

    def paint(p: Array, pixel: Array) -> Array:
        green = grass * (1 + 0.2 * noise(p, seed, 0.15) + 0.12 * noise(p, seed + 1, 1.5))[:, None]
        gravel = path * (1 + 0.08 * noise(p, seed + 2, 0.1))[:, None]
        on_path = np.abs(p[:, 0] - middle - 0.2 * noise(p * (0, 0, 1), seed, 4.0)) < 0.9
        return np.where(on_path[:, None], gravel, green)

    return paint


_WALLS = {"room": _room_wall, "street": _street_wall, "park": _park_wall, "studio": _plain_wall}
_FLOORS = {"room": _room_floor, "street": _street_floor, "park": _park_floor, "studio": _plain_floor}


# The sensor ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sensor:
    """Effects of a camera on a picture: ``gain`` 3 of the colors (exposure and white balance), ``gamma``, ``blur`` in
    pixels, ``noise`` (standard deviation), ``vignette`` (darkening of the corners), JPEG ``quality`` (0: none)."""

    gain: Array
    gamma: float
    blur: float
    noise: float
    vignette: float
    quality: int


IDEAL = Sensor(np.ones(3), 1.0, 0.0, 0.0, 0.0, 0)


def random_sensor(rng: Generator, height: int) -> Sensor:
    """Draw a sensor for pictures of a *height* in pixels."""
    exposure = 2 ** rng.normal(0, 0.18)
    balance = np.array([1 + rng.normal(0, 0.05), 1.0, 1 + rng.normal(0, 0.06)])
    return Sensor(
        gain=exposure * balance,
        gamma=float(np.exp(rng.normal(0, 0.1))),
        blur=rng.uniform(0.2, 0.8) * max(height / 256, 0.5) if rng.random() < 0.5 else 0.0,
        noise=rng.uniform(0.0, 0.02) if rng.random() < 0.7 else 0.0,
        vignette=rng.uniform(0, 0.2),
        quality=int(rng.integers(55, 97)) if rng.random() < 0.6 else 0,
    )


def take(picture: Array, sensor: Sensor, rng: Generator) -> np.ndarray:
    """Return the picture H W 3 in [0, 1] as the sensor gives it, uint8."""
    from scipy import ndimage

    if sensor.blur:
        picture = ndimage.gaussian_filter(picture, (sensor.blur, sensor.blur, 0))
    picture = np.clip(picture * sensor.gain, 0, 1) ** sensor.gamma
    if sensor.vignette:
        y, x = (np.linspace(-1, 1, count) ** 2 for count in picture.shape[:2])
        picture = picture * (1 - sensor.vignette * 0.5 * (y[:, None] + x))[..., None]
    if sensor.noise:
        picture = picture + sensor.noise * rng.standard_normal(picture.shape)
    image = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    if sensor.quality:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "jpeg", quality=sensor.quality)
        image = np.asarray(Image.open(stream))
    return image
