"""Losses beyond the golden arrays: what they see, and what they cost."""

from __future__ import annotations

import math

import pytest
import torch

from posegen.errors import ConfigError, InputError
from posegen.losses import (
    AffineRegularization,
    FeatureCache,
    PerceptualLoss,
    ReconstructionLoss,
    SamplingCorrectness,
    Step,
    StyleLoss,
    VGG19Features,
)
from posegen.losses.correctness import best_cosine, sampling_correctness
from posegen.losses.perceptual import mean_difference
from posegen.records import PairBatch, Transfer


@pytest.fixture(scope="module")
def network():
    return VGG19Features("random")


def step_of(network, image, losses, target=None):
    torch.manual_seed(1)
    target = torch.rand(2, 3, 32, 32) * 2 - 1 if target is None else target
    batch = PairBatch(target.flip(0), torch.zeros(2, 4, 32, 32), target, torch.zeros(2, 4, 32, 32), ["a", "b"])
    out = Transfer(image, [torch.zeros(2, 2, 8, 8, requires_grad=True)], [torch.zeros(2, 1, 8, 8)])
    images = {"source": batch.source, "target": batch.target, "generated": image}
    return Step(batch, out, FeatureCache(network, images, [loss.needs for loss in losses]))


def test_image_losses_are_zero_on_the_target_and_have_gradients_elsewhere(network):
    losses = [ReconstructionLoss(), PerceptualLoss(), StyleLoss()]
    torch.manual_seed(1)
    target = torch.rand(2, 3, 32, 32) * 2 - 1
    same = step_of(network, target.clone().requires_grad_(), losses, target)
    other = step_of(network, target.flip(-1).clone().requires_grad_(), losses, target)
    for loss in losses:
        assert loss(same).item() == pytest.approx(0, abs=1e-6)
        (gradient,) = torch.autograd.grad(loss(other), other.out.image, retain_graph=True)
        assert gradient.abs().sum() > 0


def test_features_that_no_loss_declared_are_an_error(network):
    step = step_of(network, torch.zeros(2, 3, 32, 32), [SamplingCorrectness(levels=[2])])
    with pytest.raises(KeyError, match="no loss declares"):
        step.features("generated", "relu1_1")


def test_the_network_is_no_deeper_run_than_asked(network):
    assert set(network(torch.zeros(1, 3, 32, 32), ["relu1_2"])) == {"relu1_2"}
    assert network(torch.zeros(1, 3, 32, 32), ["relu3_1"])["relu3_1"].shape == (1, 256, 8, 8)
    assert not list(network.parameters()), "its weights are constants"
    assert not network.state_dict(), "and no checkpoint carries them"


def test_correctness_is_best_where_the_flow_finds_the_match():
    torch.manual_seed(0)
    source = torch.rand(1, 32, 12, 12)
    target = torch.roll(source, shifts=2, dims=-1)  # content moved two to the right: it comes from two to the left
    right, wrong = torch.zeros(2, 1, 2, 12, 12)
    right[:, 0] = -2
    assert sampling_correctness(source, target, right) < sampling_correctness(source, target, wrong)
    assert sampling_correctness(source, target, right) < 1 - math.exp(-1)


def test_best_cosine_is_the_same_in_chunks_and_at_once():
    torch.manual_seed(0)
    source, target = torch.randn(2, 2, 8, 6, 5)
    torch.testing.assert_close(best_cosine(source, target), best_cosine(source, target, most_elements=1))


def test_affine_regularization_takes_one_window_a_level():
    loss = AffineRegularization(kernel_sizes=(3,))
    batch = None
    torch.manual_seed(0)
    flows = [torch.randn(1, 2, 8, 8)]
    assert loss(Step(batch, Transfer(torch.empty(0), flows, []), None)) > 0  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="zip"):
        loss(Step(batch, Transfer(torch.empty(0), flows * 2, []), None))  # type: ignore[arg-type]


def test_reconstruction_is_absolute_as_published_or_squared(network):
    step = step_of(network, torch.zeros(2, 3, 32, 32), [])
    target = step.batch.target
    assert ReconstructionLoss()(step).item() == pytest.approx(target.abs().mean().item())
    assert ReconstructionLoss(power=2)(step).item() == pytest.approx(target.square().mean().item())
    with pytest.raises(ConfigError, match="power must be 1 or 2, got 3"):
        ReconstructionLoss(power=3)


@pytest.mark.parametrize("needs", [(True, False), (True, True)])
def test_the_difference_that_keeps_signs_is_the_l1_loss_gradients_included(needs):
    torch.manual_seed(0)
    pair = [torch.randn(2, 3, 5, 4).requires_grad_(need) for need in needs]
    with torch.no_grad():
        pair[1][0, 0] = pair[0][0, 0]  # where they are equal there is no direction
    values = [difference(*pair) for difference in (mean_difference, torch.nn.functional.l1_loss)]
    torch.testing.assert_close(*values)
    inputs = [tensor for tensor in pair if tensor.requires_grad]
    torch.testing.assert_close(*(torch.autograd.grad(value, inputs, torch.tensor(2.0)) for value in values))


def test_features_of_two_shapes_are_an_error_and_of_no_image_no_number():
    with pytest.raises(InputError, match="differ in shape"):
        mean_difference(torch.zeros(2, 3, 4, 4), torch.zeros(1, 3, 4, 4))
    assert mean_difference(torch.zeros(0, 3, 4, 4), torch.zeros(0, 3, 4, 4)).isnan()
