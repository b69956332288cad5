"""Draw held-out paper dolls before and after, at four times the model's size: source, target pose, result.

python tools/draw_before_after.py paperdolls docs/images/before_after.png --pairs 1 4 6
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import posegen
from posegen import plugins
from posegen.data import PairDataset
from posegen.data.images import to_uint8, write_image
from posegen.registry import DATASETS

SCALE = 4  # of the model's pictures
SEED = 3  # test split of the configs
GAP = 8  # pixels between pictures


def main() -> None:
    """Write the picture: a row of three for each pair, two pairs beside each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="shared model of paper dolls")
    parser.add_argument("out", type=Path, help="picture to write")
    parser.add_argument("--pairs", type=int, nargs="+", default=[0, 1, 2, 3], help="numbers of the pairs, from 0")
    parsed = parser.parse_args()
    plugins.load()
    inferencer = posegen.Inferencer(parsed.model)
    size = [side * SCALE for side in inferencer.size]
    structure = {"type": "HeatmapEncoder", "layout": "openpose18", "sigma": 6, "subpixel": True}
    dolls = DATASETS.build_part(
        {"type": "PaperDolls", "length": max(parsed.pairs) + 1, "structure": structure, "size": size, "seed": SEED}
    )
    rows = [_row(inferencer, dolls, number) for number in parsed.pairs]
    pairs = [_beside(rows[k : k + 2]) for k in range(0, len(rows), 2)]
    gap = np.full((GAP, pairs[0].shape[1], 3), 255, np.uint8)
    write_image(parsed.out, np.concatenate([part for pair in pairs for part in (pair, gap)][:-1]))


def _row(inferencer: posegen.Inferencer, dolls: PairDataset, number: int) -> np.ndarray:
    """Draw source, target pose and result of a pair, H W 3."""
    pair = dolls[number]
    source = to_uint8(pair.source)
    own, target = (dolls.structure.decode(one) for one in (pair.source_structure, pair.target_structure))
    (result,) = inferencer.infer(source, target, own, resize_back=True)
    return _beside([source, dolls.structure.draw(pair.target_structure), result.image])


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)


if __name__ == "__main__":
    main()
