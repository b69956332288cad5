"""List the registered parts of a kind: what a config can name; or the evaluation protocols."""

from __future__ import annotations

import argparse

from .. import plugin_access
from ..evaluation import protocols
from ..registry import KINDS
from .common import add_plugin, load_plugins, print_columns

PROTOCOL = "protocol"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen list``."""
    parser.add_argument(
        "kind",
        nargs="?",
        choices=[*sorted(KINDS), PROTOCOL],
        metavar="KIND",
        help=", ".join([*sorted(KINDS), PROTOCOL]),
    )
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print the parts of one kind, or of all; returns 0."""
    load_plugins(parsed)
    if parsed.kind == PROTOCOL:
        each = sorted(protocols().items())
        print_columns([("NAME", "HASH", "FROM"), *((name, known.hash, known.citation) for name, known in each)])
        return 0
    rows = [("KIND", "NAME", "PLUGIN", "MODULE", "WHAT IT IS")]
    for kind in [parsed.kind] if parsed.kind else sorted(KINDS):
        registry = KINDS[kind]
        registry.import_from_location()
        for name, part in sorted(registry.module_dict.items()):
            summary = (part.__doc__ or "").strip().splitlines()
            rows.append((kind, name, plugin_of(part), part.__module__, summary[0] if summary else ""))
    print_columns(rows)
    return 0


def plugin_of(part: object) -> str:
    """Name of the plugin that a part comes from; of the library, where it comes from none."""
    owner = plugin_access.owner(part)
    return owner.name if owner else part.__module__.partition(".")[0]
