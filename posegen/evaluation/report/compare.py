"""Rankings of comparable scores: of one protocol hash, on the same true and real images. Others are listed apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..protocol import Protocol, PublishedScore, protocols
from ..results import Evaluation
from ..table import ARROWS
from .rows import definition, finite, image_count, interval, number

Labeled = tuple[str, Evaluation]


@dataclass(frozen=True)
class Entry:
    """A line of a ranking; ``source``: the publication of the values, empty if they were measured here."""

    label: str
    values: Mapping[str, float]
    intervals: Mapping[str, str]
    images: str
    source: str = ""


@dataclass(frozen=True)
class Ranking:
    """Scores under one hash.

    Scores measured here come first, ordered by the metric that most of them have and whose better side is known;
    published scores follow and take no part in the order.

    Attributes:
        protocol: the protocol.
        metrics: whether higher is better, by name.
        entries: the lines.
        notes: facts that a reader needs to compare them.
    """

    protocol: Protocol
    metrics: Mapping[str, bool | None]
    entries: Sequence[Entry]
    notes: Sequence[str]

    def is_best(self, entry: Entry, metric: str) -> bool:
        """Return whether *entry* has the best of several values of a metric measured here."""
        higher = self.metrics[metric]
        own = [each.values[metric] for each in self.entries if not each.source and finite(each.values.get(metric))]
        if higher is None or len(own) < 2 or entry.source:
            return False
        return entry.values.get(metric) == (max if higher else min)(own)

    def cell(self, entry: Entry, metric: str) -> str:
        """Format a value, a published one as it was printed; a dash if there is none."""
        if metric not in entry.values:
            return "–"
        return f"{entry.values[metric]:g}" if entry.source else number(entry.values[metric])

    def __rich__(self) -> Group:
        table = Table(title=Text(f"{self.protocol.name}, protocol {self.protocol.hash}"))
        table.add_column("", overflow="fold")
        for name, higher in self.metrics.items():
            table.add_column(Text(f"{name} {ARROWS[higher]}".strip()), justify="right")
        table.add_column("images")
        has_published = any(entry.source for entry in self.entries)
        if has_published:
            table.add_column("published in")
        for entry in self.entries:
            scores = [self._rich_cell(entry, metric) for metric in self.metrics]
            rest = [Text(entry.images), Text(entry.source)]
            table.add_row(Text(entry.label), *scores, *rest[: 2 if has_published else 1])
        return Group(table, *(Text(f"note: {note}") for note in self.notes))

    def _rich_cell(self, entry: Entry, metric: str) -> Text:
        text = Text(self.cell(entry, metric), style="bold" if self.is_best(entry, metric) else "")
        spread = entry.intervals.get(metric)
        return text.append(f"\n{spread}", style="dim") if spread else text


@dataclass(frozen=True)
class Comparison:
    """An evaluation ranked with comparable published scores; ``apart``: the others, each with the reason."""

    ranking: Ranking
    apart: Sequence[tuple[PublishedScore, str]] = field(default_factory=list)


def comparison(
    evaluation: Evaluation, published: Iterable[PublishedScore], label: str = "this evaluation"
) -> Comparison:
    """Compare an evaluation with published scores.

    Args:
        evaluation: measured here.
        published: the scores of others; comparable if their protocol has the same hash.
        label: name of the evaluation.
    """
    known = protocols()
    reasons = [(score, _why_apart(score, evaluation.protocol, known)) for score in published]
    beside = [score for score, why in reasons if not why]
    return Comparison(_rank([(label, evaluation)], beside), [(score, why) for score, why in reasons if why])


def rankings(evaluations: Sequence[Labeled], published: Iterable[PublishedScore] = ()) -> list[Ranking]:
    """Rank evaluations, one ranking per hash and set of images, in the order of their first; ``rich`` prints them.

    Args:
        evaluations: each with its label.
        published: scores of others; comparable ones join a ranking.
    """
    published, known = list(published), protocols()
    alike: dict[tuple[Any, ...], list[Labeled]] = {}
    for label, evaluation in evaluations:
        images = [evaluation.context.get(f"{which}_digest") for which in ("targets", "real")]
        alike.setdefault((evaluation.protocol.hash, *images), []).append((label, evaluation))
    return [
        _rank(group, [score for score in published if not _why_apart(score, group[0][1].protocol, known)])
        for group in alike.values()
    ]


def values_as_printed(score: PublishedScore) -> str:
    """Format the values of a published score: ``ssim 0.7, fid 9.9``."""
    return ", ".join(f"{name} {value:g}" for name, value in score.values.items())


def _why_apart(score: PublishedScore, ours: Protocol, known: Mapping[str, Protocol]) -> str:
    """Return why a published score is not comparable with scores under *ours*; empty: it is."""
    note = f". {score.note}" if score.note else ""
    if not score.protocol:
        return f"its protocol is not known{note}"
    theirs = known.get(score.protocol)
    if theirs is None:
        return f"computed under protocol {score.protocol!r}, which no plugin brings{note}"
    if theirs.hash == ours.hash:
        return ""
    changed = ", of which this is a changed copy" if theirs.name == ours.name else ""
    one, other = definition(ours), definition(theirs)
    differing = ", ".join(name for name in one | other if one.get(name, ...) != other.get(name, ...))
    return f"computed under protocol {theirs.name!r} ({theirs.hash}){changed}; differs in {differing}{note}"


def _rank(group: Sequence[Labeled], published: Sequence[PublishedScore]) -> Ranking:
    entries = [
        Entry(
            label,
            {name: score.value for name, score in evaluation.scores.items()},
            {name: interval(score) for name, score in evaluation.scores.items()},
            str(image_count(evaluation)),
        )
        for label, evaluation in group
    ]
    metrics: dict[str, bool | None] = {}
    for _label, evaluation in group:
        for name, score in evaluation.scores.items():
            metrics[name] = score.higher_is_better if metrics.get(name) is None else metrics[name]
    for names in [evaluation.not_computed for _label, evaluation in group] + [score.values for score in published]:
        metrics |= {name: metrics.get(name) for name in names}
    directed = [name for name, higher in metrics.items() if higher is not None]
    decisive = max(directed, key=lambda name: sum(name in entry.values for entry in entries), default=None)
    if decisive is not None:
        entries.sort(key=lambda entry: _sort_key(entry.values.get(decisive), bool(metrics[decisive])))
    entries += [Entry(score.method, dict(score.values), {}, score.data, score.source) for score in published]
    protocol = group[0][1].protocol
    return Ranking(protocol, metrics, entries, _notes(protocol, group, published, decisive))


def _sort_key(value: float | None, higher_is_better: bool) -> tuple[bool, float]:
    """Sort better values first, missing ones last."""
    if value is None or not finite(value):
        return True, 0.0
    return False, -value if higher_is_better else value


def _notes(
    protocol: Protocol, group: Sequence[Labeled], published: Sequence[PublishedScore], decisive: str | None
) -> list[str]:
    notes = [f"in order of {decisive}"] if decisive and len(group) > 1 else []
    targets = group[0][1].context.get("targets_digest")
    notes += [f"on true images {targets}; scores on other images are in another table"] if targets else []
    if len({image_count(evaluation) for _label, evaluation in group}) > 1:
        notes.append("the numbers of images differ; only scores of the same images can be ranked")
    if len({repr(evaluation.context.get("versions")) for _label, evaluation in group}) > 1:
        notes.append("the versions of the libraries differ")
    if published:
        notes.append("published scores take no part in the order: they compare only with scores on the data they name")
    if published and protocol.unknown:
        notes.append(f"fields of this protocol that are not published and hold a guess: {', '.join(protocol.unknown)}")
    return notes + [f"{score.method}: {score.note}" for score in published if score.note]
