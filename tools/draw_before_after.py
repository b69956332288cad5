"""Draw held-out people before and after, at four times the model's size: source, target pose, result.

python tools/draw_before_after.py people3d docs/images/before_after.png --pairs 1 4 6 --clip docs/images/turn.webp
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import posegen
from posegen import plugins
from posegen.data import Keypoints, PairDataset
from posegen.data.images import to_uint8, write_image
from posegen.registry import DATASETS

SCALE = 4  # of the model's pictures
GAP = 8  # pixels between pictures
FRAMES, FPS = 36, 12


def main() -> None:
    """Write a picture of some pairs, two beside each other in a row, and a clip of the first pair's person."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="shared model of drawn people")
    parser.add_argument("out", type=Path, help="picture to write")
    parser.add_argument("--pairs", type=int, nargs="+", default=[0, 1, 2, 3], help="numbers of the pairs, from 0")
    parser.add_argument("--columns", type=int, default=2, help="pairs in a row (default: %(default)s)")
    parser.add_argument("--background", help="of results, as of `posegen transfer`: fill leaves no ghost")
    parser.add_argument("--clip", type=Path, help="animated WebP to write: motions of the same people")
    parsed = parser.parse_args()
    plugins.load()
    inferencer = posegen.Inferencer(parsed.model)
    options = dict(inferencer.config.test_dataloader.dataset)  # held out
    size = [side * SCALE for side in inferencer.size]
    people = DATASETS.build_part({**options, "size": size, "length": max(parsed.pairs) + 1})

    triples = [_triple(inferencer, people, number, parsed.background) for number in parsed.pairs]
    write_image(parsed.out, _grid(triples, parsed.columns))
    if parsed.clip is not None:
        motions = [_motion(inferencer, people, number, parsed.background) for number in parsed.pairs]
        frames = [Image.fromarray(_grid(list(frame), parsed.columns)) for frame in zip(*motions, strict=True)]
        frames[0].save(
            parsed.clip, save_all=True, append_images=frames[1:], duration=1000 // FPS, loop=0, quality=75, method=6
        )


def _triple(inferencer: posegen.Inferencer, people: PairDataset, number: int, background: str | None) -> np.ndarray:
    """Draw source, target pose and result of a pair, H W 3."""
    pair = people[number]
    source = to_uint8(pair.source)
    own, target = (people.structure.decode(one) for one in (pair.source_structure, pair.target_structure))
    (result,) = inferencer.infer(source, target, own, resize_back=True, background=background)
    return _beside([source, people.structure.draw(pair.target_structure), result.image])


def _motion(
    inferencer: posegen.Inferencer, people: PairDataset, number: int, background: str | None
) -> list[np.ndarray]:
    """Draw source and result for each pose of a motion, H W 3."""
    poses: list[Keypoints] = people.motion(number, FRAMES)  # type: ignore[attr-defined]
    source = to_uint8(people[number].source)
    results = inferencer.infer(source, poses, poses[0], resize_back=True, background=background)
    return [_beside([source, result.image]) for result in results]


def _grid(pictures: list[np.ndarray], columns: int) -> np.ndarray:
    rows = [_beside(pictures[k : k + columns]) for k in range(0, len(pictures), columns)]
    gap = np.full((GAP, rows[0].shape[1], 3), 255, np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1])


def _beside(pictures: list[np.ndarray]) -> np.ndarray:
    gap = np.full((pictures[0].shape[0], GAP, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, gap)][:-1], axis=1)


if __name__ == "__main__":
    main()
