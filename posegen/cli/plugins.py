"""Show the plugins that were found, where they come from, and the hooks each implements."""

from __future__ import annotations

import argparse

from .. import plugins
from .common import print_columns


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``posegen plugins`` takes none."""


def run(parsed: argparse.Namespace) -> int:
    """Print the table; returns 1 where a plugin failed to load, else 0."""
    reports = plugins.load()
    rows = [("PLUGIN", "PACKAGE", "FILE", "HOOKS")]
    for report in reports:
        hooks = f"failed to load: {report.error}" if report.error else ", ".join(report.hooks) or "none"
        rows.append((report.name, f"{report.distribution} {report.version}", report.location or report.module, hooks))
    print_columns(rows)
    if not reports:
        print(f"no plugins are installed (entry points of group {plugins.GROUP!r})")
    return 1 if any(report.error for report in reports) else 0
