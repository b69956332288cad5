"""Several processes over gloo train and measure as one process does on the whole batch; a killed one is restarted."""

from __future__ import annotations

import copy
import itertools
import json
import os
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import torch.distributed as dist

from posegen.cli import main
from posegen.config import load_config
from posegen.engine import EXIT_SAVED, EndlessSampler, StageOptimizers, distributed
from posegen.engine.distributed import average_gradients, fresh_store, join_process_group
from posegen.errors import CheckpointError, PosegenError
from posegen.evaluation import SetMetric
from posegen.records import PairBatch, Transfer
from posegen.registry import DATASETS, METRICS

from .conftest import CONFIGS, LAST
from .forked import finish_two, group_of_two, in_both, start, status
from .test_clips import ADVERSARIAL, clips
from .test_clips import trainer as clip_trainer
from .test_engine import assert_same, stored, trainer_and_batch

PROCESSES = 2
SGD = dict(type="SGD", lr=1e-5)
"""Discriminators are updated first. With SGD, unlike Adam, their update depends on gradients smoothly."""


def test_a_single_process_averages_nothing():
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.full((3,), 2.0)
    assert average_gradients([parameter, torch.nn.Parameter(torch.ones(1))], torch.tensor(3.0)) == 3
    assert parameter.grad.tolist() == [2, 2, 2]


def test_slurm_without_srun_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    with pytest.raises(PosegenError, match="SLURM_PROCID and SLURM_NTASKS is not set: start the command with srun"):
        join_process_group("slurm")


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU mmengine joins the processes")
def test_several_nodes_without_an_address_are_an_error(monkeypatch):
    for name in ("MASTER_ADDR", "SLURM_LAUNCH_NODE_IPADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_NNODES": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PosegenError, match=r"2 nodes .* set MASTER_ADDR"):
        join_process_group("slurm")


def test_restarted_processes_meet_each_other_and_not_dead_ones():
    """Share one store among all restarts, as torchrun does; before the first restart, only the second process died."""
    store = dist.HashStore()
    store.set("address", "of one that died")
    store.set("hello 1", "of one that died")
    with ThreadPoolExecutor() as pool:
        fresh = [pool.submit(fresh_store, store, rank, 2).result for rank in (0, 1)]
        first, second = (result(60) for result in fresh)
    assert not second.check(["address"])
    first.set("address", "of one that lives")
    assert second.get("address") == b"of one that lives"
    assert store.get("address") == b"of one that died"


def test_a_process_that_does_not_join_is_named():
    store = dist.HashStore()
    store.set_timeout(timedelta(seconds=0.2))
    with pytest.raises(PosegenError, match=r"processes \[1, 2\] of 3 did not join"):
        fresh_store(store, 0, 3)


ERRORS = {
    "OSError": (OSError(30, "Read-only file system", "iter_1.pth"), r"OSError: .*Read-only file system: 'iter_1\.pth'"),
    "PosegenError": (CheckpointError("the disk is full"), "^the disk is full$"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_of_the_first_process_is_raised_in_all(monkeypatch, kind):
    error, words = ERRORS[kind]
    told = []
    monkeypatch.setattr(distributed, "is_distributed", lambda: True)
    monkeypatch.setattr(distributed, "_cpu_group", lambda: None)
    monkeypatch.setattr(dist, "broadcast_object_list", lambda outcome, **unused: told.append(pickle.dumps(outcome)))
    with pytest.raises(PosegenError, match=words) as raised:
        distributed.in_first_process(lambda: fail_with(error))
    _, heard = pickle.loads(told[0])
    assert (type(heard), str(heard)) == (type(raised.value), str(raised.value))
    assert error in (raised.value, raised.value.__cause__)


def fail_with(error: Exception) -> None:
    raise error


def heard_by(rank: int) -> str:
    """Return the error of a process if the first one cannot remove a file, and a later collective."""
    try:
        distributed.in_first_process(lambda: Path("/nowhere/iter_1.pth").unlink())
    except PosegenError as error:
        return f"{error}; {distributed.gather(rank)}"
    return "nothing"


@pytest.mark.slow
def test_no_process_waits_for_a_first_one_that_failed(tmp_path):
    first, second = in_both(heard_by, tmp_path)
    assert first == second
    assert re.search(r"FileNotFoundError: .*'/nowhere/iter_1\.pth'; \[0, 1\]", first)


@pytest.mark.slow
def test_torchrun_restarts_after_status_75_and_exits_with_1(tmp_path):
    """Status 75 means "saved", but torchrun takes every status except 0 for a failure, as documented."""
    worker = tmp_path / "leave.py"
    worker.write_text(f"open({str(tmp_path / 'starts')!r}, 'a').write('x')\nraise SystemExit({EXIT_SAVED})\n")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, "--monitor-interval", "0.1", worker], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr[-3000:]
    assert (tmp_path / "starts").read_text() == "xx"


THREADS = """
import atexit
from pathlib import Path
import torch
from posegen.engine.distributed import join_process_group

def threads():
    return sorted(path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))

atexit.register(lambda: print(*threads()))  # registered first, so called last
join_process_group("pytorch")
torch.distributed.all_reduce(torch.zeros(1))  # a thread has its name once it has worked
print(*threads())
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="lists the threads of a process as Linux does")
def test_no_thread_of_gloo_is_left_when_the_interpreter_is_finalized():
    """Such a thread may end the process with SIGABRT, https://github.com/pytorch/pytorch/issues/190489."""
    alone = {**os.environ, **group_of_two()[0], "WORLD_SIZE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", THREADS], env=alone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    joined, left = done.stdout.splitlines()
    assert "gloo" in joined
    assert "gloo" not in left


# A step


def share_of(batch, share: slice):
    """Some samples of a batch, in double precision."""
    parts = {name: value[share] for name, value in vars(batch).items() if value is not None}
    exact = {name: part.double() if isinstance(part, torch.Tensor) else part for name, part in parts.items()}
    return type(batch)(**exact)


def gradients(trainer, batch, stage: int, share: slice) -> dict[str, list[torch.Tensor]]:
    """Return the gradients of each optimizer in a step on a share of the batch, in double precision.

    In single precision they depend on the order of sums, and so on the processor.
    """
    trainer = copy.deepcopy(trainer).double()
    for one in trainer.stages:
        one.optimizer = SGD
        one.discriminator_optimizer = SGD if one.discriminator_optimizer else None
    trainer.train()
    trainer.enter(trainer.stages[stage])
    given = {}

    def keep(name, optimizer):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        given[name] = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]

    optimizers = StageOptimizers()(trainer)
    for name, wrapper in optimizers.items():
        wrapper.optimizer.register_step_pre_hook(lambda optimizer, *unused, name=name: keep(name, optimizer))
    with mock.patch.object(torch.Tensor, "float", lambda tensor: tensor):  # by which losses ask for single precision
        trainer.train_step(share_of(batch, share), optimizers)
    return given


EXACT = 1e-12
"""Largest difference allowed, as a share of the largest gradient; measured 1e-15."""


def largest_differences(ours, theirs) -> dict[str, float]:
    """By optimizer, the largest difference of two sets of gradients as a share of the largest gradient."""
    assert list(ours) == list(theirs)
    largest = {name: max(float(gradient.abs().max()) for gradient in theirs[name]) for name in theirs}
    return {
        name: max(float((a - b).abs().max()) for a, b in zip(ours[name], theirs[name], strict=True)) / largest[name]
        for name in theirs
    }


CLIP_LOSSES = dict(
    l1=dict(type="ReconstructionLoss"),
    regularization=dict(type="AffineRegularization", kernel_sizes=[3, 3]),
    **ADVERSARIAL,
)
STEPS = {"flow": 0, "full": 1, "clips": 0}


def step_of(kind: str, config: Path, share: slice) -> dict[str, list[torch.Tensor]]:
    if kind != "clips":
        return gradients(*trainer_and_batch(config), STEPS[kind], share)
    made = clip_trainer(CLIP_LOSSES)  # a chunk is a step, and this clip is one
    return gradients(made, clips(2), STEPS[kind], share)


def steps_of_one_of_two(config: Path, rank: int) -> dict[str, dict[str, list[torch.Tensor]]]:
    return {kind: step_of(kind, config, slice(rank, rank + 1)) for kind in STEPS}


@pytest.mark.slow
def test_the_gradients_of_two_halves_are_those_of_the_whole_batch(tiny_config, tmp_path):
    """In both stages, including discriminators, for pairs and clips; the flow stage leaves most networks unused."""
    first, second = in_both(steps_of_one_of_two, tmp_path, tiny_config)
    assert_same(first, second)
    for kind in STEPS:
        whole, half = (step_of(kind, tiny_config, slice(0, count)) for count in (PROCESSES, 1))
        assert {"discriminator"} <= set(whole) or kind == "flow"
        assert max(largest_differences(first[kind], whole).values()) < EXACT, kind
        assert min(largest_differences(half, whole).values()) > 1e-3, "this test could not fail"


def mean_of_two(rank: int) -> list[torch.Tensor]:
    """Average gradients of two networks, one of which only the first process uses."""
    used, unused = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2))
    used.grad = torch.full((2,), 1.0 + 2 * rank)
    unused.grad = torch.full((2,), 3.0) if rank == 0 else None
    loss = average_gradients([used, unused], torch.tensor(float(rank)))
    return [used.grad, unused.grad, loss]


@pytest.mark.slow
def test_a_network_that_only_one_process_uses_has_half_its_gradient_in_both(tmp_path):
    for used, unused, loss in in_both(mean_of_two, tmp_path):
        assert (used.tolist(), unused.tolist(), float(loss)) == ([2, 2], [1.5, 1.5], 0.5)


# A run


WATCH = '''
"""Notes, in each process, the samples of each iteration and what is drawn in it."""
import copy
import itertools
import json
import os
import random
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook

from posegen.registry import HOOKS


@HOOKS.register_module()
class Watch(Hook):
    """After each iteration."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        seen = {"names": data_batch.names, "drawn": [random.random(), np.random.rand(), float(torch.rand(()))]}
        with open(os.environ["WATCH"], "a") as stream:
            stream.write(json.dumps(seen) + "\\n")
'''


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["pytorch", "slurm"])
def test_two_processes_share_samples_draw_differently_and_the_first_writes(derived, tmp_path, launcher):
    """Each has a work dir of its own, which shows what it writes."""
    plugin = tmp_path / "watch.py"
    plugin.write_text(WATCH)
    hooks = "custom_hooks = [dict(type='SampleSheets'), dict(type='Watch')]"
    config = derived(f"plugins = [{str(plugin)!r}]\nflow_iters = 2\nfull_iters = 2\nbatch_size = 1\n{hooks}")
    arguments = ["train", config, "--launcher", launcher, "--work-dir"]
    processes = []
    for rank, environment in enumerate(group_of_two()):
        if launcher == "slurm":
            environment = as_srun_would(environment)
        environment["WATCH"] = str(tmp_path / f"watch{rank}")
        processes.append(start([*arguments, tmp_path / f"run{rank}"], tmp_path / f"notes{rank}", **environment))
    for rank, process in enumerate(processes):
        assert status(process, tmp_path / f"notes{rank}") == 0, (tmp_path / f"notes{rank}").read_text()[-3000:]

    seen = [[json.loads(line) for line in (tmp_path / f"watch{rank}").read_text().splitlines()] for rank in (0, 1)]
    dataset = DATASETS.build_part(load_config(config.with_name("tiny.py")).train_dataloader.dataset)
    samples = EndlessSampler(
        dataset, seed=load_config(config.with_name("tiny.py")).train_dataloader.sampler.get("seed", 0)
    )
    order = list(itertools.islice(iter(samples), 8))
    assert [name for pair in zip(*seen, strict=True) for one in pair for name in one["names"]] == [
        dataset[index].name for index in order
    ]
    drawn = [tuple(one["drawn"]) for rank in seen for one in rank]
    assert len(set(drawn)) == len(drawn) == 8

    written = {path.relative_to(tmp_path / "run0").name for path in (tmp_path / "run0").rglob("*") if path.is_file()}
    assert {"iter_4.pth", "last_checkpoint", "iter_4.png"} <= written
    assert [path for path in (tmp_path / "run1").rglob("*") if path.is_file()] == []


def as_srun_would(environment: dict[str, str]) -> dict[str, str]:
    """Return the environment variables that Slurm's srun sets for the same process, on one node."""
    rank = environment["RANK"]
    slurm = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_NTASKS": "2", "SLURM_NNODES": "1"}
    return {**slurm, "MASTER_PORT": environment["MASTER_PORT"], "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1"}


PLUGIN = '''
"""Hooks: one keeps the weights that each process ends with, one kills the second process in the third iteration, once.

Config and versions are not formatted for the log, which takes longer than the training.
"""
import os
import signal
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner

from posegen.hookspecs import hookimpl
from posegen.registry import HOOKS

Config.pretty_text = property(lambda config: str(config._cfg_dict))
Runner._log_env = lambda runner, configured: None


@HOOKS.register_module()
class KeepWeightsOfRank(Hook):
    """Keeps them."""

    def after_train(self, runner):
        torch.save(runner.model.state_dict(), Path(runner.work_dir) / f"rank{get_rank()}.pth")


@HOOKS.register_module()
class DieOnce(Hook):
    """Like a machine that fails."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        first = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
        if first and get_rank() == 1 and runner.iter + 1 == 3:
            (Path(runner.work_dir) / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)


@hookimpl
def posegen_register():
    """Nothing more to import."""
'''


@pytest.fixture
def environment(tmp_path):
    """Environment variables with which the plugin above is installed by its entry point."""
    site = tmp_path / "site"
    (site / "keeping-1.0.dist-info").mkdir(parents=True)
    (site / "keeping.py").write_text(PLUGIN)
    (site / "keeping-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: keeping\nVersion: 1.0\n")
    (site / "keeping-1.0.dist-info" / "entry_points.txt").write_text("[posegen]\nkeeping = keeping\n")
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


@pytest.mark.slow
def test_torchrun_restarts_a_killed_process_and_both_end_with_the_weights_of_an_unbroken_run(
    derived, tmp_path, environment
):
    folder, whole = tmp_path / "run", tmp_path / "whole"
    iters = "flow_iters = 2\nfull_iters = 2\n"
    finish_two(["train", derived(iters), "--work-dir", whole], tmp_path / "notes")

    config = derived(iters + "custom_hooks = [dict(type='DieOnce'), dict(type='KeepWeightsOfRank')]")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", PROCESSES]
    restart = ["--max-restarts", "1", "--monitor-interval", "0.1"]
    train = [CONFIGS.parent / "tools" / "train.py", config, "--work-dir", folder, "--resume", "--launcher", "pytorch"]
    command = [*map(str, [*launch, *restart, *train])]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "died").exists()
    logs = sorted(path.read_text() for path in folder.glob("*/*.log"))
    assert len(logs) == 2
    assert any(f"loaded: {folder}/iter_2.pth" in log for log in logs)
    last = stored(folder, 4)
    for part in ("state_dict", "optimizer"):
        assert_same(last[part], stored(whole, 4)[part])
    for rank in range(PROCESSES):
        own = torch.load(folder / f"rank{rank}.pth", weights_only=True)
        assert_same(dict(own), dict(last["state_dict"]))


@pytest.mark.slow
def test_two_processes_compute_the_metrics_of_one(tiny_config, trained, tmp_path):
    """With three pairs, one pair is run twice, and must not be counted twice."""
    arguments = ["test", tiny_config, trained / f"iter_{LAST}.pth", "--work-dir"]
    finish_two([*arguments, tmp_path / "two"], tmp_path / "notes")
    assert main([*map(str, arguments), str(tmp_path / "one")]) == 0
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert two["metrics"] == pytest.approx(one["metrics"], rel=1e-5)
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 1


# Metrics


IMAGES = 5  # an odd number: one process has an image less, and runs one twice


class Order(SetMetric):
    """Depends on every feature and on their order: what is gathered wrongly changes it."""

    def extract(self, images):
        return images.double().flatten(2).mean(2).numpy()

    def statistics(self, features):
        return {"features": features}

    def compare(self, generated, real):
        weights = np.arange(1, len(generated) + 1)
        return {"order": float(weights @ (generated - real["features"]).sum(1))}


def metrics() -> list:
    return [Order(), *(METRICS.build_part({"type": name}) for name in ("SSIM", "PSNR", "L1"))]


def images(indices: list[int]) -> tuple[PairBatch, Transfer]:
    def drawn(seed: int) -> torch.Tensor:
        return torch.stack([torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(seed + k)) for k in indices])

    names = [f"{k}" for k in indices]
    values = {field.name: None for field in fields(PairBatch)}
    target = drawn(0) * 2 - 1
    values |= {"source": target, "source_structure": target, "target": target, "target_structure": target}
    return PairBatch(**{**values, "names": names}), Transfer(drawn(100) * 2 - 1, [], [])


def values_of(indices: list[int]) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in metrics():
        for index in indices:
            batch, made = images([index])
            metric.process(batch, [made])
        found |= metric.evaluate(IMAGES)
    return found


def values_of_one_of_two(rank: int) -> dict[str, float]:
    return values_of([*range(IMAGES), 0][rank::PROCESSES])  # as a sampler shares them out


@pytest.mark.slow
def test_metrics_of_images_and_of_sets_over_two_processes_are_those_of_one_to_the_last_digit(tmp_path):
    one = values_of(list(range(IMAGES)))
    assert set(one) == {"order", "ssim", "psnr", "l1"}
    assert in_both(values_of_one_of_two, tmp_path) == [one, one]
