"""Samples that cannot be read: left out, another one in their place, counted, named, and never too many of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..errors import ConfigError, DataError
from ..records import collate
from ..registry import FUNCTIONS

MOST_TRIES = 100
"""Samples in a row that may be unreadable in the place of one; if all are, the disk is gone, or the data are."""
WINDOW, LEAST = 1000, 100
"""The share of unreadable samples is that of the last 1000, and looked at from the 100th on."""


class Tried(NamedTuple):
    """A sample, and what was wrong with those that it stands for."""

    sample: Any
    problems: list[str]


class Loaded(NamedTuple):
    """A batch, and for each of its samples that stands for unreadable ones what was wrong with these."""

    batch: Any
    left_out: list[list[str]]


class ReadableSamples:
    """A data set in which a sample that cannot be read is another one: which, is a function of seed, index and round.

    Args:
        dataset: a :class:`SeededSamples`; everything but its samples is passed on.
        seed: of the run.
    """

    augments = True  # so that the sampler tells the round

    def __init__(self, dataset: Any, seed: int = 0) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, key: tuple[int, int]) -> Tried:
        """The sample at ``(index, round)``, or the first readable one that is drawn instead.

        Raises:
            DataError: as many in a row as :data:`MOST_TRIES` cannot be read.
        """
        index, round_number = key
        others = np.random.default_rng([self.seed, index, round_number])
        problems: list[str] = []
        while True:
            try:
                return Tried(self.dataset[index, round_number], problems)
            except DataError as error:
                problems.append(f"{error.where}: {'; '.join(error.problems)}" if error.problems else error.where)
                if len(problems) == MOST_TRIES:
                    raise DataError(
                        f"{MOST_TRIES} samples in a row cannot be read, the last: {problems[-1]}\n"
                        "Is the disk there? `posegen check CONFIG` names all that is wrong."
                    ) from error
            index = int(others.integers(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name == "dataset":  # not there yet while a worker unpickles this
            raise AttributeError(name)
        return getattr(self.dataset, name)


def skipping(loader: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """A data loader's config, its data set built, that leaves out what cannot be read: it gives :class:`Loaded`."""
    options = dict(loader.get("collate_fn") or {"type": collate})
    kind = options.pop("type")
    function = FUNCTIONS.get(kind) if isinstance(kind, str) else kind
    stack = {"type": _collate, "stack": partial(function, **options)}
    return {**loader, "dataset": ReadableSamples(loader["dataset"], seed), "collate_fn": stack}


def _collate(tried: Sequence[Tried], stack: Callable[[list[Any]], Any]) -> Loaded:
    return Loaded(stack([each.sample for each in tried]), [each.problems for each in tried if each.problems])


class ShareOfUnreadable:
    """How large a part of the last samples may be unreadable. It keeps nothing: what is recent goes into checkpoints.

    Args:
        largest: what is allowed, above 0 and at most 1.

    Raises:
        ConfigError: another number.
    """

    def __init__(self, largest: float) -> None:
        if not 0 < largest <= 1:
            raise ConfigError(f"StagedTrainLoop: max_unreadable is a share, above 0 and at most 1; got {largest}")
        self.largest = largest

    def after(self, recent: str, samples: int, unreadable: int) -> str:
        """The last :data:`WINDOW` samples, as text: ``1`` for an unreadable one, ``0`` for another, the newest last.

        Args:
            recent: what this gave for the step before; empty at the start of a run.
            samples: of this step, in all processes.
            unreadable: how many of them.

        Raises:
            DataError: too many are.
        """
        recent = (recent + "1" * unreadable + "0" * (samples - unreadable))[-WINDOW:]
        seen, bad = len(recent), recent.count("1")
        if seen >= LEAST and bad > self.largest * seen:
            raise DataError(
                f"{bad} of the last {seen} samples could not be read, more than train_cfg.max_unreadable = "
                f"{self.largest:g} allows\n`posegen check CONFIG` names all that is wrong with the data."
            )
        return recent
