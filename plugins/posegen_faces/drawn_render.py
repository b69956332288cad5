"""Draw faces: textured parts on a turning head, and the exact flow between two such pictures.

A head is an ellipsoid with a narrower chin, seen from afar. Units: half the height of the head. A part knows for any
place in the picture which point of it is there (``find``), and where in the picture any point of it is (``place``); a
pose changes both, never the part's colors, which are functions of its own points (u, v, w). So two pictures show the
same surface. Everything works element by element, for the poses of all frames of a clip at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.floating]
Local: TypeAlias = tuple[Array, Array, Array]
"""A point of a part, in coordinates that the part chooses."""

BACKGROUND = -1
SAME = 0.02
"""Points of a part closer than this, in its own units, are the same point: further apart, one is beyond the horizon."""


class FacePose(NamedTuple):
    """FacePose and expression of a face; each field is an array, all of one shape.

    ``yaw``, ``pitch`` (down is positive), ``roll`` in radians; ``scale``: pixels per unit; ``x``, ``y``: the middle of
    the head in pixels; ``mouth``: 0 shut to 1 wide open; ``smile`` and ``pucker``: about −1 to 1; ``eyes``: 0 shut to 1
    open; ``brows``: how far they are raised; ``gaze_x``, ``gaze_y``: of the pupils, in units.
    """

    yaw: Array
    pitch: Array
    roll: Array
    scale: Array
    x: Array
    y: Array
    mouth: Array
    smile: Array
    pucker: Array
    eyes: Array
    brows: Array
    gaze_x: Array
    gaze_y: Array

    def pick(self, index: Any) -> FacePose:
        """Index each array of the pose."""
        return FacePose(*(values[index] for values in self))


@dataclass(frozen=True)
class Texture:
    """Waves over (u, v, w): ``waves`` K 4 (frequencies in radians per unit, phase), ``weights`` K 3, of the colors."""

    waves: Array
    weights: Array

    def __call__(self, u: Array, v: Array, w: Array) -> Array:
        """Return the change of the colors at each point, N 3."""
        points = np.stack([u, v, w, np.ones_like(u)], -1)
        return np.sin(points @ self.waves.T) @ self.weights


@dataclass(frozen=True)
class FaceIdentity:
    """Identity of a face: lengths in units, colors RGB in [0, 1]."""

    width: float  # of the head, as a part of its height
    taper: float  # how much narrower the chin is
    jaw: float  # how much longer an open mouth makes the lower face
    eye_x: float
    eye_y: float
    eye_width: float
    eye_height: float
    slant: float
    brow_y: float
    brow_arch: float
    brow_thickness: float
    nose_length: float
    nose_width: float
    nose_depth: float
    mouth_y: float
    mouth_width: float
    upper_lip: float
    lower_lip: float
    hairline: float
    parting: float
    curl: float
    haircut: str
    beard: float
    glasses: bool
    skin: Array
    hair: Array
    iris: Array
    lips: Array
    shirt: Array
    frame: Array
    brow: Array
    skin_texture: Texture
    hair_texture: Texture
    shirt_texture: Texture
    sharpness: float  # pixels per unit, of edges within a part


@dataclass(frozen=True)
class Rendering:
    """Drawings of T frames: ``image`` T H W 3 in [0, 1]; ``topmost`` T H W, the index of the part at each pixel center
    or ``BACKGROUND``; ``local`` 3 T H W, the point of that part there."""

    image: Array
    topmost: NDArray[np.int16]
    local: Array


# Between the picture and the head ---------------------------------------------------------------------------


class Head:
    """Between pixels, the head's plane (p right, q down, rolled and scaled with the head), the disc that the turned
    unit sphere is seen as, and the sphere itself, for the poses given."""

    def __init__(self, look: FaceIdentity, pose: FacePose) -> None:
        self.look, self.pose = look, pose
        self.cos_yaw, self.sin_yaw = np.cos(pose.yaw), np.sin(pose.yaw)
        self.cos_pitch, self.sin_pitch = np.cos(pose.pitch), np.sin(pose.pitch)
        self.cos_roll, self.sin_roll = np.cos(pose.roll), np.sin(pose.roll)
        middle = np.float32((1 - look.mouth_y**2) ** 0.5)
        self.mouth_line = self.turn(np.float32(0), np.float32(look.mouth_y), middle)[1]
        self.stretch = 1 + look.jaw * pose.mouth

    def plane(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Map pixels to the head's plane."""
        dx, dy = (x - self.pose.x) / self.pose.scale, (y - self.pose.y) / self.pose.scale
        return self.cos_roll * dx + self.sin_roll * dy, self.cos_roll * dy - self.sin_roll * dx

    def pixels(self, p: Array, q: Array) -> tuple[Array, Array]:
        """Map the head's plane to pixels."""
        x = self.cos_roll * p - self.sin_roll * q
        y = self.sin_roll * p + self.cos_roll * q
        return x * self.pose.scale + self.pose.x, y * self.pose.scale + self.pose.y

    def disc(self, p: Array, q: Array) -> tuple[Array, Array]:
        """Map the head's plane to the disc: undo the stretch of the open mouth and the narrower chin."""
        below = q - self.mouth_line
        y = self.mouth_line + np.where(below > 0, below / self.stretch, below)
        return p / self._half_width(y), y

    def undisc(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Map the disc to the head's plane."""
        below = y - self.mouth_line
        return x * self._half_width(y), self.mouth_line + np.where(below > 0, below * self.stretch, below)

    def _half_width(self, y: Array) -> Array:
        low = np.clip(y + 0.1, 0, 1.1)
        return self.look.width * (1 - self.look.taper * low * low)

    def turn(self, u: Array | np.floating, v: Array | np.floating, w: Array | np.floating) -> Local:
        """Turn and nod a point of the head; the third coordinate points at the viewer."""
        x, z = self.cos_yaw * u + self.sin_yaw * w, self.cos_yaw * w - self.sin_yaw * u
        return x, self.cos_pitch * v + self.sin_pitch * z, self.cos_pitch * z - self.sin_pitch * v

    def unturn(self, x: Array, y: Array, z: Array) -> Local:
        """Invert :meth:`turn`."""
        v, z = self.cos_pitch * y - self.sin_pitch * z, self.sin_pitch * y + self.cos_pitch * z
        return self.cos_yaw * x - self.sin_yaw * z, v, self.sin_yaw * x + self.cos_yaw * z

    def show(self, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        """Return the position of a point of the head in the picture, in pixels."""
        x, y, _ = self.turn(u, v, w)
        return self.pixels(*self.undisc(x, y))


class HeadPoints:
    """Pixel positions and the corresponding points in the head's plane, on its disc and on its surface."""

    def __init__(self, head: Head, x: Array, y: Array) -> None:
        self.head = head
        self.x, self.y = x, y
        self.p, self.q = head.plane(x, y)
        self.disc_x, self.disc_y = head.disc(self.p, self.q)
        self.radius = np.sqrt(self.disc_x**2 + self.disc_y**2)
        self.surface = self.shell(1.0)

    @cached_property
    def mouth(self) -> Mouth:
        """Return the lines of the mouth; cached for several parts."""
        return Mouth(self.head.look, self.head.pose, self.surface[0])

    @cached_property
    def lids(self) -> tuple[Array, Array]:
        """Return the lines of the lids; cached for several parts."""
        return lids(self.head.look, self.head.pose, self.surface[0])

    def shell(self, radius: float) -> Local:
        """Return the near point of a sphere of that radius, as a point of the unit sphere."""
        x, y = self.disc_x / radius, self.disc_y / radius
        return self.head.unturn(x, y, np.sqrt(np.maximum(1 - x * x - y * y, 0)))


def front(u: Array, v: Array) -> Array:
    """Return the third coordinate of a point on the near side of the sphere."""
    return np.sqrt(np.maximum(1 - u * u - v * v, 0))


# Parts ------------------------------------------------------------------------------------------------------


class Part:
    """A piece of a face that hides those before it in the order of drawing."""

    def __init__(self, look: FaceIdentity) -> None:
        self.look = look

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        """Return the point of the part at each position, and the signed distance from its outline in units."""
        raise NotImplementedError

    def place(self, head: Head, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        """Return the positions of points of the part, in pixels."""
        return head.show(u, v, w)

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        """Return the colors N 3 of points N of the part."""
        raise NotImplementedError

    def soft(self, distance: Array) -> Array:
        """Convert a signed distance in units to a weight N 1 that is 1 inside, over about one pixel."""
        return np.clip(0.5 - distance * self.look.sharpness, 0, 1)[..., None]


class Shoulders(Part):
    """Neck and shoulders; they move with the head, less far, and do not turn."""

    def _offset(self, head: Head) -> tuple[Array, Array]:
        return head.pose.x, head.pose.y

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        scale, (x, y) = seen.head.pose.scale, self._offset(seen.head)
        u, v = (seen.x - x) / scale, (seen.y - y) / scale
        neck = np.maximum(np.abs(u) - 0.36 - 0.06 * v, -v)
        shoulders = (np.sqrt((u / 1.35) ** 2 + ((v - 2.05) / 0.92) ** 2) - 1) * 0.92
        return (u, v, np.zeros_like(u)), np.minimum(neck, shoulders)

    def place(self, head: Head, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        x, y = self._offset(head)
        return u * head.pose.scale + x, v * head.pose.scale + y

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        shirt = self.look.shirt + self.look.shirt_texture(u, v, w)
        collar = (np.sqrt((u / 0.5) ** 2 + ((v - 1.12) / 0.26) ** 2) - 1) * 0.26
        bare = self.look.skin * (0.8 - 0.25 * np.clip(1.25 - v, 0, 0.5))[..., None]
        covered = np.maximum((np.sqrt((u / 1.35) ** 2 + ((v - 2.05) / 0.92) ** 2) - 1) * 0.92, -collar)
        return bare + self.soft(covered) * (shirt - bare)


class BackHair(Part):
    """Hair behind the head, down to the neck or the shoulders."""

    LOW = {"long": 1.35, "bob": 0.75, "afro": 0.45}

    def _shift(self, head: Head) -> Array:
        return -0.12 * head.sin_yaw

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        u, v = seen.p - self._shift(seen.head), seen.q
        low = self.LOW.get(self.look.haircut)
        if low is None:
            return (u, v, np.zeros_like(u)), np.full(np.broadcast(u, v).shape, 1, np.float32)
        half = self.look.width + {"afro": 0.4, "bob": 0.17}.get(self.look.haircut, 0.12)
        top = -0.35
        stray = np.maximum(np.maximum(top - v, v - low + 0.4), 0)
        distance = np.sqrt(np.maximum(np.abs(u) - half + 0.4, 0) ** 2 + stray**2) - 0.4
        if self.look.haircut == "afro":
            distance = (np.sqrt((u / half) ** 2 + ((v + 0.35) / 1.08) ** 2) - 1) * 1.0
        return (u, v, np.zeros_like(u)), distance

    def place(self, head: Head, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        return head.pixels(u + self._shift(head), v)

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        return (self.look.hair + self.look.hair_texture(u, v, w)) * 0.75


class Ear(Part):
    """An ear, flat, at the side of the head: behind it in the order of drawing."""

    def __init__(self, look: FaceIdentity, side: int) -> None:
        super().__init__(look)
        self.side = side

    def _middle(self, head: Head) -> tuple[Array, Array]:
        x, y, _ = head.turn(np.float32(self.side), np.float32(0.05), np.float32(-0.2))
        return head.undisc(x, y)

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        p, q = self._middle(seen.head)
        u, v = seen.p - p, seen.q - q
        return (u, v, np.zeros_like(u)), (np.sqrt((u / 0.13) ** 2 + ((v + 0.03 * u) / 0.21) ** 2) - 1) * 0.13

    def place(self, head: Head, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        p, q = self._middle(head)
        return head.pixels(u + p, v + q)

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        inner = (np.sqrt((u / 0.07) ** 2 + (v / 0.13) ** 2) - 1) * 0.07
        return self.look.skin * (0.88 - 0.2 * self.soft(inner))


class Skin(Part):
    """The head itself: skin, its texture, cheeks, beard, the shade of brows and chin."""

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        return seen.surface, (seen.radius - 1) * self.look.width

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        look = self.look
        color = look.skin + look.skin_texture(u, v, w)
        side = np.abs(u)
        cheek = np.exp(-(((side - 0.5) / 0.2) ** 2) - ((v - 0.3) / 0.18) ** 2)[..., None]
        color = color + 0.3 * cheek * (look.lips - color)
        socket = np.exp(-(((side - look.eye_x) / 0.24) ** 2) - ((v - look.eye_y + 0.06) / 0.16) ** 2)
        chin = np.exp(-((u / 0.3) ** 2) - ((v - look.mouth_y - 0.2) / 0.07) ** 2)
        color = color * (1 - 0.16 * socket - 0.14 * chin - 0.22 * np.clip(side - 0.45, 0, 1) - 0.05 * u)[..., None]
        if look.beard > 0:
            line = look.mouth_y - 0.16 - 0.28 * side * side - v
            lips = 0.1 - np.hypot(u / 2.2, v - look.mouth_y)
            grown = look.beard * np.clip(0.5 - np.maximum(line, lips) * 9, 0, 1)[..., None]
            color = color + grown * (look.hair * 0.9 + 0.5 * look.hair_texture(u, v, w) - color)
        return color


def lids(look: FaceIdentity, pose: FacePose, u: Array) -> tuple[Array, Array]:
    """Return the heights of the edges of upper and lower lids; outside of an eye both are equal."""
    across = np.abs(u) - look.eye_x
    bow = (1 - (across / look.eye_width) ** 2) * look.eye_height
    lower = look.eye_y - look.slant * across + 0.75 * bow
    return lower - 1.75 * bow * pose.eyes, lower


class EyeWhite(Part):
    """The white of both eyes."""

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        _, v, _ = seen.surface
        return seen.surface, np.maximum(seen.lids[0] - v, v - seen.lids[1])

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        shade = 0.95 - 0.5 * np.clip((np.abs(np.abs(u) - self.look.eye_x) / self.look.eye_width - 0.55), 0, 1)
        return shade[..., None] * np.array([1, 0.98, 0.96], np.float32)


class Iris(Part):
    """Iris and pupil of both eyes; they move with the gaze within the opening."""

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        u, v, _ = seen.surface
        pose = seen.head.pose
        opening = np.maximum(seen.lids[0] - v, v - seen.lids[1])
        a, b = u - pose.gaze_x, v - pose.gaze_y
        disc = np.hypot(np.abs(a) - self.look.eye_x, b - self.look.eye_y) - 0.95 * self.look.eye_height
        return (a, b, np.zeros_like(a)), np.maximum(opening, disc)

    def place(self, head: Head, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        u, v = u + head.pose.gaze_x, v + head.pose.gaze_y
        return head.show(u, v, front(u, v))

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        off = np.hypot(np.abs(u) - self.look.eye_x, v - self.look.eye_y)
        color = self.look.iris + self.soft(off - 0.45 * self.look.eye_height) * (0.05 - self.look.iris)
        glint = np.hypot(np.abs(u) - self.look.eye_x + 0.03, v - self.look.eye_y + 0.03) - 0.022
        return color + self.soft(glint) * (1 - color)


class Lashes(Part):
    """The line of the upper lids, which goes up and down with them."""

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        u, v, _ = seen.surface
        t = v - seen.lids[0]
        across = np.abs(np.abs(u) - self.look.eye_x) - 1.02 * self.look.eye_width
        return (u, t, np.zeros_like(u)), np.maximum(np.abs(t) - 0.024, across)

    def place(self, head: Head, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        v = lids(self.look, head.pose, u)[0] + v
        return head.show(u, v, front(u, v))

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        return np.broadcast_to(0.35 * self.look.skin * self.look.brow + 0.04, (*u.shape, 3))


class Brows(Part):
    """Both eyebrows; they are raised and lowered."""

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        u, v, _ = seen.surface
        t = v + seen.head.pose.brows
        s = brow_across(self.look, u)
        off = np.abs(t - brow_line(self.look, u)) - self.look.brow_thickness * (1 - 0.35 * s)
        return (u, t, np.zeros_like(u)), np.maximum(off, (np.abs(s) - 1) * brow_half_width(self.look))

    def place(self, head: Head, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        v = v - head.pose.brows
        return head.show(u, v, front(u, v))

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        return self.look.brow * (1 + 0.15 * np.sin(60 * u + 20 * v))[..., None]


def brow_half_width(look: FaceIdentity) -> float:
    return 1.25 * look.eye_width


def brow_across(look: FaceIdentity, u: Array) -> Array:
    """Return the position along a brow: −1 at the inner end, 1 at the outer."""
    return (np.abs(u) - look.eye_x - 0.02) / brow_half_width(look)


def brow_line(look: FaceIdentity, u: Array) -> Array:
    """Return the height of the middle of a brow at rest."""
    s = brow_across(look, u)
    return look.eye_y - look.brow_y + look.brow_arch * (s - 0.2) ** 2


class Mouth:
    """Lines of a mouth for the given poses."""

    def __init__(self, look: FaceIdentity, pose: FacePose, u: Array) -> None:
        self.half = mouth_half_width(look, pose)
        s = u / self.half
        self.s = s
        self.beyond = np.abs(u) - self.half  # the corners
        self.bow = np.maximum(1 - s * s, 0)
        middle = look.mouth_y - 0.07 * pose.smile * s * s
        self.upper = middle - 0.05 * pose.mouth * self.bow  # the lower edge of the upper lip
        self.lower = middle + mouth_drop(pose) * self.bow  # the upper edge of the lower lip
        bow = self.bow**0.7
        self.upper_thickness = look.upper_lip * bow * (1 - 0.3 * np.exp(-((s / 0.18) ** 2)))
        self.lower_thickness = look.lower_lip * bow

    def opening(self, v: Array) -> Array:
        """Return the signed distance from the outline of the opening between the lips."""
        return np.maximum(np.maximum(self.upper - v, v - self.lower), self.beyond)


def mouth_half_width(look: FaceIdentity, pose: FacePose) -> Array:
    return look.mouth_width * (1 + 0.18 * pose.smile - 0.3 * pose.pucker)


def mouth_drop(pose: FacePose) -> Array:
    """Return the distance of the lower lip from the line of the closed mouth."""
    return 0.2 * pose.mouth


class Cavity(Part):
    """Dark cavity behind the lips."""

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        _, v, _ = seen.surface
        return seen.surface, seen.mouth.opening(v)

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        return np.broadcast_to(np.array([0.25, 0.06, 0.07], np.float32), (*u.shape, 3))


class Tongue(Part):
    """The tongue; it goes down with the lower jaw."""

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        u, v, _ = seen.surface
        inside = seen.mouth.opening(v)
        t = v - mouth_drop(seen.head.pose)
        shape = (np.sqrt((u / (0.6 * self.look.mouth_width)) ** 2 + ((t - self.look.mouth_y) / 0.085) ** 2) - 1) * 0.085
        return (u, t, np.zeros_like(u)), np.maximum(inside, shape)

    def place(self, head: Head, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        v = v + mouth_drop(head.pose)
        return head.show(u, v, front(u, v))

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        groove = 1 - 0.15 * np.exp(-((u / 0.04) ** 2))
        return groove[..., None] * np.array([0.83, 0.4, 0.42], np.float32)


class Teeth(Part):
    """The upper teeth; they stay with the head."""

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        u, v, _ = seen.surface
        inside = seen.mouth.opening(v)
        end = np.maximum(v - self.look.mouth_y - 0.035, np.abs(u) - 0.75 * self.look.mouth_width)
        return seen.surface, np.maximum(inside, end)

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        gaps = 1 - 0.1 * np.abs(np.cos(28 * u)) ** 4
        return gaps[..., None] * np.array([0.96, 0.95, 0.9], np.float32)


class Lip(Part):
    """One lip: u from corner to corner, v away from the mouth's opening."""

    def __init__(self, look: FaceIdentity, upper: bool) -> None:
        super().__init__(look)
        self.upper = upper

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        _, v, _ = seen.surface
        mouth = seen.mouth
        t = mouth.upper - v if self.upper else v - mouth.lower
        thickness = mouth.upper_thickness if self.upper else mouth.lower_thickness
        return (mouth.s, t, np.zeros_like(t)), np.maximum(np.maximum(t - thickness, -t), mouth.beyond)

    def place(self, head: Head, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        across = u * mouth_half_width(self.look, head.pose)
        mouth = Mouth(self.look, head.pose, across)
        v = mouth.upper - v if self.upper else mouth.lower + v
        return head.show(across, v, front(across, v))

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        seam = self.soft(v - 0.012) * 0.4
        light = 0.0 if self.upper else 0.16 * np.exp(-((u / 0.35) ** 2) - ((v - 0.05) / 0.03) ** 2)[..., None]
        return self.look.lips * ((0.88 if self.upper else 1.0) - seam) + light


class Flat(Part):
    """A flat piece before the face: (u, v) lies at height ``top + v`` and at depth ``near + slope·v``."""

    top: float
    near: float
    slope: float

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        u, v = self._local(seen)
        return (u, v, np.zeros_like(u)), self.outline(u, v)

    def _local(self, seen: HeadPoints) -> tuple[Array, Array]:
        """The place on the disc is affine in (u, v): two equations, solved."""
        head = seen.head
        xu, xv = head.cos_yaw, head.sin_yaw * self.slope
        yu, yv = -head.sin_pitch * head.sin_yaw, head.cos_pitch + head.sin_pitch * head.cos_yaw * self.slope
        x0, y0, _ = head.turn(np.float32(0), np.float32(self.top), np.float32(self.near))
        x, y, unit = seen.disc_x - x0, seen.disc_y - y0, 1 / (xu * yv - xv * yu)
        return (x * yv - y * xv) * unit, (y * xu - x * yu) * unit

    def outline(self, u: Array, v: Array) -> Array:
        raise NotImplementedError

    def place(self, head: Head, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        return head.show(u, self.top + v, self.near + self.slope * v)


class Nose(Flat):
    """A nose: it stands out toward its tip, so it moves further than the cheeks."""

    def __init__(self, look: FaceIdentity) -> None:
        super().__init__(look)
        self.top = look.eye_y + 0.02
        self.near = 0.97
        self.slope = look.nose_depth / look.nose_length

    def outline(self, u: Array, v: Array) -> Array:
        look = self.look
        along = np.clip(v / look.nose_length, 0, 1)
        ridge = np.maximum(
            np.abs(u) - 0.05 - (look.nose_width - 0.06) * along**2.5,
            np.abs(v - 0.5 * look.nose_length) - 0.5 * look.nose_length + 0.05,
        )
        tip = (np.sqrt((u / look.nose_width) ** 2 + ((v - look.nose_length + 0.08) / 0.09) ** 2) - 1) * 0.09
        return np.minimum(ridge, tip)

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        look = self.look
        along = np.clip(v / look.nose_length, 0, 1.1)
        edge = np.clip(np.abs(u) / (0.05 + look.nose_width * along**2), 0, 1.2)
        light = 0.12 * along * (1 - edge) - 0.3 * along * edge**2 - 0.05
        under = np.clip((v - look.nose_length + 0.05) * 9, 0, 1)
        holes = np.hypot((np.abs(u) - 0.52 * look.nose_width) / 1.3, v - look.nose_length + 0.045) - 0.03
        color = look.skin * (1 + light - 0.18 * under)[..., None]
        return color * (1 - 0.65 * self.soft(holes))


class Glasses(Flat):
    """The frame of glasses; one looks through the rest."""

    top, near, slope = 0.0, 1.12, 0.0

    def outline(self, u: Array, v: Array) -> Array:
        if not self.look.glasses:
            return np.full(np.broadcast(u, v).shape, 1, np.float32)
        radius = 0.27
        across, down = np.abs(u) - self.look.eye_x - 0.02, v - self.look.eye_y
        rings = np.abs(np.hypot(across, 1.15 * down) - radius) - 0.028
        bridge = np.maximum(np.abs(u) - self.look.eye_x + radius - 0.02, np.abs(down + 0.05) - 0.025)
        return np.minimum(rings, bridge)

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        return np.broadcast_to(self.look.frame, (*u.shape, 3))


class Hair(Part):
    """Hair on the skull: a shell a little larger than the head, cut off at the hairline."""

    RADIUS = {"bald": 1.0, "afro": 1.22}

    def __init__(self, look: FaceIdentity) -> None:
        super().__init__(look)
        self.radius = self.RADIUS.get(look.haircut, 1.08)

    def find(self, seen: HeadPoints) -> tuple[Local, Array]:
        u, v, w = seen.shell(self.radius)
        rim = (seen.radius - self.radius) * self.look.width
        if self.look.haircut == "bald":
            return (u, v, w), np.ones_like(rim)
        low = 0.3 if self.look.haircut in ("long", "bob") else 0.0
        line = self.look.hairline - 0.75 * w + self.look.parting * u + 0.04 * np.sin(self.look.curl * u)
        edge = v - line - low * np.clip(np.abs(u) * 3 - 2.1, 0, 1)
        return (u, v, w), np.maximum(rim, edge)

    def place(self, head: Head, u: Array, v: Array, w: Array) -> tuple[Array, Array]:
        x, y, _ = head.turn(u, v, w)
        return head.pixels(*head.undisc(self.radius * x, self.radius * y))

    def paint(self, u: Array, v: Array, w: Array) -> Array:
        shine = 1 + 0.2 * np.exp(-(((v + 0.75) / 0.12) ** 2)) - 0.15 * np.clip(v + 0.4, 0, 1)
        return (self.look.hair + self.look.hair_texture(u, v, w)) * shine[..., None]


def build_parts(look: FaceIdentity) -> list[Part]:
    """Return all parts, back to front."""
    return [
        BackHair(look), Shoulders(look), Ear(look, -1), Ear(look, 1), Skin(look),
        EyeWhite(look), Iris(look), Lashes(look), Cavity(look), Tongue(look), Teeth(look),
        Lip(look, upper=False), Lip(look, upper=True), Brows(look), Nose(look), Hair(look), Glasses(look),
    ]  # fmt: skip


# Pictures ---------------------------------------------------------------------------------------------------


def draw(look: FaceIdentity, parts: Sequence[Part], pose: FacePose, background: Array) -> Rendering:
    """Paint a face over *background* (H W 3) in T poses (arrays T 1 1), with edges antialiased over one pixel."""
    frames, (height, width) = len(pose.x), background.shape[:2]
    y, x = np.meshgrid(np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32), indexing="ij")
    seen = HeadPoints(Head(look, pose), x[None], y[None])
    image = np.broadcast_to(background, (frames, height, width, 3)).reshape(-1, 3).copy()
    topmost = np.full(frames * height * width, BACKGROUND, np.int16)
    local = np.zeros((3, frames * height * width), np.float32)
    for index, part in enumerate(parts):
        point, distance = part.find(seen)
        distance = np.broadcast_to(distance * pose.scale, (frames, height, width)).reshape(-1)
        place = np.flatnonzero(distance < 0.5)
        if not len(place):
            continue
        distance = distance[place]
        u, v, w = (np.broadcast_to(c, (frames, height, width)).reshape(-1)[place] for c in point)
        below = image[place]
        image[place] = below + np.clip(0.5 - distance, 0, 1)[:, None] * (np.clip(part.paint(u, v, w), 0, 1) - below)
        inside = distance < 0
        topmost[place[inside]] = index
        local[:, place[inside]] = np.stack([u, v, w])[:, inside]
    shape = (frames, height, width)
    return Rendering(image.reshape(*shape, 3), topmost.reshape(shape), local.reshape(3, *shape))


def exact_flow(
    look: FaceIdentity, parts: Sequence[Part], picture: Rendering, origin: FacePose, origin_topmost: NDArray[np.int16]
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the backward flow from T pictures to one origin each, and where the point it leads to is visible there.

    The flow of a pixel whose center shows a point of a part leads to where the origin's pose puts that point. It is
    visible if that lies within the image and the origin shows the same point of the same part there, tested at the
    exact position, not at a pixel center. The background does not move.

    Args:
        origin: poses (arrays T 1 1) of the pictures that the flow leads to.
        origin_topmost: T H W, what those pictures show.

    Returns:
        flow T 2 H W in pixels, channel 0 right and channel 1 down; visible T H W.
    """
    frames, height, width = picture.topmost.shape
    flow = np.zeros((frames, 2, height, width), np.float32)
    visible = origin_topmost == BACKGROUND
    frame, row, column = np.nonzero(picture.topmost != BACKGROUND)
    index, local = picture.topmost[frame, row, column], picture.local[:, frame, row, column]
    x, y = np.zeros(len(index), np.float32), np.zeros(len(index), np.float32)
    for k in np.unique(index):
        here = np.flatnonzero(index == k)
        head = Head(look, origin.pick((frame[here], 0, 0)))
        x[here], y[here] = parts[k].place(head, *local[:, here])
    flow[frame, 0, row, column] = x - column
    flow[frame, 1, row, column] = y - row
    within = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    seen = HeadPoints(Head(look, origin.pick((frame, 0, 0))), x, y)
    visible[frame, row, column] = within & _shown(parts, seen, index, local)
    return flow, visible


def _shown(parts: Sequence[Part], seen: HeadPoints, index: NDArray, local: Array) -> NDArray[np.bool_]:
    """Return whether the topmost part at the positions *seen* is part *index*, at its point *local*; all N."""
    shown = np.zeros(len(index), bool)
    for k, part in enumerate(parts):
        point, distance = part.find(seen)
        own = index == k
        shown &= ~((distance < 0) & ~own)  # in front of another part
        if own.any():
            apart = np.max([np.abs(found - wanted) for found, wanted in zip(point, local, strict=True)], 0)
            shown[own] = (distance[own] < 1e-3) & (apart[own] < SAME)
    return shown
