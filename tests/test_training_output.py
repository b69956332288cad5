"""Output of a training run: statistics, TensorBoard, status file, progress line, Weights & Biases."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from posegen.cli import main
from posegen.config import load_config
from posegen.engine import Interrupted, StageOptimizers, build_trainer
from posegen.engine.progress import ProgressLine
from posegen.engine.run_status import Pace
from posegen.engine.statistics import StepStatistics
from posegen.errors import ConfigError
from posegen.records import collate_pairs
from posegen.registry import DATASETS, FEATURE_NETWORKS, MODELS
from posegen.visualization.curves import read_scalars

from .conftest import LAST
from .test_clips import ADVERSARIAL, clips
from .test_clips import trainer as clip_trainer


def status_of(work_dir: Path) -> dict:
    return json.loads((work_dir / "status.json").read_text())


# Statistics of a step


def test_flows_are_measured_in_pixels_of_the_image():
    flow = torch.zeros(1, 2, 4, 8)
    flow[:, 0] = 3.0  # of 8 columns, the last 3 lead out of the picture
    statistics = StepStatistics()
    statistics.add_flows([flow], [], width=32)
    assert statistics.numbers() == pytest.approx(
        {"flow_4x8/length": 12, "flow_4x8/length_p95": 12, "flow_4x8/outside": 3 / 8}
    )


@pytest.mark.parametrize(("channel", "value"), [(0, -3.0), (1, 3.0), (1, -3.0)])
def test_flows_out_of_the_image_are_measured_on_every_side(channel, value):
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, channel] = value
    statistics = StepStatistics()
    statistics.add_flows([flow], [], width=8)
    assert statistics.numbers()["flow_8x8/outside"] == pytest.approx(3 / 8)


def test_the_percentile_of_lengths_is_the_95th():
    flow = torch.zeros(1, 2, 10, 10)
    flow[:, 0] = torch.arange(1.0, 101).view(10, 10)
    statistics = StepStatistics()
    statistics.add_flows([flow], [], width=10)
    assert statistics.numbers()["flow_10x10/length_p95"] == 95


def test_masks_are_measured_by_their_mean_and_extremes():
    mask = torch.tensor([0.0, 0.04, 0.5, 0.97]).view(1, 1, 2, 2)
    statistics = StepStatistics()
    statistics.add_flows([], [mask], width=2, origin="previous")
    found = statistics.numbers()
    assert found["mask_previous_2x2/near_0"] == 0.5
    assert found["mask_previous_2x2/near_1"] == 0.25
    assert found["mask_previous_2x2/mean"] == pytest.approx(1.51 / 4)


def test_statistics_are_means_over_the_parts_of_a_step():
    statistics = StepStatistics()
    for length in (1.0, 3.0):
        statistics.add_flows([torch.full((1, 2, 2, 2), length)], [], width=2)
    assert statistics.numbers()["flow_2x2/length"] == pytest.approx(2 * 2**0.5)


def one_step(config_path, measure, stage=1, clip=None, **options):
    """Return the trainer after a step of a stage, and its statistics."""
    config = load_config(config_path, options)
    config.trainer["stages"][stage]["clip_gradient"] = clip
    torch.manual_seed(0)
    network = FEATURE_NETWORKS.build_part(config.trainer.feature_network)
    trainer = MODELS.build_part({**config.trainer, "model": config.model, "feature_network": network})
    trainer.train()
    trainer.enter(trainer.stages[stage])
    dataset = DATASETS.build_part(config.train_dataloader.dataset)
    trainer.statistics = StepStatistics() if measure else None
    trainer.train_step(collate_pairs([dataset[index] for index in range(2)]), StageOptimizers()(trainer))
    return trainer, trainer.statistics


@pytest.mark.parametrize("options", [{}, {"trainer.accumulate": 2}, {"trainer.autocast": True}], ids=str)
def test_measuring_changes_no_bit_of_a_step(tiny_config, options):
    (with_it, statistics), (without, _) = (one_step(tiny_config, measure, **options) for measure in (True, False))
    ours, theirs = with_it.state_dict(), without.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    numbers = statistics.numbers()
    assert {"gradient/flow_estimator", "gradient/renderer", "gradient/discriminator"} <= numbers.keys()
    assert {"flow_8x8/length", "mask_16x16/near_1"} <= numbers.keys()
    assert all(value == value and value >= 0 for value in numbers.values())


def test_a_network_that_does_not_train_has_no_gradient(tiny_config):
    numbers = one_step(tiny_config, measure=True, stage=0)[1].numbers()
    assert [name for name in numbers if name.startswith("gradient/")] == ["gradient/flow_estimator"]


def test_gradient_norms_are_measured_before_clipping(tiny_config):
    free = one_step(tiny_config, measure=True, stage=0)[1].numbers()["gradient/flow_estimator"]
    clipped = one_step(tiny_config, measure=True, stage=0, clip=free / 100)[1].numbers()["gradient/flow_estimator"]
    assert clipped == free


def test_clips_are_measured_by_origin_and_trained_the_same():
    states = []
    for statistics in (StepStatistics(), None):
        torch.manual_seed(0)
        made = clip_trainer(ADVERSARIAL)
        made.statistics = statistics
        made.train_step(clips(3), StageOptimizers()(made))
        states.append(made.state_dict())
        if statistics:
            names = {name.split("_")[1] for name in statistics.numbers() if name.startswith("flow_")}
            assert names == {"previous", "reference"}
            assert "gradient/temporal_discriminator" in statistics.numbers()
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


# A whole run


@pytest.fixture(scope="module")
def logged(trained, tmp_path_factory):
    """Work dir of a run that logs every iteration and validates every second; the session's own run does neither."""
    folder = tmp_path_factory.mktemp("logged") / "run"
    options = [
        "default_hooks.logger.interval=1",
        "train_cfg.val_interval=2",
        f"default_hooks.checkpoint.interval={LAST}",
    ]
    config = trained.parent / "tiny.py"
    assert main(["train", str(config), "--work-dir", str(folder), "--cfg-options", *options]) == 0
    return folder


def test_statistics_and_validations_change_no_weight_of_a_run(logged, trained):
    ours, theirs = (torch.load(f / f"iter_{LAST}.pth", weights_only=True) for f in (logged, trained))
    assert all(torch.equal(ours["state_dict"][name], value) for name, value in theirs["state_dict"].items())


def test_every_logged_iteration_has_statistics(logged):
    scalars = read_scalars(logged)
    assert [step for step, _ in scalars["gradient/flow_estimator"]] == [*range(1, LAST + 1)]
    assert [step for step, _ in scalars["gradient/renderer"]] == [4, 5, 6, 7]  # after 3 iterations of flow
    assert scalars["memory/process_mib"][-1][1] > 100  # torch alone takes more
    assert {"psnr", "epe"} <= scalars.keys()


def test_tensorboard_has_statistics_losses_and_sheets(logged):
    (folder,) = logged.glob("*/vis_data")
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()
    assert {"loss", "psnr", "flow_8x8/length", "gradient/discriminator"} <= set(tags["scalars"])
    assert [image.step for image in events.Images("samples")] == [3, LAST]


def test_a_loss_of_another_stage_is_not_repeated(tiny_config, tmp_path):
    iters = {"flow_iters": 0, "full_iters": 1, "renderer_iters": 1}
    build_trainer(load_config(tiny_config, {**iters, "default_hooks.logger.interval": 1}), tmp_path / "run").train()
    steps = {name: [step for step, _ in points] for name, points in read_scalars(tmp_path / "run").items()}
    assert steps["reconstruction"] == [1, 2]
    assert steps["style"] == steps["discriminator"] == [1]
    assert steps["squared"] == [2]


# Status file


def test_a_finished_run_leaves_its_status(logged):
    status = status_of(logged)
    assert (status["state"], status["iteration"]) == ("trained", LAST)
    assert [stage["name"] for stage in status["stages"]] == ["flow", "full"]  # the third has no iterations
    assert status["made_with"]["torch"] == torch.__version__
    assert status["checkpoint"].endswith(f"iter_{LAST}.pth")


@pytest.mark.parametrize(
    ("raised", "state", "words"),
    [(Interrupted("SIGTERM: saved"), "left", "saved"), (ValueError("no good"), "failed", "ValueError: no good")],
)
def test_the_status_says_what_ended_a_run(tiny_config, tmp_path, monkeypatch, raised, state, words):
    runner = build_trainer(load_config(tiny_config), tmp_path / "run")
    monkeypatch.setattr(runner.train_loop, "run_iter", lambda batch: (_ for _ in ()).throw(raised))
    with pytest.raises(type(raised)):
        runner.train()
    status = status_of(tmp_path / "run")
    assert status["state"] == state
    assert words in status["message"]


def test_a_status_that_cannot_be_written_ends_no_training(tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("posegen.engine.run_status.INTERVAL", 0.0)
    (tmp_path / "run" / "status.json").mkdir(parents=True)  # a folder in its place
    config = load_config(tiny_config, {"flow_iters": 2, "full_iters": 0})
    build_trainer(config, tmp_path / "run").train()
    assert (tmp_path / "run" / "iter_2.pth").is_file()
    assert capsys.readouterr().out.count("status.json was not written") == 1


@pytest.mark.parametrize(
    ("times", "median"),
    [
        ([], 0.0),
        ([1.0] * 30 + [90.0], 1.0),  # mmengine counts the writing of a checkpoint to the next iteration
        ([20.0, 1.0, 1.0], 1.0),  # the first iteration starts data loaders and compiles
        ([1.0] * 100 + [3.0] * 15, 3.0),  # a slower stage shows soon
    ],
)
def test_the_time_of_an_iteration_is_the_median_of_recent_ones(times, median):
    pace = Pace()
    for seconds in times:
        pace.add(seconds)
    assert pace.seconds == median


# Progress line


def drawn(tiny_config, folder: Path, terminal: bool) -> str:
    """Return the terminal output of a run of two iterations and a validation."""
    screen = io.StringIO()
    runner = build_trainer(load_config(tiny_config, {"flow_iters": 1, "full_iters": 1}), folder)
    runner.register_hook(ProgressLine(Console(file=screen, force_terminal=terminal, width=120)))
    runner.train()
    return screen.getvalue()


def test_a_terminal_shows_stage_iteration_losses_and_validation(tiny_config, tmp_path, monkeypatch):
    monkeypatch.setattr("posegen.engine.progress.REFRESH", 0.0)
    before = sys.stdout
    text = drawn(tiny_config, tmp_path / "run", terminal=True)
    for words in ("stage flow", "stage full", "validating 1/", "1/2", "2/2", "it/s", "left", "correctness ", "style "):
        assert words in text
    assert "stage 'full': trains" in text, "log lines appear above the progress line"
    assert sys.stdout is before


def test_without_a_terminal_no_progress_line_is_drawn(tiny_config, tmp_path, capsys):
    assert drawn(tiny_config, tmp_path / "run", terminal=False) == ""
    assert "stage 'full': trains" in capsys.readouterr().out


# Weights & Biases

WANDB = """
visualizer = dict(vis_backends=[dict(type="LocalVisBackend"), dict(
    type="WandbVisBackend", init_kwargs=dict(project="p"), define_metric_cfg=[dict(name="*", step_metric="iter")])])
default_hooks = dict(logger=dict(interval=1))
flow_iters = 1
full_iters = 0
"""


def test_a_missing_package_of_a_backend_is_an_error_at_the_start(derived, tmp_path, monkeypatch):
    monkeypatch.setattr("posegen.engine.build.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install wandb"):
        build_trainer(load_config(derived(WANDB)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_and_biases_gets_scalars_and_sheets(derived, tmp_path, monkeypatch):
    """With a stand-in for the package, which has what mmengine's backend calls."""
    logged, axes = [], []
    package = ModuleType("wandb")
    package.__spec__ = SimpleNamespace()
    package.init = lambda **kwargs: None
    package.define_metric = lambda **kwargs: axes.append(kwargs)
    package.log = lambda values, commit: logged.append(values)
    package.Image = lambda array: array.shape
    package.join = lambda: None
    package.config = SimpleNamespace(update=lambda *args, **kwargs: None)
    package.run = SimpleNamespace(log_code=lambda name: None)
    monkeypatch.setitem(sys.modules, "wandb", package)
    build_trainer(load_config(derived(WANDB)), tmp_path / "run").train()
    assert axes == [{"name": "*", "step_metric": "iter"}]
    assert any("gradient/flow_estimator" in values and values["iter"] == 1 for values in logged)
    assert any("loss" in values for values in logged)
    assert any("samples" in values for values in logged)
