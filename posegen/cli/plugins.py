"""List plugins, their packages, and the hooks they implement."""

from __future__ import annotations

import argparse

from .common import add_plugin, load_plugins, print_columns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen plugins``."""
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print the table; return 1 if a plugin failed to load, else 0."""
    reports = load_plugins(parsed)
    rows = [("PLUGIN", "PACKAGE", "FILE", "HOOKS")]
    for report in reports:
        hooks = f"failed to load: {report.error}" if report.error else ", ".join(report.hooks) or "none"
        rows.append((report.name, report.package, report.location or report.module, hooks))
    print_columns(rows)
    if not reports:
        print("no plugins are installed (entry points of group 'posegen')")
    return 1 if any(report.error for report in reports) else 0
