"""Figures that others have published, as data: each with its source, and the protocol it was made under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .. import catalogue


@dataclass(frozen=True)
class PublishedScore:
    """What somebody printed.

    Args:
        method: its name as people know it.
        data: the data set and split it was measured on.
        values: by the name the protocol reports them under.
        protocol: name of the protocol it was made under; empty where that is not known.
        source: paper and table, or repository and issue.
        note: what is known of how it was made, or why it cannot be compared.
    """

    method: str
    data: str
    values: Mapping[str, float]
    protocol: str
    source: str
    note: str = ""


def published_scores() -> list[PublishedScore]:
    """Return all published scores that plugins bring."""
    return catalogue.all(PublishedScore)
