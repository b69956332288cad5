"""Show one part (where it comes from, its arguments with their defaults, what it says of itself), or one protocol."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

from .. import plugin_access
from ..evaluation import Protocol, get_protocol
from ..evaluation.report.rows import protocol_rows
from ..registry import KINDS
from .common import add_plugin, load_plugins, print_columns
from .parts import PROTOCOL, plugin_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen show``."""
    kinds = [*sorted(KINDS), PROTOCOL]
    parser.add_argument("kind", choices=kinds, metavar="KIND", help=", ".join(kinds))
    parser.add_argument("name", metavar="NAME", help="see `posegen list KIND`; of a protocol also a .json file")
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print the part, or the protocol; returns 0."""
    load_plugins(parsed)
    if parsed.kind == PROTOCOL:
        _show_protocol(get_protocol(parsed.name))
    else:
        _show_part(parsed.kind, parsed.name)
    return 0


def _show_protocol(protocol: Protocol) -> None:
    """Every choice that decides a score, with where it is said."""
    print(f"{protocol.name}, protocol {protocol.hash}: {protocol.citation}\n")
    rows = [(row.field, row.value, row.source) for row in protocol_rows(protocol)]
    print_columns([("FIELD", "VALUE", "WHERE IT IS SAID"), *rows])
    if protocol.unknown:
        print(f"\nNobody has said, so it is a guess: {', '.join(protocol.unknown)}")


def _show_part(kind: str, name: str) -> None:
    """Where a part comes from, its arguments, its docstring."""
    part = KINDS[kind].get(name)
    owner = plugin_access.owner(part)
    package = f" ({owner.package})" if owner else ""
    print(f"{name}, one of the {kind}")
    print_columns([("plugin", f"{plugin_of(part)}{package}"), ("module", part.__module__), ("file", _file(part))])
    print()
    print_columns([("ARGUMENT", "DEFAULT", "TYPE"), *_arguments(part)])
    print()
    print(inspect.getdoc(part) or "It says nothing of itself: it has no docstring.")
    origin = _whose_arguments(part)
    if origin is not part and inspect.getdoc(origin):
        print(f"\nIts arguments are those of {origin.__name__}:\n\n{inspect.getdoc(origin)}")


def _whose_arguments(part: Any) -> Any:
    """The class whose ``__init__`` *part* has; *part* itself where it is a function, or has one of its own."""
    if not inspect.isclass(part):
        return part
    return next((base for base in part.__mro__[:-1] if "__init__" in vars(base)), part)


def _file(part: Any) -> str:
    try:
        return inspect.getfile(part)
    except TypeError:  # built into Python
        return "none"


def _arguments(part: Any) -> list[tuple[str, str, str]]:
    """Name, default and type of each argument; of one that a config must give, ``(needed)``."""
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    rows = []
    for parameter in inspect.signature(part).parameters.values():
        star = stars.get(parameter.kind, "")
        default = "" if star else "(needed)" if parameter.default is parameter.empty else repr(parameter.default)
        rows.append((star + parameter.name, default, _type(parameter.annotation)))
    return rows or [("none", "", "")]


def _type(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
