"""Draw a sheet of pairs of people in 3D, and check their flow against themselves.

python tools/draw_people3d.py docs/images/people3d.jpg --size 256x192 --count 60
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from posegen import plugins
from posegen.data.images import to_uint8
from posegen.ops.sampling import warp
from posegen.records import Pair
from posegen.registry import DATASETS

STRUCTURE = {"type": "HeatmapEncoder", "layout": "openpose18", "sigma": 1}
ROWS, COLUMNS = 3, 3
"""Pairs on the sheet."""


def main() -> None:
    """Write the sheet, and print how well the source moved along the exact flow gives the target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="image to write")
    parser.add_argument("--size", default="256x192", help="height and width in pixels (default: %(default)s)")
    parser.add_argument("--count", type=int, default=60, help="number of pairs to check (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=5, help="seed of the pairs (default: %(default)s)")
    parsed = parser.parse_args()
    plugins.load()
    height, width = map(int, parsed.size.split("x"))
    options = {"type": "People3D", "structure": STRUCTURE, "size": (height, width), "seed": parsed.seed}
    shown = DATASETS.build_part({"length": ROWS * COLUMNS, **options})
    Image.fromarray(sheet([shown[index] for index in range(len(shown))])).save(parsed.file, quality=85)
    ideal = DATASETS.build_part({"length": parsed.count, "ideal": True, **options})
    for name, value in check([ideal[index] for index in range(parsed.count)]).items():
        print(f"{name}: {value:.1f} dB")


def sheet(pairs: list[Pair]) -> np.ndarray:
    """Return source, target and the visible part of the moved source of each pair, uint8 H W 3."""
    cells = []
    for pair in pairs:
        assert pair.visible is not None
        moved = moved_source(pair) * pair.visible + 0.8 * (1 - pair.visible)
        cells.append(np.hstack([to_uint8(each) for each in (pair.source, pair.target, moved)]))
    return np.vstack([np.hstack(cells[first : first + COLUMNS]) for first in range(0, len(cells), COLUMNS)])


def check(pairs: list[Pair]) -> dict[str, float]:
    """Return PSNR in dB over all pairs, by what is compared and where."""
    errors: dict[str, list[float]] = {}
    for pair in pairs:
        assert pair.visible is not None
        assert pair.foreground is not None
        visible = pair.visible[0].numpy() == 1
        person = visible & (pair.foreground[0].numpy() == 1)
        moved, still = squared_error(moved_source(pair), pair.target), squared_error(pair.source, pair.target)
        for name, error, mask in (
            ("moved source, where visible", moved, visible),
            ("moved source, where visible in the person", moved, person),
            ("moved source, two pixels inside of that", moved, ndimage.binary_erosion(person, iterations=2)),
            ("source, where visible", still, visible),
            ("source, where visible in the person", still, person),
        ):
            if mask.any():
                errors.setdefault(name, []).append(error[mask].mean())
    return {name: -10 * math.log10(np.mean(values)) for name, values in errors.items()}


def moved_source(pair: Pair) -> Tensor:
    """Return the source moved along the exact flow."""
    assert pair.flow is not None
    return warp(pair.source[None], pair.flow[None])[0]


def squared_error(first: Tensor, second: Tensor) -> np.ndarray:
    """Return the squared error H W of images, for values in [0, 1]."""
    return torch.square((first - second) / 2).mean(0).numpy()


if __name__ == "__main__":
    main()
