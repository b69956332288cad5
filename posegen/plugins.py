"""Find and load plugins: installed packages (entry points of group ``posegen``), files, and importable modules.

An installed plugin that fails to load is reported with its error and left out; the others work.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from . import catalogue, hookspecs
from .errors import ConfigError, PosegenError, nearest
from .hookspecs import Command
from .plugin_access import PluginReport, absolute, is_file
from .version import __version__

GROUP = "posegen"
FILE_MODULES = "posegen_plugin_"
"""Prefix of the module names of single-file plugins."""

_manager: pluggy.PluginManager | None = None
_reports: list[PluginReport] = []
_unloaded: list[PluginReport] = []
"""Plugins that were imported, but whose parts and records are not registered yet."""
_lock = threading.RLock()


def discover() -> list[PluginReport]:
    """Import installed plugins and their hooks once per process, without registering parts and records."""
    return _find(lambda report: None)


def load() -> list[PluginReport]:
    """Find, import and register all installed plugins once per process; later calls return the same reports."""
    with _lock:
        _find(lambda report: load())
        while _unloaded:
            report = _unloaded.pop(0)
            _try(report, partial(_register_parts, report))
        return list(_reports)


def _find(then: Callable[[PluginReport], Any]) -> list[PluginReport]:
    """Import the plugins of all entry points once per process, and call *then* after each that succeeds."""
    global _manager
    with _lock:
        if _manager is None:
            _manager = pluggy.PluginManager(GROUP)
            _manager.add_hookspecs(hookspecs)
            for entry in _entry_points():
                package = (entry.dist.name, entry.dist.version) if entry.dist else ("?", "?")
                report = PluginReport(entry.name, entry.value, *package)
                _reports.append(report)
                if _try(report, partial(_load_entry, report, entry)) is None:
                    _unloaded.append(report)
                    then(report)  # one plugin after the other: parts of posegen's own plugins take their names first
        return list(_reports)


def load_named(plugin: str | Path) -> PluginReport:
    """Load a plugin that is not installed, once. Its code runs.

    Args:
        plugin: path of a Python file, or dotted name of a module.

    Returns:
        The report, which :func:`load` lists, too.

    Raises:
        ConfigError: there is no such file, or it failed to load; nothing of it stays registered.
    """
    with _lock:
        load()
        named, from_file = absolute(plugin, Path.cwd()), is_file(plugin)
        for report in _reports:
            if not report.error and named == (report.location if from_file else report.module):
                return report
        if not from_file:
            return _add(PluginReport(named, named, "a module", ""), lambda: importlib.import_module(named))
        path = Path(named)
        if not path.is_file():
            near = nearest(path.name, [other.name for other in path.parent.glob("*.py")])
            raise ConfigError(
                f"there is no plugin file {named}{near}\n"
                "A path in a config is relative to that config; in a file that others inherit from, write "
                '"{{ fileDirname }}/FILE.py".'
            )
        name = named if any(report.name == path.name for report in _reports) else path.name
        module = f"{FILE_MODULES}{path.stem}_{hashlib.sha256(named.encode()).hexdigest()[:8]}"
        return _add(PluginReport(name, module, "a file", "", location=named), lambda: _run_file(module, named))


def add(plugin: Any, name: str) -> PluginReport:
    """Register a module, or an object whose methods are marked with ``hookimpl``, for tests and notebooks.

    Raises:
        ConfigError: it failed to load; nothing of it stays registered.
    """
    with _lock:
        load()
        assert _manager is not None
        if known := _manager.get_name(plugin):
            return next(report for report in _reports if report.name == known)
        module = plugin.__name__ if inspect.ismodule(plugin) else type(plugin).__module__
        return _add(PluginReport(name, module, "no package", ""), lambda: plugin)


@contextmanager
def temporary() -> Iterator[None]:
    """Unload the plugins that were loaded inside this context on exit, with their hooks and records.

    Parts go, too, unless the plugin is an importable module: Python imports that once, so it cannot register again.
    """
    load()
    assert _manager is not None
    before = len(_reports)
    try:
        yield
    finally:
        for report in _reports[before:]:
            module = sys.modules.get(report.module)
            stays = module is not None and _manager.get_plugin(report.name) is module
            _unload(report, parts=report.module.startswith(FILE_MODULES) or not stays)
        del _reports[before:]


def first(hook: str, **arguments: Any) -> Any:
    """Return the first answer to a hook that is not None, or None. Plugins loaded last are asked first.

    Raises:
        PosegenError: a plugin raised another error than a PosegenError; names plugin and hook.
    """
    load()
    assert _manager is not None
    for implementation in reversed(getattr(_manager.hook, hook).get_hookimpls()):
        try:
            answer = implementation.function(*(arguments[name] for name in implementation.argnames))
        except PosegenError:
            raise
        except (Exception, SystemExit) as error:
            plugin = implementation.plugin_name
            raise PosegenError(f"plugin {plugin!r} failed in {hook}: {_described(error)}") from error
        if answer is not None:
            return answer
    return None


def commands(taken: Collection[str]) -> list[Command]:
    """Return the commands of all installed plugins; one with a name in *taken* makes its plugin fail.

    Imports the plugins, and registers no parts.
    """
    found: dict[str, Command] = {}
    for report in discover():
        if not report.error:
            _try(report, partial(_collect_commands, report, found, taken))
    return list(found.values())


def owner(part: Any) -> PluginReport | None:
    """Return the plugin that defines a registered part, or None for parts of posegen and of other libraries."""
    module = getattr(part, "__module__", "")
    packages = {report.module.partition(":")[0]: report for report in reversed(_reports)}
    inside = [name for name in packages if f"{module}.".startswith(f"{name}.")]
    beside = [name for name in packages if name.partition(".")[0] == module.partition(".")[0]]
    nearest_first = sorted(inside, key=len, reverse=True) + beside
    return packages[nearest_first[0]] if nearest_first else None


def origin(part: Any) -> str:
    """Describe for an error message where a part comes from."""
    plugin = owner(part)
    if plugin is not None:
        return f"plugin {plugin.name!r} ({plugin.package})"
    module = getattr(part, "__module__", "?")
    return f"posegen {__version__} itself" if module.partition(".")[0] == __package__ else f"module {module}"


def _entry_points() -> list[importlib.metadata.EntryPoint]:
    """Return all entry points, those of posegen's own package first, so that their parts and records come first."""

    def order(entry: importlib.metadata.EntryPoint) -> tuple[bool, str, str]:
        return entry.dist is None or entry.dist.name != __package__, entry.name, entry.value

    return sorted(set(importlib.metadata.entry_points(group=GROUP)), key=order)


def _load_entry(report: PluginReport, entry: importlib.metadata.EntryPoint) -> None:
    _register_hooks(report, entry.load())


def _run_file(name: str, path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # pickles of its classes find it by this name
    spec.loader.exec_module(module)
    return module


def _add(report: PluginReport, get: Callable[[], Any]) -> PluginReport:
    """Load one more plugin; raise ConfigError if it fails."""
    _reports.append(report)
    error = _try(report, lambda: _register_hooks(report, get())) or _try(report, partial(_register_parts, report))
    if error is None:
        return report
    _reports.remove(report)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == report.location]
    where = f", line {lines[-1]}" if lines else ""
    raise ConfigError(f"plugin {report.name!r}{where}: {report.error}") from error


def _try(report: PluginReport, action: Callable[[], Any]) -> BaseException | None:
    """Run one step of loading a plugin; if it fails, note the error and unload the plugin."""
    try:
        action()
        return None
    except (Exception, SystemExit) as error:  # a plugin may raise anything; the others must work
        report.error, report.hooks = _described(error), []
        _unload(report)
        return error


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _register_hooks(report: PluginReport, plugin: Any) -> None:
    assert _manager is not None
    report.location = inspect.getfile(plugin) if inspect.ismodule(plugin) else repr(plugin)
    version = getattr(plugin, "posegen_hook_version", hookspecs.HOOK_VERSION)
    if version != hookspecs.HOOK_VERSION:
        raise PosegenError(
            f"made for hook version {version} of posegen; this is posegen {__version__} with hook version "
            f"{hookspecs.HOOK_VERSION}: install a matching version of the plugin, or of posegen"
        )
    same = next((other for other in _reports if other.name == report.name and not other.error), report)
    if same is not report:
        raise PosegenError(
            f"two plugins are called {report.name!r}: that of {same.package}, which is used, and that of "
            f"{report.package}; uninstall one of them"
        )
    _manager.register(plugin, name=report.name)
    for caller in _manager.get_hookcallers(plugin) or []:
        own = [one for one in caller.get_hookimpls() if one.plugin is plugin]
        if not caller.has_spec() and not all(one.optionalhook for one in own):
            hooks = [name for name in vars(hookspecs) if name.startswith("posegen_")]
            message = f"unknown hook {caller.name!r}{nearest(caller.name, hooks)}\nthe hooks are: {', '.join(hooks)}"
            raise pluggy.PluginValidationError(plugin, message)
        if any(one.wrapper or one.hookwrapper for one in own):
            raise pluggy.PluginValidationError(plugin, f"{caller.name} is a hook wrapper; posegen calls none")
        report.hooks = sorted([*report.hooks, caller.name] if caller.has_spec() else report.hooks)


def _own(report: PluginReport, hook: str) -> list[Any]:
    """Call a hook without arguments in one plugin; return its answer, or an empty list."""
    assert _manager is not None
    plugin = _manager.get_plugin(report.name)
    implementations = [one for one in getattr(_manager.hook, hook).get_hookimpls() if one.plugin is plugin]
    answers = [one.function() for one in implementations]
    if not all(isinstance(answer, (list, tuple, type(None))) for answer in answers):
        raise ConfigError(f"{hook} must return a list; got {answers[0]!r}")
    return [item for answer in answers for item in answer or []]


def _register_parts(report: PluginReport) -> None:
    _own(report, "posegen_register")
    for record in _own(report, "posegen_catalogue"):
        catalogue.add(record, report)


def _collect_commands(report: PluginReport, found: dict[str, Command], taken: Collection[str]) -> None:
    for command in _own(report, "posegen_commands"):
        if not isinstance(command, Command):
            raise ConfigError(f"posegen_commands returned {command!r}, which is no Command")
        if command.name in taken or command.name in found:
            raise ConfigError(f"there is another command {command.name!r} already")
        found[command.name] = command


def _unload(report: PluginReport, parts: bool = True) -> None:
    from .registry import REGISTRIES

    assert _manager is not None
    plugin = _manager.get_plugin(report.name)
    if plugin is not None and all(other is report or other.error for other in _reports if other.name == report.name):
        _manager.unregister(plugin)
    catalogue.remove(report)
    if report in _unloaded:
        _unloaded.remove(report)
    for registry in REGISTRIES if parts else ():
        for name in [name for name, part in registry.module_dict.items() if owner(part) is report]:
            del registry.module_dict[name]
    if report.module.startswith(FILE_MODULES):
        sys.modules.pop(report.module, None)
