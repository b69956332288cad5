"""Drawn data of talking faces.

A textured face talks, blinks and turns, drawn from a seed, with its 68 landmarks and the exact flow and visibility
between its frames. Nothing is downloaded or stored.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.random import Generator

from posegen.data import ClipDataset, Keypoints, StructureEncoder
from posegen.data.datasets import check_drawing, jitter_color
from posegen.records import Clip
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

from .drawn_render import (
    BACKGROUND,
    Array,
    FaceIdentity,
    FacePose,
    Head,
    Mouth,
    Texture,
    brow_half_width,
    brow_line,
    build_parts,
    draw,
    exact_flow,
    front,
    lids,
    mouth_half_width,
)
from .layouts import IBUG_68
from .matches import matches

SMALLEST = 32
"""Smallest side of a picture in pixels."""


@DATASETS.register_module()
class DrawnFaces(ClipDataset):
    """Clips of synthetic faces, with exact flow to the reference and to the previous frame, visibility and foreground.

    The reference is another moment of the same speech. The same (seed, index, size, frames) always gives the same clip.
    Data sets of different seeds share no face. The foreground is head, hair and shoulders. All 68 landmarks are always
    present, also on the far side of a face, as annotators place them.

    Args:
        length: number of clips.
        structure: the structure encoder, as a config or built; its layout must be the 68 landmarks.
        frames: number of frames of a clip.
        size: (height, width) of the pictures in pixels, 32 at least.
        seed: 0 or more.

    Raises:
        ConfigError: a size, length, number of frames or seed out of range, or an encoder of another layout.
    """

    drawn_options = ("length", "frames", "seed")

    def __init__(
        self,
        length: int,
        structure: StructureEncoder | dict[str, Any],
        frames: int = 6,
        size: Sequence[int] = (64, 64),
        seed: int = 0,
    ) -> None:
        self.size = check_drawing("DrawnFaces", size, SMALLEST, seed, length=length, frames=frames)
        self.length, self.frames, self.seed = length, frames, seed
        self.structure: StructureEncoder = STRUCTURE_ENCODERS.build_part(structure)
        self.structure.require_layout(IBUG_68, type(self).__name__)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < self.length:
            raise IndexError(f"clip {index} of {self.length}")
        look, pose, background = self.scene(index)
        parts = build_parts(look)
        picture = draw(look, parts, pose, background)
        frames = type(picture)(picture.image[1:], picture.topmost[1:], picture.local[:, 1:])
        to_reference, to_previous = [0] * self.frames, list(range(self.frames))
        flows = [
            exact_flow(look, parts, frames, pose.pick(origin), picture.topmost[origin])
            for origin in (to_reference, to_previous)
        ]
        levels = np.rint(picture.image * 255).astype(np.uint8)
        points = landmarks(look, pose)
        structures = torch.stack(
            [
                self.structure.encode(Keypoints(at, np.ones(len(IBUG_68))), self.size, level)
                for at, level in zip(points, levels, strict=True)
            ]
        )
        images = torch.from_numpy(np.ascontiguousarray(picture.image.transpose(0, 3, 1, 2)) * 2 - 1)
        return Clip(
            reference=images[0],
            reference_structure=structures[0],
            frames=images[1:],
            structures=structures[1:],
            name=f"face{index:05d}",
            flow=torch.from_numpy(flows[0][0]),
            visible=_mask(flows[0][1]),
            flow_previous=torch.from_numpy(flows[1][0]),
            visible_previous=_mask(flows[1][1]),
            foreground=_mask(frames.topmost != BACKGROUND),
            matches=matches(points[1:], points[to_reference]),
            matches_previous=matches(points[1:], points[to_previous]),
        )

    def keypoints(self, index: int) -> Iterator[Keypoints]:
        """Return the landmarks of clip *index* in pixels: the reference's, then the frames'."""
        look, pose, _ = self.scene(index)
        return (Keypoints(points, np.ones(len(IBUG_68))) for points in landmarks(look, pose))

    def scene(self, index: int) -> tuple[FaceIdentity, FacePose, Array]:
        """Return what clip *index* is drawn from: a face, the poses of reference and frames (arrays T+1 1 1), the
        background H W 3 in [0, 1]."""
        rng = np.random.default_rng([self.seed, index])
        look = _random_look(rng, 0.36 * min(self.size))
        pose = _random_motion(rng, self.frames, self.size)
        return look, pose, _random_background(rng, self.size, look)


def _mask(where: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(where[:, None].astype(np.float32))


# Landmarks --------------------------------------------------------------------------------------------------


def landmarks(look: FaceIdentity, pose: FacePose) -> Array:
    """Return the 68 landmarks of a face in T poses (arrays T 1 1): T 68 2, in pixels."""
    pose = pose.pick((..., 0))  # T 1
    head = Head(look, pose)
    surface = [_brow(look, pose), *_eyes(look, pose), *_mouth(look, pose)]
    shown = [np.stack(head.show(u, v, front(u, v)), -1) for u, v in surface]
    brows, eyes, mouth = shown[0], shown[1:3], shown[3:]
    return np.concatenate([_jaw(head), brows, *_nose(look, head), *eyes, *mouth], 1).astype(np.float32)


def _jaw(head: Head) -> Array:
    """Return landmarks along the lower edge of the face; points beyond the horizon are moved onto it."""
    angle = np.linspace(np.pi * 1.02, -np.pi * 0.02, 17)
    depth = 0.28
    radius = (1 - depth**2) ** 0.5
    x, y, z = head.turn(radius * np.cos(angle), radius * np.sin(angle), np.full(17, depth))
    beyond = np.where(z < 0, np.hypot(x, y), 1)
    return np.stack(head.pixels(*head.undisc(x / beyond, y / beyond)), -1)


def _nose(look: FaceIdentity, head: Head) -> list[Array]:
    slope = look.nose_depth / look.nose_length

    def shown(u: Array, v: Array) -> Array:
        return np.stack(head.show(u, look.eye_y + 0.02 + v, 0.97 + slope * v), -1)

    bridge = np.linspace(0, 0.85, 4) * look.nose_length
    base = np.linspace(-0.95, 0.95, 5)
    under = look.nose_length - 0.03 * np.abs(base)
    return [shown(np.zeros(4), bridge), shown(base * look.nose_width, under)]


def _brow(look: FaceIdentity, pose: FacePose) -> tuple[Array, Array]:
    across = look.eye_x + 0.02 + np.linspace(1, -1, 5) * brow_half_width(look)
    u = np.concatenate([-across, across[::-1]])
    return u, brow_line(look, u) - pose.brows


def _eyes(look: FaceIdentity, pose: FacePose) -> list[tuple[Array, Array]]:
    found: list[tuple[Array, Array]] = []
    for side in (-1, 1):
        u = side * look.eye_x + look.eye_width * np.array([-1, -0.4, 0.4, 1, 0.4, -0.4])
        upper, lower = lids(look, pose, u)
        found.append((u, np.where(np.arange(6) < 4, upper, lower)))
    return found


def _mouth(look: FaceIdentity, pose: FacePose) -> list[tuple[Array, Array]]:
    half = mouth_half_width(look, pose)
    outer = Mouth(look, pose, half * np.array([-1, -0.66, -0.3, 0, 0.3, 0.66, 1, 0.66, 0.3, 0, -0.3, -0.66]))
    inner = Mouth(look, pose, half * np.array([-0.9, -0.45, 0, 0.45, 0.9, 0.45, 0, -0.45]))
    outer_v = np.where(np.arange(12) < 7, outer.upper - outer.upper_thickness, outer.lower + outer.lower_thickness)
    inner_v = np.where(np.arange(8) < 5, inner.upper, inner.lower)
    return [(outer.s * half, outer_v), (inner.s * half, inner_v)]


# Faces ------------------------------------------------------------------------------------------------------


HAIRCUTS = ("short", "short", "short", "long", "long", "bob", "afro", "bald")
SKINS = (
    (0.98, 0.84, 0.74),
    (0.93, 0.74, 0.60),
    (0.85, 0.64, 0.47),
    (0.68, 0.46, 0.32),
    (0.50, 0.33, 0.23),
    (0.38, 0.25, 0.18),
)
HAIRS = (
    (0.10, 0.08, 0.08),
    (0.26, 0.15, 0.09),
    (0.45, 0.28, 0.14),
    (0.84, 0.66, 0.36),
    (0.66, 0.28, 0.12),
    (0.68, 0.68, 0.70),
)
IRISES = ((0.25, 0.15, 0.08), (0.2, 0.35, 0.6), (0.25, 0.45, 0.25), (0.4, 0.4, 0.42))


def _random_look(rng: Generator, sharpness: float) -> FaceIdentity:
    hair = _random_color(rng) if rng.random() < 0.12 else jitter_color(rng, HAIRS[rng.integers(len(HAIRS))])
    skin = jitter_color(rng, SKINS[rng.integers(len(SKINS))])
    man = rng.random() < 0.5
    return FaceIdentity(
        width=rng.uniform(0.70, 0.84),
        taper=rng.uniform(0.16, 0.36),
        jaw=rng.uniform(0.16, 0.28),
        eye_x=rng.uniform(0.34, 0.42),
        eye_y=rng.uniform(-0.1, 0.0),
        eye_width=rng.uniform(0.17, 0.22),
        eye_height=rng.uniform(0.07, 0.105),
        slant=rng.uniform(-0.12, 0.25),
        brow_y=rng.uniform(0.22, 0.28),
        brow_arch=rng.uniform(0.02, 0.09),
        brow_thickness=rng.uniform(0.025, 0.055),
        nose_length=rng.uniform(0.36, 0.46),
        nose_width=rng.uniform(0.12, 0.19),
        nose_depth=rng.uniform(0.15, 0.32),
        mouth_y=rng.uniform(0.54, 0.6),
        mouth_width=rng.uniform(0.28, 0.4),
        upper_lip=rng.uniform(0.05, 0.085),
        lower_lip=rng.uniform(0.06, 0.11),
        hairline=rng.uniform(0.0, 0.2),
        parting=rng.uniform(-0.25, 0.25),
        curl=rng.uniform(4, 16),
        haircut=str(rng.choice(HAIRCUTS)),
        beard=rng.uniform(0.5, 1) if man and rng.random() < 0.35 else 0.0,
        glasses=rng.random() < 0.2,
        skin=skin,
        hair=hair,
        iris=jitter_color(rng, IRISES[rng.integers(len(IRISES))]),
        lips=np.float32(0.45) * skin + np.float32(0.55) * jitter_color(rng, (0.72, 0.2, 0.26)),
        shirt=_random_color(rng),
        frame=np.float32(0.5) * _random_color(rng),
        brow=np.float32(0.75) * hair,
        skin_texture=_random_skin_texture(rng),
        hair_texture=_random_texture(rng, 3, (6, 22), 0.05, (1.0, 0.3, 1.0)),
        shirt_texture=_random_texture(rng, 3, (3, 12), 0.12, (1.0, 1.0, 0.0)),
        sharpness=sharpness,
    )


def _random_skin_texture(rng: Generator) -> Texture:
    """Draw the texture of the skin: blotches, sometimes freckles or a painted pattern; it shows motion."""
    kind = rng.choice(["blotches", "blotches", "freckles", "paint"])
    texture = _random_texture(rng, 6, (6, 20), {"freckles": 0.03}.get(str(kind), 0.02), (1, 1, 1))
    if kind != "paint":
        return texture
    bold = _random_texture(rng, 2, (9, 15), 0.08, (1, 1, 0.2))
    return Texture(np.concatenate([texture.waves, bold.waves]), np.concatenate([texture.weights, bold.weights]))


def _random_texture(
    rng: Generator, count: int, frequency: tuple[float, float], strength: float, axes: Sequence[float]
) -> Texture:
    """Draw *count* waves of that many radians per unit, their directions weighted by *axes*."""
    direction = rng.normal(size=(count, 3)) * axes
    direction *= rng.uniform(*frequency, (count, 1)) / np.linalg.norm(direction, axis=1, keepdims=True)
    waves = np.c_[direction, rng.uniform(0, 2 * np.pi, count)]
    weights = strength * (rng.choice([-1, 1], (count, 1)) + rng.uniform(-0.4, 0.4, (count, 3)))
    return Texture(waves.astype(np.float32), weights.astype(np.float32))


def _random_color(rng: Generator) -> Array:
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.25, 0.95), rng.uniform(0.3, 0.95)), np.float32)


# Motion -----------------------------------------------------------------------------------------------------


def _random_motion(rng: Generator, frames: int, size: tuple[int, int]) -> FacePose:
    """Draw the poses of a talking head: at a separate moment (the reference), then at *frames* consecutive moments."""
    away = rng.uniform(6, 12) * rng.choice([-1, 1])
    times = np.concatenate([[away], np.arange(frames)])
    unit = min(size)
    scale = unit * rng.uniform(0.33, 0.38)
    height, width = size

    def swing(amount: float, period: tuple[float, float], middle: float = 0.0) -> np.ndarray:
        return middle + amount * np.sin(2 * np.pi * (times / rng.uniform(*period) + rng.random()))

    opened = 0.5 + swing(0.5, (4, 7))
    moves = dict(
        yaw=swing(rng.uniform(0.25, 0.6), (16, 30)),
        pitch=swing(rng.uniform(0.06, 0.2), (14, 26), 0.03),
        roll=swing(rng.uniform(0.05, 0.2), (18, 32)),
        scale=scale * (1 + swing(0.05, (20, 40))),
        x=(width - 1) / 2 + unit * swing(rng.uniform(0.02, 0.08), (18, 32)),
        y=(height - 1) / 2 - 0.03 * unit + unit * swing(rng.uniform(0.01, 0.045), (14, 26)),
        mouth=opened * np.clip(swing(0.6, (9, 16), 0.65), 0, 1),
        smile=swing(0.5, (10, 24), rng.uniform(-0.2, 0.6)),
        pucker=np.clip(swing(0.7, (5, 11)), -0.2, 0.8),
        eyes=1 - np.exp(-(((times - rng.uniform(-3, frames + 3)) / 0.8) ** 2)),
        brows=swing(0.04, (8, 16)),
        gaze_x=swing(0.06, (8, 20)),
        gaze_y=swing(0.02, (8, 20)),
    )
    return FacePose(**{name: values.astype(np.float32)[:, None, None] for name, values in moves.items()})


def _random_background(rng: Generator, size: tuple[int, int], look: FaceIdentity) -> Array:
    """Draw a wall, plain, shaded or patterned, of another color than hair and skin; H W 3 in [0, 1]."""
    color = _random_color(rng)
    while min(np.abs(color - look.hair).sum(), np.abs(color - look.skin).sum()) < 0.45:
        color = _random_color(rng)
    height, width = size
    y, x = np.meshgrid(np.arange(height) / min(size), np.arange(width) / min(size), indexing="ij")
    strength, frequency = ((0.0, (1, 2)), (0.08, (1, 4)), (0.12, (8, 40)))[rng.integers(3)]
    texture = _random_texture(rng, 3, frequency, strength, (1, 1, 0))
    wall = color + texture(x.astype(np.float32), y.astype(np.float32), np.zeros_like(x, np.float32))
    slope = rng.uniform(-0.2, 0.2, 2)
    return np.clip(wall * (1 + slope[0] * (x - 0.5) + slope[1] * (y - 0.5))[..., None], 0, 1).astype(np.float32)
