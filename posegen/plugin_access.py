"""Access to the loaded plugins for modules that lie below the plugin manager and must not import it.

``posegen/__init__.py`` hands the plugin manager over with :func:`provide`; it is imported at the first call.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class PluginReport:
    """A plugin as found: entry point, package, file, implemented hooks, and the error if it failed to load."""

    name: str
    module: str
    distribution: str
    version: str
    location: str = ""
    hooks: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def package(self) -> str:
        """Name and version of the package."""
        return f"{self.distribution} {self.version}".strip()


_manager: Callable[[], Any] | None = None


def provide(manager: Callable[[], Any]) -> None:
    """Set the function that imports and returns the plugin manager, the module ``posegen.plugins``."""
    global _manager
    _manager = manager


def _plugins() -> Any:
    assert _manager is not None, "posegen/__init__.py provides it"
    return _manager()


def load() -> list[PluginReport]:
    """Load all installed plugins once per process; see :func:`posegen.plugins.load`."""
    return _plugins().load()


def load_named(plugin: str | Path) -> PluginReport:
    """Load a plugin from a file or an importable module; see :func:`posegen.plugins.load_named`."""
    return _plugins().load_named(plugin)


def owner(part: Any) -> PluginReport | None:
    """Return the plugin that defines a registered part, or None for parts of posegen and of other libraries."""
    return _plugins().owner(part)


def origin(part: Any) -> str:
    """Describe for an error message where a part comes from: plugin and package, posegen itself, or a module."""
    return _plugins().origin(part)


def first(hook: str, **arguments: Any) -> Any:
    """Return the first answer to a hook that is not None, or None; see :func:`posegen.plugins.first`."""
    return _plugins().first(hook, **arguments)


def failures() -> str:
    """List the plugins that failed to load, one per line, each line preceded by a newline; empty if none failed."""
    return "".join(f"\nplugin {report.name!r} failed to load: {report.error}" for report in load() if report.error)


def is_file(plugin: str | Path) -> bool:
    """Return whether a plugin is given as a file rather than as the dotted name of a module."""
    text = str(plugin)
    return isinstance(plugin, Path) or text.endswith(".py") or "/" in text or os.sep in text


def absolute(plugin: str | Path, folder: Path) -> str:
    """Return the absolute path of a plugin file, relative to *folder*, or the name of a module unchanged."""
    return str((folder / Path(plugin).expanduser()).resolve()) if is_file(plugin) else str(plugin)
