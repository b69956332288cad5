"""Evaluation protocols, and scores that were published under them (docs/evaluation.md)."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from .. import catalogue
from ..errors import ConfigError, DataError, nearest
from ..files import MOST_OF_A_FRAME, read_json
from ..registry import METRICS

RESIZERS = ("none", "pillow-bicubic", "pillow-bilinear", "pillow-lanczos", "opencv-bilinear", "torchvision-bicubic")
"""Ways to resize true images. The filters of Pillow and torchvision antialias; OpenCV's does not."""
ROUND_TRIPS = ("none", "png", "jpeg-75", "jpeg-95")
"""File formats in which images are stored before scoring; JPEG with its quality and Pillow's 4:2:0 chroma."""
PADDINGS = ("none", "white-square")
"""``white-square``: centered in a white square of the longer side."""
CHOICES: dict[str, Sequence[str]] = {
    "resize": RESIZERS,
    "generated_round_trip": ROUND_TRIPS,
    "target_round_trip": ROUND_TRIPS,
    "padding": PADDINGS,
}
"""Values of the fields of a protocol that have a fixed list."""
UNKNOWN = "unknown"
"""Prefix of the source of an unpublished field, whose value is a guess."""
_NOT_SCORING = ("name", "citation", "sources")


@dataclass(frozen=True)
class Protocol:
    """Everything besides the images that decides a score.

    Two scores are comparable if everything but name, citation and sources agrees, that is, if :attr:`hash` does.

    Args:
        name: name on the command line.
        citation: paper or page.
        size: (H, W) at which images are scored, before padding; None: unchanged.
        resize: how true images are resized, one of :data:`RESIZERS`.
        generated_round_trip: how generated images are stored before scoring, one of :data:`ROUND_TRIPS`.
        target_round_trip: how true images are stored after resizing.
        padding: one of :data:`PADDINGS`.
        real: the real images that sets are compared with, in words: ``"targets"``, ``"training images"``, ...
        metrics: metric parts with their arguments, by the name a value is reported under.
        mask: structure encoder part that draws the subject's mask from key points; None: no masked metrics.
        sources: source of each field, or of ``metrics.NAME``; one that begins with "unknown" marks a guess.

    Raises:
        ConfigError: a field has a wrong type or an unknown value.
    """

    name: str
    citation: str
    size: tuple[int, int] | None = None
    resize: str = "none"
    generated_round_trip: str = "none"
    target_round_trip: str = "none"
    padding: str = "none"
    real: str = "targets"
    metrics: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    mask: Mapping[str, Any] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = self._wrong_types()
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                problems.append(f"{name} {value!r}{nearest(str(value), known)}\nthere are: {', '.join(known)}")
        if self.size is None and self.resize != "none":
            problems.append(f"resize {self.resize!r} needs a size")
        if not self.metrics:
            problems.append("it has no metrics")
        if problems:
            raise ConfigError(f"protocol {self.name!r}: {'; '.join(problems)}")

    def _wrong_types(self) -> list[str]:
        """Check the types of fields that a file may fill with anything."""

        def is_part(value: Any) -> bool:
            return isinstance(value, Mapping) and "type" in value

        size, texts = self.size, (self.name, self.citation, self.real)
        parts = self.metrics.values() if isinstance(self.metrics, Mapping) else [None]
        sources = self.sources.values() if isinstance(self.sources, Mapping) else [None]
        checks = {
            "name, citation and real must be text": all(isinstance(text, str) and text for text in texts),
            "size must be (H, W) in pixels": size is None
            or (isinstance(size, tuple) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)),
            "metrics must be parts with a type, by name": all(map(is_part, parts)),
            "mask must be a part with a type": self.mask is None or is_part(self.mask),
            "sources must be texts by field": all(isinstance(source, str) for source in sources),
        }
        return [problem for problem, fine in checks.items() if not fine]

    @property
    def hash(self) -> str:
        """Twelve hex digits of the SHA-256 of all fields that decide a score."""
        scoring = {name: value for name, value in self.to_dict().items() if name not in _NOT_SCORING}
        text = json.dumps(scoring, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data that :func:`read_protocol` reads."""
        return json.loads(json.dumps(asdict(self), default=dict))

    @property
    def unknown(self) -> list[str]:
        """Unpublished fields, whose values are guesses."""
        return [name for name, source in self.sources.items() if source.startswith(UNKNOWN)]

    def check_metrics(self, names: Sequence[str]) -> None:
        """Raise ConfigError if the protocol reports no metric under some of *names*."""
        unknown = [name for name in names if name not in self.metrics]
        if unknown:
            raise ConfigError(
                f"protocol {self.name!r} has no metric {', '.join(map(repr, unknown))}"
                f"{nearest(unknown[0], self.metrics)}\nit has: {', '.join(self.metrics)}"
            )

    def without(self, *names: str) -> Protocol:
        """Return a copy without some metrics; its hash differs."""
        return replace(self, metrics={name: part for name, part in self.metrics.items() if name not in names})


@dataclass(frozen=True)
class PublishedScore:
    """A score reported in a publication.

    Args:
        method: name of the method.
        data: data set and split.
        values: by the name the protocol reports them under.
        protocol: name of the protocol it was computed under; empty: unknown.
        source: paper and table, or repository and issue.
        note: how it was computed, or why it is not comparable.
    """

    method: str
    data: str
    values: Mapping[str, float]
    protocol: str
    source: str
    note: str = ""


def protocols() -> dict[str, Protocol]:
    """Return all protocols that plugins bring, by name."""
    return {protocol.name: protocol for protocol in catalogue.all(Protocol)}


def get_protocol(name: str | Path) -> Protocol:
    """Return the protocol of a name, or the one in a JSON file, as ``results.json`` keeps it under ``definition``.

    Raises:
        ConfigError: no protocol of that name, or the file holds none.
    """
    if str(name) not in protocols() and Path(name).suffix == ".json":
        return read_protocol(Path(name))
    return catalogue.get(Protocol, str(name))


def read_protocol(path: Path) -> Protocol:
    """Read a protocol from a JSON file. ConfigError: the file holds none."""
    try:
        data = read_json(path, MOST_OF_A_FRAME)
    except DataError as error:
        raise ConfigError(f"{path} cannot be read as a protocol: {'; '.join(error.problems)}") from error
    data = data.get("definition", data) if isinstance(data, dict) else data
    known = {each.name for each in fields(Protocol)}
    if not isinstance(data, dict) or not {"name", "metrics"} <= set(data) <= known:
        raise ConfigError(
            f"{path} is no protocol: expected a JSON object with name, metrics, and any of {', '.join(sorted(known))}"
        )
    try:
        return from_dict({"citation": str(path), **data})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def from_dict(data: Mapping[str, Any]) -> Protocol:
    """Build a protocol from what :meth:`Protocol.to_dict` returned."""
    size = data.get("size")
    return Protocol(**{**data, "size": tuple(size) if isinstance(size, list) else size})


def variations(protocol: Protocol) -> Iterator[tuple[str, Protocol]]:
    """Yield every protocol that differs from *protocol* in one choice, with a label: ``resize=opencv-bilinear``.

    The choices are :data:`CHOICES`, the sizes of other protocols if this one has a size, and the ``variants`` of each
    metric. PNG keeps every pixel, so it is the same choice as ``"none"``.
    """

    def changed(label: str, **fields: Any) -> tuple[str, Protocol]:
        return label, replace(protocol, name=f"{protocol.name}, {label}", **fields)

    for name, known in CHOICES.items():
        if name == "resize":
            known = [value for value in known if value != "none"] if protocol.size is not None else []
        own = getattr(protocol, name)
        for value in known:
            if value != own and {value, own} != {"none", "png"}:
                yield changed(f"{name}={value}", **{name: value})
    if protocol.size is not None:
        sizes = {other.size for other in catalogue.all(Protocol)} - {None, protocol.size}
        for height, width in sorted(size for size in sizes if size is not None):
            yield changed(f"size={width}×{height}", size=(height, width))
    for reported, part in protocol.metrics.items():
        metric = METRICS.get(part["type"])
        for argument, known in getattr(metric, "variants", {}).items():
            own = part.get(argument, inspect.signature(metric).parameters[argument].default)
            for value in known:
                if value != own:
                    metrics = {**protocol.metrics, reported: {**part, argument: value}}
                    yield changed(f"{reported}.{argument}={value}", metrics=metrics)
