"""Show a part with its arguments and documentation, or an evaluation protocol."""

from __future__ import annotations

import argparse
import inspect
from typing import TYPE_CHECKING, Any

from .common import add_plugin, load_plugins, print_columns
from .completion import complete_parts
from .parts import PROTOCOL, add_kind, check_kind, plugin_of

if TYPE_CHECKING:
    from ..evaluation import Protocol


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen show``."""
    add_kind(parser)
    name = parser.add_argument("name", metavar="NAME", help="name from `posegen list KIND`, or a protocol's .json file")
    complete_parts(name)
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print the part, or the protocol; return 0."""
    from ..evaluation import get_protocol

    load_plugins(parsed)
    if check_kind(parsed.kind) == PROTOCOL:
        _show_protocol(get_protocol(parsed.name))
    else:
        _show_part(parsed.kind, parsed.name)
    return 0


def _show_protocol(protocol: Protocol) -> None:
    """Print every choice that affects a score, and its source."""
    from ..evaluation.report.rows import protocol_rows

    print(f"{protocol.name}, protocol {protocol.hash}: {protocol.citation}\n")
    rows = [(row.field, row.value, row.source) for row in protocol_rows(protocol)]
    print_columns([("FIELD", "VALUE", "SOURCE"), *rows])
    if protocol.unknown:
        print(f"\nNot published, so these values are guesses: {', '.join(protocol.unknown)}")


def _show_part(kind: str, name: str) -> None:
    """Print where a part comes from, its arguments, and its docstring."""
    from .. import engine, plugin_access  # noqa: F401  the engine registers its parts
    from ..registry import KINDS

    part = KINDS[kind].get(name)
    owner = plugin_access.owner(part)
    package = f" ({owner.package})" if owner else ""
    print(f"{name}, one of the {kind}")
    print_columns([("plugin", f"{plugin_of(part)}{package}"), ("module", part.__module__), ("file", _file(part))])
    print()
    print_columns([("ARGUMENT", "DEFAULT", "TYPE"), *_arguments(part)])
    print()
    print(inspect.getdoc(part) or "no docstring")
    origin = _defines_arguments(part)
    if origin is not part and inspect.getdoc(origin):
        print(f"\nThe arguments are those of {origin.__name__}:\n\n{inspect.getdoc(origin)}")


def _defines_arguments(part: Any) -> Any:
    """Return the class that defines the ``__init__`` of *part*, or *part* itself if it is a function."""
    if not inspect.isclass(part):
        return part
    return next((base for base in part.__mro__[:-1] if "__init__" in vars(base)), part)


def _file(part: Any) -> str:
    try:
        return inspect.getfile(part)
    except TypeError:  # built into Python
        return "none"


def _arguments(part: Any) -> list[tuple[str, str, str]]:
    """Return name, default and type of each argument; the default of a required one is ``(required)``."""
    stars: dict[Any, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    rows = []
    for parameter in inspect.signature(part).parameters.values():
        star = stars.get(parameter.kind, "")
        default = "" if star else "(required)" if parameter.default is parameter.empty else repr(parameter.default)
        rows.append((star + parameter.name, default, _type(parameter.annotation)))
    return rows or [("none", "", "")]


def _type(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
