"""Catalogue of the records that plugins bring: key-point layouts, protocols, preparations, ... by type and name.

Records are frozen dataclasses. A plugin returns them from the hook ``posegen_catalogue``; the plugin manager adds them
while it loads the plugin.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, TypeVar

from . import plugin_access
from .errors import ConfigError, UnknownNameError, nearest
from .plugin_access import PluginReport

Record = TypeVar("Record")

_entries: list[tuple[Any, PluginReport]] = []


def get(kind: type[Record], name: str) -> Record:
    """Return the record of a type and name.

    Raises:
        UnknownNameError: no plugin brings one; lists the names and the nearest.
    """
    known = {record.name: record for record in all(kind)}  # type: ignore[attr-defined]
    if name not in known:
        raise UnknownNameError(
            f"no {_words(kind)} is called {name!r}{nearest(name, known)}\n"
            f"there are: {', '.join(sorted(known)) or 'none'}{plugin_access.failures()}"
        )
    return known[name]


def all(kind: type[Record]) -> list[Record]:
    """Return all records of a type in the order in which plugins were loaded."""
    plugin_access.load()
    return [record for record, _ in _entries if isinstance(record, kind)]


def owner_of(record: Any) -> PluginReport:
    """Return the plugin that brings a record, which is one of :func:`all`."""
    return next(owner for known, owner in _entries if known is record)


def add(record: Any, owner: PluginReport) -> None:
    """Add a record of a plugin.

    Raises:
        ConfigError: it is no frozen dataclass, or another plugin brings one of that type and name.
    """
    if not dataclasses.is_dataclass(record) or isinstance(record, type):
        raise ConfigError(f"posegen_catalogue returned {record!r}, which is no record")
    name = getattr(record, "name", None)
    for known, other in _entries:
        if name is not None and type(known) is type(record) and getattr(known, "name", None) == name:
            raise ConfigError(
                f"two plugins bring a {_words(type(record))} called {name!r}: {other.name!r} ({other.package}), whose "
                f"is used, and {owner.name!r} ({owner.package}); uninstall one of them"
            )
    _entries.append((record, owner))


def remove(owner: PluginReport) -> None:
    """Remove all records of a plugin."""
    _entries[:] = [entry for entry in _entries if entry[1] is not owner]


def _words(kind: type) -> str:
    """Split the name of a class into words: ``KeypointLayout`` becomes ``keypoint layout``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
