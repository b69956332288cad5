"""``posegen doctor``: what works, what is missing with the command that gets it, and what is broken."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from pathlib import Path

import pytest

import posegen
from posegen import catalogue, sharing
from posegen.cli import doctor, main
from posegen.data.estimators import StructureEstimator
from posegen.plugin_access import PluginReport

PAPERDOLLS = sharing.find_shared("paperdolls")


@pytest.fixture(autouse=True)
def no_weights(tmp_path, monkeypatch):
    """Let torch's folder of weights be empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def sections(printed: str) -> dict[str, str]:
    """Return the text below each title, in capitals."""
    parts = re.split(r"^([A-Z ]+)\n", printed, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_a_sound_installation_is_described_and_ends_with_status_0(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"posegen {posegen.__version__} in ")
    found = sections(printed)
    assert f"torch {importlib.metadata.version('torch')}" in " ".join(found["LIBRARIES"].split())
    assert re.search(r"cpu +cores: \d+, threads: \d+", found["DEVICES"])
    assert re.search(r"people +posegen", found["PLUGINS"])
    assert re.search(r"paperdolls +64×64 pixels, 3.4 million weights; loads", found["MODELS THAT COME WITH PLUGINS"])
    estimators = found["ESTIMATORS OF KEY POINTS"].strip().splitlines()
    assert len(estimators) == len(catalogue.all(StructureEstimator))  # one line each, those that are not here, too
    assert any("--estimator rtmpose says how to get it" in line for line in estimators)
    assert "missing: vgg19-dcbb9e9d.pth (VGG19Features)" in found["WEIGHTS"]
    assert "posegen weights --download FILE" in found["WEIGHTS"]
    assert printed.endswith("Nothing is broken. What is missing is optional.\n")


def without(monkeypatch, library: str, version: str = "") -> None:
    """Let a library be of a version, or not installed."""
    installed = importlib.metadata.version

    def answer(name: str) -> str:
        if name != library:
            return installed(name)
        if not version:
            raise importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(importlib.metadata, "version", answer)


def test_an_extra_that_is_missing_is_named_with_its_command_and_is_nothing_broken(monkeypatch):
    without(monkeypatch, "gradio")
    (found,) = [finding for finding in doctor._extras() if finding.subject == "app"]
    assert (found.state, found.detail) == (doctor.MISSING, "gradio")
    assert found.remedy == 'pip install "posegen[app]"'


@pytest.mark.parametrize(("version", "words"), [("", "not installed"), ("1.0", "1.0; required: torch>=2.6")])
def test_a_required_library_that_is_missing_or_too_old_is_broken(monkeypatch, version, words):
    without(monkeypatch, "torch", version)
    (found,) = [finding for finding in doctor._libraries() if finding.subject == "torch"]
    assert found.state == doctor.BROKEN
    assert words in found.detail
    assert found.remedy == 'pip install "torch>=2.6"'


def test_a_package_that_is_not_installed_is_broken(monkeypatch):
    def answer(name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "requires", answer)
    (found,) = doctor._libraries()
    assert (found.state, found.remedy) == (doctor.BROKEN, "pip install .")


def test_a_plugin_that_fails_and_a_damaged_model_are_broken_and_the_rest_is_examined(monkeypatch, tmp_path, capsys):
    shutil.copytree(PAPERDOLLS, tmp_path, dirs_exist_ok=True)
    weights = tmp_path / sharing.WEIGHTS
    weights.write_bytes(weights.read_bytes()[:1000])
    failing = PluginReport("extra", "extra", "posegen-extra", "3.1", error="ImportError: no module named odd")
    monkeypatch.setattr(doctor, "load_plugins", lambda parsed: [failing])
    monkeypatch.setattr(sharing, "shared_models", lambda: {"dolls": tmp_path})
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "broken: posegen-extra 3.1: ImportError: no module named odd" in printed
    assert "pip uninstall posegen-extra" in printed
    assert re.search(r"dolls +broken: .*model.safetensors", printed)
    assert "blazepose" in sections(printed)["ESTIMATORS OF KEY POINTS"]
    assert printed.splitlines()[-1] == "broken: plugins: extra; models that come with plugins: dolls"


def test_an_examination_that_raises_is_a_finding(monkeypatch, capsys):
    assert main(["doctor", "--plugin", str(Path("no_such_plugin.py"))]) == 1
    printed = capsys.readouterr().out
    assert "there is no plugin file" in sections(printed)["PLUGINS"]
    assert "paperdolls" in printed


@pytest.mark.parametrize(
    ("error", "state"), [(posegen.errors.MissingWeightsError("pip install it"), "missing"), (OSError("odd"), "broken")]
)
def test_an_estimator_that_cannot_be_loaded_is_missing_or_broken(error, state):
    def load():
        raise error

    found = doctor._estimator(StructureEstimator("mine", "openpose18", load, default=True))
    assert found.state == state
    assert str(error) in found.detail + found.remedy
