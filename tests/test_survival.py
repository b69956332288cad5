"""A run survives: killed, told to leave, out of disk, or fed with what is not finite, it goes on as if nothing was."""

from __future__ import annotations

import contextlib
import copy
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from posegen.cli import main
from posegen.config import load_config
from posegen.engine import EXIT_SAVED, Interrupted, NotFiniteError, StageOptimizers, build_trainer, reproduce_step
from posegen.engine.checkpoint_files import fault_of, numbered
from posegen.engine.interruption import SIGNALS, Interruption
from posegen.engine.not_finite import Undo, check_finite
from posegen.engine.randomness import SeededSamples, seed_all
from posegen.errors import ConfigError

from .conftest import CONFIGS, LAST
from .test_checkpoints import flip, full_disk  # noqa: F401  a fixture
from .test_distributed import environment, torchrun  # noqa: F401  a fixture
from .test_engine import FLOW, StopAfter, Stopped, assert_same, stored, trainer_and_batch

KILLS = int(os.environ.get("POSEGEN_KILLS", "4"))
"""Moments at which the killed run is killed; CI asks for 20."""


def log(folder: Path) -> str:
    return "".join(path.read_text() for path in sorted(folder.glob("*/*.log")))


def kept(folder: Path) -> list[int]:
    return [int(path.stem.removeprefix("iter_")) for path in numbered(folder)]


@pytest.fixture
def nearly_done(trained, tmp_path) -> Path:
    """A work dir of the tiny config, one iteration before its end."""
    folder = tmp_path / "run"
    folder.mkdir()
    for iteration in range(1, LAST):
        shutil.copy(trained / f"iter_{iteration}.pth", folder)
    (folder / "last_checkpoint").write_text(str(folder / f"iter_{LAST - 1}.pth"))
    return folder


# Checkpoints of a run


def test_a_checkpoint_says_where_it_came_from(trained, tiny_config):
    meta = stored(trained)["meta"]
    assert {"posegen", "torch", "mmengine", "numpy", "python"} == meta["versions"].keys()
    assert "revision" in meta
    assert "StagedTrainLoop" in meta["cfg"]
    assert meta["iter"] == LAST
    assert {stored(trained, n)["meta"]["run"] for n in (1, LAST)} == {meta["run"]}
    assert all(fault_of(path) is None for path in numbered(trained))


def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_it_is_used(tiny_config, nearly_done, trained):
    """And old ones are removed after a resume too: but none of another run's."""
    flip(nearly_done / f"iter_{LAST - 1}.pth", 5000)
    torch.save({"somebody's": torch.zeros(1)}, nearly_done / "iter_2.pth")
    options = ["default_hooks.checkpoint.max_keep_ckpts=2"]
    arguments = ["train", str(tiny_config), "--work-dir", str(nearly_done), "--resume", "--cfg-options", *options]

    assert main(arguments) == 0

    damaged = nearly_done / f"iter_{LAST - 1}.pth"
    assert f"left out, and the checkpoint before is taken: {damaged}: its checksum is wrong" in log(nearly_done)
    assert f"loaded: {nearly_done}/iter_{LAST - 2}.pth" in log(nearly_done)
    for part in ("state_dict", "optimizer"):
        assert_same(stored(nearly_done)[part], stored(trained)[part])
    assert kept(nearly_done) == [LAST, LAST - 1, 2]
    assert fault_of(damaged) is None  # written again
    assert stored(nearly_done)["meta"]["run"] == stored(trained)["meta"]["run"]


def test_a_run_on_a_full_disk_says_so_and_can_go_on(tiny_config, nearly_done, full_disk, capsys):  # noqa: F811
    before = {path: path.read_bytes() for path in numbered(nearly_done)}
    full_disk(20_000)
    assert main(["train", str(tiny_config), "--work-dir", str(nearly_done), "--resume"]) == 1
    error = capsys.readouterr().err
    assert f"error: {nearly_done}/iter_{LAST}.pth was not written: the disk is full" in error
    assert "go on with --resume" in error
    assert {path: path.read_bytes() for path in numbered(nearly_done)} == before
    assert list(nearly_done.glob(".*")) == []


def test_a_full_disk_is_called_so_by_what_is_no_checkpoint_too(tiny_config, tmp_path, monkeypatch, capsys):
    def train(runner):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "sheet.png")

    monkeypatch.setattr("posegen.engine.runner.SafeRunner.train", train)
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]) == 1
    assert "error: the disk is full" in capsys.readouterr().err


def test_a_run_that_died_before_last_checkpoint_was_written_is_not_written_over(tiny_config, nearly_done):
    (nearly_done / "last_checkpoint").unlink()
    assert main(["train", str(tiny_config), "--work-dir", str(nearly_done)]) == 1


# Told to leave


class Send(Hook):
    """Sends this process a signal in the middle of an iteration."""

    def __init__(self, number: int, iteration: int) -> None:
        self.number, self.iteration = number, iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), self.number)


SAVING_NOTHING = {"default_hooks.checkpoint.interval": 1000}


@pytest.mark.parametrize("number", SIGNALS, ids=[number.name for number in SIGNALS])
def test_a_run_that_is_told_to_leave_finishes_the_iteration_saves_and_leaves(tiny_config, tmp_path, number):
    before = [signal.getsignal(other) for other in SIGNALS]
    options = {"flow_iters": 3, "full_iters": 0, **SAVING_NOTHING}
    runner = build_trainer(load_config(tiny_config, options), tmp_path / "run")
    runner.register_hook(Send(number, 1))
    with pytest.raises(Interrupted, match=rf"{number.name}: saved .*iter_1.pth .* --resume"):
        runner.train()
    assert kept(tmp_path / "run") == [1]
    assert (tmp_path / "run" / "last_checkpoint").read_text() == str(tmp_path / "run" / "iter_1.pth")
    assert [signal.getsignal(other) for other in SIGNALS] == before


def test_the_command_leaves_with_a_status_of_its_own(tiny_config, tmp_path, monkeypatch):
    def train(runner):
        raise Interrupted("SIGTERM: saved")

    monkeypatch.setattr("posegen.engine.runner.SafeRunner.train", train)
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]) == EXIT_SAVED == 75


def test_a_signal_in_the_last_iteration_lets_the_run_end(tiny_config, tmp_path):
    runner = build_trainer(load_config(tiny_config, {"flow_iters": 1, "full_iters": 0}), tmp_path / "run")
    runner.register_hook(Send(signal.SIGTERM, 1))
    runner.train()
    assert kept(tmp_path / "run") == [1]


def test_a_validation_is_not_waited_for(tiny_config, tmp_path):
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


def test_a_second_ctrl_c_leaves_at_once():
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException), Interruption():
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGINT


def test_signals_of_the_kind_that_slurm_repeats_are_borne():
    with Interruption() as interruption:
        assert interruption.agreed() is None
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert interruption.agreed() == "SIGTERM"


def test_outside_the_main_thread_nothing_is_noted():
    noted = []

    def enter() -> None:
        with Interruption() as interruption:
            noted.append(interruption.agreed())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert noted == [None]


@pytest.mark.slow
def test_a_signal_to_all_processes_of_a_run_spares_its_workers_and_the_run_goes_on_bit_for_bit(
    tiny_config, tmp_path, trained
):
    """As Slurm, and Ctrl-C in a terminal, send it: the main process still needs its workers for a moment."""
    folder = tmp_path / "run"
    options = ["train_dataloader.num_workers=1", "val_dataloader.num_workers=1"]
    command = [sys.executable, str(CONFIGS.parent / "tools" / "train.py"), str(tiny_config), "--work-dir", str(folder)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen([*command, "--cfg-options", *options], start_new_session=True, env=one_thread, **quiet)
    try:
        wait_for(lambda: (folder / "iter_2.pth").exists(), run)
        os.killpg(run.pid, signal.SIGTERM)
        _, errors = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == EXIT_SAVED, errors[-3000:]
    assert "SIGTERM: saving after this iteration" in errors
    assert kept(folder)[0] < LAST
    assert main(["train", str(tiny_config), "--work-dir", str(folder), "--resume"]) == 0
    for part in ("state_dict", "optimizer"):
        assert_same(stored(folder)[part], stored(trained)[part])


def wait_for(ready, run: subprocess.Popen, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert run.poll() is None, run.communicate()[1]
        assert time.monotonic() < end, "the run takes too long"
        time.sleep(0.02)


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
    """A loss that is not a number, and the gradient with it."""

    weight, needs, looks_at = 1.0, {}, "image"

    def forward(self, step):
        return step.out.image.sum() * float("nan")


@pytest.mark.parametrize("where", ["target", "source", "loss", "gradient"])
def test_a_step_that_is_not_finite_leaves_nothing(tiny_config, where):
    """Also where the discriminator had taken its own, which was finite (a loss, a gradient)."""
    trainer, batch, optimizers = entered(tiny_config, 1)
    trainer.train_step(batch, optimizers)  # so that the optimisers have moments
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


def test_a_discriminator_whose_first_step_is_undone_begins_afresh(tiny_config):
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
    """One image that is not finite would else spoil them for good."""
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
def test_a_loss_or_a_gradient(loss, gradient, finite):
    network = nn.Linear(1, 1, bias=False)
    network.weight.grad = torch.full((1, 1), gradient)
    with contextlib.nullcontext() if finite else pytest.raises(NotFiniteError):
        check_finite(torch.tensor(loss), network, network.parameters())


class Poison(Hook):
    """Makes an image of some iterations' batches not a number."""

    def __init__(self, *iterations: int) -> None:
        self.iterations = iterations

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter + 1 in self.iterations:
            data_batch.target[0] = float("nan")


def test_a_skipped_step_is_counted_its_samples_are_named_and_the_run_goes_on(tiny_config, tmp_path):
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
    names = [runner.train_dataloader.dataset[(index, 0)].name for index in drawn_by(runner, 2)]
    assert f"samples: {', '.join(names)}" in written.split("iteration 1, ")[1].split("iteration 3, ")[0]


def drawn_by(runner, count):
    order = runner.train_dataloader.sampler._order(0)
    return order[:count].tolist()


def test_too_many_in_a_row_stop_the_run_with_a_file_that_reproduces_the_step(tiny_config, tmp_path):
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


def test_a_run_must_be_allowed_to_skip_one_step_before_it_stops(tiny_config, tmp_path):
    with pytest.raises(ConfigError, match="max_skipped must be 1 or more"):
        build_trainer(load_config(tiny_config, {"train_cfg.max_skipped": 0}), tmp_path / "run").train()


# Random numbers


def draws() -> list[float]:
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


def test_random_numbers_are_a_function_of_where_the_run_is():
    def after(*numbers):
        seed_all(*numbers)
        return draws()

    assert after(0, 1, 2) == after(0, 1, 2)
    assert len({tuple(after(*numbers)) for numbers in ((0, 1, 2), (0, 2, 1), (1, 1, 2), (0, 1, 3))}) == 4
    assert len(set(after(0, 0, 0))) == 3


class Drawing:
    """A data set that draws."""

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
    """Draws in each iteration, as a loss may."""

    def __init__(self) -> None:
        self.drawn = {}

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.drawn[runner.iter + 1] = draws()


@pytest.mark.slow
def test_a_resumed_run_draws_what_the_unbroken_one_drew(tiny_config, tmp_path):
    """Though that one has validated in between, which starts a data loader, which draws."""
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

DRIVER = """
import os, signal, sys, threading
from pathlib import Path

import torch
from mmengine.hooks import Hook

from posegen.cli import main
from posegen.engine import runner as module

config, folder, kind, iteration, fraction = sys.argv[1:]
iteration, fraction = int(iteration), float(fraction)
target = f"iter_{iteration}.pth"

def die(*unused):
    os.kill(os.getpid(), signal.SIGKILL)

class Dying:
    def __init__(self, stream):
        self.stream = stream
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.stream.close()
    def write(self, block):
        self.stream.write(block[: int(fraction * len(block))])
        self.stream.flush()
        die()

opened, replace = Path.open, os.replace

def opening(path, *args, **kwargs):
    stream = opened(path, *args, **kwargs)
    return Dying(stream) if kind == "in the write" and path.name == f".{target}.part" else stream

def replacing(part, path):
    if kind == "before the rename" and Path(path).name == target:
        die()
    replace(part, path)
    if kind == "after the rename" and Path(path).name == target:
        die()

class Kill(Hook):
    priority = "LOWEST"
    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if kind == "any time" and runner.iter + 1 == iteration:
            threading.Timer(fraction, die).start()
    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if kind != "never" and runner.iter + 1 == iteration:
            die()

Path.open, os.replace = opening, replacing
build = module.SafeRunner.__init__
def building(self, *args, **kwargs):
    build(self, *args, **kwargs)
    self.register_hook(Kill())
module.SafeRunner.__init__ = building
torch.set_num_threads(1)
resume = ["--resume"] if Path(folder).exists() else []
sys.exit(main(["train", config, "--work-dir", folder, *resume]))
"""
KINDS = ("in the write", "any time", "after the rename", "in the write", "before the rename")


def moments(count: int) -> list[tuple[str, int, float]]:
    """When to kill: how, in which iteration, and how far into it. From the first iteration to the last, so that both
    stages and the border between them have their share."""
    chance = random.Random(count)
    planned = [(chance.choice(KINDS), 1 + LAST * number // count, chance.random()) for number in range(count)]
    planned[0] = ("in the write", *planned[0][1:])
    return planned


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_bit_for_bit_as_one_that_was_not(tiny_config, tmp_path, trained):
    folder, killed = tmp_path / "run", []
    for kind, iteration, fraction in [*moments(KILLS), ("never", 0, 0.0)]:
        done = kept(folder)[0] if folder.exists() and kept(folder) else 0
        at = max(iteration, done + 1)
        if at == LAST and kind != "never":
            kind = "in the write"  # the others may let the run end
        run = subprocess.run(
            [sys.executable, "-c", DRIVER, str(tiny_config), str(folder), kind, str(at), str(fraction)],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=False,
        )
        expected = 0 if kind == "never" else -signal.SIGKILL
        assert run.returncode == expected, (kind, at, run.stderr[-3000:])
        killed.append((kind, at))

    assert {at <= FLOW for _, at in killed[:-1]} == {True, False}, "both stages must have been killed in"
    for part in ("state_dict", "optimizer"):
        assert_same(stored(folder)[part], stored(trained)[part])
    assert [path.name for path in folder.glob(".*.part")] == []


# Two processes

TWO = '''
"""Spoils a batch of one process only, tells one process only to leave, keeps what each ends with."""
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
        torch.save(runner.model.module.state_dict(), Path(runner.work_dir) / f"rank{get_rank()}.pth")
'''


@pytest.mark.slow
def test_two_processes_skip_and_leave_together(derived, tmp_path, environment):  # noqa: F811
    plugin = tmp_path / "trouble.py"
    plugin.write_text(TWO)
    config = derived(
        f"plugins = [{str(plugin)!r}]\nflow_iters = 2\nfull_iters = 2\ncustom_hooks = [dict(type='Trouble')]\n"
        "default_hooks = dict(checkpoint=dict(interval=1000))"
    )
    folder = tmp_path / "run"
    with pytest.raises(AssertionError, match=f"exitcode  ?: {EXIT_SAVED}"):
        torchrun("train", config, "--work-dir", folder, environment=environment)
    assert kept(folder) == [3]
    assert "iteration 2, stage 'flow': step skipped, the loss is nan" in log(folder)

    torchrun("train", config, "--work-dir", folder, "--resume", environment=environment)
    ranks = [torch.load(folder / f"rank{rank}.pth", weights_only=True) for rank in (0, 1)]
    assert_same(*ranks)
    assert all(value.isfinite().all() for value in ranks[0].values())
    assert stored(folder, 4)["message_hub"]["runtime_info"]["skipped_steps"] == 1
