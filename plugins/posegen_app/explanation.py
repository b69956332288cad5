"""Origin of a result's pixels: the source patch each one attends to, its kernel, and the mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from posegen.errors import InputError
from posegen.ops import LocalAttention
from posegen.records import Transfer


@dataclass(frozen=True)
class Level:
    """Flow, mask and kernels of one image at one resolution h×w, float32.

    Args:
        flow: 2 h w, in pixels of this level; a place of the result shows the source at place + flow.
        mask: h w, in [0, 1]: 1 is warped, 0 generated.
        kernel: n² h w, summing to 1 over the taps, which run row by row; None: the flow is sampled without a kernel.
    """

    flow: np.ndarray
    mask: np.ndarray
    kernel: np.ndarray | None


@dataclass(frozen=True)
class Tap:
    """One tap of a kernel: the source position (x, y) it samples, in pixels of the image, and its weight."""

    x: float
    y: float
    weight: float


@dataclass(frozen=True)
class Origin:
    """Origin of one place of the result, at one level; positions are (x, y) in pixels of the image.

    Args:
        cell: (width, height) of one place of the level.
        place: center of the place in the result.
        source: center of the source patch; it may lie outside of the source.
        taps: n² taps, row by row; those outside of the source are clamped to its border, where they are sampled.
        warped: the mask's value; 1 − warped is generated.
    """

    cell: tuple[float, float]
    place: tuple[float, float]
    source: tuple[float, float]
    taps: tuple[Tap, ...]
    warped: float

    @property
    def flow(self) -> tuple[float, float]:
        """Vector from ``place`` to ``source``."""
        return self.source[0] - self.place[0], self.source[1] - self.place[1]

    def __str__(self) -> str:
        (x, y), (u, v) = self.place, self.source
        shares = f"{100 * self.warped:.0f}% warped from ({u:.1f}, {v:.1f}) of the source"
        return f"({x:.1f}, {y:.1f}) of the result: {shares}, {100 * (1 - self.warped):.0f}% generated"


@contextmanager
def recorded_kernels(model: nn.Module) -> Iterator[list[Tensor]]:
    """Record every kernel, B n² h w, that the local attention blocks of a model predict, without computing it twice.

    Not thread-safe: the blocks' method ``kernel`` is wrapped meanwhile.
    """
    kernels: list[Tensor] = []
    blocks = [module for module in model.modules() if isinstance(module, LocalAttention)]

    def recording(predict: Any) -> Any:
        def kernel(*features: Tensor) -> Tensor:
            kernels.append(predict(*features))
            return kernels[-1]

        return kernel

    for block in blocks:
        block.kernel = recording(block.kernel)  # type: ignore[method-assign]
    try:
        yield kernels
    finally:
        for block in blocks:
            del block.kernel  # uncovers the method of the class


def levels_of(out: Transfer, kernels: Sequence[Tensor]) -> list[Level]:
    """List the levels of a batch's first image, coarse to fine; a kernel belongs to the flow of its size."""
    by_size = {tuple(kernel.shape[-2:]): kernel for kernel in kernels}
    return [
        Level(_array(flow), _array(mask)[0], None if kernel is None else _array(kernel))
        for flow, mask in zip(out.flows, out.masks, strict=True)
        for kernel in [by_size.get(tuple(flow.shape[-2:]))]
    ]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor[0].detach().to("cpu", torch.float32).contiguous().numpy()


def explain_point(level: Level, x: float, y: float, image_size: tuple[int, int]) -> Origin | None:
    """Find the origin of the result's pixel (x, y) at one level.

    Args:
        level: the level.
        x, y: in pixels of the result.
        image_size: (H, W) of result and source.

    Returns:
        The origin; None if the flow is not finite there.

    Raises:
        InputError: (x, y) lies outside of the result.
    """
    height, width = image_size
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        raise InputError(f"point ({x:g}, {y:g}) lies outside of the picture, {width}×{height} pixels")
    rows, columns = level.flow.shape[-2:]
    cell = np.array([width / columns, height / rows])
    column, row = (int(index) for index in (np.array([x, y]) + 0.5) // cell)
    place = np.array([column, row], np.float64)
    position = place + level.flow[:, row, column]
    if not np.isfinite(position).all():
        return None

    def in_image(at: np.ndarray) -> tuple[float, float]:
        moved = (at + 0.5) * cell - 0.5  # both grids count from the center of their first pixel
        return float(moved[0]), float(moved[1])

    weights = np.ones(1) if level.kernel is None else level.kernel[:, row, column]
    side = round(len(weights) ** 0.5)
    offsets = [(k % side - side // 2, k // side - side // 2) for k in range(len(weights))]
    places = [in_image(np.clip(position + offset, 0, [columns - 1, rows - 1])) for offset in offsets]
    return Origin(
        cell=(float(cell[0]), float(cell[1])),
        place=in_image(place),
        source=in_image(position),
        taps=tuple(Tap(*at, float(weight)) for at, weight in zip(places, weights, strict=True)),
        warped=float(level.mask[row, column]),
    )
