"""The page for authors of plugins: its code runs and is as short as promised, and no hook, check or kind is missing."""

from __future__ import annotations

import argparse
import inspect
import json
import re
import shlex

import pytest

from posegen import hookspecs, plugins, testing
from posegen.cli import main
from posegen.data import Keypoints, get_layout
from posegen.errors import UnknownNameError
from posegen.registry import DATASETS, KINDS

from .conftest import CONFIGS

PAGE = (CONFIGS.parent / "docs" / "writing_plugins.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
FILES = {match[1]: match.string for match in (re.match(r"# (\w+\.py)\n", block) for block in PYTHON) if match}
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("posegen_")}
FEW = [
    "--cfg-options", "flow_iters=2", "full_iters=2", "batch_size=2", "train_dataloader.dataset.length=9",
    "val_dataloader.dataset.length=2", "test_dataloader.dataset.length=2",
    *(f"{loader}_dataloader.num_workers=1" for loader in ("train", "val", "test")),  # a worker has the plugin too
]  # fmt: skip
LAST = 4  # iterations of both stages


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Working directory with the files of the page."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "configs").symlink_to(CONFIGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "lines"), [("my_squares.py", 60), ("my_brightness.py", 20)])
def test_a_plugin_is_as_short_as_promised(name, lines):
    assert len(FILES[name].splitlines()) < lines


def test_the_commands_of_the_page_list_train_and_test_the_domain(folder, capsys):
    (console,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
    assert "iter_2200.pth" in console
    for command in console.replace("iter_2200.pth", f"iter_{LAST}.pth").splitlines():
        _program, *arguments = shlex.split(command)
        with plugins.temporary():  # every command starts without the plugins of the one before
            assert main([*arguments, *(FEW if arguments[0] in ("train", "test") else [])]) == 0
    assert re.search(r"^datasets +Squares +my_squares.py ", capsys.readouterr().out, re.MULTILINE)
    run = folder / "work_dirs" / "squares"
    assert json.loads((run / "metrics.json").read_text())["metrics"].keys() >= {"brightness", "psnr", "epe"}
    with plugins.temporary():  # the config beside a run names its plugins: it loads from anywhere without --plugin
        checkpoint = ["--work-dir", str(folder / "again")]
        assert main(["test", str(run / "squares_config.py"), str(run / f"iter_{LAST}.pth"), *checkpoint]) == 0
    assert "Squares" not in DATASETS.module_dict
    with pytest.raises(UnknownNameError):
        get_layout("square")


def test_the_test_file_of_the_page_passes(folder):
    assert "pytest_plugins" in FILES["conftest.py"]
    space: dict = {}
    exec(compile(FILES["test_my_plugin.py"], "test_my_plugin.py", "exec"), space)
    tests = [value for name, value in space.items() if name.startswith("test_")]
    assert len(tests) >= 4
    for test in tests:
        with plugins.temporary():
            test(testing._load)


def test_the_key_point_format_of_the_page_is_read(folder, tmp_path):
    (block,) = [block for block in PYTHON if "def posegen_read_keypoints" in block]
    (tmp_path / "my_format.py").write_text(block)
    (tmp_path / "me.txt").write_text("3 4 1\n" * 17 + "0 0 0\n")
    with plugins.temporary():
        assert plugins.load_named("my_format.py").hooks == ["posegen_read_keypoints"]
        layout = get_layout("openpose18")
        read = plugins.first("posegen_read_keypoints", path=tmp_path / "me.txt", layout=layout, image=None)
    assert isinstance(read, Keypoints)
    assert list(read.present) == [True] * 17 + [False]


def test_the_command_of_the_page_runs(folder, capsys, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    import my_command

    (command,) = my_command.posegen_commands()
    assert (command.name, command.module) == ("hello", "my_command")
    parser = argparse.ArgumentParser()
    my_command.add_arguments(parser)
    assert my_command.run(parser.parse_args(["you"])) == 0
    assert capsys.readouterr().out == "hello you\n"


def test_the_page_lists_every_hook_with_its_arguments():
    listed = dict(re.findall(r"^\| `(posegen_\w+)\((.*?)\)` \|", PAGE, re.MULTILINE))
    assert listed == {name: ", ".join(inspect.signature(hook).parameters) for name, hook in HOOKS.items()}


def test_the_page_lists_every_check_with_its_arguments():
    for name in [name for name in vars(testing) if name.startswith("check_")]:
        parameters = inspect.signature(getattr(testing, name)).parameters.values()
        shown = ", ".join(str(p.replace(annotation=p.empty)).replace(" = ", "=") for p in parameters)
        assert f"`{name}({shown})`" in PAGE


def test_the_kinds_and_parts_that_the_page_names_exist():
    for kinds in re.findall(r"^\| (`[\w-]+`(?:, `[\w-]+`)*) \| `[A-Z_]+`", PAGE, re.MULTILINE):
        assert set(re.findall(r"[\w-]+", kinds)) <= set(KINDS)
    for kind, name in re.findall(r"`posegen show ([\w-]+) (\w+)`", PAGE):
        assert kind == "KIND" or KINDS[kind].get(name)
