"""Draw the figures of docs/method.md from a trained model of pairs: flow, mask and kernels of local attention.

python tools/draw_method.py configs/gfla_paperdoll_hour.py iter_11000.pth docs/images
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from mmengine.config import Config
from torch import Tensor

import posegen
from posegen.config import load_config
from posegen.errors import ConfigError
from posegen.models import LocalAttentionRenderer
from posegen.ops import LocalAttention, resize_flow, sampling_positions
from posegen.records import PairBatch, Transfer, collate_pairs
from posegen.registry import DATASETS
from posegen.visualization import flow_to_rgb, mask_to_rgb, to_picture, warp

POINTS = 6  # points with a drawn displacement
CLOSE_UP = 9  # pixels shown around a point, in each direction
COLORS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#42d4f4")


@dataclass(frozen=True)
class Made:
    """A model's output for pairs with a known flow, and its attention kernels, B n² h w, by level."""

    batch: PairBatch
    exact_flow: Tensor
    visible: Tensor
    foreground: Tensor
    out: Transfer
    kernels: Mapping[int, Tensor]

    @property
    def size(self) -> tuple[int, int]:
        return (self.batch.source.shape[-2], self.batch.source.shape[-1])

    def flow(self, row: int) -> Tensor:
        """Return the finest flow of one pair, 2 H W, in pixels of the image."""
        return resize_flow(self.out.flows[-1], self.size)[row]


def main() -> None:
    """Write ``method_flow.png``, ``method_mask.png`` and ``method_attention.png``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, nargs="+", default=[4, 1], help="of the test data set")
    parsed = parser.parse_args()
    config = load_config(parsed.config)
    made = attended(posegen.load_model(config, parsed.checkpoint), config, parsed.pairs)
    for name, draw in (("flow", draw_flow), ("mask", draw_mask), ("attention", draw_attention)):
        path = parsed.folder / f"method_{name}.png"
        draw(made).savefig(path, dpi=80)
        print(path)


def attended(model: Any, config: Config, numbers: Sequence[int]) -> Made:
    """Run some pairs of the config's test data through *model* and compute its attention kernels.

    Raises:
        ConfigError: the model has another renderer, or the data set no exact flow.
    """
    if not isinstance(getattr(model, "renderer", None), LocalAttentionRenderer):
        raise ConfigError("the figures need a model of pairs with a LocalAttentionRenderer; the config has another")
    seen: dict[int, tuple[LocalAttention, tuple[Tensor, Tensor, Tensor]]] = {}
    for level, block in model.renderer.attention.items():
        block.register_forward_pre_hook(lambda block, inputs, level=int(level): seen.update({level: (block, inputs)}))
    dataset = DATASETS.build_part(config.test_dataloader.dataset)
    batch = collate_pairs([dataset[number] for number in numbers])
    if batch.flow is None or batch.visible is None or batch.foreground is None:
        raise ConfigError("the figures need the exact flow: use a config of drawn data")
    out = model.transfer(batch.source, batch.source_structure, batch.target_structure)
    with torch.no_grad():
        kernels = {level: block.kernel(*inputs) for level, (block, inputs) in seen.items()}
    return Made(batch, batch.flow, batch.visible, batch.foreground, out, kernels)


def draw_flow(made: Made) -> Figure:
    """Draw points of the target with their source, and the flow, learned and exact."""
    titles = ["target: points l", "source: points l + w(l)", "flow w", "exact flow", "source, warped along w"]
    figure, axes = _panels(len(made.batch), titles)
    moved = warp(made.batch.source, made.out.flows[-1])
    for row, line in enumerate(axes):
        _show(line[0], to_picture(made.batch.target[row]))
        _show(line[1], to_picture(made.batch.source[row]))
        for color, (x, y) in zip(COLORS, _points(made, row), strict=True):
            line[0].plot(x, y, "o", color=color, markeredgecolor="white", markersize=8)
            there = _position(made.flow(row), x, y)
            line[1].annotate("", there, (x, y), arrowprops=dict(arrowstyle="-", color=color, linewidth=1.5))
            line[1].plot(*there, "o", color=color, markeredgecolor="white", markersize=8)
        exact = made.exact_flow[row]
        largest = max(1.0, float(exact.norm(dim=0).max()))
        _show(line[2], flow_to_rgb(made.flow(row), largest))
        _show(line[3], _gray_where_hidden(flow_to_rgb(exact, largest), made.visible[row]))
        _show(line[4], to_picture(moved[row]))
    return figure


def draw_mask(made: Made) -> Figure:
    """Draw the warped source, the mask, and the result."""
    titles = ["source, warped along w", "mask m", "truly visible", "result", "target"]
    figure, axes = _panels(len(made.batch), titles)
    moved = warp(made.batch.source, made.out.flows[-1])
    masks = F.interpolate(made.out.masks[-1], size=made.size, mode="nearest")
    for row, line in enumerate(axes):
        columns = [
            to_picture(moved[row]),
            mask_to_rgb(masks[row]),
            mask_to_rgb(made.visible[row]),
            to_picture(made.out.image[row]),
            to_picture(made.batch.target[row]),
        ]
        for axis, picture in zip(line, columns, strict=True):
            _show(axis, picture)
    return figure


def draw_attention(made: Made) -> Figure:
    """Draw, around four points of the first pair, the target, and at each level the source's patch and its kernel.

    Two points move far, and two have the most spread finest kernels of the subject.
    """
    levels = sorted(made.kernels, reverse=True)
    titles = ["target around l"]
    for level in levels:
        titles += [f"source around l + w(l),\nlevel {level}: its patch", f"kernel k(l),\nlevel {level}"]
    points = _points(made, 0)[:2] + _spread_most(made, 2)
    figure, axes = _panels(len(points), titles)
    for color, (x, y), line in zip(COLORS, points, axes, strict=False):
        _show(line[0], to_picture(made.batch.target[0]))
        line[0].plot(x, y, "o", color=color, markeredgecolor="white", markersize=9)
        _close_up(line[0], (x, y))
        for number, level in enumerate(levels):
            _draw_patch(made, level, (x, y), color, line[1 + 2 * number], line[2 + 2 * number])
    return figure


def _draw_patch(made: Made, level: int, point: tuple[float, float], color: str, picture: Axes, kernel: Axes) -> None:
    """Draw the patch of the source that a point of the first pair attends to, and the weights of its taps."""
    step = made.size[0] // made.kernels[level].shape[-2]
    column, row = (int((value + 0.5) // step) for value in point)
    weights = made.kernels[level][0, :, row, column]
    side = round(len(weights) ** 0.5)
    flows = {flow.shape[-2]: flow for flow in made.out.flows}
    flow = flows[made.kernels[level].shape[-2]]
    there = sampling_positions(flow)[0, :, row, column]  # pixels of the level
    x, y = ((there + 0.5) * step - 0.5).tolist()
    _show(picture, to_picture(made.batch.source[0]))
    for tap in range(side**2):
        left = x + (tap % side - side / 2) * step
        top = y + (tap // side - side / 2) * step
        picture.add_patch(Rectangle((left, top), step, step, fill=False, edgecolor=color, linewidth=1.2))
    _close_up(picture, (x, y))
    kernel.imshow(weights.view(side, side), cmap="Greys", vmin=0, vmax=1)
    for tap, weight in enumerate(weights.tolist()):
        ink = "white" if weight > 0.5 else "black"
        kernel.text(tap % side, tap // side, f"{weight:.2f}", ha="center", va="center", color=ink)


def _points(made: Made, row: int) -> list[tuple[float, float]]:
    """Choose peaks of the target structure's maps, evenly from the largest to the smallest displacement."""
    maps = made.batch.target_structure[row]
    places = [divmod(int(one.argmax()), one.shape[1]) for one in maps if one.max() > 0.5]
    flow = made.flow(row)
    places.sort(key=lambda place: -float(flow[:, place[0], place[1]].norm()))
    chosen = [places[round(index)] for index in np.linspace(0, len(places) - 1, POINTS)]
    return [(float(x), float(y)) for y, x in chosen]


def _spread_most(made: Made, count: int) -> list[tuple[float, float]]:
    """Choose points of the first pair's subject with the highest entropy of the finest kernel, well apart."""
    kernel = made.kernels[min(made.kernels)][0]
    step = made.size[0] // kernel.shape[-2]
    entropy = torch.special.entr(kernel).sum(0) * made.foreground[0, 0, ::step, ::step]
    points = []
    for _ in range(count):
        row, column = divmod(int(entropy.argmax()), entropy.shape[1])
        points.append((column * step + step / 2 - 0.5, row * step + step / 2 - 0.5))
        reach = CLOSE_UP // step
        entropy[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1] = 0
    return points


def _position(flow: Tensor, x: float, y: float) -> tuple[float, float]:
    right, down = flow[:, int(y), int(x)].tolist()
    return x + right, y + down


def _gray_where_hidden(picture: np.ndarray, visible: Tensor) -> np.ndarray:
    shown = picture.copy()
    shown[visible[0].numpy() == 0] = 150
    return shown


def _panels(rows: int, titles: Sequence[str]) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(2.4 * len(titles), 2.4 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, len(titles), squeeze=False)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=11)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, axes


def _show(axis: Axes, picture: np.ndarray) -> None:
    axis.imshow(picture, interpolation="nearest")


def _close_up(axis: Axes, center: tuple[float, float]) -> None:
    axis.set_xlim(center[0] - CLOSE_UP, center[0] + CLOSE_UP)
    axis.set_ylim(center[1] + CLOSE_UP, center[1] - CLOSE_UP)


if __name__ == "__main__":
    main()
