"""The configs of the published method say what the paper says; the numbers stand here a second time, on purpose."""

from __future__ import annotations

import pytest

from posegen.config import load_config
from posegen.registry import DISCRIMINATORS, LOSSES, MODELS

from .conftest import CONFIGS

WEIGHTS = {
    "flow": {"SamplingCorrectness": 20, "AffineRegularization": 0.01},
    "full": {
        "SamplingCorrectness": 5,
        "AffineRegularization": 0.0025,
        "ReconstructionLoss": 5,
        "PerceptualLoss": 0.5,
        "StyleLoss": 500,
        "AdversarialLoss": 2,
    },
}
PERCEPTUAL = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
STYLE = ("relu2_2", "relu3_4", "relu4_4", "relu5_2")
CORRECTNESS = {3: "relu4_1", 2: "relu3_1"}  # the layer at each level
ATTENTION = {"gfla_market": {2: 3}, "gfla_fashion": {3: 3, 2: 5}}  # n by level, coarse to fine
SIZES = {"gfla_market": (128, 64), "gfla_fashion": (256, 256)}  # H, W
DISCRIMINATOR = {"gfla_market": (32, 64, 128), "gfla_fashion": (32, 64, 128, 128)}
PARAMETERS = {"gfla_market": 12_926_471, "gfla_fashion": 14_047_395}


@pytest.fixture(params=sorted(ATTENTION))
def name(request):
    return request.param


@pytest.fixture
def config(name):
    return load_config(CONFIGS / f"{name}.py")


@pytest.fixture
def losses(config):
    """The losses of each stage, built, by name of stage and type."""
    built = {s.name: [LOSSES.build_part(loss) for loss in s.losses.values()] for s in config.trainer.stages}
    return {stage: {type(loss).__name__: loss for loss in losses} for stage, losses in built.items()}


def test_stages_losses_and_weights(config, losses):
    assert {stage: {kind: loss.weight for kind, loss in some.items()} for stage, some in losses.items()} == WEIGHTS
    assert [list(stage.train) for stage in config.trainer.stages] == [
        ["flow_estimator"],
        ["flow_estimator", "renderer"],
    ]


def test_adam_and_batch_size(config):
    adam = dict(type="Adam", lr=1e-4, betas=(0, 0.999))
    flow, full = config.trainer.stages
    assert dict(flow.optimizer) == dict(full.optimizer) == adam
    assert dict(full.discriminator_optimizer) == {**adam, "lr": 1e-5}
    for stage in (flow, full):
        assert (stage.lr_schedule, dict(stage.lr_scale), stage.clip_gradient) == ("constant", {}, None)
    assert config.train_dataloader.batch_size == 8


def test_feature_layers(name, losses):
    levels = list(ATTENTION[name])
    assert losses["full"]["PerceptualLoss"].layers == PERCEPTUAL
    assert losses["full"]["StyleLoss"].layers == STYLE
    for some in losses.values():
        correctness = some["SamplingCorrectness"]
        assert list(correctness.levels) == levels
        layers = tuple(CORRECTNESS[level] for level in levels)
        assert correctness.needs == {"source": layers, "target": layers}
        assert list(some["AffineRegularization"].kernel_sizes) == list(ATTENTION[name].values())
    assert losses["full"]["AdversarialLoss"].mode == "lsgan"


def test_networks(name, config):
    flow, renderer = config.model.flow_estimator, config.model.renderer
    assert (flow.base_width, flow.max_width, flow.depth) == (32, 256, 5)
    assert (renderer.base_width, renderer.max_width, renderer.depth) == (64, 512, 3)
    assert list(flow.levels) == list(renderer.levels) == list(ATTENTION[name])
    assert list(renderer.kernel_sizes) == list(ATTENTION[name].values())
    assert renderer.reduction == "mean"
    model = MODELS.build_part(config.model)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


def test_discriminator(name, config):
    down = DISCRIMINATORS.build_part(config.trainer.discriminator).down
    widths = DISCRIMINATOR[name]
    assert tuple(block.conv2.out_channels for block in down) == widths
    assert tuple(block.conv1.out_channels for block in down) == (32, *widths[:-1])  # hidden


def test_size_and_structure(name, config):
    assert config.structure.sigma == 6
    assert config.model.flow_estimator.structure_channels == config.model.renderer.structure_channels == 18
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        assert tuple(loader.dataset.size) == SIZES[name]
        assert loader.dataset.structure.sigma == 6
