"""Random numbers as a function of the run's seed, the process and the iteration.

A resumed run draws the same numbers without saving the generators' states. Saved states would not do: a validation, a
sample sheet or the start of a data loader between a checkpoint and the next iteration would change them, and the states
of workers that read ahead belong to no iteration.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_all(*numbers: int) -> None:
    """Seed the generators of Python, NumPy and torch (all devices) by non-negative *numbers*."""
    first, second, third, fourth = np.random.SeedSequence(numbers).generate_state(4)
    random.seed(int(first))
    np.random.seed(second)
    torch.manual_seed((int(third) << 32 | int(fourth)) >> 1)  # torch's seeds are signed


class SeededSamples:
    """A data set whose random numbers are a function of seed, index and round, in any process.

    Args:
        dataset: the data set.
        seed: seed of the run.
    """

    augments = True  # the sampler must give the round

    def __init__(self, dataset: Any, seed: int = 0) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        index, round_number = key
        seed_all(self.seed, index, round_number)
        return self.dataset[key if self.dataset.augments else index]
