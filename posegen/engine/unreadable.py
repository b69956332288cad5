"""Skipping of training samples that cannot be read: replaced by others, counted, named, and limited."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError, DataError
from ..records import collate
from ..registry import FUNCTIONS

MAX_TRIES = 100
"""Number of replacements for one sample; if none can be read, the disk or the data are gone."""
WINDOW, MIN_SAMPLES = 1000, 100
"""The fraction of unreadable samples is computed over the last 1000, and checked from the 100th on."""


class Tried(NamedTuple):
    """A sample, and the problems of the unreadable samples that it replaces."""

    sample: Any
    problems: list[str]


class Loaded(NamedTuple):
    """A batch, and the problems of unreadable samples by the sample that replaces them."""

    batch: Any
    left_out: list[list[str]]


class ReadableSamples:
    """A data set that replaces unreadable samples. The replacement is a function of seed, index and round.

    Args:
        dataset: a :class:`~.randomness.SeededSamples`.
        seed: seed of the run.
    """

    augments = True  # the sampler must give the round

    def __init__(self, dataset: Any, seed: int = 0) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Tried:
        """Return the sample at ``(index, round)``, or the first readable replacement.

        Raises:
            DataError: :data:`MAX_TRIES` samples in a row cannot be read.
        """
        index, round_number = key
        others = np.random.default_rng([self.seed, index, round_number])
        problems: list[str] = []
        while True:
            try:
                return Tried(self.dataset[index, round_number], problems)
            except DataError as error:
                problems.append(f"{error.where}: {'; '.join(error.problems)}" if error.problems else error.where)
                if len(problems) == MAX_TRIES:
                    raise DataError(
                        f"{MAX_TRIES} samples in a row cannot be read, the last: {problems[-1]}\n"
                        "Is the disk there? `posegen check CONFIG` names all that is wrong."
                    ) from error
            index = int(others.integers(len(self)))


def skipping(loader: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Return the config of a data loader that skips unreadable samples and yields :class:`Loaded`.

    Args:
        loader: config of the data loader, with its data set built.
        seed: seed of the run.
    """
    options = dict(loader.get("collate_fn") or {"type": collate})
    kind = options.pop("type")
    function = FUNCTIONS.get(kind) if isinstance(kind, str) else kind
    stack = {"type": _collate, "stack": partial(function, **options)}
    return {**loader, "dataset": ReadableSamples(loader["dataset"], seed), "collate_fn": stack}


def _collate(tried: Sequence[Tried], stack: Callable[[list[Any]], Any]) -> Loaded:
    return Loaded(stack([each.sample for each in tried]), [each.problems for each in tried if each.problems])


class UnreadableLimit:
    """Limit on the fraction of unreadable samples. The history is the caller's, who stores it in checkpoints.

    Args:
        fraction: maximum fraction, above 0 and at most 1.

    Raises:
        ConfigError: *fraction* is outside of this range.
    """

    def __init__(self, fraction: float) -> None:
        if not 0 < fraction <= 1:
            raise ConfigError(f"StagedTrainLoop: max_unreadable must be above 0 and at most 1, got {fraction}")
        self.fraction = fraction

    def update(self, recent: str, samples: int, unreadable: int) -> str:
        """Return the history of the last :data:`WINDOW` samples: ``1`` for unreadable, ``0`` for read, newest last.

        Args:
            recent: the history before this step; empty at the start of a run.
            samples: number of samples of this step in all processes.
            unreadable: number of unreadable ones among them.

        Raises:
            DataError: the limit is exceeded.
        """
        recent = (recent + "1" * unreadable + "0" * (samples - unreadable))[-WINDOW:]
        seen, bad = len(recent), recent.count("1")
        if seen >= MIN_SAMPLES and bad > self.fraction * seen:
            raise DataError(
                f"{bad} of the last {seen} samples could not be read, more than train_cfg.max_unreadable = "
                f"{self.fraction:g} allows\n`posegen check CONFIG` names all that is wrong with the data."
            )
        return recent
