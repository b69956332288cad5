"""Gradient accumulation: a batch in parts trains as the whole batch does, in less memory."""

from __future__ import annotations

import copy
import functools
from dataclasses import fields

import pytest
import torch
from benchmark.measure import peak_bytes

from posegen.cli import main
from posegen.config import load_config
from posegen.engine import NotFiniteError, StageOptimizers
from posegen.engine.trainer import unchanged_buffers
from posegen.errors import ConfigError
from posegen.models import PairModel
from posegen.records import collate_pairs
from posegen.registry import DATASETS, FEATURE_NETWORKS, MODELS

from .forked import in_both
from .test_clips import ADVERSARIAL
from .test_clips import trainer as clip_trainer
from .test_distributed import EXACT, gradients, largest_differences
from .test_engine import assert_same, stored

PAIRS = 4
STAGES = {"flow": 0, "full": 1}
WHOLE = slice(0, PAIRS)


def trainer_of(config_path, accumulate: int):
    """Build a trainer of the tiny config, always with the same weights."""
    config = load_config(config_path, {"trainer.accumulate": accumulate})
    torch.manual_seed(0)
    return MODELS.build_part({**config.trainer, "model": config.model, "feature_network": feature_network()})


@functools.cache
def feature_network():
    """Build the feature network once: its weights are constants, and drawing them takes longer than a step."""
    return FEATURE_NETWORKS.build_part(dict(type="VGG19Features", weights="random"))


@pytest.fixture
def batch(tiny_config):
    dataset = DATASETS.build_part(load_config(tiny_config).train_dataloader.dataset)
    return collate_pairs([dataset[index] for index in range(PAIRS)])


def entered(trainer, stage: str):
    """In a stage, with its optimizers."""
    trainer.train()
    trainer.enter(trainer.stages[STAGES[stage]])
    return trainer, StageOptimizers()(trainer)


def buffers_of(trainer) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in trainer.named_buffers()}


def gradients_of(config_path, accumulate: int, batch, stage: str, share: slice = WHOLE):
    return gradients(trainer_of(config_path, accumulate), batch, STAGES[stage], share)


# The same step


@pytest.mark.parametrize("stage", STAGES)
def test_gradients_are_those_of_the_whole_batch(tiny_config, batch, stage):
    """For the optimizers of the model and of the discriminator."""
    whole = gradients_of(tiny_config, 1, batch, stage)
    parts = gradients_of(tiny_config, 4, batch, stage)
    assert set(whole) == ({"flow"} if stage == "flow" else {"discriminator", "full"})
    assert max(largest_differences(parts, whole).values()) < EXACT

    one_part = gradients_of(tiny_config, 1, batch, stage, slice(0, 1))
    assert min(largest_differences(one_part, whole).values()) > 1e-3, "this test could not fail"


def test_the_discriminator_is_updated_on_all_parts_before_the_model(tiny_config, batch):
    """The discriminator's weights are compared at each of its calls."""
    trainer, optimizers = entered(trainer_of(tiny_config, 2), "full")
    before = [p.detach().clone() for p in trainer.discriminator.parameters()]
    judged_by = []
    trainer.discriminator.register_forward_pre_hook(
        lambda network, inputs: judged_by.append([p.detach().clone() for p in network.parameters()])
    )
    trainer.train_step(batch, optimizers)
    after = [p.detach().clone() for p in trainer.discriminator.parameters()]
    assert not torch.equal(before[0], after[0])
    assert_same(judged_by, [before] * 4 + [after] * 2)  # real and generated images of both parts, then the model


@pytest.mark.parametrize("stage", STAGES)
def test_spectral_norms_are_those_of_the_whole_batch(tiny_config, batch, stage):
    """Bit for bit, with constant weights of the discriminator: the vectors depend on weights, not on images."""
    ended = []
    for accumulate in (1, 4):
        trainer, optimizers = entered(trainer_of(tiny_config, accumulate), stage)
        before = buffers_of(trainer)
        for group in optimizers["discriminator"].optimizer.param_groups:
            group["lr"] = 0.0
        trainer.train_step(batch, optimizers)
        ended.append(buffers_of(trainer))
    assert_same(*ended)
    changed = {name for name, value in before.items() if not torch.equal(value, ended[0][name])}
    assert bool(changed) == (stage == "full"), "this test could not fail"


def test_spectral_norms_in_the_model_are_those_of_the_whole_batch(tiny_config, batch):
    ended = []
    for accumulate in (1, 2):
        trainer = trainer_of(tiny_config, accumulate)
        torch.manual_seed(1)
        torch.nn.utils.parametrizations.spectral_norm(first_convolution(trainer.model.renderer))
        trainer, optimizers = entered(trainer, "full")
        before = buffers_of(trainer.model)
        trainer.train_step(batch, optimizers)
        ended.append(buffers_of(trainer.model))
    assert_same(*ended)
    assert not all(torch.equal(value, ended[0][name]) for name, value in before.items()), "this test could not fail"


def first_convolution(network):
    return next(part for part in network.modules() if isinstance(part, torch.nn.Conv2d))


@pytest.mark.parametrize("stage", STAGES)
def test_losses_are_those_of_the_whole_batch(tiny_config, batch, stage):
    logs = []
    for accumulate in (1, 4):
        trainer, optimizers = entered(trainer_of(tiny_config, accumulate), stage)
        logs.append({name: float(value) for name, value in trainer.train_step(batch, optimizers).items()})
    whole, parts = logs
    assert list(parts) == list(whole)
    assert parts == pytest.approx(whole, rel=1e-5)  # rounding, and of the discriminator's step what Adam makes of it


def test_only_a_split_batch_is_generated_twice(tiny_config, batch, monkeypatch):
    generated = []
    forward = PairModel.forward
    monkeypatch.setattr(
        PairModel,
        "forward",
        lambda self, *inputs: generated.append((len(inputs[0]), torch.is_grad_enabled())) or forward(self, *inputs),
    )
    for accumulate, expected in ((1, [(4, True)]), (2, [(2, False), (2, False), (2, True), (2, True)])):
        generated.clear()
        trainer, optimizers = entered(trainer_of(tiny_config, accumulate), "full")
        trainer.train_step(batch, optimizers)
        assert generated == expected


@pytest.mark.parametrize("pair", [0, PAIRS - 1])
def test_a_part_that_is_not_finite_undoes_the_whole_step(tiny_config, batch, pair):
    """Including the update of the discriminator and the gradients of earlier parts."""
    trainer, optimizers = entered(trainer_of(tiny_config, 4), "full")
    trainer.train_step(batch, optimizers)  # so that the optimizers have moments
    before = copy.deepcopy([trainer.state_dict(), optimizers.state_dict()])
    batch.source[pair, 0, 3, 3] = float("nan")
    with pytest.raises(NotFiniteError):
        trainer.train_step(batch, optimizers)
    assert_same([trainer.state_dict(), optimizers.state_dict()], before)
    assert [name for name, p in trainer.named_parameters() if p.grad is not None] == []
    assert not any(p.requires_grad for p in trainer.discriminator.parameters())


def test_unchanged_buffers_restores_running_statistics():
    norm = torch.nn.BatchNorm1d(2)
    before = copy.deepcopy(norm.state_dict())
    with unchanged_buffers(norm):
        norm(torch.randn(4, 2))
        assert norm.num_batches_tracked == 1
    assert_same(norm.state_dict(), before)


def step_of_one_of_two(config, batch, rank: int):
    share = slice(rank * 2, rank * 2 + 2)
    return gradients_of(config, 2, batch, "full", share)


@pytest.mark.slow
def test_two_processes_that_accumulate_have_the_gradients_of_the_whole_batch(tiny_config, batch, tmp_path):
    """Two pairs in each, one at a time."""
    first, second = in_both(step_of_one_of_two, tmp_path, tiny_config, batch)
    assert_same(first, second)
    whole = gradients_of(tiny_config, 1, batch, "full")
    assert max(largest_differences(first, whole).values()) < EXACT


# Less memory


@pytest.mark.parametrize("stage", STAGES)
def test_four_parts_need_half_the_memory(tiny_config, batch, stage):
    peaks = []
    for accumulate in (1, 4):
        trainer, optimizers = entered(trainer_of(tiny_config, accumulate), stage)
        trainer.train_step(batch, optimizers)  # Adam's moments are there from the first step on
        peaks.append(peak_bytes(functools.partial(trainer.train_step, batch, optimizers), "cpu"))
    assert peaks[1] < peaks[0] / 2  # measured: 0.28 and 0.29; weights' gradients are whole


# A batch in parts


def test_a_batch_is_split_in_order_with_all_fields(batch):
    batch.visible = None  # what a data set may not know
    parts = batch.split(3)
    assert [part.names for part in parts] == [batch.names[:3], batch.names[3:]]
    for field in fields(batch):
        whole, pieces = getattr(batch, field.name), [getattr(part, field.name) for part in parts]
        if isinstance(whole, torch.Tensor):
            assert torch.equal(torch.cat(pieces), whole)
        elif whole is None:
            assert pieces == [None, None]


# A run


@pytest.mark.slow
def test_a_resumed_run_ends_as_one_that_was_not_stopped(tiny_config, tmp_path):
    """Stopped in the full stage; bit for bit."""
    options = ["flow_iters=1", "full_iters=2", "trainer.accumulate=2"]
    arguments = ["train", str(tiny_config), "--cfg-options", *options, "--work-dir"]
    assert main([*arguments, str(tmp_path / "whole")]) == 0
    (tmp_path / "resumed").mkdir()
    (tmp_path / "whole" / "iter_2.pth").rename(tmp_path / "resumed" / "iter_2.pth")
    assert main([*arguments, str(tmp_path / "resumed"), "--resume"]) == 0
    whole, resumed = stored(tmp_path / "whole", 3), stored(tmp_path / "resumed", 3)
    for key in ("state_dict", "optimizer"):
        assert_same(resumed[key], whole[key])


# What is refused


def test_a_batch_size_that_cannot_be_split_is_an_error_at_the_start(tiny_config, tmp_path, capsys):
    arguments = ["train", str(tiny_config), "--work-dir", str(tmp_path / "run"), "--cfg-options"]
    assert main([*arguments, "batch_size=4", "trainer.accumulate=3"]) != 0
    assert "batch_size (4) a multiple of trainer.accumulate (3)" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("accumulate", [0, -1, 1.5, "4"])
def test_accumulate_must_be_a_positive_integer(tiny_config, accumulate):
    with pytest.raises(ConfigError, match=r"accumulate must be a whole number of at least 1, got"):
        trainer_of(tiny_config, accumulate)


def test_a_mean_over_the_masks_of_a_batch_cannot_be_accumulated(tiny_config):
    config = load_config(tiny_config, {"trainer.stages.0.losses.correctness.masked": True})
    arguments = {**config.trainer, "model": config.model, "feature_network": feature_network()}
    MODELS.build_part(arguments)
    with pytest.raises(ConfigError, match=r"stage 'flow', loss 'correctness': masked=True .* must be 1, got 2"):
        MODELS.build_part({**arguments, "accumulate": 2})


def test_clips_cannot_be_accumulated():
    clip_trainer(ADVERSARIAL, accumulate=1)
    with pytest.raises(ConfigError, match=r"ClipTrainer does not accumulate gradients[^$]*shorter chunk"):
        clip_trainer(ADVERSARIAL, accumulate=2)
