"""The wheel alone, installed away from the clone: the command, plugins, configs, the shipped model and the page."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from .conftest import CONFIGS

ROOT = CONFIGS.parent
pytestmark = pytest.mark.slow

IN_ONE_PROCESS = """
import contextlib, importlib.util, io, json, pathlib
import posegen, posegen.cli, posegen_app, posegen_study

def said(*arguments):
    with contextlib.redirect_stdout(io.StringIO()) as shown, contextlib.suppress(SystemExit):
        posegen.cli.main(arguments)
    return shown.getvalue()

if importlib.util.find_spec("gradio") is not None:
    import posegen_app.page, posegen_study.page
print(json.dumps({
    "posegen": posegen.__file__,
    "help": said("--help"),
    "plugins": said("plugins"),
    "configs": said("configs"),
    "weights": sum(value.numel() for value in posegen.from_pretrained("paperdolls").parameters()),
    "page": [path.name for page in (posegen_app, posegen_study)
             for path in pathlib.Path(page.__file__).with_name("components").iterdir()],
}))
"""


def run(*command: object, **options: object) -> str:
    """Run a command that must succeed, and return its output."""
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, **options)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel; to build it, pip fetches the build backend."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (built,) = folder.glob("posegen-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """An environment with the wheel, which borrows the libraries of this one, but not what was installed for editing:
    of a folder that a .pth file names, .pth files are not read."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel)
    packages = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    return folder


@pytest.fixture
def environment() -> dict[str, str]:
    """Without anything that leads to the clone."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {
        "OMP_NUM_THREADS": "1"
    }


def test_the_wheel_holds_every_file_of_the_packages_and_every_config(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    packages = [ROOT / "posegen", *(path for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").is_file())]
    packages.remove(ROOT / "plugins" / "comfyui_posegen")  # for ComfyUI's folder custom_nodes
    files = [file for package in packages for file in package.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    kept = [file for file in files if not any(part.startswith(".") for part in file.relative_to(ROOT).parts)]
    wanted = {file.relative_to(ROOT).as_posix().removeprefix("plugins/") for file in kept}
    wanted |= {f"posegen/configs/{path.relative_to(CONFIGS).as_posix()}" for path in CONFIGS.rglob("*.py")}
    assert wanted - names == set()
    shared = "posegen_people/shared/paperdolls/model.safetensors"
    assert {"posegen/py.typed", "posegen/sharing/model_card.md", shared} <= names
    assert not [name for name in names if name.startswith(("tests", "docs", "configs"))]


def test_the_wheel_alone_gives_plugins_configs_model_and_page(installed, environment, tmp_path):
    said = json.loads(run(installed / "bin" / "python", "-c", IN_ONE_PROCESS, cwd=tmp_path, env=environment))
    assert Path(said["posegen"]).is_relative_to(installed)
    assert "example" in said["help"]
    plugins = {line.split()[0]: line for line in said["plugins"].splitlines()[1:]}
    assert plugins.keys() == {"people", "metrics", "faces", "dance", "blazepose", "views", "people3d", "app", "study"}
    assert all(str(installed) in line for line in plugins.values())
    names = {path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.rglob("*.py")}
    listed = {line.split()[0] for line in said["configs"].splitlines()[1:]}
    assert listed == {name for name in names if not name.startswith("_base_")}
    assert said["weights"] > 1_000_000
    assert {"pose_editor.html", "pose_editor.css", "pose_editor.js", "pair.js"} <= set(said["page"])
    assert {"app", "study", "keypoints"} <= set(said["help"].split())


def test_the_command_draws_an_example_and_what_it_prints_works(installed, environment, tmp_path):
    posegen = installed / "bin" / "posegen"
    shown = run(posegen, "example", "paperdolls", "dolls", cwd=tmp_path, env=environment)
    (first, *_) = [shlex.split(line) for line in shown.splitlines() if line.startswith("  posegen transfer ")]
    run(posegen, *first[1:], cwd=tmp_path, env=environment)
    assert (tmp_path / "dolls" / "moved.png").stat().st_size > 1000
    run(posegen, "configs", "--copy", "gfla_market", "mine", cwd=tmp_path, env=environment)
    assert (tmp_path / "mine" / "gfla_market.py").read_bytes() == (CONFIGS / "gfla_market.py").read_bytes()
