"""What an evaluation found, as records, and as the file ``results.json``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError, DataError
from ..files import read_json
from .protocol import Protocol


@dataclass(frozen=True)
class ImagePair:
    """A generated image and the true one it is scored against, as files; ``source``: what it was made from."""

    name: str
    generated: Path
    target: Path
    source: Path | None = None


@dataclass(frozen=True)
class Score:
    """One value: its mean, or its value over the set; the bootstrap 95 % interval (None: there is none); the number of
    images; unit and better side where they are known."""

    value: float
    ci95: tuple[float, float] | None
    n: int
    unit: str = ""
    higher_is_better: bool | None = None


@dataclass
class Evaluation:
    """Scores of one set of images under one protocol.

    Attributes:
        protocol: in full; its hash stands beside every number.
        scores: by the name the protocol reports them under.
        not_computed: by that name, why.
        per_image: one dict a pair: ``name`` and the values that are numbers an image.
        pairs: what was scored, in the order of ``per_image``.
        unmatched: what was found and had no partner.
        notes: what a reader of the numbers should know (images were resized, a field of the protocol is a guess, ...).
        context: date, versions, folders, number of real images.
    """

    protocol: Protocol
    scores: dict[str, Score]
    not_computed: dict[str, str] = field(default_factory=dict)
    per_image: list[dict[str, Any]] = field(default_factory=list)
    pairs: list[ImagePair] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    context: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What ``results.json`` holds: plain data, without the values of each image."""
        return {
            "protocol": self.protocol.name,
            "hash": self.protocol.hash,
            "metrics": {name: _score_to_dict(score) for name, score in self.scores.items()},
            "not_computed": self.not_computed,
            "images": len(self.pairs),
            "unmatched": self.unmatched,
            "notes": self.notes,
            **self.context,
            "definition": self.protocol.to_dict(),
        }


CONTEXT = ("date", "versions", "targets_digest", "real_digest", "extractors")
"""What :func:`read_evaluation` brings back of an evaluation's context: what decides whether scores compare."""


def read_evaluation(path: Path) -> Evaluation:
    """The evaluation of a ``results.json``, without its pairs and values of each image.

    Raises:
        DataError: no such file, or something else.
    """
    try:
        data = read_json(path)
        definition = {**data["definition"]}
        if isinstance(definition.get("size"), list):
            definition["size"] = tuple(definition["size"])
        scores = {
            name: Score(
                math.nan if each["value"] is None else float(each["value"]),
                _pair(each.get("ci95")), int(each["n"]),
                each.get("unit", ""), each.get("higher_is_better"),
            )
            for name, each in data["metrics"].items()
        }  # fmt: skip
        protocol = Protocol(**definition)
        if data["hash"] != protocol.hash:
            raise DataError(
                path,
                f"its hash is {data['hash']}, and its definition gives {protocol.hash}",
                "It was changed, or written by a posegen whose protocols are others; evaluate again.",
            )
        context = {key: data[key] for key in CONTEXT if key in data}
        known = {"notes": data.get("notes", []), "unmatched": data.get("unmatched", []), "context": context}
        return Evaluation(protocol, scores, data.get("not_computed", {}), **known)
    except (ConfigError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(path, f"not the results.json of an evaluation: {type(error).__name__}: {error}") from error


def _pair(ends: Any) -> tuple[float, float] | None:
    return (float(ends[0]), float(ends[1])) if ends else None


def _score_to_dict(score: Score) -> dict[str, Any]:
    interval = score.ci95 if score.ci95 is not None and all(map(math.isfinite, score.ci95)) else None
    return {
        "value": score.value if math.isfinite(score.value) else None,
        "ci95": None if interval is None else list(interval),
        "n": score.n,
        "unit": score.unit,
        "higher_is_better": score.higher_is_better,
    }
