"""Finds plugins and holds the one plugin manager.

Plugins are installed packages (entry points of group ``posegen``), or files and modules that a config or the command
line names (:func:`load_named`). An installed one that fails to load is kept in the report with its error, the parts it
registered are taken out again, and the others work.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pluggy

from . import hookspecs
from .errors import ConfigError, PosegenError, nearest
from .registry import REGISTRIES, PartRegistry
from .version import __version__

GROUP = "posegen"
FILE_MODULES = "posegen_plugin_"
"""What the module names of single-file plugins begin with."""


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

    @property
    def package(self) -> str:
        """Name and version of the package it comes in."""
        return f"{self.distribution} {self.version}".strip()


class _Brought(NamedTuple):
    """A part that a plugin registered, and what stood under its name before (None: nothing)."""

    plugin: PluginReport
    registry: PartRegistry
    name: str
    part: Any
    before: Any


_manager: pluggy.PluginManager | None = None
_reports: list[PluginReport] = []
_brought: list[_Brought] = []
_taken_out: dict[str, dict[tuple[str, str], _Brought]] = {}  # by module: importing it again registers nothing again
_loading: PluginReport | None = None
_lock = threading.RLock()


def load() -> list[PluginReport]:
    """Find, import and register all installed plugins, once a process; later calls return the same reports."""
    global _manager
    with _lock:
        if _manager is None:
            _manager = pluggy.PluginManager(GROUP)
            _manager.add_hookspecs(hookspecs)
            for registry in REGISTRIES:  # the names of the core's own parts are taken first
                registry.import_from_location()
            found = [(_report(entry), entry) for entry in _entry_points()]
            _reports[:] = [report for report, _ in found]
            for report, entry in found:
                _guarded(report, partial(_load_entry, report, entry))
            for report in list(_reports):
                if not report.error:
                    _guarded(report, partial(_register_parts, report))
        return list(_reports)


def load_named(plugin: str | Path) -> PluginReport:
    """Load a plugin that is not installed; one that is loaded already is not loaded again. Its code runs.

    Args:
        plugin: path of a Python file, or the dotted name of a module.

    Returns:
        What is known of it; it stands in :func:`load`'s reports too.

    Raises:
        ConfigError: there is no such file, or it failed to load: then nothing of it stays registered.
    """
    with _lock:
        load()
        named = absolute(plugin, Path.cwd())
        is_file = _is_file(named)
        for report in _reports:
            if not report.error and named == (report.location if is_file else report.module):
                return report
        if is_file and not Path(named).is_file():
            path = Path(named)
            near = nearest(path.name, [other.name for other in path.parent.glob("*.py")])
            raise ConfigError(
                f"there is no plugin file {named}{near}\n"
                "A path in a config counts from that config; in a file that others inherit from, write "
                '"{{ fileDirname }}/FILE.py".'
            )
        module = _file_module(named) if is_file else named
        name = Path(named).name if is_file else named
        if any(report.name == name for report in _reports):
            name = named
        report = PluginReport(name, module, "a file" if is_file else "a module", "")
        if is_file:
            return _add(report, lambda: _run_file(module, named))
        return _add(report, lambda: importlib.import_module(named))


def add(plugin: Any, name: str) -> PluginReport:
    """Register an object that implements hooks, as tests and notebooks do; see :func:`temporary`.

    Args:
        plugin: a module, or an object whose methods are marked with ``hookimpl``; one that is registered already,
            because its package is installed, is not registered again.
        name: what the reports call it.

    Raises:
        ConfigError: it failed to load: then nothing of it stays registered.
    """
    with _lock:
        load()
        assert _manager is not None
        known = _manager.get_name(plugin)
        if known is not None:
            return next(report for report in _reports if report.name == known)
        module = plugin.__name__ if inspect.ismodule(plugin) else type(plugin).__module__
        return _add(PluginReport(name, module, "no package", ""), lambda: plugin)


@contextmanager
def temporary() -> Iterator[None]:
    """Plugins that are loaded within are gone afterwards, with their hooks and parts."""
    load()
    assert _manager is not None
    before, plugins, reports, brought = _parts(), _manager.get_plugins(), list(_reports), list(_brought)
    try:
        yield
    finally:
        for plugin in _manager.get_plugins() - plugins:
            _manager.unregister(plugin)
        for entry in _brought[len(brought) :]:
            _taken_out.setdefault(entry.plugin.module, {})[entry.registry.name, entry.name] = entry
        for report in _reports[len(reports) :]:
            if report.module.startswith(FILE_MODULES):
                sys.modules.pop(report.module, None)
        _reports[:], _brought[:] = reports, brought
        for registry, parts in zip(REGISTRIES, before, strict=True):
            registry.module_dict.clear()
            registry.module_dict.update(parts)


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


def owner(part: Any) -> PluginReport | None:
    """The plugin that a registered part comes from; None: from posegen itself, or from no plugin."""
    module = getattr(part, "__module__", "")
    top = module.partition(".")[0]
    if top == __package__:
        return None
    inside = [report for report in _reports if f"{module}.".startswith(f"{_module(report)}.")]
    if inside:
        return max(inside, key=lambda report: len(report.module))
    for entry in _brought:
        if entry.part is part:
            return entry.plugin
    beside = [report for report in _reports if _module(report).partition(".")[0] == top]
    return beside[0] if beside else None


def origin(part: Any) -> str:
    """Where a part comes from, for messages: plugin and package, or the core, or whatever library."""
    plugin = owner(part) or (_loading if not _is_core(part) else None)
    if plugin is not None:
        return f"plugin {plugin.name!r} ({plugin.package})"
    return f"posegen {__version__} itself" if _is_core(part) else f"module {getattr(part, '__module__', '?')}"


def absolute(plugin: str | Path, folder: Path) -> str:
    """A plugin as :func:`load_named` takes it, files as absolute paths; relative ones count from *folder*."""
    return str((folder / Path(plugin).expanduser()).resolve()) if _is_file(plugin) else str(plugin)


def _is_file(plugin: str | Path) -> bool:
    text = str(plugin)
    return isinstance(plugin, Path) or text.endswith(".py") or "/" in text or os.sep in text


def _file_module(path: str) -> str:
    """A module name for a file: the same in every process; two files of one name get two."""
    return f"{FILE_MODULES}{Path(path).stem}_{hashlib.sha256(path.encode()).hexdigest()[:8]}"


def _run_file(name: str, path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # pickles of its classes find it by this name
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _add(report: PluginReport, get: Callable[[], Any]) -> PluginReport:
    """Load one plugin more; one that fails is taken out again, and is an error."""
    _reports.append(report)
    error = _guarded(report, lambda: _register(report, get())) or _guarded(report, partial(_register_parts, report))
    if error is None:
        return report
    _reports.remove(report)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if _same_file(frame.filename, report)]
    where = f", line {lines[-1]}" if lines else ""
    raise ConfigError(f"plugin {report.name!r}{where}: {report.error}") from error


def _same_file(filename: str, report: PluginReport) -> bool:
    return report.module.startswith(FILE_MODULES) and report.module == _file_module(filename)


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
    """Those of posegen's own package first: no stranger's part can keep one of theirs out by the order of the names."""

    def order(entry: importlib.metadata.EntryPoint) -> tuple[bool, str, str]:
        return entry.dist is None or entry.dist.name != __package__, entry.name, entry.value

    return sorted(set(importlib.metadata.entry_points(group=GROUP)), key=order)


def _report(entry: importlib.metadata.EntryPoint) -> PluginReport:
    distribution = entry.dist
    return PluginReport(
        name=entry.name,
        module=entry.value,
        distribution=distribution.name if distribution else "?",
        version=distribution.version if distribution else "?",
    )


def _load_entry(report: PluginReport, entry: importlib.metadata.EntryPoint) -> None:
    _register(report, entry.load())


def _module(report: PluginReport) -> str:
    """The module of an entry point ``MODULE:OBJECT``."""
    return report.module.partition(":")[0]


def _is_core(part: Any) -> bool:
    return getattr(part, "__module__", "").partition(".")[0] == __package__


def _guarded(report: PluginReport, action: Callable[[], None]) -> BaseException | None:
    """Run a step of loading a plugin. Where it fails, what the plugin registered so far is taken out again."""
    global _loading
    before = _parts()
    outer, _loading = _loading, report
    try:
        action()
        return None
    except (Exception, SystemExit) as error:  # a stranger's plugin may raise anything; it must not take the rest down
        report.error, report.hooks = _described(error), []
        return error
    finally:
        _note(report, before)
        _loading = outer
        if report.error:
            _take_out(report)


def _register(report: PluginReport, plugin: Any) -> None:
    assert _manager is not None
    report.location = inspect.getfile(plugin) if inspect.ismodule(plugin) else repr(plugin)
    version = getattr(plugin, "posegen_hook_version", hookspecs.HOOK_VERSION)
    if version != hookspecs.HOOK_VERSION:
        raise PosegenError(
            f"made for hook version {version} of posegen; this is posegen {__version__}, whose hook version is "
            f"{hookspecs.HOOK_VERSION}: get a version of the plugin made for that, or another posegen"
        )
    same = next((other for other in _reports if other is not report and other.name == report.name), None)
    if _manager.get_plugin(report.name) not in (None, plugin) and same is not None:
        raise PosegenError(
            f"two plugins are called {report.name!r}: that of {same.package}, which stays, and that of "
            f"{report.package}; uninstall one of them"
        )
    _manager.register(plugin, name=report.name)
    callers = _manager.get_hookcallers(plugin) or []
    for caller in callers:
        own = [impl for impl in caller.get_hookimpls() if impl.plugin is plugin and not impl.optionalhook]
        if own and not caller.has_spec():
            hooks = [name for name in vars(hookspecs) if name.startswith("posegen_")]
            message = f"unknown hook {caller.name!r}{nearest(caller.name, hooks)}\nthe hooks are: {', '.join(hooks)}"
            raise pluggy.PluginValidationError(plugin, message)
    report.hooks = sorted({caller.name for caller in callers if caller.has_spec()})


def _register_parts(report: PluginReport) -> None:
    """Call the plugin's ``posegen_register``, and put in again what was taken out with a :func:`temporary` plugin."""
    assert _manager is not None
    plugin = _manager.get_plugin(report.name)
    assert plugin is not None
    others = [other for other in _manager.get_plugins() if other is not plugin]  # their wrappers too may fail
    _manager.subset_hook_caller("posegen_register", others)()
    for entry in _taken_out.get(report.module, {}).values():
        if inspect.ismodule(plugin) and entry.name not in entry.registry.module_dict:
            entry.registry.register_module(name=entry.name, module=entry.part)


def _parts() -> list[dict[str, Any]]:
    return [dict(registry.module_dict) for registry in REGISTRIES]


def _note(report: PluginReport, before: list[dict[str, Any]]) -> None:
    """Keep what was registered meanwhile, and by whom: what a plugin imports may be the core's, or another plugin's."""
    for registry, known in zip(REGISTRIES, before, strict=True):
        for name, part in registry.module_dict.items():
            if part is not known.get(name) and not _is_core(part):
                _brought.append(_Brought(owner(part) or report, registry, name, part, known.get(name)))


def _take_out(report: PluginReport) -> None:
    assert _manager is not None
    for entry in [entry for entry in reversed(_brought) if entry.plugin is report]:
        if entry.registry.module_dict.get(entry.name) is entry.part:
            del entry.registry.module_dict[entry.name]
            if entry.before is not None:
                entry.registry.module_dict[entry.name] = entry.before
        _brought.remove(entry)
    plugin = _manager.get_plugin(report.name)
    if plugin is not None and all(other is report or other.error for other in _reports if other.name == report.name):
        _manager.unregister(plugin)
