"""Results of an evaluation as records, and as the file ``results.json``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError, DataError
from ..files import read_json
from .protocol import Protocol, from_dict


@dataclass(frozen=True)
class ImagePair:
    """Files of a generated image, the true image it is scored against, and the image it was generated from."""

    name: str
    generated: Path
    target: Path
    source: Path | None = None


@dataclass(frozen=True)
class Score:
    """A value of a metric.

    Args:
        value: mean over images, or value of the set.
        ci95: bootstrap 95 % interval; None: not computed.
        n: number of images.
        unit: empty: none.
        higher_is_better: None: neither side is better.
    """

    value: float
    ci95: tuple[float, float] | None
    n: int
    unit: str = ""
    higher_is_better: bool | None = None


@dataclass
class Evaluation:
    """Scores of one set of images under one protocol.

    Attributes:
        protocol: the protocol; its hash is reported beside every number.
        scores: by reported name.
        not_computed: reason by reported name.
        per_image: one dict per pair: ``name`` and the values of metrics of single images.
        pairs: the scored pairs, in the order of ``per_image``.
        unmatched: files without a partner, with the reason.
        notes: facts that a reader of the numbers needs (images were resized, a field of the protocol is a guess, ...).
        context: date, versions, folders, digests of the images.
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
        """Return the content of ``results.json``: plain data, without the values of single images."""
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
"""Keys of the context that :func:`read_evaluation` restores: those that decide whether scores compare."""


def read_evaluation(path: Path) -> Evaluation:
    """Read a ``results.json``; pairs and values of single images are not in it.

    Raises:
        DataError: the file does not exist, is no ``results.json``, or its hash does not fit its definition.
    """
    try:
        data = read_json(path)
        protocol = from_dict(data["definition"])
        if data["hash"] != protocol.hash:
            raise DataError(
                path,
                f"its hash is {data['hash']}, and its definition gives {protocol.hash}",
                "The file was changed, or written by another version of posegen; evaluate again.",
            )
        return Evaluation(
            protocol,
            {name: _score_from_dict(score) for name, score in data["metrics"].items()},
            data.get("not_computed", {}),
            notes=data.get("notes", []),
            unmatched=data.get("unmatched", []),
            context={key: data[key] for key in CONTEXT if key in data},
        )
    except (ConfigError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(path, f"not the results.json of an evaluation: {type(error).__name__}: {error}") from error


def _score_from_dict(data: dict[str, Any]) -> Score:
    value = math.nan if data["value"] is None else float(data["value"])
    low_high = data.get("ci95")
    interval = (float(low_high[0]), float(low_high[1])) if low_high else None
    return Score(value, interval, int(data["n"]), data.get("unit", ""), data.get("higher_is_better"))


def _score_to_dict(score: Score) -> dict[str, Any]:
    finite = score.ci95 is not None and all(map(math.isfinite, score.ci95))
    return {
        "value": score.value if math.isfinite(score.value) else None,
        "ci95": list(score.ci95) if score.ci95 is not None and finite else None,
        "n": score.n,
        "unit": score.unit,
        "higher_is_better": score.higher_is_better,
    }
