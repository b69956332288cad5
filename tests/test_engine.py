"""Training: stages in one run, exact resume, safe checkpoints, single steps, the sampler."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

import posegen
from posegen.checkpoints.files import SEAL_LENGTH
from posegen.cli import main
from posegen.config import load_config
from posegen.engine import EndlessSampler, StageOptimizers, build_trainer, loop
from posegen.errors import CheckpointError, PosegenError
from posegen.losses import VGG19Features
from posegen.records import collate_pairs
from posegen.registry import MODELS

from .conftest import CONFIGS, LAST
from .forked import Moment, start, status

FLOW = 3  # iterations of the first stage of the tiny config


class Stopped(Exception):
    """The run was stopped."""


class StopAfter(Hook):
    """Stops a run after an iteration, before its checkpoint is written."""

    priority = "VERY_HIGH"

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            raise Stopped


def stored(folder: Path, iteration: int = LAST):
    return torch.load(folder / f"iter_{iteration}.pth", weights_only=True)


def assert_same(ours, theirs, where="checkpoint"):
    """Bit for bit."""
    assert type(ours) is type(theirs), where
    if isinstance(ours, dict):
        assert list(ours) == list(theirs), where
        for key in ours:
            assert_same(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(theirs), where
        for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(a, b, f"{where}.{index}")
    elif isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), where
    else:
        assert ours == theirs, where


def changed(before, after, prefix):
    """Return whether all, none or some weights of a network differ between two checkpoints."""
    names = [name for name in before["state_dict"] if name.startswith(prefix) and name.endswith(("weight", "original"))]
    differ = {not torch.equal(before["state_dict"][name], after["state_dict"][name]) for name in names}
    return {frozenset({True}): "all", frozenset({False}): "none"}.get(frozenset(differ), "some")


# Stages


def test_the_flow_stage_trains_f_alone_and_the_full_stage_all_networks(trained):
    first, flow, full = stored(trained, 1), stored(trained, FLOW), stored(trained, LAST)
    assert changed(first, flow, "model.flow_estimator") != "none"
    assert changed(first, flow, "model.renderer") == "none"
    assert changed(first, flow, "discriminator") == "none"
    assert changed(flow, full, "model.flow_estimator") != "none"
    assert changed(flow, full, "model.renderer") != "none"
    assert changed(flow, full, "discriminator") != "none"


def test_a_sample_sheet_is_written_at_the_end_of_each_stage(trained):
    assert sorted(path.name for path in (trained / "samples").iterdir()) == [f"iter_{FLOW}.png", f"iter_{LAST}.png"]


def test_a_stage_of_no_iterations_is_skipped(tiny_config, tmp_path):
    options = ["flow_iters=0", "full_iters=1"]
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "--cfg-options", *options]) == 0
    assert "renderer" in next(iter((tmp_path / "run").glob("*/*.log"))).read_text().split("stage 'full': trains")[1]
    assert "stage 'flow'" not in next(iter((tmp_path / "run").glob("*/*.log"))).read_text()
    assert stored(tmp_path / "run", 1)["optimizer"]["full"]["state"]


class Watch(Hook):
    """Records after each iteration F's weights and the networks that have or require gradients."""

    def __init__(self) -> None:
        self.seen = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        trainer = runner.train_loop.trainer
        named = list(trainer.model.named_parameters())
        keeping, taking = (
            {name.split(".")[0] for name, p in named if test(p)}
            for test in (lambda p: p.grad is not None, lambda p: p.requires_grad)
        )
        flow = {name: value.clone() for name, value in trainer.model.flow_estimator.state_dict().items()}
        self.seen.append((trainer.stage.name, keeping, taking, flow))


def test_a_stage_gives_no_gradient_to_networks_that_it_does_not_train(tiny_config, tmp_path):
    config = load_config(tiny_config, {"flow_iters": 1, "full_iters": 1})
    flow, full, _ = config.trainer.stages
    reconstruction = dict(type="ReconstructionLoss")
    renderer = {**flow, "name": "renderer", "iters": 2, "train": ["renderer"], "losses": dict(l1=reconstruction)}
    config.trainer.stages = [flow, renderer, full]
    runner, watch = build_trainer(config, tmp_path / "run"), Watch()
    runner.register_hook(watch)
    runner.train()

    assert [name for name, *_ in watch.seen] == ["flow", "renderer", "renderer", "full"]
    both = {"flow_estimator", "renderer"}
    assert [taking for _, _, taking, _ in watch.seen] == [{"flow_estimator"}, {"renderer"}, {"renderer"}, both]
    assert all(keeping == set() for _, keeping, _, _ in watch.seen)
    weights = [flow for *_, flow in watch.seen]
    assert_same(weights[2], weights[0])
    assert any(not torch.equal(weights[3][name], weights[2][name]) for name in weights[0])


# Starting from weights


def converted(folder: Path, trained: Path) -> Path:
    """Write the trained model's weights as ``posegen convert`` does: without optimizers and iteration."""
    weights = {name: value for name, value in stored(trained)["state_dict"].items() if name.startswith("model.")}
    path = folder / "converted.pth"
    torch.save({"state_dict": weights, "meta": {"converted_from": "x"}}, path)
    return path


def shared(folder: Path, trained: Path, config: Path) -> Path:
    """Write the trained model as ``posegen share`` does."""
    path = folder / "shared"
    arguments = ["share", config, trained / f"iter_{LAST}.pth", path, "--name", "Tiny"]
    assert main([*map(str, arguments)]) == 0
    return path


@pytest.mark.parametrize("kind", ["trained", "converted", "shared"])
def test_training_starts_from_weights(tiny_config, tmp_path, trained, kind):
    path = {
        "trained": lambda: trained / f"iter_{LAST}.pth",
        "converted": lambda: converted(tmp_path, trained),
        "shared": lambda: shared(tmp_path, trained, tiny_config),
    }[kind]()
    options = ["flow_iters=0", "full_iters=1", f"load_from={path}", "trainer.stages.1.optimizer.lr=0.0"]
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "--cfg-options", *options]) == 0
    before, after = stored(trained)["state_dict"], stored(tmp_path / "run", 1)["state_dict"]
    assert_same(*({n: v for n, v in state.items() if n.startswith("model.")} for state in (after, before)))


def test_a_resumed_run_does_not_load_initial_weights(tiny_config, tmp_path, trained):
    weights = converted(tmp_path, trained)
    options = {"flow_iters": 1, "full_iters": 0, "load_from": str(weights)}
    build_trainer(load_config(tiny_config, options), tmp_path / "run").train()
    weights.unlink()
    before = stored(tmp_path / "run", 1)["state_dict"]
    runner = build_trainer(load_config(tiny_config, options), tmp_path / "run", resume=True)
    runner.train()
    assert_same(dict(runner.model.state_dict()), dict(before))


def test_missing_initial_weights_are_an_error_at_the_start(tiny_config, tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        build_trainer(load_config(tiny_config, {"load_from": str(tmp_path / "none.pth")}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("keys", [[], ["state_dict", "meta"]], ids=["plain weights", "converted"])
def test_weights_without_a_run_cannot_be_resumed(tiny_config, tmp_path, trained, keys):
    whole = stored(trained)
    torch.save({key: whole[key] for key in keys} or dict(whole["state_dict"]), tmp_path / "weights.pth")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last_checkpoint").write_text(str(tmp_path / "weights.pth"))
    with pytest.raises(CheckpointError, match=r"weights.pth: it has no checksum[^$]*load_from"):
        build_trainer(load_config(tiny_config), tmp_path / "run", resume=True).train()


def test_persistent_workers_are_ignored_without_workers(tiny_config, tmp_path):
    config = load_config(tiny_config, {"train_dataloader.num_workers": 0, "train_dataloader.persistent_workers": True})
    assert build_trainer(config, tmp_path / "run").train_loop.dataloader.persistent_workers is False


# Resume


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(2, id="in the flow stage"),
        pytest.param(4, id="at the border"),
        pytest.param(6, id="in the full stage"),
    ],
)
def test_a_resumed_run_ends_bit_for_bit_as_an_uninterrupted_one(tiny_config, tmp_path, trained, stop):
    runner = build_trainer(load_config(tiny_config), tmp_path / "run")
    runner.register_hook(StopAfter(stop))
    with pytest.raises(Stopped):
        runner.train()
    assert (tmp_path / "run" / "last_checkpoint").read_text().endswith(f"iter_{stop - 1}.pth")

    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "--resume"]) == 0

    for part in ("state_dict", "optimizer"):
        assert_same(stored(tmp_path / "run")[part], stored(trained)[part])
    assert [int(p.stem[5:]) for p in (tmp_path / "run").glob("iter_*.pth")].count(LAST) == 1


def test_a_learning_rate_schedule_continues_after_a_resume(tiny_config, tmp_path):
    options = {"flow_iters": 4, "full_iters": 0, "trainer.stages.0.lr_schedule": "cosine"}
    build_trainer(load_config(tiny_config, options), tmp_path / "whole").train()
    runner = build_trainer(load_config(tiny_config, options), tmp_path / "stopped")
    runner.register_hook(StopAfter(3))
    with pytest.raises(Stopped):
        runner.train()

    build_trainer(load_config(tiny_config, options), tmp_path / "stopped", resume=True).train()

    for part in ("state_dict", "optimizer"):
        assert_same(stored(tmp_path / "stopped", 4)[part], stored(tmp_path / "whole", 4)[part])
    rates = [stored(tmp_path / "whole", i)["optimizer"]["flow"]["param_groups"][0]["lr"] for i in (1, 2, 3, 4)]
    assert rates == sorted(set(rates), reverse=True)


@pytest.mark.slow
def test_a_killed_run_with_workers_resumes_to_the_same_weights_as_one_without(tiny_config, tmp_path, trained):
    folder, notes = tmp_path / "run", tmp_path / "notes"
    options = ["train_dataloader.num_workers=1", "train_dataloader.persistent_workers=True"]
    arguments = ["train", str(tiny_config), "--work-dir", str(folder), "--cfg-options", *options]
    assert status(start(arguments, notes, Moment("in a step", 5)), notes) == -signal.SIGKILL, notes.read_text()
    assert not (folder / "iter_5.pth").exists()

    assert main([*arguments, "--resume"]) == 0

    for part in ("state_dict", "optimizer"):
        assert_same(stored(folder)[part], stored(trained)[part])


def test_resuming_a_finished_run_changes_nothing(tiny_config, tmp_path):
    arguments = [
        "train",
        str(tiny_config),
        "--work-dir",
        str(tmp_path / "run"),
        "--cfg-options",
        "flow_iters=1",
        "full_iters=0",
    ]
    assert main(arguments) == 0
    before = (tmp_path / "run" / "iter_1.pth").read_bytes()
    assert main([*arguments, "--resume"]) == 0
    assert (tmp_path / "run" / "iter_1.pth").read_bytes() == before


# Checkpoints


@pytest.mark.parametrize("iteration", range(1, LAST + 1))
def test_every_checkpoint_loads_without_executing_anything(trained, iteration):
    checkpoint = stored(trained, iteration)
    assert checkpoint["meta"]["iter"] == iteration
    assert {"state_dict", "optimizer", "message_hub"} <= checkpoint.keys()


def test_the_feature_network_is_in_no_checkpoint(trained):
    assert not [name for name in stored(trained)["state_dict"] if name.startswith("feature_network")]


def test_the_config_in_the_work_dir_is_the_config_of_the_run(trained):
    again, first = (load_config(path)._cfg_dict for path in (trained / "tiny.py", trained.parent / "tiny.py"))
    assert again == first


def test_an_earlier_run_is_not_overwritten(tiny_config, trained):
    with pytest.raises(PosegenError, match=r"--resume .* --work-dir"):
        build_trainer(load_config(tiny_config), trained)


class Malice:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def bad_checkpoints(folder: Path, trained: Path) -> dict[str, tuple[Path, str]]:
    """Write files that are not checkpoints of the tiny config; return them with words of the error."""
    made = {name: folder / f"{name}.pth" for name in ("malicious", "truncated", "text", "tensor", "other")}
    torch.save({"state_dict": Malice(folder / "executed")}, made["malicious"])
    whole = (trained / f"iter_{LAST}.pth").read_bytes()
    made["truncated"].write_bytes(whole[: len(whole) // 2])
    made["text"].write_text("no checkpoint")
    torch.save(torch.zeros(1), made["tensor"])
    other = stored(trained)
    other["state_dict"] = {name: value[..., :1] for name, value in other["state_dict"].items() if "to_mask" not in name}
    torch.save(other, made["other"])
    words = {
        "malicious": "holds more than tensors and plain values .*mkdir.*nothing in a checkpoint is executed",
        "truncated": "truncated.pth cannot be loaded: damaged",
        "text": "text.pth cannot be loaded: damaged",
        "tensor": "holds a Tensor",
        "other": r"other.pth is of another architecture[^$]*missing: .*to_mask",
    }
    return {name: (path, words[name]) for name, path in made.items()} | {
        "none": (folder / "none.pth", "there is no checkpoint")
    }


SEALED = ["malicious", "tensor", "other"]
"""Bad checkpoints that are archives and so can be sealed."""


def seal_file(path: Path) -> None:
    """Put a seal on an archive, as an attacker would."""
    archive = bytearray(path.read_bytes())
    archive[-2:] = SEAL_LENGTH.to_bytes(2, "little")
    archive += f"posegen run={'0' * 32} sha256=".encode()
    path.write_bytes(archive + hashlib.sha256(archive).hexdigest().encode())


BAD = ["malicious", "truncated", "text", "tensor", "other", "none"]


@pytest.mark.parametrize("kind", BAD)
def test_a_model_is_not_loaded_from_a_bad_checkpoint(tiny_config, tmp_path, trained, kind):
    path, words = bad_checkpoints(tmp_path, trained)[kind]
    with pytest.raises(CheckpointError, match=words):
        posegen.load_model(tiny_config, path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(("kind", "seal"), [*((kind, False) for kind in BAD), *((kind, True) for kind in SEALED)])
def test_a_run_is_not_resumed_from_a_bad_checkpoint(tiny_config, tmp_path, trained, kind, seal):
    """A seal says that a file is intact, not that it is safe: nothing in it is executed either way."""
    path, words = bad_checkpoints(tmp_path, trained)[kind]
    if seal:
        seal_file(path)
    else:
        words = "the file does not exist" if kind == "none" else "it has no checksum at its end"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last_checkpoint").write_text(str(path))
    runner = build_trainer(load_config(tiny_config), tmp_path / "run", resume=True)
    with pytest.raises(CheckpointError, match=words):
        runner.train()
    assert not (tmp_path / "executed").exists()


def test_a_resume_loads_with_weights_only(tiny_config, tmp_path, trained, monkeypatch):
    """Before 2.6, torch executes code in a file by default."""
    loads = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: loads.append(kwargs) or load(*args, **kwargs))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last_checkpoint").write_text(str(trained / f"iter_{LAST}.pth"))
    build_trainer(load_config(tiny_config), tmp_path / "run", resume=True).train()
    assert [kwargs.get("weights_only") for kwargs in loads] == [True]


# A step


def trainer_and_batch(config_path: Path, options=None):
    config = load_config(config_path, options)
    runner_parts = {**config.trainer, "model": config.model}
    torch.manual_seed(0)
    trainer = MODELS.build_part(runner_parts)
    dataset = posegen.registry.DATASETS.build_part(config.train_dataloader.dataset)
    return trainer, collate_pairs([dataset[0], dataset[1]])


def step(trainer, batch, stage: int):
    trainer.train()
    trainer.enter(trainer.stages[stage])
    return trainer.train_step(batch, StageOptimizers()(trainer))


@pytest.mark.parametrize(
    ("stage", "most"), [(0, {"source": 1, "target": 1}), (1, {"source": 1, "target": 1, "generated": 1})]
)
def test_an_image_passes_the_feature_network_once_a_step(tiny_config, monkeypatch, stage, most):
    trainer, batch = trainer_and_batch(tiny_config)
    seen = []
    forward = VGG19Features.forward

    def counting(self, image, layers):
        seen.append("generated" if image.requires_grad else "source" if image is batch.source else "target")
        return forward(self, image, layers)

    monkeypatch.setattr(VGG19Features, "forward", counting)
    step(trainer, batch, stage)
    assert {image: seen.count(image) for image in seen} == most


def test_a_step_leaves_no_gradient_in_the_discriminator_or_the_feature_network(tiny_config):
    trainer, batch = trainer_and_batch(tiny_config)
    step(trainer, batch, 1)
    assert [name for name, p in trainer.named_parameters() if p.grad is not None] == []
    assert list(trainer.feature_network.parameters()) == []
    assert not any(buffer.requires_grad for buffer in trainer.feature_network.buffers())


def test_the_update_of_the_model_gives_the_discriminator_no_gradient(tiny_config):
    trainer, batch = trainer_and_batch(tiny_config)
    trainer.train()
    trainer.enter(trainer.stages[1])
    optimizers, graded = StageOptimizers()(trainer), []

    def record(*unused):
        graded.append({name.split(".")[0] for name, p in trainer.named_parameters() if p.grad is not None})

    for wrapper in optimizers.values():
        wrapper.optimizer.register_step_pre_hook(record)
    trainer.train_step(batch, optimizers)
    assert graded == [{"discriminator"}, {"model"}]


def test_a_step_returns_every_weighted_loss_and_their_sum(tiny_config):
    trainer, batch = trainer_and_batch(tiny_config)
    log = step(trainer, batch, 1)
    generator = {name: value for name, value in log.items() if name not in ("loss", "discriminator")}
    assert generator.keys() == trainer.stages[1].losses.keys()
    assert float(log["loss"]) == pytest.approx(float(sum(generator.values())), rel=1e-5)
    assert all(value.isfinite() for value in log.values())


def test_the_flow_stage_renders_nothing(tiny_config, monkeypatch):
    trainer, batch = trainer_and_batch(tiny_config)
    monkeypatch.setattr(trainer.model.renderer, "forward", None)
    monkeypatch.setattr(trainer.discriminator, "forward", None)
    step(trainer, batch, 0)
    with pytest.raises(TypeError):
        step(trainer, batch, 1)


@pytest.mark.parametrize("stage", [0, 1])
def test_a_step_in_bfloat16_is_close_to_one_in_float32(tiny_config, stage):
    options = ({}, {"trainer.autocast": True})
    exact, half = (float(step(*trainer_and_batch(tiny_config, option), stage)["loss"]) for option in options)
    assert exact != half
    assert half == pytest.approx(exact, rel=0.05)  # bfloat16 has 8 bits


# Before any work


MMENGINES = ("System environment:", "batch_size = 2", "Hooks will be executed", "has no metainfo", "FileClient")


def test_environment_and_config_go_to_the_log_file_alone(tiny_config, tmp_path, capsys):
    options = ["flow_iters=1", "full_iters=1"]
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "--cfg-options", *options]) == 0
    shown = capsys.readouterr().out
    (log,) = (tmp_path / "run").glob("*/*.log")
    kept = log.read_text()
    assert [words for words in MMENGINES if words not in kept] == []
    assert [words for words in MMENGINES if words in shown] == []
    for words in (str(log), "random features", "stage 'full'", "trained: "):
        assert words in shown
        assert words in kept
    assert "every 50 iterations, but this run has 2" in shown


def test_warnings_of_others_are_shown(tiny_config, tmp_path, capsys):
    runner = build_trainer(load_config(tiny_config, {"default_hooks.logger.interval": LAST}), tmp_path / "run")
    runner.logger.warning("FileClients are a warning of anybody's")
    shown = capsys.readouterr().out
    assert "a warning of anybody's" in shown
    assert "none are logged" not in shown


def left_behind(folder: Path) -> list[str]:
    """Return the files of a run except logs and its config."""
    return [
        str(path) for path in folder.rglob("*") if path.suffix in (".pth", ".png") or path.name == "last_checkpoint"
    ]


def test_missing_vgg_weights_are_an_error_at_the_start(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    assert main(["train", str(CONFIGS / "gfla_market.py"), "--work-dir", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    address = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    place = str(tmp_path / "empty" / "hub" / "checkpoints")
    for named in ("error: ", "vgg19-dcbb9e9d.pth", address, place, "feature_weights=random", "feature_weights=/"):
        assert named in error
    assert left_behind(tmp_path / "run") == []


def test_missing_data_are_an_error_at_the_start(tmp_path, capsys):
    options = ["feature_weights=random", f"data_root={tmp_path / 'nothing'}"]
    arguments = [
        "train",
        str(CONFIGS / "gfla_market.py"),
        "--work-dir",
        str(tmp_path / "run"),
        "--cfg-options",
        *options,
    ]
    assert main(arguments) == 1
    assert f"error: {tmp_path / 'nothing'}" in capsys.readouterr().err
    assert left_behind(tmp_path / "run") == []


# The sampler


class Numbers:
    """A data set that has only a length."""

    def __init__(self, length: int, augments: bool = False) -> None:
        self.length, self.augments = length, augments

    def __len__(self) -> int:
        return self.length


def drawn(count, start=0, rank=0, world=1, length=5, augments=False, seed=0, shuffle=True):
    sampler = EndlessSampler(Numbers(length, augments), seed=seed, shuffle=shuffle)
    sampler.start, sampler.rank, sampler.world_size = start, rank, world
    return list(itertools.islice(sampler, count))


def test_each_round_is_a_permutation_of_its_own():
    order = drawn(20)  # four rounds of 5
    rounds = [order[i : i + 5] for i in range(0, 20, 5)]
    assert all(sorted(one) == [0, 1, 2, 3, 4] for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1


@pytest.mark.parametrize("start", [0, 1, 4, 5, 13])
def test_the_sampler_starts_anywhere(start):
    assert drawn(8, start=start) == drawn(start + 8)[start:]


@pytest.mark.parametrize("world", [2, 3])
def test_processes_share_one_order(world):
    shares = [drawn(10, rank=rank, world=world) for rank in range(world)]
    assert [index for turn in zip(*shares, strict=True) for index in turn] == drawn(10 * world)


@pytest.mark.parametrize("world", [2, 3])
def test_the_sampler_of_a_process_starts_anywhere(world):
    assert drawn(6, start=4, rank=1, world=world) == drawn(10, rank=1, world=world)[4:]


def test_an_augmenting_data_set_gets_the_round():
    with_rounds = drawn(12, augments=True)
    assert [index for index, _ in with_rounds] == drawn(12)
    assert [number for _, number in with_rounds] == [0] * 5 + [1] * 5 + [2] * 2


def test_the_order_is_a_function_of_the_seed():
    assert drawn(50) == drawn(50)
    assert drawn(50) != drawn(50, seed=1)
    assert drawn(7, shuffle=False) == [0, 1, 2, 3, 4, 0, 1]


def test_the_sampler_gets_its_rank_from_mmengine(monkeypatch):
    monkeypatch.setattr(loop, "get_dist_info", lambda: (1, 2))
    assert list(itertools.islice(EndlessSampler(Numbers(5)), 3)) == drawn(3, rank=1, world=2)
