"""The Dockerfile: parsed everywhere, its files enough for the wheel; built and run where Docker is."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import zipfile

import pytest

from posegen import cli

from .conftest import CONFIGS

ROOT = CONFIGS.parent
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
LINES = [line for line in TEXT.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
INSTRUCTIONS = [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in LINES]
KNOWN = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "ENTRYPOINT", "CMD"}


def given(name: str) -> list[str]:
    return [argument for instruction, argument in INSTRUCTIONS if instruction == name]


def copied() -> list[str]:
    return [source for copy in given("COPY") for source in copy.split()[:-1]]


def test_it_starts_from_one_image_of_the_python_that_the_constraints_are_for():
    assert {name for name, _ in INSTRUCTIONS} <= KNOWN
    (image,) = given("FROM")
    assert INSTRUCTIONS[0] == ("FROM", image)
    assert re.fullmatch(r"python:3\.11-slim-\w+", image)
    assert "on Python 3.11" in (ROOT / "constraints.txt").read_text()


def test_every_installation_is_pinned_and_torch_is_the_cpus_unless_asked_for():
    installs = [run for run in given("RUN") if "pip install" in run]
    assert len(installs) == 2
    for install in installs:
        assert "-c constraints.txt" in install
        assert '--extra-index-url "$TORCH_INDEX"' in install  # else the second one could replace torch
    assert "TORCH_INDEX=https://download.pytorch.org/whl/cpu" in given("ARG")
    pinned = (ROOT / "constraints.txt").read_text()
    assert all(f"\n{package}==" in pinned for package in ("torch", "torchvision"))


def test_it_runs_posegen_and_not_as_root():
    assert given("USER") == ["1000"]
    assert any("useradd --uid 1000" in run for run in given("RUN"))
    names = [name for name, _ in INSTRUCTIONS]
    assert max(index for index, name in enumerate(names) if name == "RUN") < names.index("USER")
    assert given("ENTRYPOINT") == ['["posegen"]']


def test_only_what_is_copied_reaches_the_builder():
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in rules
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied())
    assert all((ROOT / source).exists() for source in copied())


def test_docker_commands_of_the_pages_run_commands_of_posegen(capsys):
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^ {4}docker run .*? (?:posegen|posegen:cuda) (.*)$", page, re.MULTILINE)
    assert any(line.startswith("app people3d --host 0.0.0.0") for line in lines)
    for line in lines:
        with pytest.raises(SystemExit):
            cli.main([*shlex.split(line, comments=True), "--no-such-option"])
        assert "unrecognized arguments: --no-such-option\n" in capsys.readouterr().err
    built = re.findall(r"--build-arg (\w+)=", page + TEXT)
    assert set(built) == {argument.split("=")[0] for argument in given("ARG")}


@pytest.mark.slow
def test_the_copied_files_are_enough_for_the_wheel(tmp_path):
    for source in copied():
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, tmp_path / source)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path / "dist", tmp_path]
    subprocess.run(command, check=True, cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("posegen-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"posegen_app/page.py", "posegen/configs/gfla_market.py"} <= names
    assert any(name.endswith("paperdolls/model.safetensors") for name in names)


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def image() -> str:
    """The image, built."""
    if shutil.which("docker") is None or subprocess.run(["docker", "info"], capture_output=True).returncode:
        pytest.skip("no Docker, or its daemon does not run")
    docker("build", "-q", "-t", "posegen-test", ".")
    return "posegen-test"


@pytest.mark.slow
def test_the_image_works_without_a_network(image, tmp_path):
    assert "Nothing is broken" in docker("run", "--rm", "--network", "none", image, "doctor")
    assert docker("run", "--rm", "--network", "none", "--entrypoint", "id", image, "-un") == "posegen\n"
