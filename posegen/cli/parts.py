"""List the parts that a config can name, or the evaluation protocols."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import ConfigError, nearest
from .common import add_plugin, load_plugins, print_columns
from .completion import PART_KINDS, complete_with

PROTOCOL = "protocol"


def add_kind(parser: argparse.ArgumentParser, **options: Any) -> None:
    """Add ``KIND``, which :func:`check_kind` checks: the registries take a second to import."""
    kind = parser.add_argument(
        "kind", metavar="KIND", help="kind of part, such as metrics or losses; or protocol", **options
    )
    complete_with(kind, PART_KINDS)


def check_kind(kind: str) -> str:
    """Raise ConfigError for an unknown kind of part."""
    from ..registry import KINDS

    kinds = [*sorted(KINDS), PROTOCOL]
    if kind not in kinds:
        raise ConfigError(f"unknown kind {kind!r}{nearest(kind, kinds)}\nthe kinds are: {', '.join(kinds)}")
    return kind


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen list``."""
    add_kind(parser, nargs="?")
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print the parts of one kind, or of all kinds; return 0."""
    from .. import engine  # noqa: F401  registers its parts
    from ..evaluation import protocols
    from ..registry import KINDS

    load_plugins(parsed)
    if parsed.kind is not None and check_kind(parsed.kind) == PROTOCOL:
        each = sorted(protocols().items())
        print_columns([("NAME", "HASH", "SOURCE"), *((name, known.hash, known.citation) for name, known in each)])
        return 0
    rows = [("KIND", "NAME", "PLUGIN", "MODULE", "SUMMARY")]
    for kind in [parsed.kind] if parsed.kind else sorted(KINDS):
        KINDS[kind].import_from_location()
        for name, part in sorted(KINDS[kind].module_dict.items()):
            summary = (part.__doc__ or "").strip().splitlines()
            rows.append((kind, name, plugin_of(part), part.__module__, summary[0] if summary else ""))
    print_columns(rows)
    return 0


def plugin_of(part: object) -> str:
    """Return the name of the plugin that defines a part, or of the library that does."""
    from .. import plugin_access

    owner = plugin_access.owner(part)
    return owner.name if owner else part.__module__.partition(".")[0]
