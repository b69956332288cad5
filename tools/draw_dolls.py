"""Draw the true images of a split of paper dolls at any size, named as their results.

python tools/draw_dolls.py true/ --size 256 --count 64 --seed 3
"""

from __future__ import annotations

import argparse
from pathlib import Path

from posegen import plugins
from posegen.data.images import to_uint8, write_image
from posegen.registry import DATASETS


def main() -> None:
    """Write ``NAME.png`` for the target of each pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="output folder")
    parser.add_argument("--size", type=int, default=256, help="side in pixels (default: 256)")
    parser.add_argument("--count", type=int, default=64, help="number of pairs, from the first (default: 64)")
    parser.add_argument(
        "--seed", type=int, default=3, help="seed of the split (default: 3, the test split of the configs)"
    )
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
