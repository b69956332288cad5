"""Draw the true images of paper dolls at any size: the dolls of a split, by the names their results have.

python tools/draw_dolls.py true/ --size 256 --count 64 --seed 3
"""

from __future__ import annotations

import argparse
from pathlib import Path

import posegen  # noqa: F401  torchvision beside CPU torch
from posegen import plugins
from posegen.data.images import to_uint8, write_image
from posegen.registry import DATASETS


def main() -> None:
    """Write ``NAME.png`` for each pair's target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=256, help="pixels a side")
    parser.add_argument("--count", type=int, default=64, help="of pairs, from the first")
    parser.add_argument("--seed", type=int, default=3, help="of the split; 3 is the test split of the configs")
    parsed = parser.parse_args()
    plugins.load()
    structure = {"type": "HeatmapEncoder", "layout": "openpose18"}
    size = (parsed.size, parsed.size)
    dolls = DATASETS.build_part(
        {"type": "PaperDolls", "length": parsed.count, "structure": structure, "size": size, "seed": parsed.seed}
    )
    for number in range(parsed.count):
        pair = dolls[number]
        write_image(parsed.folder / f"{pair.name}.png", to_uint8(pair.target))


if __name__ == "__main__":
    main()
