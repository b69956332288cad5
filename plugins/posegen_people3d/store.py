"""Pairs on disk: shards of records of one size, mapped into memory when they are read."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from posegen.errors import ConfigError, DataError
from posegen.files import read_json

POINTS = (
    "nose", "left eye", "right eye", "left ear", "right ear", "head top", "neck",
    "left shoulder", "right shoulder", "left elbow", "right elbow", "left wrist", "right wrist",
    "mid hip", "left hip", "right hip", "left knee", "right knee", "left ankle", "right ankle",
    "left big toe", "right big toe",
)  # fmt: skip
"""Key points that drawn people have."""
FLOW_STEPS = 64
"""Steps of stored flow in a pixel."""
VERSION = 3
"""Changes whenever the same seed and index give another record."""
SHARD = 64
"""Pairs in a shard."""
SETTINGS = "people3d.json"


def record_type(size: tuple[int, int]) -> np.dtype:
    """Return the type of a stored pair of pictures of *size* (H, W).

    ``source`` and ``target`` are uint8 images, and ``covered`` 2 H W the shares of their pixels, in 1/255, that the
    person covers; ``flow`` is 2 H W in 1/64 pixels; ``visible`` and ``foreground`` are masks; ``points`` 2 P 2 and
    ``present`` 2 P are the key points ``POINTS`` of source and target; ``turn`` is in radians.
    """
    height, width = size
    return np.dtype(
        [
            ("source", "u1", (height, width, 3)),
            ("target", "u1", (height, width, 3)),
            ("covered", "u1", (2, height, width)),
            ("flow", "<i2", (2, height, width)),
            ("visible", "?", (height, width)),
            ("foreground", "?", (height, width)),
            ("points", "<f4", (2, len(POINTS), 2)),
            ("present", "?", (2, len(POINTS))),
            ("turn", "<f4"),
        ]
    )


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"pairs-{number:05d}.npy"


def settings_text(pairs: int, settings: dict[str, Any]) -> str:
    """Return the content of the file that describes a store."""
    return json.dumps({"version": VERSION, "pairs": pairs, "shard": SHARD, **settings}, indent=1)


class PairStore:
    """The pairs of a folder that ``posegen prepare people3d`` wrote.

    Args:
        folder: the folder.

    Raises:
        ConfigError: it is not such a folder, or of another version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / SETTINGS).is_file():
            raise ConfigError(
                f"{folder} has no {SETTINGS}: `posegen prepare people3d {folder} --pairs N --size HxW` makes it"
            )
        self.settings = read_json(folder / SETTINGS)
        if self.settings.get("version") != VERSION:
            raise ConfigError(
                f"{folder} was drawn by version {self.settings.get('version')} of people3d, this is {VERSION}: prepare "
                "it again, in a new folder"
            )

    def __len__(self) -> int:
        return int(self.settings["pairs"])

    def require(self, length: int, settings: dict[str, Any]) -> None:
        """Raise ConfigError if the store has other pairs than these *settings*, or fewer than *length*."""
        differs = [
            f"{name} is {self.settings.get(name)!r}, the config has {value!r}"
            for name, value in settings.items()
            if self.settings.get(name) != value
        ]
        if len(self) < length:
            differs.append(f"it has {len(self):,} pairs, the config asks for length={length:,}")
        if differs:
            raise ConfigError(f"{self.folder} does not have the pairs of this config: {'; '.join(differs)}")

    def __getitem__(self, index: int) -> np.void:
        number, place = divmod(index, int(self.settings["shard"]))
        shard = _mapped(self.folder / shard_name(number))
        if place >= len(shard) or shard.dtype != record_type(tuple(self.settings["size"])):
            raise DataError(self.folder / shard_name(number), "not the shard that its people3d.json describes")
        return shard[place]


@functools.lru_cache(maxsize=512)
def _mapped(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read: {error}", "Run the same `posegen prepare people3d` again.") from error
