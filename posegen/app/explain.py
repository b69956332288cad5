"""Why a result looks so: where in the source each of its places comes from, through which kernel, and how much."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..ops import LocalAttention
from ..records import Transfer


@dataclass(frozen=True)
class Level:
    """What moved one image at one resolution h×w, float32.

    ``flow`` 2 h w in pixels of h×w, from the result back to the source; ``mask`` h w in [0, 1], 1 is warped, 0 made up;
    ``kernel`` n² h w, summing to 1 over the taps, which run row by row; None: the flow is sampled without a kernel.
    """

    flow: np.ndarray
    mask: np.ndarray
    kernel: np.ndarray | None


@dataclass(frozen=True)
class Tap:
    """A place of the source that is looked at: (x, y) in pixels of the image, and its weight."""

    x: float
    y: float
    weight: float


@dataclass(frozen=True)
class Origin:
    """Where one place of the result comes from, at one level; (x, y) in pixels of the image, its first one at (0, 0).

    ``size``: (h, w) of the level. ``cell``: (width, height) of a place of it, in pixels of the image. ``place``: its
    middle in the result. ``source``: the middle of the patch; it may lie outside of the source. ``taps``: n² places,
    row by row, each moved to the border where it would lie outside. ``warped``: the mask's share, 1 − that is made up.
    """

    size: tuple[int, int]
    cell: tuple[float, float]
    place: tuple[float, float]
    source: tuple[float, float]
    taps: tuple[Tap, ...]
    warped: float

    @property
    def flow(self) -> tuple[float, float]:
        """From ``place`` to ``source``, in pixels of the image."""
        return self.source[0] - self.place[0], self.source[1] - self.place[1]


@contextmanager
def recorded_kernels(model: nn.Module) -> Iterator[list[Tensor]]:
    """While it lasts, every kernel that a local attention block of *model* predicts is added to the list, B n² h w.

    The blocks' method is wrapped, so nothing is computed twice; not for two threads at once.
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
            del block.kernel  # the class's own is seen again


def levels_of(out: Transfer, kernels: Sequence[Tensor]) -> list[Level]:
    """The levels of a batch's first image, coarse to fine; a kernel belongs to the flow of its size."""
    by_size = {tuple(kernel.shape[-2:]): kernel for kernel in kernels}
    return [
        Level(_array(flow), _array(mask)[0], None if kernel is None else _array(kernel))
        for flow, mask in zip(out.flows, out.masks, strict=True)
        for kernel in [by_size.get(tuple(flow.shape[-2:]))]
    ]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor[0].detach().to("cpu", torch.float32).contiguous().numpy()


def explain_point(level: Level, x: float, y: float, image_size: tuple[int, int]) -> Origin | None:
    """Where the result's pixel (x, y) comes from, at one level.

    Args:
        level: the level.
        x, y: in pixels of the result.
        image_size: (H, W) of result and source.

    Returns:
        The origin; None where the flow is not a finite number there.

    Raises:
        InputError: (x, y) lies outside of the result.
    """
    height, width = image_size
    if not (-0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
        raise InputError(f"the point ({x:g}, {y:g}) lies outside of the picture, {width}×{height} pixels")
    rows, columns = level.flow.shape[-2:]
    cell = np.array([width / columns, height / rows])
    column, row = (int(index) for index in (np.array([x, y]) + 0.5) // cell)
    place = np.array([column, row], np.float64)
    position = place + level.flow[:, row, column]
    if not np.isfinite(position).all():
        return None

    def in_image(at: np.ndarray) -> tuple[float, float]:
        """From pixels of the level to pixels of the image: both count from the middle of their first pixel."""
        moved = (at + 0.5) * cell - 0.5
        return float(moved[0]), float(moved[1])

    weights = np.ones(1) if level.kernel is None else level.kernel[:, row, column]
    side = round(len(weights) ** 0.5)
    offsets = [(k % side - side // 2, k // side - side // 2) for k in range(len(weights))]
    places = [in_image(np.clip(position + offset, 0, [columns - 1, rows - 1])) for offset in offsets]
    return Origin(
        size=(rows, columns),
        cell=(float(cell[0]), float(cell[1])),
        place=in_image(place),
        source=in_image(position),
        taps=tuple(Tap(*at, float(weight)) for at, weight in zip(places, weights, strict=True)),
        warped=float(level.mask[row, column]),
    )
