"""Watching a run: what it tells of itself, the view in the terminal, the page at the end."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import socket
import sys
import time
from types import ModuleType, SimpleNamespace

import pytest
import torch
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from posegen.cli import main
from posegen.cli import watch as watch_command
from posegen.config import load_config
from posegen.engine import Interrupted, StageOptimizers, build_trainer
from posegen.engine.run_status import RunStatusFile
from posegen.engine.statistics import StepStatistics
from posegen.errors import ConfigError, DataError
from posegen.records import collate_pairs
from posegen.registry import DATASETS, FEATURE_NETWORKS, MODELS
from posegen.watching import RunStage, RunStatus, look, read_status, write_status
from posegen.watching.charts import MOST_POINTS, charts
from posegen.watching.report import write_report
from posegen.watching.scalars import MEASURED, TRAINING, VALIDATION, Scalars
from posegen.watching.state import _is_gone, duration
from posegen.watching.terminal import PLAIN_TICKS, spark, view

from .conftest import LAST
from .test_clips import ADVERSARIAL, clips
from .test_clips import trainer as clip_trainer

NOW = 1_800_000_000.0
STAGES = [
    RunStage("flow", 0, 100, ["flow_estimator"], ["correctness"]),
    RunStage("full", 100, 300, ["flow_estimator", "renderer"], ["correctness", "style"]),
]
STATUS = RunStatus("training", 150, NOW - 1, NOW - 99, 2.0, STAGES, "elsewhere", 1)


def write(folder, *records, tail="", start="20260101_000000"):
    path = folder / start / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write("".join(json.dumps(record) + "\n" for record in records) + tail)
    return path


def losses(step, **values):
    return {"flow.lr": 1e-3, "full.lr": 2e-3, "time": 0.5, "data_time": 0.1, **values, "iter": step, "step": step}


def measured(step, **values):
    return {**{name.replace("__", "/"): value for name, value in values.items()}, "iter": step, "step": step}


def shown(run, width=110, encoding="utf-8") -> str:
    console = SimpleNamespace(encoding=encoding, width=width)
    printed = Console(width=width, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    printed.print(view(run, console))
    return printed.export_text()


# What a step is measured by


def test_a_flow_is_measured_in_pixels_of_the_image_and_by_where_it_leads():
    flow = torch.zeros(1, 2, 4, 8)
    flow[:, 0] = 3.0  # of 8 columns, the last 3 lead out of the picture
    statistics = StepStatistics()
    statistics.see_flows([flow], [], width=32)
    assert statistics.numbers() == pytest.approx(
        {"flow_4x8/length": 12, "flow_4x8/length_p95": 12, "flow_4x8/outside": 3 / 8}
    )


@pytest.mark.parametrize(("channel", "value"), [(0, -3.0), (1, 3.0), (1, -3.0)])
def test_a_flow_may_lead_out_on_every_side(channel, value):
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, channel] = value
    statistics = StepStatistics()
    statistics.see_flows([flow], [], width=8)
    assert statistics.numbers()["flow_8x8/outside"] == pytest.approx(3 / 8)


def test_95_of_100_lengths_are_at_most_the_percentile():
    flow = torch.zeros(1, 2, 10, 10)
    flow[:, 0] = torch.arange(1.0, 101).view(10, 10)
    statistics = StepStatistics()
    statistics.see_flows([flow], [], width=10)
    assert statistics.numbers()["flow_10x10/length_p95"] == 95


def test_a_mask_is_measured_by_its_mean_and_its_ends():
    mask = torch.tensor([0.0, 0.04, 0.5, 0.97]).view(1, 1, 2, 2)
    statistics = StepStatistics()
    statistics.see_flows([], [mask], width=2, origin="previous")
    found = statistics.numbers()
    assert found["mask_previous_2x2/near_0"] == 0.5
    assert found["mask_previous_2x2/near_1"] == 0.25
    assert found["mask_previous_2x2/mean"] == pytest.approx(1.51 / 4)


def test_numbers_are_means_over_the_parts_of_a_step():
    statistics = StepStatistics()
    for length in (1.0, 3.0):
        statistics.see_flows([torch.full((1, 2, 2, 2), length)], [], width=2)
    assert statistics.numbers()["flow_2x2/length"] == pytest.approx(2 * 2**0.5)


def one_step(config_path, measure, stage=1, clip=None, **options):
    """The trainer after a step of a stage, and what was measured of it."""
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


def test_norms_are_those_before_clipping(tiny_config):
    free = one_step(tiny_config, measure=True, stage=0)[1].numbers()["gradient/flow_estimator"]
    clipped = one_step(tiny_config, measure=True, stage=0, clip=free / 100)[1].numbers()["gradient/flow_estimator"]
    assert clipped == free


def test_a_clip_is_measured_from_both_of_its_origins_and_trained_the_same():
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
def watched(trained, tmp_path_factory):
    """A run that logs each iteration; the session's own, which logs none, is what it would be without statistics."""
    folder = tmp_path_factory.mktemp("watched") / "run"
    options = [
        "default_hooks.logger.interval=1",
        "train_cfg.val_interval=2",
        f"default_hooks.checkpoint.interval={LAST}",
    ]
    config = trained.parent / "tiny.py"
    assert main(["train", str(config), "--work-dir", str(folder), "--cfg-options", *options]) == 0
    return folder


def test_statistics_and_validations_change_no_weight_of_a_run(watched, trained):
    ours, theirs = (torch.load(f / f"iter_{LAST}.pth", weights_only=True) for f in (watched, trained))
    assert all(torch.equal(ours["state_dict"][name], value) for name, value in theirs["state_dict"].items())


def test_every_logged_iteration_has_statistics(watched):
    scalars = Scalars(watched)
    scalars.update()
    points = scalars.points(MEASURED)
    assert [step for step, _ in points["gradient/flow_estimator"]] == [*range(1, LAST + 1)]
    assert [step for step, _ in points["gradient/renderer"]] == [4, 5, 6, 7]  # 3 iterations of flow before
    assert points["memory/process_mib"][-1][1] > 100  # torch alone takes more
    assert {"psnr", "epe"} <= scalars.points(VALIDATION).keys()
    assert scalars.damaged == 0


def test_tensorboard_has_statistics_losses_and_sheets(watched):
    (folder,) = watched.glob("*/vis_data")
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()
    assert {"loss", "psnr", "flow_8x8/length", "gradient/discriminator"} <= set(tags["scalars"])
    assert [image.step for image in events.Images("samples")] == [3, LAST]


def test_a_loss_of_another_stage_is_not_repeated(tiny_config, tmp_path):
    iters = {"flow_iters": 0, "full_iters": 1, "renderer_iters": 1}
    build_trainer(load_config(tiny_config, {**iters, "default_hooks.logger.interval": 1}), tmp_path / "run").train()
    scalars = Scalars(tmp_path / "run")
    scalars.update()
    steps = {name: [step for step, _ in points] for name, points in scalars.points(TRAINING).items()}
    assert steps["reconstruction"] == [1, 2]
    assert steps["style"] == steps["discriminator"] == [1]
    assert steps["squared"] == [2]


def test_a_run_leaves_its_status_and_a_page(watched):
    status = read_status(watched)
    assert (status.state, status.iteration, status.total) == ("trained", LAST, LAST)
    assert [stage.name for stage in status.stages] == ["flow", "full"]  # not the third, of no iterations
    assert status.made_with["torch"] == torch.__version__
    assert "</html>" in (watched / "report.html").read_text()


@pytest.mark.parametrize(
    ("raised", "state", "words"),
    [(Interrupted("SIGTERM: saved"), "left", "saved"), (ValueError("no good"), "failed", "ValueError: no good")],
)
def test_whatever_ends_a_run_its_status_says_so(tiny_config, tmp_path, monkeypatch, raised, state, words):
    runner = build_trainer(load_config(tiny_config), tmp_path / "run")
    monkeypatch.setattr(runner.train_loop, "run_iter", lambda batch: (_ for _ in ()).throw(raised))
    with pytest.raises(type(raised)):
        runner.train()
    status = read_status(tmp_path / "run")
    assert status.state == state
    assert words in status.message
    assert not (tmp_path / "run" / "report.html").exists()


def test_a_status_that_cannot_be_written_ends_no_training(tmp_path):
    warned = []
    hook = RunStatusFile()
    hook._known = {"started": NOW, "stages": STAGES, "host": "", "process": 1, "made_with": {}}
    runner = SimpleNamespace(
        work_dir=tmp_path / "missing",
        message_hub=SimpleNamespace(runtime_info={}),
        logger=SimpleNamespace(warning=warned.append),
    )
    hook._write(runner)
    hook._write(runner)
    assert len(warned) == 1
    assert "status.json was not written" in warned[0]


def paced(*seconds: float) -> float:
    """What a run says an iteration takes, after iterations of so many seconds."""
    hook = RunStatusFile(report=False)
    for number in seconds:
        times = SimpleNamespace(current=lambda number=number: number)
        hook._note_time(SimpleNamespace(message_hub=SimpleNamespace(log_scalars={"train/time": times})))
    return hook._seconds


def test_writing_a_checkpoint_does_not_change_the_time_that_is_left():
    assert paced(*[1.0] * 30, 90.0) == 1.0  # mmengine counts the writing to the iteration after it
    assert paced(20.0, 1.0, 1.0) == 1.0  # nor does the first iteration, which starts data loaders and compiles


def test_a_stage_that_is_slower_gives_its_own_pace_soon():
    assert paced(*[1.0] * 100, *[3.0] * 15) == 3.0


def test_before_the_first_iteration_nobody_knows_the_pace():
    hook = RunStatusFile(report=False)
    hook._note_time(SimpleNamespace(message_hub=SimpleNamespace(log_scalars={})))
    assert hook._seconds == 0.0


# Reading


def test_a_line_is_read_when_it_is_whole(tmp_path):
    path = write(tmp_path, losses(50, loss=2.0), tail='{"loss": 1.0, "it')
    scalars = Scalars(tmp_path)
    scalars.update()
    assert scalars.points(TRAINING)["loss"] == [(50, 2.0)]
    with path.open("a") as file:
        file.write('er": 100, "step": 100}\n')
    scalars.update()
    assert scalars.points(TRAINING)["loss"] == [(50, 2.0), (100, 1.0)]
    assert scalars.damaged == 0


def test_a_resumed_run_is_one_curve(tmp_path):
    write(tmp_path, *(losses(step, loss=step) for step in (50, 100, 150)))
    write(tmp_path, losses(100, loss=1.5), start="20260102_000000")  # resumed at 50: what came after is not of it
    scalars = Scalars(tmp_path)
    scalars.update()
    assert scalars.points(TRAINING)["loss"] == [(50, 50.0), (100, 1.5)]
    assert scalars.iteration == 100


def test_another_run_in_the_folder_is_another_run(tmp_path):
    path = write(tmp_path, *(losses(step, loss=2.0) for step in (50, 100)))
    scalars = Scalars(tmp_path)
    scalars.update()
    path.unlink()
    write(tmp_path, losses(50, loss=9.0))
    scalars.update()
    assert scalars.points(TRAINING)["loss"] == [(50, 9.0)]


def test_damaged_lines_are_left_out_and_counted(tmp_path):
    path = write(tmp_path, losses(50, loss=2.0), "text", [1], {"loss": 1.0}, {"step": -1}, {"step": "2"})
    with path.open("ab") as file:
        file.write(b"\xff\xfe\n" + b"[" * 100_000 + b"\n")
    write(tmp_path, losses(100, loss=1.0))
    run = look(Scalars(tmp_path), NOW)
    assert [step for step, _ in run.losses["loss"]] == [50, 100]
    assert any("7 lines" in warning for warning in run.warnings)


def test_a_pipe_in_the_place_of_scalars_is_not_waited_for(tmp_path):
    folder = tmp_path / "20260101_000000" / "vis_data"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "scalars.json")
    assert any("pipe" in warning for warning in look(Scalars(tmp_path), NOW).warnings)


@pytest.mark.parametrize(
    "change",
    [{"state": "asleep"}, {"stages": 3}, {"iteration": "1"}, {"surprise": 1}, {"made_with": {"a": 1}}, {"message": []}],
    ids=str,
)
def test_a_file_that_is_no_status_is_an_error_that_names_it(tmp_path, change):
    (tmp_path / "status.json").write_text(json.dumps({**dataclasses.asdict(STATUS), **change}))
    with pytest.raises(DataError, match=r"status\.json"):
        read_status(tmp_path)
    assert any("status.json" in warning for warning in look(Scalars(tmp_path), NOW).warnings)


def test_a_status_comes_back_as_it_was_written(tmp_path):
    write_status(tmp_path, STATUS)
    assert read_status(tmp_path) == STATUS
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


# Is it alive?


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "training"),
        ({"updated": NOW - 59}, "training"),
        ({"updated": NOW - 120}, "silent"),
        ({"updated": NOW - 120, "seconds": 30.0}, "training"),  # an iteration takes long
        ({"updated": NOW - 20, "host": socket.gethostname(), "process": 2**30}, "gone"),  # no system counts so far
        ({"updated": NOW - 20, "host": socket.gethostname(), "process": os.getpid()}, "training"),
        ({"updated": NOW - 9999, "state": "trained"}, "trained"),
        ({"updated": NOW - 9999, "state": "left"}, "left"),
        ({"state": "failed", "message": "NotFiniteError"}, "failed"),
        ({"state": "validating", "message": "batch 2 of 9"}, "validating"),
    ],
    ids=[
        "fresh",
        "59-s",
        "120-s",
        "slow",
        "no-such-process",
        "this-process",
        "trained",
        "left",
        "failed",
        "validating",
    ],
)
def test_whether_a_run_is_alive(tmp_path, changes, state):
    write_status(tmp_path, dataclasses.replace(STATUS, **changes))
    run = look(Scalars(tmp_path), NOW)
    assert run.state == state
    assert changes.get("message", "") in run.words


def test_on_windows_a_process_is_not_asked_whether_it_lives(monkeypatch):
    """Signal 0 is Ctrl-C there: to look at a run would end it."""
    sent = []
    monkeypatch.setattr(os, "kill", lambda process, number: sent.append(number))
    monkeypatch.setattr(os, "name", "nt")
    gone = _is_gone(os.getpid())
    monkeypatch.undo()  # before anything else meets paths of Windows
    assert not sent
    assert not gone  # nothing is known, and no sign of life for a minute says so


def test_the_time_left_is_that_of_the_stage_and_of_all(tmp_path):
    write_status(tmp_path, dataclasses.replace(STATUS, iteration=90))
    run = look(Scalars(tmp_path), NOW)
    assert (run.left_of_stage, run.left) == (10 * 2.0, 310 * 2.0)


def test_durations_are_said_as_people_say_them():
    assert [duration(s) for s in (5, 125, 3900, 190_000)] == ["5 s", "2 min", "1 h 05 min", "2 d 4 h"]


# What is shown


@pytest.fixture
def run_folder(tmp_path):
    folder = tmp_path / "run"
    write(folder, losses(50, correctness=3.0, loss=3.0))
    late = losses(100, correctness=2.0, style=1.0, loss=float("nan"), skipped_steps=2)
    write(folder, late, {"psnr": 20.0, "step": 100})
    write(folder, measured(100, flow_8x8__length_p95=0.1, flow_8x8__length=0.05, mask_8x8__near_1=0.999))
    write_status(folder, STATUS)
    (folder / "iter_100.pth").touch()
    (folder / "iter_20.pth").touch()
    return folder


def test_the_view_says_what_there_is_to_know(run_folder):
    text = shown(look(Scalars(run_folder), NOW))
    for words in (
        "training",
        "iteration 150 of 400",
        "full, 2 of 2: iteration 50 of 300",
        "2 s an iteration",
        "all 8 min",
        "full 0.002",
        "iter_100.pth",
        "skipped steps",
        "psnr",
        "style",
    ):
        assert words in text
    assert "flow 0.001" not in text, "the rate of a stage that is over"


def test_a_flow_and_a_mask_that_have_collapsed_are_warned_of(run_folder):
    first, second = look(Scalars(run_folder), NOW).warnings
    assert "flow_8x8" in first
    assert "it moves nothing" in first
    assert "nothing is made up" in second


def test_a_mask_is_not_judged_before_it_is_trained(run_folder):
    write_status(run_folder, dataclasses.replace(STATUS, iteration=50))
    assert not any("mask" in warning for warning in look(Scalars(run_folder), NOW).warnings)


def test_a_run_of_an_earlier_version_shows_what_it_has(run_folder):
    (run_folder / "status.json").unlink()
    text = shown(look(Scalars(run_folder), NOW), 400)
    assert "iteration 100" in text
    assert "no status.json" in text
    assert "0.5 s an iteration" in text


@pytest.mark.parametrize("width", [20, 200])
def test_the_view_fits_any_terminal(run_folder, width):
    assert max(map(len, shown(look(Scalars(run_folder), NOW), width).splitlines())) <= width


def test_a_spark_line_is_lowest_at_the_least_and_has_no_unicode_where_there_is_none(run_folder):
    assert spark([1, 2, 3]) == "▁▅█"
    assert spark([5, 5]) == "▁▁"
    assert spark([]) == ""
    assert len(spark(range(1000))) == 28
    assert "▁" not in shown(look(Scalars(run_folder), NOW), encoding="ascii")
    assert PLAIN_TICKS.isascii()


def test_once_prints_and_leaves_and_touches_nothing(run_folder, capsys):
    before = {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")}
    assert main(["watch", str(run_folder), "--once"]) == 0
    assert "iteration 150 of 400" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in run_folder.rglob("*")} == before


@pytest.mark.parametrize("arguments", [["--once"], []], ids=["once", "without a terminal"])
def test_where_nobody_waits_no_run_is_an_error(tmp_path, capsys, arguments):
    assert main(["watch", str(tmp_path / "none"), *arguments]) == 1
    assert "no run is here" in capsys.readouterr().err


def test_an_interval_of_nothing_is_refused(tmp_path, capsys):
    assert main(["watch", str(tmp_path), "--interval", "0"]) == 1
    assert "--interval" in capsys.readouterr().err


@pytest.fixture
def terminal(monkeypatch):
    """A terminal, in which what happens between two looks is given: each is called in the place of a sleep."""
    console = Console(force_terminal=True, width=100, height=40, file=open(os.devnull, "w"), record=True)  # noqa: SIM115
    monkeypatch.setattr(watch_command, "Console", lambda: console)
    happens = []
    monkeypatch.setattr(time, "sleep", lambda seconds: happens.pop(0)())
    return console, happens


def test_the_live_view_waits_for_a_run_and_ends_with_it(tmp_path, terminal):
    console, happens = terminal
    folder = tmp_path / "later"

    def begin():
        write(folder, losses(50, loss=2.0))
        write_status(folder, STATUS)

    happens += [begin, lambda: write_status(folder, dataclasses.replace(STATUS, state="trained", iteration=400))]
    assert main(["watch", str(folder)]) == 0
    text = console.export_text()
    for words in ("no run yet", "iteration 150 of 400", "trained to the end"):
        assert words in text


def test_ctrl_c_ends_the_view_alone(run_folder, terminal):
    def interrupt():
        raise KeyboardInterrupt

    terminal[1].append(interrupt)
    assert main(["watch", str(run_folder)]) == 0


# The page


def test_the_page_has_curves_sheets_config_and_versions_and_needs_no_net(watched, tmp_path):
    assert main(["report", str(watched), "--out", str(tmp_path / "page.html")]) == 0
    text = (tmp_path / "page.html").read_text()
    for words in ("<polyline", "data:image/webp;base64,", "flow: length_p95", "gradient", "psnr", "max_width"):
        assert words in text
    assert torch.__version__ in text
    assert "<script" not in text
    assert "http" not in text.replace("https://github.com", "")


def test_a_page_of_ours_is_made_anew_and_nothing_else_is_overwritten_unless_forced(watched, tmp_path, capsys):
    page = tmp_path / "page.html"
    command = ["report", str(watched), "--out", str(page)]
    assert main(command) == 0
    page.write_text(page.read_text().replace("</html>", "of an hour ago"))
    assert main(command) == 0
    assert "of an hour ago" not in page.read_text()
    page.write_text("<html>mine</html>")
    assert main(command) == 1
    assert "--force" in capsys.readouterr().err
    assert page.read_text() == "<html>mine</html>"
    assert main([*command, "--force"]) == 0
    assert "mine" not in page.read_text()


def test_no_page_of_no_run(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "no run is in this folder" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_what_a_folder_says_is_escaped_and_a_broken_sheet_is_named(tmp_path):
    write(tmp_path, losses(50, loss=1.0, **{"<script>alert(1)</script>": 1.0}))
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "iter_50.png").write_text("no picture")
    write_status(tmp_path, dataclasses.replace(STATUS, made_with={"config": "<b>"}))
    write_report(tmp_path, tmp_path / "report.html", NOW)
    text = (tmp_path / "report.html").read_text()
    assert "<script" not in text
    assert "<b>" not in text
    assert "not an image" in text


def test_the_config_is_shown_and_not_run(tmp_path):
    write(tmp_path, losses(50, loss=1.0))
    config = tmp_path / "20260101_000000" / "vis_data" / "config.py"
    config.write_text(f"open({str(tmp_path / 'harm')!r}, 'w')\n")
    write_report(tmp_path, tmp_path / "report.html", NOW)
    assert "harm" in (tmp_path / "report.html").read_text()
    assert not (tmp_path / "harm").exists()


def test_a_curve_is_thinned_and_a_steep_one_is_logarithmic(tmp_path):
    count = 10 * MOST_POINTS
    write(tmp_path, *(losses(step, loss=1e3 / step, flat=1.0) for step in range(1, count + 1)))
    scalars = Scalars(tmp_path)
    scalars.update()
    by_title = {chart.title: chart for chart in charts(scalars, STAGES)["Losses"]}
    assert by_title["loss"].logarithmic
    assert not by_title["flat"].logarithmic
    assert len(by_title["loss"].lines[0].points.split()) == MOST_POINTS
    heights = [float(point.split(",")[1]) for point in by_title["loss"].lines[0].points.split()]
    assert heights == sorted(heights), "it falls, and SVG counts down"


def test_a_value_that_is_not_finite_is_no_point_of_a_curve(run_folder):
    write_report(run_folder, run_folder / "report.html", NOW)
    assert "nan," not in (run_folder / "report.html").read_text()


@pytest.mark.skipif(not (shutil.which("chromium") and shutil.which("chromedriver")), reason="no chromium")
def test_the_page_fits_a_phone_in_a_browser_and_asks_nobody(watched):
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
        backgrounds = set()
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            driver.get((watched / "report.html").as_uri())
            backgrounds.add(driver.execute_script("return getComputedStyle(document.body).backgroundColor"))
            assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        assert len(backgrounds) == 2
        messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        assert all(address.startswith(("file:", "data:")) for address in asked)
        assert driver.get_log("browser") == []
    finally:
        driver.quit()


# Weights & Biases

WANDB = """
visualizer = dict(vis_backends=[dict(type="LocalVisBackend"), dict(
    type="WandbVisBackend", init_kwargs=dict(project="p"), define_metric_cfg=[dict(name="*", step_metric="iter")])])
default_hooks = dict(logger=dict(interval=1))
flow_iters = 1
full_iters = 0
"""


def test_a_backend_whose_package_is_missing_is_an_error_before_anything_is_written(derived, tmp_path, monkeypatch):
    monkeypatch.setattr("posegen.engine.runner.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install wandb"):
        build_trainer(load_config(derived(WANDB)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_and_biases_gets_numbers_with_their_iteration_and_sheets(derived, tmp_path, monkeypatch):
    """A stand-in for its package: what mmengine's backend calls of it."""
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
