"""The order in which a rater sees the pairs, and which side each image stands on."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .definition import Study

SIDES = ("left", "right")


@dataclass(frozen=True)
class Trial:
    """One question: the name of the pair, and the side on which A stands."""

    pair: str
    a: str

    def role(self, side: str) -> str:
        """Which of ``"a"``, ``"b"`` stands on *side*."""
        return "a" if side == self.a else "b"


def make_trials(study: Study, rater: str) -> list[Trial]:
    """The trials of one rater, the same ones whenever it is asked.

    All raters see the same pairs; each in an order of their own. A stands on either side equally often: where the
    number of trials is odd, chance decides which side has one more.
    """
    pairs = random.Random(f"pairs {study.seed}").sample(study.pairs, study.trials)
    generator = random.Random(f"order {study.seed} {rater}")
    generator.shuffle(pairs)
    odd = [generator.choice(SIDES)] if study.trials % 2 else []
    sides = [*SIDES] * (study.trials // 2) + odd
    generator.shuffle(sides)
    return [Trial(pair, side) for pair, side in zip(pairs, sides, strict=True)]
