"""Completion of command lines in a shell: commands, options, files and names, without importing heavy libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from posegen.cli import completion

from .test_startup import HEAVY, SCRIPT

KEPT = {
    completion.MODELS: ["paperdolls", "walkers"],
    completion.CONFIGS: ["gfla_market", "gfla_market14"],
    completion.ESTIMATORS: ["blazepose"],
    completion.LAYOUTS: ["openpose18"],
    completion.PREPARATIONS: ["market"],
    completion.WEIGHTS: ["vgg19.pth"],
    completion.PART_KINDS: ["losses"],
    completion.parts_of("losses"): ["StyleLoss"],
}


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Let the file of names be in a folder of the test, in which the test also works."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def kept(cache) -> Path:
    """Keep some names in the file, and two folders beside it."""
    file = completion._file()
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(KEPT))
    (cache / "paper").mkdir()
    return cache


def completed(line: str, folder: Path) -> tuple[list[str], set[str]]:
    """Ask as bash does; return the completions and the packages that were imported."""
    answer = folder / "answer"
    asked = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SHELL": "bash",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_TYPE": "9",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | asked)
    status, *modules = done.stderr.splitlines()[-1].split()
    assert (status, done.stdout) == ("0", "")
    return answer.read_text().split("\n"), {module.partition(".")[0] for module in modules}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("posegen tra", ["train", "transfer"]),
        ("posegen ap", ["app"]),
        ("posegen transfer --resize", ["--resize-back"]),
        ("posegen transfer --no-res", ["--no-resize-back"]),
        ("posegen transfer --retarget ", ["auto", "bones", "none", "scale"]),
        ("posegen transfer pape", ["paper/", "paperdolls"]),
        ("posegen app w", ["walkers"]),
        ("posegen train gfla_", ["gfla_market", "gfla_market14"]),
        ("posegen prepare ma", ["market"]),
        ("posegen transfer paperdolls a b --estimator ", ["blazepose"]),
        ("posegen keypoints x --layout ", ["openpose18"]),
        ("posegen list ", ["losses"]),
        ("posegen show losses ", ["StyleLoss"]),
        ("posegen weights --download vgg", ["vgg19.pth"]),
    ],
)
def test_a_line_is_completed_without_heavy_libraries(kept, line, expected):
    found, imported = completed(line, kept)
    assert sorted(found) == expected
    assert imported & HEAVY == set()


def test_names_are_written_in_the_background_when_they_are_first_asked_for(cache, monkeypatch):
    started = []
    monkeypatch.setenv(completion.REQUESTED, "1")
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", lambda command, **options: started.append((command, options)))
        assert completion.names(completion.MODELS) == []
    ((command, options),) = started
    assert completion.REQUESTED not in options["env"]  # else it would complete, too
    exec(command[2])
    assert "paperdolls" in completion.names(completion.MODELS)
    assert "gfla_market" in completion.names(completion.CONFIGS)
    assert {"blazepose", "facemesh", "rtmpose"} <= set(completion.names(completion.ESTIMATORS))
    assert "StyleLoss" in completion.names(completion.parts_of("losses"))
    assert "PSNR" not in completion.names(completion.parts_of("losses"))


def test_a_file_of_names_that_is_broken_is_written_again(kept, monkeypatch):
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command))
    completion._file().write_text('{"models": ["pap')
    assert completion.names(completion.MODELS) == []
    assert len(started) == 1


def test_names_of_other_installed_plugins_are_others(cache, monkeypatch):
    before = completion._file()
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    assert completion._file() != before
