"""Plugins: found by their entry point, listed with what they implement; one that fails leaves the others alone."""

from __future__ import annotations

import importlib.metadata
import inspect
import sys
import types

import pluggy
import pytest

from posegen import hookspecs, plugins
from posegen.cli import main
from posegen.data import get_layout
from posegen.errors import ConfigError, DataError, PosegenError, UnknownNameError
from posegen.registry import METRICS

HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("posegen_")}


@pytest.fixture
def installed(monkeypatch):
    """Adds plugins beside the installed ones, by name and source code; what is loaded is loaded anew."""
    monkeypatch.setattr(plugins, "_manager", None)
    monkeypatch.setattr(plugins, "_reports", [])
    real = plugins._entry_points()

    def install(**sources: str) -> list[plugins.PluginReport]:
        entries = list(real)
        for name, source in sources.items():
            module = types.ModuleType(f"a_plugin_{name}")
            module.__file__ = f"/somewhere/a_plugin_{name}.py"
            module.__dict__["__getattr__"] = _executing(source, module)
            monkeypatch.setitem(sys.modules, module.__name__, module)
            entries.append(importlib.metadata.EntryPoint(name, f"{module.__name__}:loaded", plugins.GROUP))
        monkeypatch.setattr(plugins, "_entry_points", lambda: entries)
        return plugins.load()

    return install


def _executing(source, module):
    def get(name):
        if name != "loaded":
            raise AttributeError(name)
        exec(source, module.__dict__)
        return module

    return get


IMPLEMENTATION = "from posegen.hookspecs import hookimpl\n@hookimpl\ndef {}: return {}\n"
BROKEN = {
    "import_error": ("import a_library_that_is_not_there", "ModuleNotFoundError", "a_library_that_is_not_there"),
    "syntax": ("def (", "SyntaxError", ""),
    "exits": ("raise SystemExit(3)", "SystemExit", "3"),
    "registering": (IMPLEMENTATION.format("posegen_register()", "1 / 0"), "ZeroDivisionError", "division"),
    "unknown_hook": (IMPLEMENTATION.format("posegen_registre()", "None"), "PluginValidationError", "posegen_registre"),
    "unknown_argument": (IMPLEMENTATION.format("posegen_register(x)", "None"), "PluginValidationError", "x"),
}


def by_name(reports):
    return {report.name: report for report in reports}


def test_the_shipped_plugins_come_through_the_common_door():
    reports = by_name(plugins.load())
    assert {"people", "metrics"} <= reports.keys()
    for name in ("people", "metrics"):
        entry = next(e for e in importlib.metadata.entry_points(group="posegen") if e.name == name)
        assert (reports[name].module, reports[name].distribution) == (entry.value, "posegen")
        assert reports[name].location.endswith(f"{entry.value}/__init__.py")
        assert reports[name].error == ""


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_every_hook_is_documented_and_used_by_a_shipped_plugin(name):
    assert len(inspect.getdoc(HOOKS[name]) or "") > 20  # a sentence
    shipped = [report for report in plugins.load() if report.distribution == "posegen"]
    assert any(name in report.hooks for report in shipped)


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_a_plugin_is_reported_with_the_hooks_it_implements(installed, name):
    arguments = f"{name}({', '.join(inspect.signature(HOOKS[name]).parameters)})"
    report = by_name(installed(mine=IMPLEMENTATION.format(arguments, "[]")))["mine"]
    assert report.hooks == [name]
    assert (report.error, report.location) == ("", "/somewhere/a_plugin_mine.py")


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_plugin_that_fails_is_named_with_its_error_and_the_others_work(installed, kind):
    source, error, words = BROKEN[kind]
    reports = by_name(installed(bad=source, zzz_after=IMPLEMENTATION.format("posegen_register()", "None")))

    assert reports["bad"].error.startswith(f"{error}: ")
    assert words in reports["bad"].error
    assert [name for name, report in reports.items() if report.error] == ["bad"]
    assert reports["zzz_after"].hooks == ["posegen_register"]
    assert METRICS.get("PSNR")
    assert [layout.name for found in plugins.hook().posegen_keypoint_layouts() for layout in found]


def test_an_unknown_name_tells_of_plugins_that_failed(installed):
    installed(bad="1 / 0")
    with pytest.raises(UnknownNameError, match="plugin 'bad' failed to load: ZeroDivisionError"):
        METRICS.get("MetricOfTheBadPlugin")


def test_one_module_under_two_names_is_loaded_once(installed, monkeypatch):
    installed()
    entries = plugins._entry_points()
    twice = [*entries, importlib.metadata.EntryPoint("zzz", "posegen_people", plugins.GROUP)]
    monkeypatch.setattr(plugins, "_entry_points", lambda: twice)
    monkeypatch.setattr(plugins, "_manager", None)

    reports = by_name(plugins.load())

    assert "already registered" in reports["zzz"].error
    assert reports["people"].error == ""
    assert plugins.hook().posegen_keypoint_layouts()


def test_plugins_are_loaded_once_a_process(installed):
    installed(counting="import sys; sys.a_plugin_loaded = getattr(sys, 'a_plugin_loaded', 0) + 1")
    plugins.load()
    plugins.hook()
    assert sys.__dict__.pop("a_plugin_loaded") == 1


def test_the_command_lists_name_origin_and_hooks(capsys):
    status = main(["plugins"])
    shown = capsys.readouterr().out
    assert status == (1 if any(report.error for report in plugins.load()) else 0)
    people = next(line for line in shown.splitlines() if line.startswith("people"))
    for expected in ("posegen ", "posegen_people/__init__.py", "posegen_read_keypoints", "posegen_keypoint_layouts"):
        assert expected in people


def test_the_command_names_a_plugin_that_failed(installed, capsys):
    installed(bad="import a_library_that_is_not_there")
    assert main(["plugins"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("bad") and "a_library_that_is_not_there" in line for line in lines)
    assert any(line.startswith("metrics") and "posegen_register" in line for line in lines)


def test_the_manager_is_pluggys():
    plugins.load()
    assert isinstance(plugins._manager, pluggy.PluginManager)


# What plugins do when they are called


REGISTERING = """
import sys
from posegen.hookspecs import hookimpl
@hookimpl(specname="posegen_register")
def bring_the_parts():
    from posegen import plugins
    sys.a_plugin_saw = [name for name, _ in plugins._manager.list_name_plugin()]
"""
LAYOUT = """
from posegen.data import KeypointLayout
from posegen.hookspecs import hookimpl
@hookimpl
def posegen_keypoint_layouts():
    return [KeypointLayout({name!r}, ("a",), (0,), (), ((0, 0, 0),))]
"""


def test_registering_is_by_the_mark_and_after_all_plugins_are_found(installed):
    reports = by_name(installed(mine=REGISTERING, zzz_after="x = 1"))
    assert {"mine", "zzz_after", "people"} <= set(sys.__dict__.pop("a_plugin_saw"))
    assert (reports["mine"].hooks, reports["mine"].error) == (["posegen_register"], "")


def test_a_function_without_the_mark_is_not_called(installed):
    report = by_name(installed(mine="def posegen_register(): 1 / 0"))["mine"]
    assert (report.hooks, report.error) == ([], "")


def test_a_plugin_that_fails_while_registering_is_out_of_all_hooks(installed):
    source = LAYOUT.format(name="of_the_bad") + IMPLEMENTATION.format("posegen_register()", "1 / 0")
    report = by_name(installed(bad=source))["bad"]
    assert (report.hooks, report.error) == ([], "ZeroDivisionError: division by zero")
    with pytest.raises(ConfigError, match="no key-point layout is called 'of_the_bad'"):
        get_layout("of_the_bad")


def test_a_wrapper_that_fails_takes_no_other_plugin_down(installed):
    source = (
        "from posegen.hookspecs import hookimpl\n@hookimpl(wrapper=True)\ndef posegen_register():\n    yield 1 / 0\n"
    )
    reports = installed(bad=source)
    assert [report.name for report in reports if report.error] == ["bad"]


def test_a_layout_comes_from_the_plugin_that_brings_it(installed):
    installed(mine=LAYOUT.format(name="one_point"))
    assert len(get_layout("one_point")) == 1


def test_two_layouts_of_one_name_are_an_error_that_names_both_plugins(installed):
    installed(mine=LAYOUT.format(name="one_point"), yours=LAYOUT.format(name="one_point"))
    with pytest.raises(ConfigError, match="'mine' and 'yours' both bring a key-point layout called 'one_point'"):
        get_layout("one_point")
    assert get_layout("openpose18")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("1 / 0", "plugin 'bad' failed in posegen_keypoint_layouts: ZeroDivisionError"),
        ("[7]", "plugin 'bad'.*gives no"),
    ],
)
def test_a_plugin_whose_layouts_fail_is_named(installed, answer, words):
    installed(bad=IMPLEMENTATION.format("posegen_keypoint_layouts()", answer))
    with pytest.raises(PosegenError, match=words):
        get_layout("openpose18")


READER = """
from posegen.errors import DataError
from posegen.hookspecs import hookimpl
@hookimpl
def posegen_read_keypoints(path): {}
"""


def test_a_plugin_that_fails_to_read_key_points_is_named(installed):
    installed(bad=READER.format("1 / 0"))
    with pytest.raises(PosegenError, match="plugin 'bad' failed in posegen_read_keypoints: ZeroDivisionError"):
        list(plugins.call_each("posegen_read_keypoints", path="x.json", layout=get_layout("openpose18"), image=None))


def test_an_error_of_ours_from_a_plugin_stays_as_it_is(installed):
    installed(mine=READER.format("raise DataError(path, 'row 3: bad')"))
    with pytest.raises(DataError, match="row 3: bad"):
        list(plugins.call_each("posegen_read_keypoints", path="x.json", layout=get_layout("openpose18"), image=None))


def test_a_wrapper_sees_the_answers_of_the_others(installed):
    installed(
        mine=LAYOUT.format(name="one_point"),
        wrapper="from posegen.hookspecs import hookimpl\n@hookimpl(wrapper=True)\n"
        "def posegen_keypoint_layouts():\n    found = yield\n    return [list(one) for one in found]\n",
    )
    answers = dict(plugins.call_each("posegen_keypoint_layouts"))
    assert "wrapper" not in answers
    assert [layout.name for layout in answers["mine"]] == ["one_point"]
    assert isinstance(answers["people"], list)
