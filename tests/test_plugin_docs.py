"""The pages for authors of plugins: their code runs, is as short as they say, and no hook or check is missing."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from pathlib import Path

import pytest

from posegen import catalogue, hookspecs, plugins, testing
from posegen.cli import COMMANDS, main
from posegen.data import KeypointLayout, Keypoints, get_layout
from posegen.registry import DATASETS, KINDS, METRICS, STRUCTURE_ENCODERS
from posegen.testing import check_dataset, check_metric, check_structure_encoder, posegen_plugin  # noqa: F401

from .conftest import CONFIGS

DOCS = CONFIGS.parent / "docs"
WRITING, HOOK_PAGE, TESTING = (
    (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("writing_plugins", "plugin_hooks", "testing_plugins")
)
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("posegen_")}
FEW = [
    "--cfg-options", "flow_iters=2", "full_iters=2", "batch_size=2", "train_dataloader.dataset.length=9",
    "val_dataloader.dataset.length=2", "test_dataloader.dataset.length=2",
    *(f"{loader}_dataloader.num_workers=1" for loader in ("train", "val", "test")),  # a worker has the plugin too
]  # fmt: skip
LAST = 4  # iterations of both stages


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def files(page: str) -> dict[str, str]:
    """The Python blocks of a page that begin with the name of a file."""
    named = [re.match(r"# (\w+\.py)\n", block) for block in blocks(page, "python")]
    return {match[1]: match.string for match in named if match}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the files of the pages, in which one stands."""
    for name, text in (files(WRITING) | files(TESTING)).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "configs").symlink_to(CONFIGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "lines"), [("my_squares.py", 60), ("my_brightness.py", 20)])
def test_a_plugin_is_as_short_as_promised(name, lines):
    assert len(files(WRITING)[name].splitlines()) < lines


def test_the_domain_of_one_file_keeps_the_contract(folder, posegen_plugin):  # noqa: F811
    posegen_plugin(folder / "my_squares.py")
    heatmaps = dict(type="HeatmapEncoder", layout="square", sigma=2)
    check_dataset(DATASETS.build_part(dict(type="Squares", length=40, structure=heatmaps, size=(32, 40))), samples=40)
    corners = Keypoints([[4, 5], [20, 5], [4, 21], [20, 21]], [True] * 4)
    check_structure_encoder(STRUCTURE_ENCODERS.build_part(heatmaps), corners, (32, 32))


def test_the_metric_keeps_the_contract(folder, posegen_plugin):  # noqa: F811
    posegen_plugin(folder / "my_brightness.py")
    check_metric(METRICS.build_part(dict(type="Brightness")))


def test_the_commands_of_the_page_list_train_and_test_the_domain(folder, capsys):
    (console,) = blocks(WRITING, "console")
    assert "iter_2200.pth" in console
    for command in console.replace("iter_2200.pth", f"iter_{LAST}.pth").splitlines():
        program, *arguments = shlex.split(command)
        assert program == "posegen"
        with plugins.temporary():  # every command starts without the plugins of the one before
            assert main([*arguments, *(FEW if arguments[0] in ("train", "test") else [])]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^datasets +Squares +my_squares.py ", shown, re.MULTILINE)
    run = folder / "work_dirs" / "squares"
    assert json.loads((run / "metrics.json").read_text())["metrics"].keys() >= {"brightness", "psnr", "epe"}
    with plugins.temporary():  # what is written beside a run loads again, from anywhere, without --plugin
        checkpoint = ["--work-dir", str(folder / "again")]
        assert main(["test", str(run / "squares_config.py"), str(run / f"iter_{LAST}.pth"), *checkpoint]) == 0
    assert "Squares" not in DATASETS.module_dict


def test_the_test_file_of_the_page_passes(folder):
    names = [name for name in files(TESTING) if name.startswith("test_")]
    assert "conftest.py" in files(TESTING)
    assert names == ["test_my_plugin.py"]
    space: dict = {}
    exec(compile(files(TESTING)[names[0]], names[0], "exec"), space)
    tests = [value for name, value in space.items() if name.startswith("test_")]
    assert len(tests) >= 4
    for test in tests:
        with plugins.temporary():
            test(testing._load)


# The hooks


def sections(page: str) -> dict[str, str]:
    parts = re.split(r"^## (\w+)\((.*)\)$", page, flags=re.MULTILINE)[1:]
    return {
        name: f"{arguments}\n{text}" for name, arguments, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


def test_the_page_of_hooks_has_every_hook_and_no_other():
    assert sections(HOOK_PAGE).keys() == HOOKS.keys()
    assert f"hook version {hookspecs.HOOK_VERSION}." in HOOK_PAGE


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_a_hook_is_documented_with_its_arguments_and_an_example(name):
    arguments, _, text = sections(HOOK_PAGE)[name].partition("\n")
    assert arguments == ", ".join(inspect.signature(HOOKS[name]).parameters)
    assert f"def {name}(" in text, "no example"


@pytest.mark.parametrize("name", sorted(HOOKS))
def test_the_example_of_a_hook_loads(name, posegen_plugin, tmp_path):  # noqa: F811
    (example,) = blocks(sections(HOOK_PAGE)[name], "python")
    path = tmp_path / "example.py"
    path.write_text(f"from posegen.hookspecs import hookimpl\n{example}")
    if name == "posegen_register":  # imports the modules of a package
        compile(example, "example.py", "exec")
        return
    assert posegen_plugin(path).hooks == [name]


# What the pages name


@pytest.mark.parametrize("name", [name for name in vars(testing) if name.startswith("check_")])
def test_every_check_is_documented_with_its_arguments(name):
    parameters = inspect.signature(getattr(testing, name)).parameters.values()
    shown = ", ".join(str(p.replace(annotation=p.empty)).replace(" = ", "=") for p in parameters)
    assert f"`{name}({shown})`" in TESTING or f"`{name}`" in TESTING


def test_kinds_registries_and_commands_that_the_pages_name_exist():
    for kind in re.findall(r"^\| (`[\w-]+`(?:, `[\w-]+`)*) \| `[A-Z_]+`", WRITING, re.MULTILINE):
        assert set(re.findall(r"[\w-]+", kind)) <= set(KINDS)
    for command in re.findall(r"posegen (\w+)", " ".join(re.findall(r"`(posegen [^`]*)`", WRITING + TESTING))):
        assert command in COMMANDS
    for kind, name in re.findall(r"`posegen show ([\w-]+) (\w+)`", WRITING):
        assert kind == "KIND" or KINDS[kind].get(name)


def test_the_pages_link_to_what_is_there():
    for page in (WRITING, HOOK_PAGE, TESTING):
        for link in re.findall(r"\]\(([^)#:]+)\)", page):
            assert (DOCS / link).exists()


def test_a_layout_of_a_file_is_gone_with_it(folder):
    with plugins.temporary():
        plugins.load_named("my_squares.py")
        assert len(get_layout("square")) == 4
    assert Path("my_squares.py").exists()
    assert "square" not in [layout.name for layout in catalogue.all(KeypointLayout)]
