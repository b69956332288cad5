"""Protocols: everything besides the images that decides a score (``spec: protocols``)."""

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
"""How true images are brought to size. Pillow's and torchvision's filters widen where an image shrinks (no aliasing);
OpenCV's does not."""
ROUND_TRIPS = ("none", "png", "jpeg-75", "jpeg-95")
"""How images are stored before they are scored; a number is JPEG's quality, with Pillow's 4:2:0 chroma."""
PADDINGS = ("none", "white-square")
"""``white-square``: to the longer side's square, centered, with white."""
UNKNOWN = "unknown"
"""What a source begins with where nobody has said; the field's value is then a guess, and says so."""
_NOT_SCORING = ("name", "citation", "sources")


@dataclass(frozen=True)
class Protocol:
    """What makes a score a score. Two numbers are comparable where everything but name, citation and sources agrees:
    where :attr:`hash` does.

    Args:
        name: how the command line calls it.
        citation: the paper or page it comes from.
        size: (H, W) at which images are scored, before padding; None: as they are.
        resize: how true images are brought to that size, one of :data:`RESIZERS`.
        generated_round_trip: how generated images are stored before scoring, one of :data:`ROUND_TRIPS`.
        target_round_trip: the same of true images, after they were resized.
        padding: one of :data:`PADDINGS`.
        real: which real images a set of generated ones is compared with, in words: ``"training images"``, ...
        metrics: by the name a value is reported under, the metric part and its arguments.
        mask: the structure encoder part that draws the subject's mask from key points; None: no masked metric.
        sources: for each field, or ``metrics.NAME``, where it is said; what begins with "unknown" is a guess.
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
        self._check_types()
        for name, known in CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(
                    f"protocol {self.name!r}: {name} {value!r}{nearest(str(value), known)}\nthere are: "
                    + ", ".join(known)
                )
        if self.size is None and self.resize != "none":
            raise ConfigError(f"protocol {self.name!r}: resize {self.resize!r} needs a size")
        if not self.metrics:
            raise ConfigError(f"protocol {self.name!r} names no metrics")

    def _check_types(self) -> None:
        """ConfigError: everything that is of a wrong kind, at once; a file may hold anything."""
        size, parts = self.size, self.metrics.values() if isinstance(self.metrics, Mapping) else [None]
        texts = isinstance(self.sources, Mapping) and all(isinstance(said, str) for said in self.sources.values())
        sized = isinstance(size, tuple) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
        problems = {
            "name, citation and real must be text": all(
                isinstance(text, str) and text for text in (self.name, self.citation, self.real)
            ),
            "size must be (H, W) in pixels": size is None or sized,
            "metrics must be parts with a type, by name": all(
                isinstance(part, Mapping) and "type" in part for part in parts
            ),
            "mask must be a part with a type": self.mask is None
            or (isinstance(self.mask, Mapping) and "type" in self.mask),
            "sources must be texts by field": texts,
        }
        wrong = [problem for problem, fine in problems.items() if not fine]
        if wrong:
            raise ConfigError(f"protocol {self.name!r}: {'; '.join(wrong)}")

    @property
    def hash(self) -> str:
        """Twelve hex digits of the SHA-256 of everything that decides a score."""
        text = json.dumps(self._scoring(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _scoring(self) -> dict[str, Any]:
        return {name: value for name, value in self.to_dict().items() if name not in _NOT_SCORING}

    def to_dict(self) -> dict[str, Any]:
        """Plain data that :func:`read_protocol` reads again."""
        return json.loads(json.dumps(asdict(self), default=dict))

    @property
    def unknown(self) -> list[str]:
        """The fields that nobody has published, where a guess stands."""
        return [name for name, source in self.sources.items() if source.startswith(UNKNOWN)]

    def check_metrics(self, names: Sequence[str]) -> None:
        """ConfigError: the protocol reports no metric under some of *names*; says which, and which there are."""
        unknown = [name for name in names if name not in self.metrics]
        if unknown:
            raise ConfigError(
                f"protocol {self.name!r} has no metric {', '.join(map(repr, unknown))}"
                f"{nearest(unknown[0], self.metrics)}\nit has: {', '.join(self.metrics)}"
            )

    def without(self, *names: str) -> Protocol:
        """The same with some metrics alone left out (its hash is another)."""
        return replace(self, metrics={name: part for name, part in self.metrics.items() if name not in names})


CHOICES: dict[str, Sequence[str]] = {
    "resize": RESIZERS,
    "generated_round_trip": ROUND_TRIPS,
    "target_round_trip": ROUND_TRIPS,
    "padding": PADDINGS,
}
"""What each field of a protocol can be, for those that have a list."""


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
    """A protocol from a JSON file. ConfigError: it is none; says why."""
    try:
        data = read_json(path, MOST_OF_A_FRAME)
    except DataError as error:
        raise ConfigError(f"{path} cannot be read as a protocol: {'; '.join(error.problems)}") from error
    if isinstance(data, dict):
        data = data.get("definition", data)
    known = {each.name for each in fields(Protocol)}
    if not isinstance(data, dict) or not {"name", "metrics"} <= set(data) <= known:
        raise ConfigError(
            f"{path} is no protocol: a JSON object with name, metrics, and any of {', '.join(sorted(known))}"
        )
    if isinstance(data.get("size"), list):
        data["size"] = tuple(data["size"])
    try:
        return Protocol(**{"citation": str(path), **data})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def variations(protocol: Protocol) -> Iterator[tuple[str, Protocol]]:
    """Every protocol that differs from *protocol* in one choice, with what differs: ``resize=opencv-bilinear``.

    The choices are those of :data:`CHOICES`, the sizes of the other protocols where this one has a size, and, of each
    metric, those it lists as its ``variants``. PNG keeps every pixel: it is no other choice than not storing.
    """
    for name, known in CHOICES.items():
        if name == "resize" and protocol.size is None:
            continue
        for value in known:
            same = value == getattr(protocol, name) or {value, getattr(protocol, name)} == {"none", "png"}  # keep all
            if not same and not (name == "resize" and value == "none"):
                label = f"{name}={value}"
                changed: dict[str, Any] = {"name": f"{protocol.name}, {label}", name: value}
                yield label, replace(protocol, **changed)
    sizes = {each.size for each in protocols().values() if each.size is not None and each.size != protocol.size}
    for size in sorted(sizes) if protocol.size is not None else ():
        label = f"size={size[0]}×{size[1]}"
        yield label, replace(protocol, name=f"{protocol.name}, {label}", size=size)
    for reported, part in protocol.metrics.items():
        metric = METRICS.get(part["type"])
        for argument, known in getattr(metric, "variants", {}).items():
            for value in known:
                if value != _current(metric, part, argument):
                    label = f"{reported}.{argument}={value}"
                    metrics = {**protocol.metrics, reported: {**part, argument: value}}
                    yield label, replace(protocol, name=f"{protocol.name}, {label}", metrics=metrics)


def _current(metric: Any, part: Mapping[str, Any], argument: str) -> Any:
    """The value an argument of a metric has under a protocol: the one given, or the default."""
    return part.get(argument, inspect.signature(metric).parameters[argument].default)
