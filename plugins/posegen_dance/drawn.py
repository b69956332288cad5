"""Dancing dolls: drawn data of dancers. Paper dolls that move smoothly, drawn from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.random import Generator
from posegen_people.paperdoll import (
    SMALLEST,
    Limb,
    PlacedDoll,
    Stance,
    picture_tensor,
    random_background,
    random_doll,
    random_frame,
    random_stance,
    seen_keypoints,
)
from posegen_people.paperdoll_render import BACKGROUND, Array, Part, Rendering, draw_all, exact_flows
from torch import Tensor

from posegen.data import ClipDataset
from posegen.data.datasets import check_drawing
from posegen.records import Clip
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

from .layouts import HUMAN36M, human36m_from_openpose

STREAM = 1
"""Sets the random numbers of clips apart from those of single dolls of the same seed."""
FARTHEST_REFERENCE = 20
"""Largest number of frames between the reference and the first frame."""


@dataclass(frozen=True)
class DanceScene:
    """Everything a clip is drawn from: a person's parts, poses of reference and frames, the background H W 3."""

    parts: list[Part]
    reference: PlacedDoll
    frames: list[PlacedDoll]
    background: Array


@DATASETS.register_module()
class DancingDolls(ClipDataset):
    """Clips of one synthetic person who moves smoothly before a wall, with exact flow, visibility and foreground.

    Every joint swings around a random stance in slow sines, and the hips sway. The depth order is fixed within a clip.
    The reference is 1 to 20 frames before the first frame. The same (seed, index, frames, size) always gives the same
    clip. A key point is missing if it is outside of the picture or, in the face, covered; the 17 points are converted
    from the doll's 18.

    Args:
        length: number of clips.
        structure: the structure encoder, as a config or built; its layout must be Human3.6M's 17 points.
        frames: number of frames of a clip.
        size: (height, width) of the pictures in pixels, 16 at least; people are scaled by the height.
        seed: 0 or more.

    Raises:
        ConfigError: a size, length, seed or number of frames out of range, or an encoder of another layout.
    """

    def __init__(
        self, length: int, structure: Any, frames: int = 6, size: tuple[int, int] = (64, 64), seed: int = 0
    ) -> None:
        self.size = check_drawing("DancingDolls", size, SMALLEST, seed, length=length, frames=frames)
        self.length, self.count, self.seed = length, frames, seed
        self.structure = STRUCTURE_ENCODERS.build_part(structure)
        self.structure.require_layout(HUMAN36M, type(self).__name__)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < self.length:
            raise IndexError(f"clip {index} of {self.length}")
        dance = self.dance(index)
        poses = [dance.reference, *dance.frames]
        pictures = draw_all(dance.parts, [pose.placed for pose in poses], dance.background)
        points = [seen_keypoints(dance.parts, pose, picture) for pose, picture in zip(poses, pictures, strict=True)]
        structures = [self.structure.encode(human36m_from_openpose(each), self.size) for each in points]

        flow, visible, flow_previous, visible_previous = _motion(dance, poses, pictures)
        foreground = np.stack([picture.topmost[None] != BACKGROUND for picture in pictures[1:]])
        return Clip(
            reference=picture_tensor(pictures[0]),
            reference_structure=structures[0],
            frames=torch.stack([picture_tensor(picture) for picture in pictures[1:]]),
            structures=torch.stack(structures[1:]),
            name=f"dance{index:05d}",
            flow=flow,
            visible=visible,
            flow_previous=flow_previous,
            visible_previous=visible_previous,
            foreground=torch.from_numpy(foreground.astype(np.float32)),
        )

    def dance(self, index: int) -> DanceScene:
        """Return everything that clip *index* is drawn from."""
        rng = np.random.default_rng([self.seed, index, STREAM])
        doll = random_doll(rng, self.size)
        times = rng.integers(1, FARTHEST_REFERENCE + 1) + np.arange(self.count)
        stances, sway = _random_motion(rng, np.array([0, *times]))
        figures = [doll.stand(stance) for stance in stances]
        joints = [
            joint + shift for figure, shift in zip(figures, sway, strict=True) for joint in figure.joints.values()
        ]
        scale, hips = random_frame(joints, self.size, rng)
        poses = [doll.place(figure, scale, hips + scale * shift) for figure, shift in zip(figures, sway, strict=True)]
        return DanceScene(doll.parts, poses[0], poses[1:], random_background(self.size, rng))


def _motion(dance: DanceScene, poses: Sequence[PlacedDoll], pictures: Sequence[Rendering]) -> tuple[Tensor, ...]:
    """Return flow T 2 H W and visibility T 1 H W to the reference, then both to the previous frame."""
    count = len(dance.frames)
    origins = [0] * count + list(range(1, count))
    targets = [*range(1, count + 1), *range(2, count + 1)]
    flow, visible = exact_flows(
        dance.parts,
        [poses[k].placed for k in origins],
        [pictures[k] for k in origins],
        [pictures[k] for k in targets],
    )
    before = [0, *range(count, 2 * count - 1)]  # the first frame's previous one is the reference
    moved, seen = torch.from_numpy(flow), torch.from_numpy(visible[:, None].astype(np.float32))
    return moved[:count], seen[:count], moved[before], seen[before]


# The motion -----------------------------------------------------------------------------------------------

# how far each value swings to either side of the stance; the least and the most it may be
TORSO = {
    "lean": (0.16, -0.4, 0.4),
    "turn": (0.12, 0.72, 1.0),
    "squash": (0.05, 0.86, 1.0),
    "tilt": (0.2, -0.5, 0.5),
    "nod": (0.05, 0.88, 1.0),
}
ARM = ((0.75, -0.3, 2.9), (0.7, -2.7, 1.7), (0.15, 0.6, 1.0), (0.15, 0.6, 1.0))  # angle, bend, both scales
LEG = ((0.3, -0.25, 0.75), (0.35, -1.0, 0.3), (0.1, 0.7, 1.0), (0.1, 0.65, 1.0))
SWAY = ((0.06, -0.1, 0.1), (0.025, -0.04, 0.04))  # of the hips, across and up, in body units
RANGES = np.array([*TORSO.values(), *ARM, *ARM, *LEG, *LEG, *SWAY])
BEAT = (9.0, 18.0)
"""Frames a beat lasts; a swing takes one beat or two, so a hand moves a few hundredths of a body a frame at most."""


def _random_motion(rng: Generator, times: np.ndarray) -> tuple[list[Stance], np.ndarray]:
    """Draw stances at *times* (T, in frames) of a dance around a random stance, and the shifts T 2 of the hips."""
    middle = random_stance(rng)
    limbs = (*middle.arms, *middle.legs)
    values = [getattr(middle, name) for name in TORSO]
    values += [value for limb in limbs for value in (limb.angle, limb.bend, *limb.scales)]
    swing, low, high = RANGES.T
    moved = np.clip(np.array([*values, 0, 0]) + swing * _waves(rng, times, len(RANGES)), low, high)
    return [_stance(row, limbs) for row in moved[:, :-2].tolist()], moved[:, -2:]


def _waves(rng: Generator, times: np.ndarray, count: int) -> np.ndarray:
    """Draw smooth values T N in [-1, 1]: each the sum of two sines, of one beat and of two."""
    periods = rng.uniform(*BEAT) * np.array([1.0, 2.0])
    phases = rng.uniform(0, 2 * np.pi, (2, count))
    share = rng.uniform(0.2, 0.8, count)
    turns = 2 * np.pi * times[:, None] / periods  # T 2
    quick, slow = (np.sin(turns[:, k, None] + phases[k]) for k in range(2))
    return share * quick + (1 - share) * slow


def _stance(values: list[float], limbs: tuple[Limb, ...]) -> Stance:
    """Return a stance of values in the order of ``RANGES``; *limbs* give the depth order."""
    parts = [values[k : k + 4] for k in range(len(TORSO), len(values), 4)]
    moved = [Limb(a, b, (c, d), limb.front) for (a, b, c, d), limb in zip(parts, limbs, strict=True)]
    torso = dict(zip(TORSO, values, strict=False))
    return Stance(**torso, arms=(moved[0], moved[1]), legs=(moved[2], moved[3]))
