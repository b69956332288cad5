"""Scores beside each other, where they may stand there: under one hash, of the same true and real images. The others
stand apart, with why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..protocol import Protocol, protocols
from ..published import PublishedScore
from ..results import Evaluation
from ..table import ARROWS
from .rows import definition, finite, image_count, interval, number


@dataclass(frozen=True)
class Entry:
    """A line of a ranking: whose, values and intervals by metric, on which images, and where it is said (empty: it was
    measured here)."""

    label: str
    values: Mapping[str, float]
    intervals: Mapping[str, str]
    images: str
    source: str = ""


@dataclass(frozen=True)
class Ranking:
    """Scores under one hash: those measured here, on the same images, the best first by the metric that most of them
    have, of those whose better side is known; after them what others have printed, which is no part of the order.

    Attributes:
        protocol: of the first of them.
        metrics: by name, whether higher is better.
        entries: the lines.
        notes: what a reader must know before he compares them.
    """

    protocol: Protocol
    metrics: Mapping[str, bool | None]
    entries: Sequence[Entry]
    notes: Sequence[str]

    def is_best(self, entry: Entry, metric: str) -> bool:
        """Whether *entry* has the best of several values of a metric that were measured here."""
        higher = self.metrics[metric]
        own = [each for each in self.entries if not each.source]
        values = [each.values[metric] for each in own if finite(each.values.get(metric))]
        if higher is None or len(values) < 2 or entry.source:
            return False
        return entry.values.get(metric) == (max if higher else min)(values)

    def cell(self, entry: Entry, metric: str) -> str:
        """A value as text, a published one as it was printed; a dash where there is none."""
        if metric not in entry.values:
            return "–"
        return f"{entry.values[metric]:g}" if entry.source else number(entry.values[metric])

    def __rich__(self) -> Group:
        title = Text(f"{self.protocol.name}, protocol {self.protocol.hash}")
        table = Table(title=title)
        table.add_column("", overflow="fold")
        for name, higher in self.metrics.items():
            table.add_column(Text(f"{name} {ARROWS[higher]}".strip()), justify="right")
        table.add_column("images")
        if any(entry.source for entry in self.entries):
            table.add_column("published in")
        for entry in self.entries:
            scores = [self._rich_cell(entry, metric) for metric in self.metrics]
            texts = (entry.label, entry.images, entry.source)
            label, *rest = (Text(text) for text in texts[: len(table.columns) - len(scores)])
            table.add_row(label, *scores, *rest)
        return Group(table, *(Text(f"note: {note}") for note in self.notes))

    def _rich_cell(self, entry: Entry, metric: str) -> Text:
        text = Text(self.cell(entry, metric), style="bold" if self.is_best(entry, metric) else "")
        spread = entry.intervals.get(metric)
        return text.append(f"\n{spread}", style="dim") if spread else text


@dataclass(frozen=True)
class Comparison:
    """An evaluation and what others published: ``ranking``, what may stand beside it; ``apart``, what not, and why."""

    ranking: Ranking
    apart: Sequence[tuple[PublishedScore, str]] = field(default_factory=list)

    def __rich__(self) -> Group:
        parts: list[Ranking | Table] = [self.ranking]
        if self.apart:
            table = Table("method", "data", "figures", "why", "published in", title="Not comparable")
            for score, why in self.apart:
                table.add_row(*map(Text, (score.method, score.data, figures(score), why, score.source)))
            parts.append(table)
        return Group(*parts)


def comparison(
    evaluation: Evaluation, published: Iterable[PublishedScore], label: str = "this evaluation"
) -> Comparison:
    """Set an evaluation beside those published figures whose protocol has its hash.

    Args:
        evaluation: ours.
        published: what others printed.
        label: how ours is called.
    """
    known = protocols()
    beside: list[PublishedScore] = []
    apart: list[tuple[PublishedScore, str]] = []
    for score in published:
        why = _why_apart(score, evaluation.protocol, known)
        if why:
            apart.append((score, why))
        else:
            beside.append(score)
    return Comparison(_rank([(label, evaluation)], beside), apart)


def rankings(evaluations: Sequence[tuple[str, Evaluation]], published: Iterable[PublishedScore] = ()) -> list[Ranking]:
    """Evaluations in one ranking a hash and set of images, in the order of their first; ``rich`` prints each.

    Args:
        evaluations: each with what to call it.
        published: of these, those whose protocol has the hash of a ranking are in it.
    """
    published, known = list(published), protocols()
    alike: dict[tuple[Any, ...], list[tuple[str, Evaluation]]] = {}
    for label, evaluation in evaluations:
        images = [evaluation.context.get(f"{which}_digest") for which in ("targets", "real")]
        alike.setdefault((evaluation.protocol.hash, *images), []).append((label, evaluation))
    return [
        _rank(group, [score for score in published if not _why_apart(score, group[0][1].protocol, known)])
        for group in alike.values()
    ]


def figures(score: PublishedScore) -> str:
    """``ssim 0.7, fid 9.9``, as printed there."""
    return ", ".join(f"{name} {value:g}" for name, value in score.values.items())


def _why_apart(score: PublishedScore, ours: Protocol, known: Mapping[str, Protocol]) -> str:
    """Why a published figure must not stand beside scores under *ours*; empty: it may."""
    note = f". {score.note}" if score.note else ""
    if not score.protocol:
        return f"its protocol is not known{note}"
    theirs = known.get(score.protocol)
    if theirs is None:
        return f"made under protocol {score.protocol!r}, which no plugin here brings{note}"
    if theirs.hash == ours.hash:
        return ""
    changed = ", of which ours is a changed copy" if theirs.name == ours.name else ""
    differing = ", ".join(_differences(ours, theirs))
    return f"made under protocol {theirs.name!r} ({theirs.hash}){changed}; differs in {differing}{note}"


def _differences(first: Protocol, second: Protocol) -> list[str]:
    one, other = definition(first), definition(second)
    return [name for name in one | other if one.get(name, ...) != other.get(name, ...)]


def _rank(group: Sequence[tuple[str, Evaluation]], published: Sequence[PublishedScore]) -> Ranking:
    entries = [_own(label, evaluation) for label, evaluation in group]
    metrics: dict[str, bool | None] = {}
    for _label, evaluation in group:
        for name, score in evaluation.scores.items():
            metrics[name] = score.higher_is_better if metrics.get(name) is None else metrics[name]
    for names in [evaluation.not_computed for _label, evaluation in group] + [score.values for score in published]:
        metrics |= {name: metrics.get(name) for name in names}
    protocol = group[0][1].protocol
    directed = [name for name, higher in metrics.items() if higher is not None]
    decisive = max(directed, key=lambda name: sum(name in entry.values for entry in entries), default=None)
    if decisive is not None:
        entries.sort(key=lambda entry: _rank_of(entry.values.get(decisive), bool(metrics[decisive])))
    entries += [_printed(score) for score in published]
    return Ranking(protocol, metrics, entries, _notes(protocol, group, published, decisive))


def _rank_of(value: float | None, higher_is_better: bool) -> tuple[bool, float]:
    """A sort key: better first, what is no number last."""
    if value is None or not finite(value):
        return True, 0.0
    return False, -value if higher_is_better else value


def _own(label: str, evaluation: Evaluation) -> Entry:
    values = {name: score.value for name, score in evaluation.scores.items()}
    intervals = {name: interval(score) for name, score in evaluation.scores.items()}
    return Entry(label, values, intervals, str(image_count(evaluation)))


def _printed(score: PublishedScore) -> Entry:
    return Entry(score.method, dict(score.values), {}, score.data, score.source)


def _notes(
    protocol: Protocol,
    group: Sequence[tuple[str, Evaluation]],
    published: Sequence[PublishedScore],
    decisive: str | None,
) -> list[str]:
    notes = [f"in order of {decisive}"] if decisive and len(group) > 1 else []
    targets = group[0][1].context.get("targets_digest")
    notes += [f"of true images {targets}; scores of others stand in another table"] if targets else []
    if len({image_count(evaluation) for _label, evaluation in group}) > 1:
        notes.append("these were scored on different numbers of images; only scores of the same images can be ranked")
    if len({repr(evaluation.context.get("versions")) for _label, evaluation in group}) > 1:
        notes.append("these were scored with different versions of the libraries")
    if published:
        notes.append("published figures stand outside the order: they compare with scores of the data they name alone")
    if published and protocol.unknown:
        notes.append(
            f"nobody has published {', '.join(protocol.unknown)} of this protocol: what stands there is a guess"
        )
    notes += [f"{score.method}: {score.note}" for score in published if score.note]
    return notes
