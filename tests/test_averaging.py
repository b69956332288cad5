"""Averaged weights: what they are, where they are used, and runs that resume bit for bit."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch
from mmengine.hooks import Hook

import posegen
from posegen.cli import main
from posegen.config import load_config
from posegen.engine import Interrupted, build_trainer
from posegen.engine.averaging import WeightAverage
from posegen.errors import CheckpointError

from .conftest import LAST
from .test_clips import clips
from .test_clips import trainer as clip_trainer
from .test_engine import FLOW, StopAfter, Stopped, assert_same, stored

MOMENTUM, GAMMA = 0.4, 2.0
HOOK = f"dict(type='EMAHook', momentum={MOMENTUM}, gamma={GAMMA})"


@pytest.fixture
def config(derived):
    """The tiny config with averaging."""
    return derived(f"custom_hooks = [{HOOK}, dict(type='SampleSheets', interval=2)]")


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """The work dir of the tiny config with averaging, trained to the end; every iteration has its checkpoint."""
    from .conftest import write_tiny

    folder = tmp_path_factory.mktemp("averaged")
    write_tiny(folder)
    path = folder / "derived.py"
    path.write_text(f"_base_ = 'tiny.py'\ncustom_hooks = [{HOOK}, dict(type='SampleSheets', interval=2)]\n")
    assert main(["train", str(path), "--work-dir", str(folder / "run")]) == 0
    return folder / "run"


def test_averages_are_of_the_weights_after_each_iteration_that_trains_the_network(averaged):
    model = posegen.load_model(averaged / "derived.py", averaged / "iter_1.pth")
    parameters = dict(model.named_parameters()).keys()
    expected, trained = {}, dict.fromkeys(("flow_estimator", "renderer"), 0)
    for iteration in range(1, LAST + 1):
        checkpoint = stored(averaged, iteration)
        weights = {n.removeprefix("model."): v for n, v in checkpoint["state_dict"].items() if n.startswith("model.")}
        expected = expected or {name: weights[name] for name in parameters}
        for network in ["flow_estimator"] if iteration <= FLOW else ["flow_estimator", "renderer"]:
            momentum = max(MOMENTUM, GAMMA / (GAMMA + trained[network]))
            trained[network] += 1
            for name in [name for name in parameters if name.startswith(network)]:
                expected[name] = expected[name] + momentum * (weights[name] - expected[name])
        found = checkpoint["averaged_model"]
        assert found.keys() == weights.keys()
        for name in parameters:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-6)
        for name in found.keys() - parameters:  # buffers
            assert torch.equal(found[name], weights[name])
    assert any(not torch.equal(expected[name], weights[name]) for name in parameters)


def test_training_is_bit_for_bit_the_one_without_averages(averaged, trained):
    """Validations and sample sheets, which use the averages, put the weights back."""
    for part in ("state_dict", "optimizer"):
        assert_same(stored(averaged)[part], stored(trained)[part])


# Resume


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(2, id="in the flow stage"),
        pytest.param(4, id="at the border"),
        pytest.param(6, id="in the full stage"),
    ],
)
def test_a_resumed_run_ends_with_the_same_averages(config, tmp_path, averaged, stop):
    runner = build_trainer(load_config(config), tmp_path / "run")
    runner.register_hook(StopAfter(stop))
    with pytest.raises(Stopped):
        runner.train()
    assert main(["train", str(config), "--work-dir", str(tmp_path / "run"), "--resume"]) == 0
    for part in ("state_dict", "optimizer", "averaged_model"):
        assert_same(stored(tmp_path / "run")[part], stored(averaged)[part])


def test_a_signal_in_a_validation_saves_the_weights_that_train(config, tmp_path, averaged):
    class DuringValidation(Hook):
        def before_val_iter(self, runner, batch_idx, data_batch=None):
            os.kill(os.getpid(), signal.SIGTERM)

    options = {"train_cfg.val_interval": 2, "default_hooks.checkpoint.interval": 1000}
    runner = build_trainer(load_config(config, options), tmp_path / "run")
    runner.register_hook(DuringValidation())
    with pytest.raises(Interrupted):
        runner.train()
    for part in ("state_dict", "averaged_model"):
        assert_same(stored(tmp_path / "run", 2)[part], stored(averaged, 2)[part])


def test_a_run_can_be_resumed_without_averaging_and_with_it_again(config, tiny_config, tmp_path, averaged, trained):
    def train(path, iterations):
        runner = build_trainer(load_config(path), tmp_path / "run", resume=True)
        runner.register_hook(StopAfter(iterations))
        with pytest.raises(Stopped):
            runner.train()

    train(config, 3)
    train(tiny_config, 5)  # from 2 to 4, without
    assert "averaged_model" not in stored(tmp_path / "run", 4)
    assert main(["train", str(config), "--work-dir", str(tmp_path / "run"), "--resume"]) == 0
    assert_same(stored(tmp_path / "run")["state_dict"], stored(trained)["state_dict"])
    log = "".join(path.read_text() for path in (tmp_path / "run").glob("*/*.log"))
    assert "the checkpoint has no averaged weights: averaging starts at its weights" in log
    name = next(name for name in stored(averaged)["averaged_model"] if name.endswith("weight"))
    before, after = (stored(tmp_path / "run", n)["state_dict"][f"model.{name}"] for n in (4, 5))
    momentum = max(MOMENTUM, GAMMA / (GAMMA + 4))
    found = stored(tmp_path / "run", 5)["averaged_model"][name]
    torch.testing.assert_close(found, before + momentum * (after - before), rtol=1e-4, atol=1e-6)


def test_averages_of_another_model_are_not_resumed(config, tmp_path):
    runner = build_trainer(load_config(config), tmp_path / "run")

    class Other(Hook):
        def after_load_checkpoint(self, runner, checkpoint):
            checkpoint["averaged_model"].popitem()

    runner.register_hook(StopAfter(2))
    with pytest.raises(Stopped):
        runner.train()
    runner = build_trainer(load_config(config), tmp_path / "run", resume=True)
    runner.register_hook(Other(), priority="VERY_HIGH")
    with pytest.raises(CheckpointError, match="averaged_model of the checkpoint is of another architecture"):
        runner.train()


# Use


def test_validation_and_sample_sheets_use_the_averages(config, tmp_path, averaged, monkeypatch):
    runner = build_trainer(load_config(config, {"train_cfg.val_interval": 5}), tmp_path / "run")
    model, seen = runner.model.model, []
    transfer, name = model.transfer, next(name for name, _ in runner.model.model.flow_estimator.named_parameters())

    def watched(*inputs):
        seen.append((runner.iter, model.flow_estimator.get_parameter(name).detach().clone()))
        return transfer(*inputs)

    monkeypatch.setattr(model, "transfer", watched)
    runner.train()
    averages = {n: stored(averaged, n)["averaged_model"][f"flow_estimator.{name}"] for n in range(1, LAST + 1)}
    # In a sheet's hook, the iteration is not yet counted: sheets after 2, 3, 4, 6 and 7, validations after 3, 5 and 7.
    expected = {1: [2], 2: [3], 3: [3, 4], 5: [5, 6], 6: [7], 7: [7]}
    assert {iteration for iteration, _ in seen} == expected.keys()
    for iteration, value in seen:
        assert any(torch.equal(value, averages[n]) for n in expected[iteration])


def test_a_clip_trainer_validates_with_the_averages():
    made = clip_trainer(dict(reconstruction=dict(type="ReconstructionLoss"))).eval()
    made.average = WeightAverage(made.model)
    before = made.val_step(clips(2))[0].frames
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.add_(torch.randn_like(parameter))
    assert torch.equal(made.val_step(clips(2))[0].frames, before)
    made.average = None
    assert not torch.equal(made.val_step(clips(2))[0].frames, before)


def test_a_checkpoint_gives_its_averages_to_every_reader(config, tmp_path, averaged):
    checkpoint = averaged / f"iter_{LAST}.pth"
    expected = stored(averaged)["averaged_model"]
    assert_same(dict(posegen.load_model(config, checkpoint).state_dict()), dict(expected))

    assert main(["share", str(config), str(checkpoint), str(tmp_path / "shared")]) == 0
    assert_same(dict(posegen.from_pretrained(tmp_path / "shared").state_dict()), dict(expected))

    options = ["flow_iters=0", "full_iters=1", f"load_from={checkpoint}", "trainer.stages.1.optimizer.lr=0.0"]
    assert main(["train", str(config), "--work-dir", str(tmp_path / "again"), "--cfg-options", *options]) == 0
    started = stored(tmp_path / "again", 1)["state_dict"]
    assert_same({name: started[f"model.{name}"] for name in expected}, dict(expected))


def test_test_scores_the_averages(config, tmp_path, averaged):
    checkpoint = stored(averaged)
    torch.save(checkpoint["averaged_model"], tmp_path / "averages.pth")
    scores = []
    for name, weights in (("run", averaged / f"iter_{LAST}.pth"), ("weights", tmp_path / "averages.pth")):
        assert main(["test", str(config), str(weights), "--work-dir", str(tmp_path / name)]) == 0
        scores.append(json.loads((tmp_path / name / "metrics.json").read_text())["metrics"])
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ("momentum=0", r"momentum must be between 0 and 1, got 0"),
        ("momentum=1.0", r"momentum must be between 0 and 1, got 1\.0"),
        ("gamma=0", r"gamma must be positive, got 0"),
        ("ema_type='StochasticWeightAverage'", "ema_type"),
    ],
)
def test_wrong_arguments_are_errors(derived, tmp_path, capsys, changes, words):
    path = derived(f"custom_hooks = [dict(type='EMAHook', {changes})]")
    assert main(["train", str(path), "--work-dir", str(tmp_path / "run")]) == 1
    assert words.replace("\\", "") in capsys.readouterr().err
