"""Prepare pairs of people in 3D: draw them once, in parallel, into shards that training reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from posegen.preparing import Preparation, Task, Workspace

from .store import SETTINGS, SHARD, record_type, settings_text, shard_name

PAIRS, SIZE = 20_000, (128, 64)
"""Number and size (H, W) of the pairs that are drawn unless others are asked for."""
SEED = 1
"""Seed of the training pairs in the configs."""
ENCODER = {"type": "HeatmapEncoder", "layout": "openpose18", "sigma": 1}


def prepare_people3d(workspace: Workspace) -> None:
    """Draw the pairs of a :class:`~posegen_people3d.people3d.People3D` into shards."""
    size, pairs = workspace.options.size or SIZE, workspace.options.pairs or PAIRS
    options = {"size": size, "seed": SEED}
    settings = _dataset(length=pairs, **options).settings()  # refuses a size before anything is written
    workspace.make(
        Task((), (shard_name(number),), partial(draw_shard, options=options, first=first))
        for number, first in enumerate(range(0, pairs, SHARD))
    )
    workspace.write(SETTINGS, settings_text(pairs, settings).splitlines())
    bytes_in_all = pairs * record_type(size).itemsize
    workspace.note(
        f"{pairs:,} pairs of {size[1]}×{size[0]} pixels, {bytes_in_all / 1e9:.2f} GB; a config reads them with "
        f'store="{workspace.folder}" in its People3D of seed {SEED}'
    )


def draw_shard(sources: Sequence[Path], targets: Sequence[Path], options: dict[str, Any], first: int) -> None:
    """Draw SHARD pairs from number *first* on, and store them.

    The last shard is whole, too, so that a store can grow.

    Args:
        sources: none.
        targets: the file.
        options: arguments of the data set but its length.
        first: number of the first pair.
    """
    dataset = _dataset(length=first + SHARD, **options)
    pairs = [dataset.draw(index) for index in range(first, len(dataset))]
    with open(targets[0], "wb") as file:
        np.save(file, np.array(pairs, record_type(dataset.size)))


def _dataset(**options: Any) -> Any:
    from .people3d import People3D

    return People3D(structure=ENCODER, **options)


PREPARATIONS = (
    Preparation(
        "people3d",
        "nothing: draws pairs of people in 3D once, for training that reads them (data set People3D, store=DST)",
        prepare_people3d,
        "data/people3d --pairs 20000 --size 128x64",
        frozenset({"pairs", "size"}),
        reads=False,
    ),
)
