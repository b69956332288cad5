"""Finds plugins (entry points of group ``posegen``) and holds the one plugin manager.

A plugin that fails to load is kept in the report with its error; the others work.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import threading
from dataclasses import dataclass, field

import pluggy

from . import hookspecs

GROUP = "posegen"


@dataclass
class PluginReport:
    """One plugin as found: its entry point, where it comes from, its hooks, and its error if it failed to load."""

    name: str
    module: str
    distribution: str
    version: str
    location: str = ""
    hooks: list[str] = field(default_factory=list)
    error: str = ""


_manager: pluggy.PluginManager | None = None
_reports: list[PluginReport] = []
_lock = threading.RLock()


def load() -> list[PluginReport]:
    """Find, import and register all plugins, once a process; later calls return the same reports."""
    global _manager
    with _lock:
        if _manager is None:
            _manager = pluggy.PluginManager(GROUP)
            _manager.add_hookspecs(hookspecs)
            _reports[:] = [_load_one(_manager, entry) for entry in _entry_points()]
        return list(_reports)


def hook() -> pluggy.HookRelay:
    """The hooks of all loaded plugins: ``hook().posegen_keypoint_layouts()``."""
    load()
    assert _manager is not None
    return _manager.hook


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    return sorted(set(importlib.metadata.entry_points(group=GROUP)), key=lambda entry: (entry.name, entry.value))


def _load_one(manager: pluggy.PluginManager, entry: importlib.metadata.EntryPoint) -> PluginReport:
    distribution = entry.dist
    report = PluginReport(
        name=entry.name,
        module=entry.value,
        distribution=distribution.name if distribution else "?",
        version=distribution.version if distribution else "?",
    )
    plugin = None
    try:
        plugin = entry.load()
        report.location = inspect.getfile(plugin) if inspect.ismodule(plugin) else repr(plugin)
        manager.register(plugin, name=entry.name)
        manager.check_pending()
        register = getattr(plugin, "posegen_register", None)
        if register is not None:
            register()
        report.hooks = sorted(caller.name for caller in manager.get_hookcallers(plugin) or [])
    except (Exception, SystemExit) as error:  # a stranger's plugin may raise anything; it must not take the rest down
        report.error = f"{type(error).__name__}: {error}"
        if plugin is not None and manager.get_name(plugin) == entry.name:
            manager.unregister(plugin)
    return report
