"""Several processes over gloo train as one would, on the whole batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from posegen.cli import main
from posegen.engine.distributed import average_gradients, start_processes_without_gpu
from posegen.errors import PosegenError

from .conftest import CONFIGS, LAST
from .test_engine import assert_same, trainer_and_batch

PROCESSES = 2
SGD = dict(type="SGD", lr=0.1)
"""The weights change by the gradient itself; Adam's first step would be its sign."""


def test_a_single_process_averages_nothing():
    parameter = torch.nn.Parameter(torch.ones(3))
    parameter.grad = torch.full((3,), 2.0)
    assert average_gradients([parameter, torch.nn.Parameter(torch.ones(1))], torch.tensor(3.0)) == 3
    assert parameter.grad.tolist() == [2, 2, 2]


def test_slurm_without_srun_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    with pytest.raises(PosegenError, match="SLURM_PROCID and SLURM_NTASKS is not set: start the command with srun"):
        start_processes_without_gpu("slurm")


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU mmengine joins the processes")
def test_several_nodes_without_an_address_are_not_left_waiting(monkeypatch):
    for name in ("MASTER_ADDR", "SLURM_LAUNCH_NODE_IPADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"SLURM_PROCID": "0", "SLURM_NTASKS": "2", "SLURM_NNODES": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(PosegenError, match=r"2 nodes .* set MASTER_ADDR"):
        start_processes_without_gpu("slurm")


def _one_step(config: Path, stage: int, share: slice) -> dict[str, torch.Tensor]:
    """All weights after a step on a share of the batch."""
    from posegen.engine import StageOptimizers

    trainer, batch = trainer_and_batch(config)
    for one in trainer.stages:
        one.optimizer = SGD
        one.discriminator_optimizer = SGD if one.discriminator_optimizer else None
    parts = {name: value[share] for name, value in vars(batch).items() if value is not None}
    trainer.train()
    trainer.enter(trainer.stages[stage])
    trainer.train_step(type(batch)(**parts), StageOptimizers()(trainer))
    return {name: value.detach().clone() for name, value in trainer.state_dict().items()}


def _in_one_process_of_two(rank: int, config: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=PROCESSES)
    states = [_one_step(config, stage, slice(rank, rank + 1)) for stage in (0, 1)]
    torch.save(states, folder / f"rank{rank}.pth")
    dist.destroy_process_group()


@pytest.mark.slow
def test_a_step_on_two_halves_is_a_step_on_the_whole_batch(tiny_config, tmp_path):
    mp.spawn(_in_one_process_of_two, (tiny_config, tmp_path), nprocs=PROCESSES)
    ranks = [torch.load(tmp_path / f"rank{rank}.pth", weights_only=True) for rank in range(PROCESSES)]
    assert_same(*ranks)
    start = trainer_and_batch(tiny_config)[0].state_dict()
    for stage in (0, 1):
        whole = _one_step(tiny_config, stage, slice(0, PROCESSES))
        half = _one_step(tiny_config, stage, slice(0, 1))
        assert any(not torch.equal(whole[name], start[name]) for name in whole)
        assert any((whole[name] - half[name]).abs().max() > 1e-6 for name in whole), "this test could not fail"
        for name in whole:
            torch.testing.assert_close(ranks[0][stage][name], whole[name], rtol=0, atol=1e-6, msg=name)


PLUGIN = '''
"""A plugin with a hook that keeps the weights that each process ends with."""
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from posegen.hookspecs import hookimpl
from posegen.registry import HOOKS

@HOOKS.register_module()
class KeepWeightsOfRank(Hook):
    """Keeps them."""
    def after_train(self, runner):
        torch.save(runner.model.module.state_dict(), Path(runner.work_dir) / f"rank{get_rank()}.pth")

@hookimpl
def posegen_register():
    """Nothing more to import."""
'''


@pytest.fixture
def environment(tmp_path):
    """An environment in which the plugin above is installed, by its entry point."""
    site = tmp_path / "site"
    (site / "keeping-1.0.dist-info").mkdir(parents=True)
    (site / "keeping.py").write_text(PLUGIN)
    (site / "keeping-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: keeping\nVersion: 1.0\n")
    (site / "keeping-1.0.dist-info" / "entry_points.txt").write_text("[posegen]\nkeeping = keeping\n")
    return {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def torchrun(tool: str, *arguments: object, environment: dict[str, str]) -> None:
    """Run one of the tools in two processes, as the documentation says."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(PROCESSES)]
    command = [*launch, CONFIGS.parent / "tools" / f"{tool}.py", *arguments, "--launcher", "pytorch"]
    done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_train_through_both_stages_and_end_with_the_same_weights(derived, tmp_path, environment):
    hooks = "custom_hooks = [dict(type='SampleSheets'), dict(type='KeepWeightsOfRank')]"
    config = derived(f"flow_iters = 2\nfull_iters = 2\n{hooks}")

    torchrun("train", config, "--work-dir", tmp_path / "run", environment=environment)

    ranks = [torch.load(tmp_path / "run" / f"rank{rank}.pth", weights_only=True) for rank in range(PROCESSES)]
    assert_same(*ranks)
    last = torch.load(tmp_path / "run" / "iter_4.pth", weights_only=True)
    assert_same(dict(last["state_dict"]), dict(ranks[0]))
    assert (tmp_path / "run" / "samples" / "iter_4.png").is_file()


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tiny_config, trained, tmp_path, environment):
    """Three pairs on two processes: one pair is run twice, and must not be counted twice."""
    arguments = [tiny_config, trained / f"iter_{LAST}.pth", "--work-dir"]
    torchrun("test", *arguments, tmp_path / "two", environment=environment)
    assert main(["test", *map(str, arguments), str(tmp_path / "one")]) == 0
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert two["metrics"] == pytest.approx(one["metrics"], rel=1e-5)
    assert len((tmp_path / "two" / "metrics.jsonl").read_text().splitlines()) == 1
