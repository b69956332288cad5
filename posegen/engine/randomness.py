"""Random numbers as a function of the run's seed and of where the run is, so that there is no state to save.

Saved states would not do: what is drawn between a checkpoint and the next iteration (by a validation, a sheet, a data
loader that starts) would be missing from a resumed run, and the states of workers that read ahead belong to no
iteration.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_all(*numbers: int) -> None:
    """Seed Python's, NumPy's and torch's generators, of all devices, with a function of *numbers*, each 0 or more."""
    first, second, third, fourth = np.random.SeedSequence(numbers).generate_state(4)
    random.seed(int(first))
    np.random.seed(second)
    torch.manual_seed((int(third) << 32 | int(fourth)) >> 1)  # torch's seeds are signed


class SeededSamples:
    """A data set, seeded for each sample: what it draws is a function of seed, index and round, in whatever process.

    Args:
        dataset: the data set; everything but its samples is passed on.
        seed: of the run.
    """

    augments = True  # so that the sampler tells the round

    def __init__(self, dataset: Any, seed: int = 0) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        index, round_number = key
        seed_all(self.seed, index, round_number)
        return self.dataset[key if self.dataset.augments else index]

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # not there yet while a worker unpickles this
            raise AttributeError(name)
        return getattr(self.dataset, name)
