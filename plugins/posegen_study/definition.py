"""Definition of a study and the order of its trials."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

QUESTIONS = {"prefer": "Which image is better?", "real": "Which image is real?"}
MODES = tuple(QUESTIONS)
SECONDS = {"prefer": 0.0, "real": 1.0}
"""Default display time; published real-or-generated tests show images for one second."""
SIDES = ("left", "right")
FOLDERS = ("a", "b", "target", "source")


@dataclass(frozen=True)
class Study:
    """Definition of a study, stored in the first line of its record.

    Args:
        mode: ``"prefer"``, or ``"real"``: A holds real images, B generated ones.
        question: the question asked about each pair.
        a, b: the compared folders.
        target, source: folders of the images shown beside each pair; None: not shown.
        pairs: names of the pairs; each is the stem of one file in every folder.
        trials: number of pairs shown to each rater.
        seed: seeds the choice of pairs and, with the rater's name, their order and sides.
        seconds: display time of the two images; 0: until answered.
        images: SHA-256 of the names and bytes of all images, in the order of ``pairs``.
    """

    mode: str
    question: str
    a: str
    b: str
    target: str | None
    source: str | None
    pairs: tuple[str, ...]
    trials: int
    seed: int
    seconds: float
    images: str

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Study:
        """Restore a study from :meth:`to_dict`; TypeError or KeyError if the data is no study."""
        known = {field.name: data[field.name] for field in fields(cls)}
        return cls(**{**known, "pairs": tuple(known["pairs"])})

    def differences(self, recorded: Study) -> list[str]:
        """List the settings that differ from a recorded study, folders aside: their images' hash is compared."""
        names = [field.name for field in fields(self) if field.name not in FOLDERS]
        return [
            f"{name}: recorded {_short(getattr(recorded, name))}, now {_short(getattr(self, name))}"
            for name in names
            if getattr(self, name) != getattr(recorded, name)
        ]


@dataclass(frozen=True)
class Trial:
    """One question: the name of the pair and the side that shows A."""

    pair: str
    a: str

    def role(self, side: str) -> str:
        """Return ``"a"`` or ``"b"``, whichever *side* shows."""
        return "a" if side == self.a else "b"


def make_trials(study: Study, rater: str) -> list[Trial]:
    """List the trials of one rater, always the same for the same study and name.

    All raters see the same pairs, each in an order of their own. A is on either side equally often; with an odd number
    of trials, chance decides which side has one more.
    """
    pairs = random.Random(f"pairs {study.seed}").sample(study.pairs, study.trials)
    generator = random.Random(f"order {study.seed} {rater}")
    generator.shuffle(pairs)
    odd = [generator.choice(SIDES)] if study.trials % 2 else []
    sides = [*SIDES] * (study.trials // 2) + odd
    generator.shuffle(sides)
    return [Trial(pair, side) for pair, side in zip(pairs, sides, strict=True)]


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"{len(value)} ({', '.join(value[:3])}{', …' if len(value) > 3 else ''})"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:12]}…"
