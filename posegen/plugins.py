"""Finds plugins (entry points of group ``posegen``) and holds the one plugin manager.

A plugin that fails to load is kept in the report with its error; the others work.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pluggy

from . import hookspecs
from .errors import PosegenError

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
            for report in _reports:
                if not report.error:
                    _register_parts(_manager, report)
        return list(_reports)


def hook() -> pluggy.HookRelay:
    """The hooks of all loaded plugins: ``hook().posegen_keypoint_layouts()``."""
    load()
    assert _manager is not None
    return _manager.hook


def call_each(name: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
    """Call a hook one plugin at a time, in pluggy's order, so that what fails has a name.

    Args:
        name: of the hook.
        arguments: of the hook.

    Yields:
        The plugin's name and its answer; plugins that answer None are left out. Wrappers of the hook wrap every call.

    Raises:
        PosegenError: a plugin raised something else than a PosegenError; names plugin and hook.
    """
    caller = getattr(hook(), name)
    called = [impl for impl in reversed(caller.get_hookimpls()) if not (impl.wrapper or impl.hookwrapper)]
    for plugin_name, plugin in {impl.plugin_name: impl.plugin for impl in called}.items():
        try:
            answer = _only(name, plugin)(**arguments)
        except PosegenError:
            raise
        except (Exception, SystemExit) as error:
            raise PosegenError(f"plugin {plugin_name!r} failed in {name}: {_described(error)}") from error
        for one in [answer] if caller.spec.opts["firstresult"] else answer:
            if one is not None:
                yield plugin_name, one


def _only(name: str, plugin: object) -> pluggy.HookCaller:
    """The hook with the implementations of one plugin, and everybody's wrappers."""
    assert _manager is not None
    others = [
        impl.plugin
        for impl in getattr(_manager.hook, name).get_hookimpls()
        if impl.plugin is not plugin and not (impl.wrapper or impl.hookwrapper)
    ]
    return _manager.subset_hook_caller(name, others)


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


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
        report.hooks = sorted({caller.name for caller in manager.get_hookcallers(plugin) or []})
    except (Exception, SystemExit) as error:  # a stranger's plugin may raise anything; it must not take the rest down
        report.error = _described(error)
        if plugin is not None and manager.get_name(plugin) == entry.name:
            manager.unregister(plugin)
    return report


def _register_parts(manager: pluggy.PluginManager, report: PluginReport) -> None:
    """Call the plugin's ``posegen_register``; one that fails takes the plugin out of all hooks."""
    plugin = manager.get_plugin(report.name)
    assert plugin is not None
    others = [other for other in manager.get_plugins() if other is not plugin]  # their wrappers too may fail
    try:
        manager.subset_hook_caller("posegen_register", others)()
    except (Exception, SystemExit) as error:
        report.error, report.hooks = _described(error), []
        manager.unregister(plugin)
