"""Show one part: where it comes from, its arguments with their defaults, and what it says of itself."""

from __future__ import annotations

import argparse
import inspect
from typing import Any

from .. import plugins
from ..registry import KINDS
from .common import add_plugin, load_plugins, print_columns
from .parts import plugin_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen show``."""
    parser.add_argument("kind", choices=sorted(KINDS), metavar="KIND", help=", ".join(sorted(KINDS)))
    parser.add_argument("name", metavar="NAME", help="what a config calls it: see `posegen list KIND`")
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print the part; returns 0."""
    load_plugins(parsed)
    part = KINDS[parsed.kind].get(parsed.name)
    owner = plugins.owner(part)
    package = f" ({owner.package})" if owner else ""
    print(f"{parsed.name}, one of the {parsed.kind}")
    print_columns([("plugin", f"{plugin_of(part)}{package}"), ("module", part.__module__), ("file", _file(part))])
    print()
    print_columns([("ARGUMENT", "DEFAULT", "TYPE"), *_arguments(part)])
    print()
    print(inspect.getdoc(part) or "It says nothing of itself: it has no docstring.")
    origin = _whose_arguments(part)
    if origin is not part and inspect.getdoc(origin):
        print(f"\nIts arguments are those of {origin.__name__}:\n\n{inspect.getdoc(origin)}")
    return 0


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
