"""Losses beyond the golden arrays, their feature network, and the cache of its features."""

from __future__ import annotations

import math

import pytest
import torch

from posegen.errors import CheckpointError, ConfigError, InputError, MissingWeightsError
from posegen.losses import (
    AffineRegularization,
    FeatureCache,
    LossInputs,
    PerceptualLoss,
    ReconstructionLoss,
    SamplingCorrectness,
    StyleLoss,
    VGG19Features,
)
from posegen.losses.correctness import best_cosine, sampling_correctness
from posegen.losses.features import VGG19
from posegen.losses.perceptual import mean_difference
from posegen.records import PairBatch, Transfer


@pytest.fixture(scope="module")
def network():
    return VGG19Features("random")


def image(size=32):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def inputs_of(network, generated, losses):
    target = image()
    batch = PairBatch(target.flip(0), torch.zeros(2, 4, 32, 32), target, torch.zeros(2, 4, 32, 32), ["a", "b"])
    out = Transfer(generated, [torch.zeros(2, 2, 8, 8, requires_grad=True)], [torch.zeros(2, 1, 8, 8)])
    images = {"source": batch.source, "target": target, "generated": generated}
    return LossInputs(batch, out, FeatureCache(network, images, [loss.needs for loss in losses]))


# Losses


def test_image_losses_are_zero_on_the_target_and_have_gradients_elsewhere(network):
    losses = [ReconstructionLoss(), PerceptualLoss(), StyleLoss()]
    same = inputs_of(network, image().requires_grad_(), losses)
    other = inputs_of(network, image().flip(-1).requires_grad_(), losses)
    for loss in losses:
        assert loss(same).item() == pytest.approx(0, abs=1e-6)
        (gradient,) = torch.autograd.grad(loss(other), other.out.image, retain_graph=True)
        assert gradient.abs().sum() > 0


def test_correctness_is_best_where_the_flow_finds_the_match():
    torch.manual_seed(0)
    source = torch.rand(1, 32, 12, 12)
    target = torch.roll(source, shifts=2, dims=-1)  # content moved two to the right: it comes from two to the left
    right, wrong = torch.zeros(2, 1, 2, 12, 12)
    right[:, 0] = -2
    assert sampling_correctness(source, target, right) < sampling_correctness(source, target, wrong)
    assert sampling_correctness(source, target, right) < 1 - math.exp(-1)


def test_correctness_includes_only_levels_of_the_flows():
    with pytest.raises(ConfigError, match=r"only must name some of the levels \[3, 2\], got \[4\]"):
        SamplingCorrectness(only=[4])


def test_best_cosine_is_the_same_in_chunks_and_at_once():
    torch.manual_seed(0)
    source, target = torch.randn(2, 2, 8, 6, 5)
    torch.testing.assert_close(best_cosine(source, target), best_cosine(source, target, most_elements=1))


def test_affine_regularization_takes_one_window_a_level():
    loss = AffineRegularization(kernel_sizes=(3,))
    torch.manual_seed(0)
    flows = [torch.randn(1, 2, 8, 8)]
    assert loss(LossInputs(None, Transfer(torch.empty(0), flows, []), None)) > 0  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="zip"):
        loss(LossInputs(None, Transfer(torch.empty(0), flows * 2, []), None))  # type: ignore[arg-type]


def test_reconstruction_is_absolute_as_published_or_squared(network):
    inputs = inputs_of(network, torch.zeros(2, 3, 32, 32), [])
    target = inputs.batch.target
    assert ReconstructionLoss()(inputs).item() == pytest.approx(target.abs().mean().item())
    assert ReconstructionLoss(power=2)(inputs).item() == pytest.approx(target.square().mean().item())
    with pytest.raises(ConfigError, match="power must be 1 or 2, got 3"):
        ReconstructionLoss(power=3)


@pytest.mark.parametrize("needs", [(True, False), (True, True)])
def test_the_mean_difference_is_the_l1_loss_gradients_included(needs):
    torch.manual_seed(0)
    pair = [torch.randn(2, 3, 5, 4).requires_grad_(need) for need in needs]
    with torch.no_grad():
        pair[1][0, 0] = pair[0][0, 0]  # equal values: their gradient is 0
    values = [difference(*pair) for difference in (mean_difference, torch.nn.functional.l1_loss)]
    torch.testing.assert_close(*values)
    inputs = [tensor for tensor in pair if tensor.requires_grad]
    torch.testing.assert_close(*(torch.autograd.grad(value, inputs, torch.tensor(2.0)) for value in values))
    with pytest.raises(InputError, match="differ in shape"):
        mean_difference(torch.zeros(2, 3), torch.zeros(1, 3))


# The feature network

LAYERS = {"relu1_1": 1, "relu2_2": 8, "relu3_4": 17, "relu4_1": 20, "relu5_4": 35}
"""Layers, one a block and the last, by their index in torchvision's ``features``."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file like the published one, with other weights."""
    generator = torch.Generator().manual_seed(0)
    own = VGG19Features("random").network
    state = {}
    for index, layer in enumerate(own):
        for name, value in layer.named_buffers():
            random = torch.randn(value.shape, generator=generator)
            state[f"features.{index}.{name}"] = random * (2 / value[0].numel()) ** 0.5 if name == "weight" else random
    path = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    torch.save({**state, "classifier.0.weight": torch.zeros(1)}, path)
    return path


def test_features_are_those_of_the_layers_one_after_the_other(weights):
    features = VGG19Features(str(weights))(image(), LAYERS)
    assert list(features) == list(LAYERS)
    state, x = torch.load(weights), image()
    for index in range(max(LAYERS.values()) + 1):
        weight = state.get(f"features.{index}.weight")
        if weight is not None:
            x = torch.nn.functional.conv2d(x, weight, state[f"features.{index}.bias"], padding=1).relu()
        elif f"features.{index - 1}.weight" not in state:
            x = torch.nn.functional.max_pool2d(x, 2)
        for name in [name for name, place in LAYERS.items() if place == index]:
            torch.testing.assert_close(features[name], x, rtol=1e-4, atol=1e-4)  # 16 layers, any processor's kernels


def test_the_gradient_reaches_the_image_through_several_layers(network):
    x = image().requires_grad_()
    sum(feature.sum() for feature in network(x, ["relu1_1", "relu1_2", "relu2_1"]).values()).backward()
    assert x.grad.abs().sum() > 0


def test_the_network_runs_no_deeper_than_asked(network):
    ran = []
    hooks = [layer.register_forward_hook(lambda layer, *_: ran.append(layer)) for layer in network.network]
    network(image(), ["relu1_1", "relu2_1"])
    for hook in hooks:
        hook.remove()
    assert ran == list(network.network[:7])


def test_weights_are_constants_that_no_checkpoint_holds(network):
    assert list(network.parameters()) == []
    assert network.state_dict() == {}


def test_random_weights_are_always_the_same_and_leave_torchs_generator_alone(network):
    before = torch.get_rng_state()
    again = VGG19Features("random")
    assert torch.equal(network(image(), ["relu3_1"])["relu3_1"], again(image(), ["relu3_1"])["relu3_1"])
    assert torch.equal(torch.get_rng_state(), before)


def test_an_unknown_layer_is_named(network):
    with pytest.raises(ConfigError, match=r"no layer \['relu6_1'\]; it has relu1_1"):
        network(image(), ["relu6_1"])


def test_missing_weights_name_file_address_place_and_the_alternatives(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError) as raised:
        VGG19Features("imagenet")
    for named in (VGG19.file_name, VGG19.address, str(tmp_path / "hub" / "checkpoints"), "feature_weights="):
        assert named in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_path_to_nothing_is_an_error():
    with pytest.raises(MissingWeightsError, match=r"feature_weights='/nowhere/vgg\.pth'"):
        VGG19Features("/nowhere/vgg.pth")


def test_a_file_in_torchs_folder_that_is_not_the_published_one_is_an_error(tmp_path, monkeypatch, weights):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / VGG19.file_name
    place.parent.mkdir(parents=True)
    place.symlink_to(weights)
    with pytest.raises(CheckpointError, match=r"dcbb9e9d"):
        VGG19Features("imagenet")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"features.0.weight": torch.zeros(64, 1, 3, 3)}, r"0\.weight.*torch.Size\(\[64, 1, 3, 3\]\)"),
        ({"layer1.weight": torch.zeros(1)}, r"Missing key\(s\).*0\.weight"),
        (torch.zeros(3), "holds a Tensor"),
        ({"features.0.weight": "text"}, r"0\.weight.*'str'"),
    ],
    ids=["another shape", "another network", "no state dict", "no tensors"],
)
def test_weights_of_something_else_are_an_error(tmp_path, content, words):
    torch.save(content, tmp_path / "vgg.pth")
    with pytest.raises(CheckpointError, match=rf"(?s)not torchvision's VGG-19: .*{words}"):
        VGG19Features(str(tmp_path / "vgg.pth"))


# The cache


class CountingNetwork:
    """Stand-in for a feature network; records the layers of each call."""

    def __init__(self):
        self.asked = []

    def __call__(self, image, layers):
        self.asked.append(set(layers))
        return dict.fromkeys(layers, image * 2)


def test_an_image_passes_the_network_once_however_many_losses_ask():
    network, needs = CountingNetwork(), [{"target": ("a", "b")}, {"target": ("b", "c"), "generated": ("a",)}]
    cache = FeatureCache(network, {"target": image(), "generated": image().requires_grad_()}, needs)
    for layer in "abcab":
        assert not cache("target", layer).requires_grad
    assert cache("generated", "a").requires_grad
    assert network.asked == [{"a", "b", "c"}, {"a"}]


def test_features_that_no_loss_declares_are_an_error():
    cache = FeatureCache(CountingNetwork(), {"target": image()}, [{"target": ("a",)}])
    with pytest.raises(KeyError, match="b of the target image"):
        cache("target", "b")


@pytest.mark.parametrize("first", ["generated", "source"])
def test_caches_share_features_and_a_detached_view_gets_detached_ones(first):
    computed, network, frame = {}, CountingNetwork(), image().requires_grad_() * 1
    images, needs = {"generated": frame, "source": frame.detach()}, [{"generated": ("a",), "source": ("a", "b")}]
    one, other = (FeatureCache(network, images, needs, computed) for _ in range(2))
    one(first, "a")
    assert other("generated", "a").requires_grad
    assert not other("source", "b").requires_grad
    assert torch.equal(one("generated", "a"), one("source", "a"))
