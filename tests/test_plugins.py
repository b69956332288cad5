"""Plugins: found by entry points, files and modules; one that fails is reported and does not affect the others."""

from __future__ import annotations

import importlib.metadata
import inspect
import pickle
import sys
import types

import pytest

from posegen import catalogue, hookspecs, plugins
from posegen.cli import main
from posegen.config import load_config, unresolved
from posegen.data import KeypointLayout, get_layout
from posegen.errors import ConfigError, DataError, PosegenError, UnknownNameError
from posegen.registry import KINDS, METRICS, REGISTRIES
from posegen.version import __version__

HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("posegen_")}


@pytest.fixture
def installed(monkeypatch):
    """Install plugins beside the real ones, given by name and source, and load all anew."""
    monkeypatch.setattr(plugins, "_manager", None)
    monkeypatch.setattr(plugins, "_reports", [])
    monkeypatch.setattr(plugins, "_unloaded", [])
    monkeypatch.setattr(catalogue, "_entries", [])
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

    yield install
    for registry in REGISTRIES:
        for name in [n for n, part in registry.module_dict.items() if part.__module__.startswith("a_plugin_")]:
            del registry.module_dict[name]


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


def test_shipped_plugins_are_entry_points_like_any_other():
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
    assert catalogue.all(KeypointLayout)


def test_the_error_for_an_unknown_name_lists_plugins_that_failed(installed):
    installed(bad="1 / 0")
    with pytest.raises(UnknownNameError, match="plugin 'bad' failed to load: ZeroDivisionError"):
        METRICS.get("MetricOfTheBadPlugin")


def test_one_module_under_two_names_is_loaded_once(installed, monkeypatch):
    twice = [*plugins._entry_points(), importlib.metadata.EntryPoint("zzz", "posegen_people", plugins.GROUP)]
    monkeypatch.setattr(plugins, "_entry_points", lambda: twice)

    reports = by_name(plugins.load())

    assert "already registered" in reports["zzz"].error
    assert reports["people"].error == ""
    assert catalogue.all(KeypointLayout)


def test_plugins_are_loaded_once_per_process(installed):
    installed(counting="import sys; sys.a_plugin_loaded = getattr(sys, 'a_plugin_loaded', 0) + 1")
    plugins.load()
    assert sys.__dict__.pop("a_plugin_loaded") == 1


def test_the_command_lists_name_origin_and_hooks(capsys):
    status = main(["plugins"])
    shown = capsys.readouterr().out
    assert status == (1 if any(report.error for report in plugins.load()) else 0)
    people = next(line for line in shown.splitlines() if line.startswith("people"))
    for expected in ("posegen ", "posegen_people/__init__.py", "posegen_read_keypoints", "posegen_catalogue"):
        assert expected in people


def test_the_command_names_a_plugin_that_failed(installed, capsys):
    installed(bad="import a_library_that_is_not_there")
    assert main(["plugins"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("bad") and "a_library_that_is_not_there" in line for line in lines)
    assert any(line.startswith("metrics") and "posegen_register" in line for line in lines)


# Calling plugins


LAYOUT = """
from posegen.data import KeypointLayout
from posegen.hookspecs import hookimpl
@hookimpl
def posegen_catalogue():
    return [KeypointLayout({name!r}, ("a",), (0,), (), ((0, 0, 0),))]
"""


def test_a_function_without_the_mark_is_not_called(installed):
    report = by_name(installed(mine="def posegen_register(): 1 / 0"))["mine"]
    assert (report.hooks, report.error) == ([], "")


def test_a_plugin_that_fails_while_registering_implements_no_hooks(installed):
    source = LAYOUT.format(name="of_the_bad") + IMPLEMENTATION.format("posegen_register()", "1 / 0")
    report = by_name(installed(bad=source))["bad"]
    assert (report.hooks, report.error) == ([], "ZeroDivisionError: division by zero")
    with pytest.raises(ConfigError, match="no keypoint layout is called 'of_the_bad'"):
        get_layout("of_the_bad")


def test_a_layout_comes_from_the_plugin_that_brings_it(installed):
    installed(mine=LAYOUT.format(name="one_point"))
    assert len(get_layout("one_point")) == 1


def test_of_two_layouts_with_one_name_the_second_plugin_is_left_out(installed):
    reports = installed(mine=LAYOUT.format(name="one_point"), yours=LAYOUT.format(name="one_point"))
    error = by_name(reports)["yours"].error
    assert "two plugins bring a keypoint layout called 'one_point': 'mine'" in error
    assert catalogue.owner_of(get_layout("one_point")).name == "mine"


@pytest.mark.parametrize(("answer", "words"), [("1 / 0", "ZeroDivisionError"), ("[7]", "no record"), ("7", "a list")])
def test_a_plugin_whose_catalogue_fails_is_left_out(installed, answer, words):
    report = by_name(installed(bad=IMPLEMENTATION.format("posegen_catalogue()", answer)))["bad"]
    assert words in report.error
    assert get_layout("openpose18")


READER = """
from posegen.errors import DataError
from posegen.hookspecs import hookimpl
@hookimpl
def posegen_read_keypoints(path): {}
"""


def test_a_plugin_that_fails_to_read_key_points_is_named(installed):
    installed(bad=READER.format("1 / 0"))
    with pytest.raises(PosegenError, match="plugin 'bad' failed in posegen_read_keypoints: ZeroDivisionError"):
        plugins.first("posegen_read_keypoints", path="x.json", layout=get_layout("openpose18"), image=None)


def test_a_data_error_of_a_plugin_is_passed_on(installed):
    installed(mine=READER.format("raise DataError(path, 'row 3: bad')"))
    with pytest.raises(DataError, match="row 3: bad"):
        plugins.first("posegen_read_keypoints", path="x.json", layout=get_layout("openpose18"), image=None)


def test_a_hook_wrapper_is_refused(installed):
    source = "from posegen.hookspecs import hookimpl\n@hookimpl(wrapper=True)\ndef posegen_register(): yield\n"
    assert "hook wrapper" in by_name(installed(bad=source))["bad"].error


# Commands


COMMAND = """
from posegen.hookspecs import Command, hookimpl
@hookimpl
def posegen_commands():
    return [Command({name!r}, "Say hello.", "a_command_of_a_test")]
"""


@pytest.fixture
def hello(monkeypatch):
    """Make the module of a command importable."""
    module = types.ModuleType("a_command_of_a_test")
    module.add_arguments = lambda parser: parser.add_argument("--to", default="you")
    module.run = lambda parsed: print(f"hello {parsed.to}") or 3
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("hello")
def test_a_plugin_brings_a_command(installed, capsys):
    installed(mine=COMMAND.format(name="hello"))
    assert main(["hello", "--to", "them"]) == 3
    assert capsys.readouterr().out == "hello them\n"
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "Say hello." in capsys.readouterr().out


def test_a_plugin_with_a_command_that_exists_is_left_out(installed):
    installed(mine=COMMAND.format(name="train"))
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "another command 'train'" in by_name(plugins.load())["mine"].error


# Conflicting names


def registering(name, kind="METRICS"):
    return (
        f"from posegen.hookspecs import hookimpl\nfrom posegen.registry import {kind}\n"
        f"@hookimpl\ndef posegen_register():\n"
        f"    @{kind}.register_module(name='{name}a')\n    class First: 'One.'\n"
        f"    @{kind}.register_module(name='{name}')\n    class Second: 'Two.'\n"
        "    First.__module__ = Second.__module__ = __name__\n"
    )


@pytest.fixture(autouse=True)
def clean():
    """Unload the plugins of a test."""
    with plugins.temporary():
        yield


def test_two_plugins_that_register_one_name_are_both_named_and_the_first_stays(installed):
    reports = by_name(
        installed(mine=registering("Sharpness"), yours=registering("Sharpness").replace("namea", "nameb"))
    )
    assert reports["mine"].error == ""
    error = reports["yours"].error
    for words in ("'Sharpnessa', a metric each", "plugin 'mine' (? ?), which stays", "plugin 'yours' (? ?)"):
        assert words in error
    assert METRICS.get("Sharpness").__module__ == "a_plugin_mine"


def test_a_plugin_cannot_replace_a_shipped_part(installed, capsys):
    reports = by_name(installed(aaa=registering("PSNR")))  # first by name
    assert "plugin 'metrics' (posegen " in reports["aaa"].error
    assert reports["metrics"].error == ""
    assert METRICS.get("PSNR").__module__ == "posegen_metrics.psnr"
    assert "PSNRa" not in METRICS.module_dict, "a part of a plugin that failed stayed"
    assert main(["plugins"]) == 1
    assert "two parts are called 'PSNR'" in capsys.readouterr().out


def test_a_plugin_cannot_replace_a_part_of_the_core(installed):
    reports = by_name(installed(mine=registering("StyleLoss", "LOSSES")))
    assert f"posegen {__version__} itself, which stays" in reports["mine"].error


def test_parts_that_a_failing_plugin_registered_at_its_import_are_gone(installed):
    source = "from posegen.registry import METRICS\n@METRICS.register_module()\nclass Early: 'x'\n1 / 0"
    installed(bad=source)
    assert "Early" not in METRICS.module_dict


def test_the_second_of_two_plugins_with_one_name_is_left_out(installed):
    reports = installed(people="x = 1")
    refused = [report for report in reports if report.name == "people" and report.error]
    assert len(refused) == 1
    assert f"two plugins are called 'people': that of posegen {__version__}, which is used" in refused[0].error
    assert get_layout("openpose18")


# Versions and names of hooks


@pytest.mark.parametrize("version", [hookspecs.HOOK_VERSION + 1, hookspecs.HOOK_VERSION - 1, "'x'"])
def test_a_plugin_of_another_hook_version_is_refused_with_both_versions(installed, version):
    source = f"posegen_hook_version = {version}\n" + IMPLEMENTATION.format("posegen_that_is_new()", "1")
    error = by_name(installed(mine=source))["mine"].error
    for words in (
        f"hook version {str(version).strip(chr(39))} ",
        f"posegen {__version__}",
        f"hook version {hookspecs.HOOK_VERSION}:",
    ):
        assert words in error
    assert METRICS.get("PSNR")


def test_a_plugin_of_this_hook_version_is_loaded(installed):
    source = f"posegen_hook_version = {hookspecs.HOOK_VERSION}\n" + IMPLEMENTATION.format("posegen_register()", "None")
    assert by_name(installed(mine=source))["mine"].error == ""


def test_an_unknown_hook_is_refused_with_the_nearest_one(installed):
    error = by_name(installed(bad=IMPLEMENTATION.format("posegen_catalog()", "[]")))["bad"].error
    assert "unknown hook 'posegen_catalog'; did you mean 'posegen_catalogue'?" in error
    assert all(name in error for name in HOOKS)


# Files and modules


PART = """
from posegen.evaluation import PairMetric
from posegen.registry import METRICS
@METRICS.register_module()
class FileMetric(PairMetric):
    '''Measures something.'''
    def __init__(self, strength: float = 2.5, *, unit: str):
        super().__init__()
    def measure(self, batch, out):
        return {}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "my_file.py"
    path.write_text(PART)
    return path


def test_a_file_is_a_plugin_and_is_run_once(file):
    report = plugins.load_named(file)
    assert (report.name, report.location) == ("my_file.py", str(file))
    assert plugins.load_named(str(file)) is report
    part = METRICS.get("FileMetric")
    assert plugins.owner(part) is report
    assert pickle.loads(pickle.dumps(part)) is part  # a worker finds it


def test_files_of_one_name_are_two_plugins(file, tmp_path):
    other = tmp_path / "other" / file.name
    other.parent.mkdir()
    other.write_text(PART.replace("FileMetric", "OtherFileMetric"))
    first, second = plugins.load_named(file), plugins.load_named(other)
    assert first.module != second.module
    assert (first.name, second.name) == ("my_file.py", str(other))
    assert [plugins.owner(METRICS.get(name)) for name in ("FileMetric", "OtherFileMetric")] == [first, second]


def test_two_files_that_register_one_name_are_both_named(file, tmp_path):
    other = tmp_path / "other.py"
    other.write_text(PART)
    plugins.load_named(file)
    with pytest.raises(ConfigError, match=r"'other.py', line 4.*plugin 'my_file.py' \(.*, which stays"):
        plugins.load_named(other)
    assert [report.name for report in plugins.load() if report.module.startswith(plugins.FILE_MODULES)] == [
        "my_file.py"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n1 / 0", "plugin 'my_file.py', line 2: ZeroDivisionError"),
        ("def (", "SyntaxError"),
        ("posegen_hook_version = 99", "made for hook version 99"),
        (IMPLEMENTATION.format("posegen_registre()", "None"), "did you mean 'posegen_register'"),
    ],
)
def test_a_file_that_fails_is_an_error_and_can_be_fixed_and_loaded(file, text, words):
    file.write_text(text)
    with pytest.raises(ConfigError, match=words):
        plugins.load_named(file)
    file.write_text(f"# mended\n{PART}")
    assert plugins.load_named(file).error == ""


def test_a_missing_file_is_an_error_with_the_nearest_name(file):
    with pytest.raises(ConfigError, match=r"there is no plugin file .*my_fiel.py; did you mean 'my_file.py'"):
        plugins.load_named(file.with_name("my_fiel.py"))


def test_a_module_is_a_plugin_by_its_name(file, monkeypatch):
    monkeypatch.syspath_prepend(file.parent)
    report = plugins.load_named("my_file")
    assert (report.name, report.location) == ("my_file", str(file))
    assert plugins.load_named("posegen_people").distribution == "posegen"  # is loaded already
    sys.modules.pop("my_file")


def test_a_missing_module_is_an_error():
    with pytest.raises(ConfigError, match="plugin 'no_such_module': ModuleNotFoundError"):
        plugins.load_named("no_such_module")


# In configs


def with_plugins(derived, names):
    return derived(f"plugins = {names!r}\ntest_evaluator = [dict(type='FileMetric', unit='m')]")


def test_a_config_names_its_plugins_relative_to_itself(derived, file, monkeypatch, tmp_path):
    monkeypatch.chdir("/")
    config = load_config(with_plugins(derived, ["my_file.py"]))
    assert list(config.plugins) == [str(file)]
    assert "FileMetric" in METRICS.module_dict


def test_the_config_written_beside_a_run_names_its_plugins(derived, file, tmp_path):
    path = with_plugins(derived, [])
    written = tmp_path / "elsewhere" / "written.py"
    written.parent.mkdir()
    with plugins.temporary():
        unresolved(load_config(path, plugin_files=[file])).dump(written)
    assert "FileMetric" not in METRICS.module_dict
    assert list(load_config(written).plugins) == [str(file)]
    assert "FileMetric" in METRICS.module_dict


def test_a_base_config_names_a_file_beside_itself(derived, file, tmp_path):
    with_plugins(derived, ["{{ fileDirname }}/my_file.py"])
    heir = tmp_path / "deeper" / "heir.py"
    heir.parent.mkdir()
    heir.write_text('_base_ = "../derived.py"')
    assert list(load_config(heir).plugins) == [str(file)]


def test_a_plugin_is_loaded_before_its_parts_are_checked(derived, file):
    path = derived("plugins = ['my_file.py']\ntest_evaluator = [dict(type='FileMetric', strenght=1)]")
    with pytest.raises(ConfigError, match="no argument 'strenght'; did you mean 'strength'"):
        load_config(path)


@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_a_config_that_is_data_runs_no_code_by_itself(derived, file, ending, tmp_path):
    path = tmp_path / f"data.{ending}"
    with plugins.temporary():
        unresolved(load_config(with_plugins(derived, ["my_file.py"]))).dump(path)
    with pytest.raises(ConfigError, match=rf"wants to run code, the plugins {file}.*\n.*--plugin {file}"):
        load_config(path)
    assert "FileMetric" not in METRICS.module_dict
    assert list(load_config(path, plugin_files=[file]).plugins) == [str(file)]


@pytest.mark.parametrize("value", ["my_file.py", [3]])
def test_plugins_in_a_config_must_be_a_list_of_texts(derived, value):
    with pytest.raises(ConfigError, match="'plugins' is a list of files and modules"):
        load_config(with_plugins(derived, value))


# The commands


def test_show_prints_origin_arguments_defaults_and_docstring(file, capsys):
    assert main(["show", "metrics", "FileMetric", "--plugin", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    words = [line.split() for line in lines]
    assert lines[0] == "FileMetric, one of the metrics"
    assert ["plugin", "my_file.py", "(a", "file)"] in words
    assert ["file", str(file)] in words
    assert ["strength", "2.5", "float"] in words
    assert ["unit", "(required)", "str"] in words
    assert "Measures something." in lines


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_show_knows_every_part(kind, capsys):
    for name in sorted(KINDS[kind].module_dict):
        assert main(["show", kind, name]) == 0
        assert "Args:" not in capsys.readouterr().out.splitlines()[0]


def test_show_of_an_unknown_part_names_the_nearest(capsys):
    assert main(["show", "metrics", "PSRN"]) == 1
    assert "did you mean 'PSNR'" in capsys.readouterr().err


def test_list_shows_the_plugin_of_each_part(file, capsys):
    assert main(["list", "metrics", "--plugin", str(file)]) == 0
    rows = {line.split()[1]: line.split()[2] for line in capsys.readouterr().out.splitlines()[1:]}
    assert (rows["PSNR"], rows["FileMetric"]) == ("metrics", "my_file.py")
    assert main(["list", "losses"]) == 0
    assert {line.split()[2] for line in capsys.readouterr().out.splitlines()[1:] if "Style" in line} == {"posegen"}


def test_plugins_shows_a_file(file, capsys):
    main(["plugins", "--plugin", str(file)])
    assert any(line.startswith("my_file.py") for line in capsys.readouterr().out.splitlines())


def test_loading_a_config_warns_of_plugins_that_failed(installed, tiny_config):
    installed(aaa=registering("PSNR"))
    with pytest.warns(UserWarning, match=r"plugin 'aaa' failed to load and is left out: .*'PSNR'"):
        load_config(tiny_config)
