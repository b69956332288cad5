"""Fault tolerance: a run that is killed, interrupted, out of disk space or not finite can be resumed exactly."""

from __future__ import annotations

import contextlib
import copy
import errno
import itertools
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from posegen.checkpoints.files import fault_of, numbered
from posegen.cli import main
from posegen.config import load_config
from posegen.engine import EXIT_SAVED, Interrupted, NotFiniteError, StageOptimizers, build_trainer, reproduce_step
from posegen.engine.interruption import SIGNALS, Interruption
from posegen.engine.not_finite import Undo, check_finite
from posegen.engine.randomness import SeededSamples, seed_all
from posegen.errors import ConfigError

from .conftest import LAST
from .forked import Moment, finish_two, noted, of_rank, start, status, two
from .test_checkpoints import flip, full_disk  # noqa: F401  a fixture
from .test_engine import StopAfter, Stopped, assert_same, stored, trainer_and_batch


def log(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.glob("*/*.log")))


def kept(folder: Path) -> list[int]:
    return [int(path.stem.removeprefix("iter_")) for path in numbered(folder)]


@pytest.fixture
def nearly_done(trained, tmp_path) -> Path:
    """Work dir of the tiny config, one iteration before its end."""
    folder = tmp_path / "run"
    folder.mkdir()
    for iteration in range(1, LAST):
        shutil.copy(trained / f"iter_{iteration}.pth", folder)
    (folder / "last_checkpoint").write_text(str(folder / f"iter_{LAST - 1}.pth"))
    return folder


# Checkpoints of a run


def test_a_checkpoint_has_its_provenance(trained, tiny_config):
    meta = stored(trained)["meta"]
    assert {"posegen", "torch", "mmengine", "numpy", "python"} == meta["versions"].keys()
    assert "revision" in meta
    assert "StagedTrainLoop" in meta["cfg"]
    assert meta["iter"] == LAST
    assert {stored(trained, n)["meta"]["run"] for n in (1, LAST)} == {meta["run"]}
    assert all(fault_of(path) is None for path in numbered(trained))


def test_a_run_resumes_from_the_checkpoint_before_a_damaged_one(tiny_config, nearly_done, trained):
    """Old checkpoints of the same run are removed after a resume too."""
    flip(nearly_done / f"iter_{LAST - 1}.pth", 5000)
    torch.save({"somebody's": torch.zeros(1)}, nearly_done / "iter_2.pth")
    options = ["default_hooks.checkpoint.max_keep_ckpts=2"]
    arguments = ["train", str(tiny_config), "--work-dir", str(nearly_done), "--resume", "--cfg-options", *options]

    assert main(arguments) == 0

    damaged = nearly_done / f"iter_{LAST - 1}.pth"
    assert f"skipped, an earlier checkpoint is used: {damaged}: its checksum is wrong" in log(nearly_done)
    assert f"loaded: {nearly_done}/iter_{LAST - 2}.pth" in log(nearly_done)
    for part in ("state_dict", "optimizer"):
        assert_same(stored(nearly_done)[part], stored(trained)[part])
    assert kept(nearly_done) == [LAST, LAST - 1, 2]
    assert fault_of(damaged) is None  # written again
    assert stored(nearly_done)["meta"]["run"] == stored(trained)["meta"]["run"]


def test_a_run_on_a_full_disk_can_be_resumed(tiny_config, nearly_done, full_disk, capsys):  # noqa: F811
    before = {path: path.read_bytes() for path in numbered(nearly_done)}
    full_disk(20_000)
    assert main(["train", str(tiny_config), "--work-dir", str(nearly_done), "--resume"]) == 1
    error = capsys.readouterr().err
    assert f"error: {nearly_done}/iter_{LAST}.pth was not written: the disk is full" in error
    assert "go on with --resume" in error
    assert {path: path.read_bytes() for path in numbered(nearly_done)} == before
    assert list(nearly_done.glob(".*")) == []


def test_a_full_disk_is_named_by_errors_of_other_files_too(tiny_config, tmp_path, monkeypatch, capsys):
    def train(runner):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "sheet.png")

    monkeypatch.setattr("posegen.engine.runner.PosegenRunner.train", train)
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]) == 1
    assert "error: the disk is full" in capsys.readouterr().err


def test_a_run_without_last_checkpoint_is_not_overwritten(tiny_config, nearly_done):
    (nearly_done / "last_checkpoint").unlink()
    assert main(["train", str(tiny_config), "--work-dir", str(nearly_done)]) == 1


# Signals


class Send(Hook):
    """Sends this process a signal in the middle of an iteration."""

    def __init__(self, number: int, iteration: int) -> None:
        self.number, self.iteration = number, iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), self.number)


SAVING_NOTHING = {"default_hooks.checkpoint.interval": 1000}


@pytest.mark.parametrize("number", SIGNALS, ids=[number.name for number in SIGNALS])
def test_a_signal_ends_the_run_after_the_iteration_with_a_checkpoint(tiny_config, tmp_path, number):
    before = [signal.getsignal(other) for other in SIGNALS]
    options = {"flow_iters": 3, "full_iters": 0, **SAVING_NOTHING}
    runner = build_trainer(load_config(tiny_config, options), tmp_path / "run")
    runner.register_hook(Send(number, 1))
    with pytest.raises(Interrupted, match=rf"{number.name}: saved .*iter_1.pth .* --resume"):
        runner.train()
    assert kept(tmp_path / "run") == [1]
    assert (tmp_path / "run" / "last_checkpoint").read_text() == str(tmp_path / "run" / "iter_1.pth")
    assert [signal.getsignal(other) for other in SIGNALS] == before


def test_an_interrupted_command_exits_with_75(tiny_config, tmp_path, monkeypatch):
    def train(runner):
        raise Interrupted("SIGTERM: saved")

    monkeypatch.setattr("posegen.engine.runner.PosegenRunner.train", train)
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]) == EXIT_SAVED == 75


def test_a_signal_in_the_last_iteration_does_not_interrupt(tiny_config, tmp_path):
    runner = build_trainer(load_config(tiny_config, {"flow_iters": 1, "full_iters": 0}), tmp_path / "run")
    runner.register_hook(Send(signal.SIGTERM, 1))
    runner.train()
    assert kept(tmp_path / "run") == [1]


def test_a_signal_ends_a_validation(tiny_config, tmp_path):
    class DuringValidation(Hook):
        validated = 0

        def before_val_iter(self, runner, batch_idx, data_batch=None):
            self.validated += 1
            os.kill(os.getpid(), signal.SIGTERM)

    options = {"flow_iters": 2, "full_iters": 0, "train_cfg.val_interval": 1, **SAVING_NOTHING}
    runner, hook = build_trainer(load_config(tiny_config, options), tmp_path / "run"), DuringValidation()
    runner.register_hook(hook)
    with pytest.raises(Interrupted, match=r"iter_1\.pth"):
        runner.train()
    assert len(runner.val_dataloader) > hook.validated == 1
    assert kept(tmp_path / "run") == [1]


def test_a_second_ctrl_c_exits_at_once():
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException), Interruption():
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGINT


def test_repeated_sigterms_are_recorded():
    with Interruption() as interruption:
        assert interruption.agreed() is None
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.agreed() == "SIGTERM"


def test_outside_of_the_main_thread_signals_are_not_recorded():
    noted = []

    def enter() -> None:
        with Interruption() as interruption:
            noted.append(interruption.agreed())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert noted == [None]


TELL_ALL = '''
"""Sends SIGTERM to all processes of a run, in the middle of an iteration."""
import os
import subprocess
from pathlib import Path

from mmengine.hooks import Hook

from posegen.registry import HOOKS


@HOOKS.register_module()
class TellAll(Hook):
    """In the third iteration, once."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == 3 and not (Path(runner.work_dir) / "last_checkpoint").exists():
            # not os.killpg: what comes from the main process itself may end a worker
            subprocess.run(["kill", "-TERM", "--", f"-{os.getpgrp()}"], start_new_session=True, check=True)
'''


@pytest.mark.slow
def test_a_signal_to_all_processes_spares_workers_and_the_run_resumes_bit_for_bit(derived, tmp_path, trained):
    """Slurm, and Ctrl-C in a terminal, signal all processes. Workers of torch would die before the run has saved."""
    plugin, folder, notes = tmp_path / "tell_all.py", tmp_path / "run", tmp_path / "notes"
    plugin.write_text(TELL_ALL)
    config = derived(f"plugins = [{str(plugin)!r}]\ncustom_hooks = [dict(type='TellAll')]")
    options = {"train_dataloader.num_workers": 1, "val_dataloader.num_workers": 1, **SAVING_NOTHING}
    assert status(start(train(config, folder, options), notes), notes) == EXIT_SAVED, notes.read_text()[-3000:]
    assert "SIGTERM: saving after this iteration" in notes.read_text()
    assert kept(folder) == [3]

    assert status(start(train(config, folder, options, "--resume"), notes), notes) == 0
    for part in ("state_dict", "optimizer"):
        assert_same(stored(folder)[part], stored(trained)[part])


def train(config: Path, folder: Path, options: dict[str, object], *more: str) -> list[object]:
    """Return the arguments of a training command."""
    overrides = [f"{name}={value}" for name, value in options.items()]
    return ["train", config, "--work-dir", folder, *more, "--cfg-options", *overrides]


# What is not finite


def state_of(trainer, optimizers):
    weights = {name: value.detach().clone() for name, value in trainer.state_dict().items()}
    return weights, {name: copy.deepcopy(wrapper.state_dict()) for name, wrapper in optimizers.items()}


def entered(config, stage):
    trainer, batch = trainer_and_batch(config)
    trainer.train()
    trainer.enter(trainer.stages[stage])
    return trainer, batch, StageOptimizers()(trainer)


class NaNLoss(nn.Module):
    """A loss of NaN, with gradients of NaN."""

    weight, needs, looks_at = 1.0, {}, "image"

    def forward(self, step):
        return step.out.image.sum() * float("nan")


@pytest.mark.parametrize("where", ["target", "source", "loss", "gradient"])
def test_a_step_that_is_not_finite_is_undone(tiny_config, where):
    """The discriminator's update, which was finite, is undone too."""
    trainer, batch, optimizers = entered(tiny_config, 1)
    trainer.train_step(batch, optimizers)  # so that the optimizers have moments
    if where in ("target", "source"):
        getattr(batch, where)[0, 0, 3, 3] = float("nan")
    if where == "loss":
        trainer.stage.losses["nan"] = NaNLoss()
    if where == "gradient":
        first = next(trainer.model.renderer.parameters())
        first.register_hook(lambda gradient: gradient * float("inf"))
    before = state_of(trainer, optimizers)

    words = "no finite gradient in model.renderer" if where == "gradient" else "the loss is nan"
    with pytest.raises(NotFiniteError, match=words):
        trainer.train_step(batch, optimizers)

    assert_same(state_of(trainer, optimizers), before)
    assert [name for name, p in trainer.named_parameters() if p.grad is not None] == []
    assert not any(p.requires_grad for p in trainer.discriminator.parameters())


def test_the_first_step_of_a_discriminator_is_undone(tiny_config):
    trainer, batch, optimizers = entered(tiny_config, 1)
    trainer.stage.losses["nan"] = NaNLoss()
    before = state_of(trainer, optimizers)
    with pytest.raises(NotFiniteError):
        trainer.train_step(batch, optimizers)
    assert_same(state_of(trainer, optimizers), before)
    del trainer.stage.losses["nan"]
    trainer.train_step(batch, optimizers)

    whole, batch, fresh = entered(tiny_config, 1)
    whole.train_step(batch, fresh)
    assert_same(state_of(trainer, optimizers), state_of(whole, fresh))


def test_running_statistics_are_undone():
    """One image that is not finite would spoil them for good."""
    norm = nn.BatchNorm1d(2)
    norm(torch.randn(4, 2))
    undo, before = Undo([norm]), {name: value.clone() for name, value in norm.state_dict().items()}
    norm(torch.full((4, 2), float("nan")))
    assert not norm.running_mean.isfinite().all()
    undo.restore()
    assert_same(dict(norm.state_dict()), before)


@pytest.mark.parametrize(
    ("loss", "gradient", "finite"),
    [(1.0, 1.0, True), (float("inf"), 1.0, False), (1.0, float("nan"), False), (-float("inf"), float("inf"), False)],
)
def test_loss_and_gradients_are_checked(loss, gradient, finite):
    network = nn.Linear(1, 1, bias=False)
    network.weight.grad = torch.full((1, 1), gradient)
    with contextlib.nullcontext() if finite else pytest.raises(NotFiniteError):
        check_finite(torch.tensor(loss), network, network.parameters())


class Poison(Hook):
    """Sets an image of some iterations' batches to NaN."""

    def __init__(self, *iterations: int) -> None:
        self.iterations = iterations

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 in self.iterations:
            data_batch.target[0] = float("nan")


def test_a_skipped_step_is_counted_and_its_samples_are_named(tiny_config, tmp_path):
    options = {"flow_iters": 4, "full_iters": 0, "default_hooks.logger.interval": 1}
    config = load_config(tiny_config, options)
    runner = build_trainer(config, tmp_path / "run")
    runner.register_hook(Poison(1, 3))
    runner.train()
    states = [stored(tmp_path / "run", n)["state_dict"] for n in (1, 2, 3, 4)]
    assert_same(states[2], states[1])
    assert all(
        not torch.equal(states[3][name], states[2][name]) for name in states[3] if name.endswith("to_mask.weight")
    )
    info = stored(tmp_path / "run", 4)["message_hub"]["runtime_info"]
    assert (info["skipped_steps"], info["skipped_in_a_row"]) == (2, 0)
    written = log(tmp_path / "run")
    assert "iteration 1, stage 'flow': step skipped, the loss is nan" in written
    assert "2 skipped so far, 1 in a row" in written
    assert "skipped_steps: 2" in written
    names = [runner.train_dataloader.dataset[key].name for key in itertools.islice(runner.train_dataloader.sampler, 2)]
    assert f"samples: {', '.join(names)}" in written.split("iteration 1, ")[1].split("iteration 3, ")[0]


def test_too_many_skipped_steps_stop_the_run_with_a_file_that_reproduces_the_last(tiny_config, tmp_path):
    options = {"flow_iters": 1, "full_iters": 4, "train_cfg.max_skipped": 2}
    runner = build_trainer(load_config(tiny_config, options), tmp_path / "run")
    runner.register_hook(Poison(2, 3))
    path = tmp_path / "run" / "not_finite_iter_3.pth"
    with pytest.raises(NotFiniteError, match=rf"iteration 3, stage 'full': 2 steps in a row[^$]*{path}"):
        runner.train()

    content = torch.load(path, weights_only=True)
    assert (content["iteration"], content["stage"]) == (2, "full")
    assert content["inputs"][0]["record"] == "PairBatch"
    assert content["inputs"][0]["target"].isnan().any()
    assert_same(dict(content["state_dict"]), dict(stored(tmp_path / "run", 1)["state_dict"]))
    assert reproduce_step(path) == [content["error"]]

    content["inputs"][0]["target"].nan_to_num_()
    torch.save(content, path)
    assert reproduce_step(path) == [None]


def test_max_skipped_must_be_positive(tiny_config, tmp_path):
    with pytest.raises(ConfigError, match="max_skipped must be 1 or more"):
        build_trainer(load_config(tiny_config, {"train_cfg.max_skipped": 0}), tmp_path / "run").train()


# Random numbers


def draws() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_random_numbers_are_a_function_of_the_seeds():
    def after(*numbers):
        seed_all(*numbers)
        return draws()

    assert after(0, 1, 2) == after(0, 1, 2)
    assert len({tuple(after(*numbers)) for numbers in ((0, 1, 2), (0, 2, 1), (1, 1, 2), (0, 1, 3))}) == 4
    assert len(set(after(0, 0, 0))) == 3


class Drawing:
    """A data set that draws random numbers."""

    augments = False

    def __len__(self):
        return 5

    def __getitem__(self, index):
        return [index, *draws()]


def test_what_a_data_set_draws_is_a_function_of_index_and_round():
    samples = SeededSamples(Drawing(), seed=3)
    first = samples[(1, 0)]
    assert samples[(2, 0)][1:] != first[1:] != samples[(1, 1)][1:]
    assert samples[(1, 0)] == first
    assert first[0] == 1


class Draw(Hook):
    """Draws random numbers in each iteration, as a loss may."""

    def __init__(self) -> None:
        self.drawn = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.drawn[runner.iter + 1] = draws()


@pytest.mark.slow
def test_a_resumed_run_draws_the_same_random_numbers(tiny_config, tmp_path):
    """Validations between a checkpoint and the next iteration, which start data loaders, do not matter."""
    options = {"flow_iters": 3, "full_iters": 0, "train_cfg.val_interval": 1}

    def run(name, stop=None, resume=False):
        runner, draw = build_trainer(load_config(tiny_config, options), tmp_path / name, resume=resume), Draw()
        runner.register_hook(draw)
        if stop:
            runner.register_hook(StopAfter(stop))
        with pytest.raises(Stopped) if stop else contextlib.nullcontext():
            runner.train()
        return draw.drawn

    whole = run("whole")
    run("stopped", stop=2)
    assert run("stopped", resume=True) == {n: whole[n] for n in (2, 3)}
    assert len({tuple(drawn) for drawn in whole.values()}) == 3


# Killed

STAGE = 8
"""Iterations of each stage."""
KILLED = {
    "flow_iters": STAGE,
    "full_iters": STAGE,
    "default_hooks.checkpoint.interval": 2,
    "default_hooks.checkpoint.max_keep_ckpts": 1,
    "train_cfg.val_interval": 3,
}
CHECKPOINTS = range(2, 2 * STAGE + 1, 2)
OCCURS = {
    "in a step": range(1, 2 * STAGE + 1),
    "in a checkpoint": CHECKPOINTS,
    "half written": CHECKPOINTS,
    "before the renaming": CHECKPOINTS,
    "after the renaming": CHECKPOINTS[:-1],  # after the last one the run is done, and nothing is left to resume
    "before an old one is removed": CHECKPOINTS[1:-1],
    "in a validation": [
        3,
        9,
        15,
    ],  # those at a checkpoint's iteration follow it, and the one at the end is not repeated
}
"""Iterations that have such a moment."""
SAVED = ("after the renaming", "before an old one is removed")
"""Moments after the checkpoint of the iteration was written."""


def calls_of(notes: Path) -> dict[tuple[str, int], int]:
    return {(note["place"], note["iteration"]): note["calls"] for note in noted(notes)}


def moments(chance: random.Random, calls: dict[tuple[str, int], int]) -> list[Moment]:
    """Every place once in each stage, in the order of a run that is resumed in between."""
    chosen: list[tuple[int, bool, str]] = []
    for first in (1, 1 + STAGE):
        stage = range(first, first + STAGE)
        saved: list[int] = []  # after such a moment, the run continues with the next iteration
        for place in OCCURS:
            iteration = chance.choice([n for n in OCCURS[place] if n in stage and n not in saved])
            saved += [iteration] if place in SAVED else []
            chosen.append((iteration, place in SAVED, place))
    return [
        Moment(place, iteration, chance.randint(1, calls.get((place, iteration), 1)), chance.random())
        for iteration, _, place in sorted(chosen)
    ]


def died_there(moment: Moment, folder: Path, notes: Path, earlier: list[int]) -> None:
    """Check by its files that a run died at the given moment."""
    before = {moment.iteration - CHECKPOINTS.step} & {*CHECKPOINTS}
    last = noted(notes)[-1]
    assert (last["died"], last["iteration"]) == (moment.place, moment.iteration)
    part, whole = (folder / name.format(moment.iteration) for name in (".iter_{}.pth.part", "iter_{}.pth"))
    if moment.place == "half written":
        assert fault_of(part) is not None
        assert not whole.exists()
    if moment.place == "before the renaming":
        assert fault_of(part) is None
        assert not whole.exists()
    if moment.place in SAVED:
        assert fault_of(whole) is None
        expected = {moment.iteration} | before
        assert expected <= set(kept(folder)) <= expected | {*earlier}, "the one before is still there"
    if moment.place == "after the renaming" and before:
        assert (folder / "last_checkpoint").read_text() != str(whole)


@pytest.mark.slow
def test_a_run_killed_at_every_kind_of_moment_ends_bit_for_bit_as_an_uninterrupted_one(tiny_config, tmp_path):
    whole, folder, notes = tmp_path / "whole", tmp_path / "run", tmp_path / "notes"
    assert status(start(train(tiny_config, whole, KILLED), notes, count=True), notes) == 0
    planned = moments(random.Random(0), calls_of(notes))
    assert len(planned) == 2 * len(OCCURS)
    assert {(moment.place, moment.iteration <= STAGE) for moment in planned} == set(
        itertools.product(OCCURS, (True, False))
    )

    for moment in planned:
        earlier = kept(folder) if folder.exists() else []
        run = start(train(tiny_config, folder, KILLED, "--resume"), notes, moment)
        assert status(run, notes) == -signal.SIGKILL, (moment, notes.read_text()[-3000:])
        died_there(moment, folder, notes, earlier)
    assert status(start(train(tiny_config, folder, KILLED, "--resume"), notes), notes) == 0

    for part in ("state_dict", "optimizer"):
        assert_same(stored(folder, 2 * STAGE)[part], stored(whole, 2 * STAGE)[part])
    assert kept(folder) == [2 * STAGE]
    assert list(folder.glob(".*.part")) == []


def killed_together(processes: list[Any], notes: Path, moments: dict[int, Moment]) -> None:
    """Wait for the processes that die; end the others, as torchrun does."""
    for rank in moments:
        own = of_rank(notes, rank)
        assert status(processes[rank], own) == -signal.SIGKILL, (moments, own.read_text()[-3000:])
    for process in processes:
        process.join(5)
        process.kill()
        process.join()
        assert process.exitcode != 0, "a process cannot end well without the other"


@pytest.mark.slow
def test_two_killed_processes_end_bit_for_bit_as_uninterrupted_ones(tiny_config, tmp_path):
    whole, folder, notes = tmp_path / "whole", tmp_path / "run", tmp_path / "notes"
    for rank, process in enumerate(two(train(tiny_config, whole, KILLED), notes, count=True)):
        assert status(process, of_rank(notes, rank)) == 0, of_rank(notes, rank).read_text()[-3000:]
    calls = calls_of(of_rank(notes, 0))
    chance = random.Random(0)
    plan = [
        ("in a step", 3, [0, 1]),
        ("half written", 6, [0]),
        ("in a validation", 15, [1]),
    ]
    for place, iteration, ranks in plan:
        dying = {
            rank: Moment(place, iteration, chance.randint(1, calls.get((place, iteration), 1)), chance.random())
            for rank in ranks
        }
        earlier = kept(folder) if folder.exists() else []
        killed_together(two(train(tiny_config, folder, KILLED, "--resume"), notes, dying), notes, dying)
        for rank, moment in dying.items():
            died_there(moment, folder, of_rank(notes, rank), earlier)
    finish_two(train(tiny_config, folder, KILLED, "--resume"), notes)

    for part in ("state_dict", "optimizer"):
        assert_same(stored(folder, 2 * STAGE)[part], stored(whole, 2 * STAGE)[part])


# Two processes

TWO = '''
"""Sets a batch of one process to NaN, interrupts one process, and saves the final weights of each."""
import os
import signal
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from posegen.registry import HOOKS


@HOOKS.register_module()
class Trouble(Hook):
    """For the second process alone."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if get_rank() == 1 and runner.iter + 1 == 2:
            data_batch.target[0] = float("nan")
        if get_rank() == 1 and runner.iter + 1 == 3 and not (Path(runner.work_dir) / "last_checkpoint").exists():
            os.kill(os.getpid(), signal.SIGUSR1)

    def after_train(self, runner):
        torch.save(runner.model.state_dict(), Path(runner.work_dir) / f"rank{get_rank()}.pth")
'''


@pytest.mark.slow
def test_two_processes_skip_steps_and_exit_together(derived, tmp_path):
    plugin = tmp_path / "trouble.py"
    plugin.write_text(TWO)
    config = derived(
        f"plugins = [{str(plugin)!r}]\nflow_iters = 2\nfull_iters = 2\ncustom_hooks = [dict(type='Trouble')]\n"
        "default_hooks = dict(checkpoint=dict(interval=1000))"
    )
    folder = tmp_path / "run"
    arguments = ["train", config, "--work-dir", folder]
    finish_two(arguments, tmp_path / "notes", EXIT_SAVED)
    assert kept(folder) == [3]
    assert "iteration 2, stage 'flow': step skipped, the loss is nan" in log(folder)

    finish_two([*arguments, "--resume"], tmp_path / "notes")
    ranks = [torch.load(folder / f"rank{rank}.pth", weights_only=True) for rank in (0, 1)]
    assert_same(*ranks)
    assert all(value.isfinite().all() for value in ranks[0].values())
    assert stored(folder, 4)["message_hub"]["runtime_info"]["skipped_steps"] == 1
