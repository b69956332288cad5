"""Builds weights and inputs by the rules that the golden arrays were made with (``tests/golden/README.md``)."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "golden"
BAR = 1e-4  # relative error, the agreement asked of fp32


@dataclass
class Golden:
    """One golden file: arrays, the published state dict, inputs, and the description they were made from."""

    arrays: dict[str, Tensor]
    state: dict[str, Tensor]
    inputs: dict[str, Tensor]
    about: dict


def arrays(name: str) -> dict[str, Tensor]:
    """The arrays of one npz file."""
    with np.load(FOLDER / f"{name}.npz") as stored:
        return {key: torch.from_numpy(stored[key]) for key in stored.files}


def golden(name: str) -> Golden:
    """A golden network output with the weights and inputs it was made with."""
    about = json.loads((FOLDER / f"{name}.json").read_text())
    stored = arrays(name)
    base = about["base_seed"]
    state = {key: stored.get(f"sd:{key}", _weight(key, shape, base)) for key, shape in about["state_dict"]}
    inputs = {
        key: torch.from_numpy(np.random.default_rng(seed + base).uniform(low, high, shape).astype(np.float32))
        for key, (seed, shape, low, high) in about["inputs"].items()
    }
    return Golden(stored, state, inputs, about)


def _weight(key: str, shape: list[int], base: int) -> Tensor:
    drawn = np.random.default_rng(zlib.crc32(key.encode()) + base).standard_normal(shape)
    if len(shape) >= 2:
        drawn /= np.sqrt(np.prod(shape[1:]))
        drawn *= 4 if ".output" in key else 1
    else:
        drawn = 1 + 0.1 * drawn if key.endswith("weight") else 0.1 * drawn
    return torch.from_numpy(drawn.astype(np.float32))


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """‖ours − golden‖ / ‖golden‖."""
    return float((ours.detach() - theirs).norm() / theirs.norm())
