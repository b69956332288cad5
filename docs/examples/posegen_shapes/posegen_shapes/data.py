"""Drawn arrows that move, with the exact flow between the two images of a pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from posegen.data import Keypoints, PairDataset
from posegen.errors import ConfigError
from posegen.records import Pair
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

from .structure import ARROW

CORNERS = np.array([[0.0, -1.0], [0.8, 0.1], [0.4, 0.9], [-0.4, 0.9], [-0.8, 0.1]])


@DATASETS.register_module()
class MovingShapes(PairDataset):
    """Pairs of images of one striped arrow that turns, grows and moves over a mottled background.

    Args:
        length: number of pairs.
        structure: config of a structure encoder, or an encoder; its layout must be ``arrow``.
        size: (H, W) in pixels.
        seed: random seed, 0 or more.

    Raises:
        ConfigError: the encoder has another layout.
    """

    def __init__(self, length: int, structure: Any, size: tuple[int, int] = (32, 32), seed: int = 0) -> None:
        self.length, self.size, self.seed = length, (int(size[0]), int(size[1])), seed
        self.structure = STRUCTURE_ENCODERS.build_part(structure)
        if self.structure.layout.names != ARROW.names:
            raise ConfigError(f"MovingShapes needs the layout 'arrow'; got {self.structure.layout.name!r}")

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Pair:
        if not 0 <= index < self.length:
            raise IndexError(f"pair {index} of {self.length}")
        rng = np.random.default_rng([self.seed, index])
        background = np.kron(rng.uniform(-0.6, 0.6, (3, -(-self.size[0] // 4), -(-self.size[1] // 4))), np.ones((4, 4)))
        background = background[:, : self.size[0], : self.size[1]]
        colors, wave = rng.uniform(-1, 1, (2, 3)), rng.uniform(-4, 4, 2)
        first, second = self._place(rng), self._place(rng)
        source, target = (self._image(place, background, colors, wave) for place in (first, second))
        flow, visible = self._flow(first, second)
        return Pair(
            source=source,
            source_structure=self._structure(first),
            target=target,
            target_structure=self._structure(second),
            name=f"shape{index:05d}_a_2_shape{index:05d}_b_vis",
            flow=flow,
            visible=visible,
            foreground=torch.from_numpy(self._inside(second)[None].astype(np.float32)),
        )

    def _place(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a random 2×3 matrix from the arrow's own coordinates to pixels (x, y)."""
        angle, scale = rng.uniform(-1, 1), rng.uniform(0.22, 0.32) * min(self.size)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.array(self.size[::-1]) * rng.uniform(0.35, 0.65, 2)
        return np.column_stack([turn, middle])

    def _corners(self, place: np.ndarray) -> np.ndarray:
        return CORNERS @ place[:, :2].T + place[:, 2]

    def _structure(self, place: np.ndarray) -> Tensor:
        corners = self._corners(place)
        seen = ((corners >= 0) & (corners <= np.array(self.size[::-1]) - 1)).all(1)
        return self.structure.encode(Keypoints(corners, seen), self.size)

    def _inside(self, place: np.ndarray) -> np.ndarray:
        mask = Image.new("1", self.size[::-1])
        ImageDraw.Draw(mask).polygon([tuple(corner) for corner in self._corners(place)], fill=1)
        return np.asarray(mask)

    def _own(self, place: np.ndarray) -> np.ndarray:
        """Return the arrow's own coordinates of every pixel, 2 H W."""
        rows, columns = np.mgrid[: self.size[0], : self.size[1]]
        pixels = np.stack([columns, rows]) - place[:, 2, None, None]
        return np.einsum("ij,jhw->ihw", np.linalg.inv(place[:, :2]), pixels)

    def _image(self, place: np.ndarray, background: np.ndarray, colors: np.ndarray, wave: np.ndarray) -> Tensor:
        weight = 0.5 + 0.5 * np.sin(np.einsum("i,ihw->hw", wave, self._own(place)))
        arrow = colors[0, :, None, None] * weight + colors[1, :, None, None] * (1 - weight)
        return torch.from_numpy(np.where(self._inside(place), arrow, background).astype(np.float32))

    def _flow(self, source: np.ndarray, target: np.ndarray) -> tuple[Tensor, Tensor]:
        """Return the backward flow 2 H W in pixels, and the visibility mask 1 H W. The background does not move."""
        rows, columns = np.mgrid[: self.size[0], : self.size[1]]
        pixels = np.stack([columns, rows])
        origin = np.einsum("ij,jhw->ihw", source[:, :2], self._own(target)) + source[:, 2, None, None]
        here = self._inside(target)
        flow = np.where(here, origin - pixels, 0)
        x, y = np.rint(np.where(here, origin, pixels)).astype(int)
        in_image = (x >= 0) & (x < self.size[1]) & (y >= 0) & (y < self.size[0])
        covered = self._inside(source)[y.clip(0, self.size[0] - 1), x.clip(0, self.size[1] - 1)]
        visible = in_image & (covered == here)
        return torch.from_numpy(flow.astype(np.float32)), torch.from_numpy(visible[None].astype(np.float32))
