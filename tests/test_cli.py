"""The commands, end to end: train, test, convert, plugins, list, and their errors."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch._utils import ExceptionWrapper

import posegen
from posegen.cli import COMMANDS, main
from posegen.config import load_config
from posegen.data.images import to_uint8
from posegen.errors import ConfigError, DataError, PosegenError
from posegen.registry import DATASETS, KINDS

from .conftest import CONFIGS, LAST
from .golden_arrays import golden

SCRIPTS = ("train", "test", "evaluate", "convert_checkpoint")  # infer: test_transfer.py
PAIRS = 3  # test_length of the tiny config


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def refused(capsys, *arguments: object) -> str:
    """The error that a command ends with; there must be one, short, with exit status 1."""
    capsys.readouterr()
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "Traceback" not in error
    return error


@pytest.fixture
def checkpoint(trained) -> Path:
    return trained / f"iter_{LAST}.pth"


# test


@pytest.fixture(scope="module")
def tested(trained, tmp_path_factory):
    """The folder of a test with images, and what was printed is not kept."""
    folder = tmp_path_factory.mktemp("tested")
    arguments = [trained.parent / "tiny.py", trained / f"iter_{LAST}.pth", "--work-dir", folder]
    assert run("test", *arguments, "--save-images", folder / "images") == 0
    return folder


def test_test_writes_metrics_with_what_they_belong_to(tested, checkpoint):
    record = json.loads((tested / "metrics.json").read_text())
    assert {"psnr", "ssim", "l1", "epe"} <= record["metrics"].keys()
    assert record["images"] == PAIRS
    assert record["checkpoint"] == str(checkpoint)
    assert record["config"].endswith("tiny.py")
    assert json.loads((tested / "metrics.jsonl").read_text()) == record


def test_test_writes_one_image_a_pair_under_the_published_name(tested):
    names = sorted(path.name for path in (tested / "images").iterdir())
    assert len(names) == PAIRS
    assert sorted((tested / "images").glob("*_2_*_vis.jpg")) == sorted((tested / "images").iterdir())
    assert Image.open(tested / "images" / names[0]).size == (32, 32)


def test_test_scores_the_images_of_the_checkpoint(tested, tiny_config, checkpoint):
    config = load_config(tiny_config)
    dataset = DATASETS.build_part(config.test_dataloader.dataset)
    model = posegen.load_model(config, checkpoint)
    errors = []
    for pair in (dataset[index] for index in range(PAIRS)):
        out = model.transfer(pair.source[None], pair.source_structure[None], pair.target_structure[None])
        errors.append((out.image[0] - pair.target).abs().mean() / 2)  # L1 is in units of [0, 1]
        written = np.asarray(Image.open(tested / "images" / f"{pair.name}.jpg")).astype(int)
        assert np.abs(written - to_uint8(out.image[0])).mean() < 3  # gray levels; JPEG
    metrics = json.loads((tested / "metrics.json").read_text())["metrics"]
    assert metrics["l1"] == pytest.approx(float(torch.stack(errors).mean()), rel=1e-4)


def test_test_draws_a_sheet(tested):
    sheet = np.asarray(Image.open(tested / "test_sheet.png"))
    assert sheet.shape[0] > 2 * 32
    assert sheet.std() > 10  # not blank


def test_testing_again_appends_a_line(tiny_config, checkpoint, tmp_path, capsys):
    for _ in range(2):
        assert run("test", tiny_config, checkpoint, "--work-dir", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert f"{PAIRS} images scored" in shown
    assert "psnr" in shown
    first, second = map(json.loads, (tmp_path / "out" / "metrics.jsonl").read_text().splitlines())
    assert first["metrics"] == second["metrics"]


def test_test_needs_no_weights_of_the_feature_network(derived, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    assert run("test", derived("feature_weights = 'imagenet'"), checkpoint, "--work-dir", tmp_path / "out") == 0


def test_test_leaves_the_config_of_the_run_as_it_is(tiny_config, checkpoint, tmp_path):
    assert run("test", tiny_config, checkpoint, "--work-dir", tmp_path / "out") == 0
    left, own = (load_config(path)._cfg_dict for path in (tmp_path / "out" / "tiny.py", tiny_config))
    assert left == own


# convert


@pytest.fixture
def published(tmp_path):
    """The discriminator of Market-1501 in a file as published, and its state dict."""
    state = dict(golden("disc_market").state)
    path = tmp_path / "latest_net_D.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path, state


MARKET = ("--config", CONFIGS / "gfla_market.py")


def test_convert_writes_a_checkpoint_that_loads(tmp_path, published, capsys):
    generator = tmp_path / "latest_net_G.pth"
    torch.save(golden("pose_market").state, generator, _use_new_zipfile_serialization=False)
    ours = tmp_path / "made" / "ours.pth"
    assert run("convert", generator, ours, *MARKET, "--discriminator", published[0]) == 0
    state = torch.load(ours, weights_only=True)["state_dict"]
    assert {name.split(".")[0] for name in state} == {"model", "discriminator"}
    assert str(ours) in capsys.readouterr().out
    assert posegen.load_model(CONFIGS / "gfla_market.py", ours)


def test_convert_writes_over_nothing_unless_forced(tmp_path, published, capsys):
    (tmp_path / "ours.pth").write_text("mine")
    assert "--force" in refused(capsys, "convert", published[0], tmp_path / "ours.pth", *MARKET)
    assert (tmp_path / "ours.pth").read_text() == "mine"
    assert run("convert", published[0], tmp_path / "ours.pth", *MARKET, "--force") == 0
    assert torch.load(tmp_path / "ours.pth", weights_only=True)["state_dict"]


def test_convert_names_every_key_that_does_not_fit_at_once(tmp_path, published, capsys):
    path, state = published
    missing, cut = [name for name in state if name.endswith("bias")][:2]
    del state[missing]
    state[cut] = state[cut][:-1]
    state["encoder7.model.1.bias"] = state["another.weight"] = torch.zeros(2)
    torch.save(state, path)
    error = refused(capsys, "convert", path, tmp_path / "ours.pth", *MARKET)
    assert "4 keys" in error
    for words in (
        "missing: nothing for down.0",
        f"wrong shape: {cut}",
        "left over: encoder7.model.1.bias",
        "left over: another",
    ):
        assert words in error
    assert not (tmp_path / "ours.pth").exists()


def test_converting_a_wrong_file_says_so_in_less_than_ten_lines(tmp_path, capsys):
    torch.save(golden("pose_market").state, tmp_path / "latest_net_G.pth")
    other = ("--config", CONFIGS / "gfla_fashion.py")
    error = refused(capsys, "convert", tmp_path / "latest_net_G.pth", tmp_path / "ours.pth", *other)
    assert "does not fit the config" in error
    assert "`posegen configs`" in error
    assert len(error.splitlines()) < 10
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7), "fc.bias": torch.zeros(1000)}, tmp_path / "resnet.pth")
    error = refused(capsys, "convert", tmp_path / "resnet.pth", tmp_path / "ours.pth", *MARKET)
    assert "is no published file of this model: none of its 2 keys belongs to it" in error
    assert "conv1.weight, fc.bias" in error
    assert len(error.splitlines()) < 10


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"epoch": 3}, "plain state dict: epoch"),
        ({}, "it is empty"),
        ([1], "holds a list"),
        (None, "no checkpoint"),
    ],
)
def test_convert_refuses_what_is_no_weight_file(tmp_path, capsys, content, words):
    if content is not None:
        torch.save(content, tmp_path / "net_G.pth")
    assert words in refused(capsys, "convert", tmp_path / "net_G.pth", tmp_path / "ours.pth", *MARKET)


# list, plugins, tools


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_list_shows_every_part_of_a_kind(capsys, kind):
    assert run("list", kind) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[:2] for line in lines] == [[kind, name] for name in sorted(KINDS[kind].module_dict)]
    assert lines
    assert all(len(line.split()) > 3 for line in lines), "a part without a word on what it is"


def test_list_shows_all_kinds(capsys):
    assert run("list") == 0
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]} == set(KINDS)


def _words_after_usage(shown: str) -> list[str]:
    return shown.split("\n\n")[1].split()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_in_tools_runs_its_command(name, monkeypatch, capsys):
    tool = CONFIGS.parent / "tools" / f"{name}.py"
    monkeypatch.setattr(sys, "argv", [str(tool), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(tool), run_name="__main__")
    assert ended.value.code == 0
    command = COMMANDS[name.removesuffix("_checkpoint")]
    assert command.summary.split() == _words_after_usage(capsys.readouterr().out)


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
@pytest.mark.parametrize(("status", "explained"), [(75, True), (1, False)])
def test_make_says_what_the_status_of_a_stopped_demo_means(tmp_path, status, explained):
    (tmp_path / "bin").mkdir()
    for program in ("posegen", "python"):
        (tmp_path / "bin" / program).write_text(f"#!/bin/sh\nexit {status}\n", encoding="utf-8")
        (tmp_path / "bin" / program).chmod(0o755)
    (tmp_path / ".installed").touch()  # newer than what it is made of
    command = ["make", "--silent", "demo", f"VENV={tmp_path}", f"DEMO_DIR={tmp_path / 'run'}"]
    made = subprocess.run(command, cwd=CONFIGS.parent, capture_output=True, text=True, timeout=60)
    assert made.returncode != 0
    assert f"Error {status}" in made.stderr
    assert ("make demo goes on" in made.stderr) == explained


# errors


def test_an_error_of_a_data_loaders_worker_is_shown_without_the_workers_traceback(monkeypatch, capsys, tmp_path):
    try:
        raise DataError("b.jpg", "truncated", "Get it again.")
    except DataError:
        wrapped = ExceptionWrapper(where="in DataLoader worker process 0")
    monkeypatch.setattr("posegen.cli.plugins.run", lambda parsed: wrapped.reraise())
    assert refused(capsys, "plugins") == "error: b.jpg: 1 problem\n  - truncated\nGet it again.\n"


@pytest.mark.parametrize("command", ["train", "test"])
def test_a_missing_config_is_an_error_without_a_traceback(command, capsys, tmp_path):
    rest = [] if command == "train" else ["x.pth"]
    assert "there is no config" in refused(capsys, command, tmp_path / "none.py", *rest)


def test_traceback_shows_where_an_error_was_raised(tmp_path):
    with pytest.raises(ConfigError):
        run("train", tmp_path / "none.py", "--traceback")


def test_an_unknown_override_is_an_error(tiny_config, capsys, tmp_path):
    arguments = ["train", tiny_config, "--work-dir", tmp_path / "run", "--cfg-options", "batch_sise=3"]
    assert "did you mean 'batch_size'" in refused(capsys, *arguments)
    assert not (tmp_path / "run").exists()


def test_train_refuses_the_folder_of_an_earlier_run(tiny_config, trained, capsys):
    before = sorted(trained.rglob("*"))
    assert "--resume" in refused(capsys, "train", tiny_config, "--work-dir", trained)
    assert sorted(trained.rglob("*")) == before


def test_resume_refuses_a_checkpoint_of_another_architecture(derived, trained, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last_checkpoint").write_text(str(trained / f"iter_{LAST}.pth"))
    other = derived("model = dict(renderer=dict(base_width=16, max_width=32))")
    error = refused(capsys, "train", other, "--work-dir", tmp_path / "run", "--resume")
    assert "another architecture" in error
    assert "wrong shape: model.renderer" in error


def test_a_checkpoint_of_another_architecture_is_an_error(derived, checkpoint, tmp_path, capsys):
    other = derived("model = dict(renderer=dict(base_width=16, max_width=32))")
    assert "wrong shape: renderer." in refused(capsys, "test", other, checkpoint, "--work-dir", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--protocol", "nope"],
        ["--protocol", "posegen-clean", "--metrics", "simm"],
        ["--protocol", "posegen-clean", "--cfg-options", "test_length=0"],  # refused by the data set
    ],
    ids=["protocol", "metric", "data"],
)
def test_a_refused_test_leaves_no_folder(tiny_config, checkpoint, tmp_path, capsys, wrong):
    refused(capsys, "test", tiny_config, checkpoint, "--work-dir", tmp_path / "out", *wrong)
    assert not (tmp_path / "out").exists()


def test_a_truncated_checkpoint_is_an_error(tiny_config, checkpoint, tmp_path, capsys):
    (tmp_path / "cut.pth").write_bytes(checkpoint.read_bytes()[:1000])
    assert "cut.pth" in refused(capsys, "test", tiny_config, tmp_path / "cut.pth", "--work-dir", tmp_path / "out")


def test_every_error_of_ours_is_one_class():
    assert all(issubclass(getattr(posegen, name), PosegenError) for name in posegen.__all__ if name.endswith("Error"))


@pytest.mark.parametrize("option", ["batch_size", "flow_iters"])
def test_an_override_without_a_value_is_refused_by_name(tiny_config, option, capsys):
    with pytest.raises(SystemExit) as ended:
        run("train", tiny_config, "--cfg-options", option, 4)
    assert ended.value.code == 2
    assert f"--cfg-options {option}: expected KEY=VALUE" in capsys.readouterr().err


def test_ctrl_c_is_one_line_and_the_exit_status_of_shells(monkeypatch, capsys):
    def interrupted(parsed):
        raise KeyboardInterrupt

    monkeypatch.setattr("posegen.cli.configs.run", interrupted)
    assert run("configs") == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_posegen_checkpoint_has_nothing_to_convert(tiny_config, checkpoint, tmp_path, capsys):
    error = refused(capsys, "convert", checkpoint, tmp_path / "x.pth", "--config", tiny_config)
    assert "is a posegen checkpoint: there is nothing to convert" in error
    assert not (tmp_path / "x.pth").exists()


@pytest.mark.parametrize(("device", "message"), [("gpu", "there is no device 'gpu'"), ("cuda:99", "not available")])
def test_a_device_that_is_not_there_is_refused_by_name(device, message):
    with pytest.raises(ConfigError, match=message):
        posegen.Inferencer("paperdolls", device=device)
