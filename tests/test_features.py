"""The feature network: torchvision's VGG-19 from its file, or an error that says what to do."""

from __future__ import annotations

import pytest
import torch
import torchvision

from posegen.errors import CheckpointError, ConfigError, MissingWeightsError
from posegen.losses import FeatureCache, VGG19Features
from posegen.losses.features import VGG19

LAYERS = ["relu1_1", "relu2_2", "relu3_4", "relu4_1", "relu5_4"]  # one a block, the last included
INDEX = {
    "relu1_1": 1,
    "relu2_2": 8,
    "relu3_4": 17,
    "relu4_1": 20,
    "relu5_4": 35,
}  # of the ReLU in torchvision's `features`


@pytest.fixture(scope="module")
def theirs():
    """torchvision's VGG-19 without its classifier, with random weights, biases included."""
    network = torchvision.models.vgg19(weights=None).features.eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 200
        parameter.data.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
    return network


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg.pth"
    state = {f"features.{name}": value for name, value in theirs.state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(1)}, path)  # unused, and in the real file
    return path


def image(size=32):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_features_are_torchvisions(theirs, file):
    ours = VGG19Features(str(file))(image(), LAYERS)
    x = image()
    for index, layer in enumerate(theirs):
        x = torch.relu(x) if isinstance(layer, torch.nn.ReLU) else layer(x)
        for name in LAYERS:
            if index == INDEX[name]:
                torch.testing.assert_close(
                    ours[name], x, rtol=1e-4, atol=1e-4
                )  # 16 layers deep, any processor's kernels
    assert list(ours) == LAYERS


def test_the_network_runs_no_deeper_than_asked(file, monkeypatch):
    widths = []
    convolve = torch.nn.functional.conv2d
    monkeypatch.setattr(
        torch.nn.functional, "conv2d", lambda x, w, *a, **k: widths.append(len(w)) or convolve(x, w, *a, **k)
    )
    VGG19Features(str(file))(image(), ["relu1_1", "relu2_1"])
    assert widths == [64, 64, 128]


def test_weights_are_constants_that_no_checkpoint_holds(file):
    network = VGG19Features(str(file))
    assert list(network.parameters()) == []
    assert network.state_dict() == {}


def test_random_weights_are_always_the_same():
    ours, again = (VGG19Features("random")(image(), ["relu3_1"])["relu3_1"] for _ in range(2))
    assert torch.equal(ours, again)


def test_an_unknown_layer_is_named():
    with pytest.raises(ConfigError, match=r"no layer \['relu6_1'\]; it has relu1_1"):
        VGG19Features("random")(image(), ["relu6_1"])


def test_missing_weights_name_file_address_place_and_the_way_around(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(MissingWeightsError) as raised:
        VGG19Features("imagenet")
    address, place = f"https://download.pytorch.org/models/{VGG19.file_name}", str(tmp_path / "hub" / "checkpoints")
    for named in (VGG19.file_name, address, place, "feature_weights="):
        assert named in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_path_to_nothing_is_an_error():
    with pytest.raises(MissingWeightsError, match=r"feature_weights='/nowhere/vgg\.pth'"):
        VGG19Features("/nowhere/vgg.pth")


def test_a_file_in_torchs_place_that_is_not_the_published_one_is_damaged(tmp_path, monkeypatch, file):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / VGG19.file_name
    place.parent.mkdir(parents=True)
    place.write_bytes(file.read_bytes())
    with pytest.raises(CheckpointError, match=r"is damaged, or another file: its SHA-256 starts .*, not dcbb9e9d"):
        VGG19Features("imagenet")


def test_a_truncated_file_is_an_error(tmp_path, file):
    (tmp_path / "vgg.pth").write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match=r"vgg.pth cannot be loaded: damaged"):
        VGG19Features(str(tmp_path / "vgg.pth"))


def test_a_file_that_would_execute_something_is_an_error_without_advice_to_let_it(tmp_path):
    torch.save(pytest.raises, tmp_path / "vgg.pth")
    with pytest.raises(CheckpointError, match="nothing in a checkpoint is executed") as raised:
        VGG19Features(str(tmp_path / "vgg.pth"))
    assert "weights_only" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"features.0.weight": torch.zeros(64, 1, 3, 3)}, r"features.0.weight has shape \(64, 1, 3, 3\)"),
        ({"layer1.weight": torch.zeros(1)}, "features.0.weight is missing"),
        (torch.zeros(3), "holds a Tensor"),
        ({"features.0.weight": "text"}, "features.0.weight is missing"),
    ],
    ids=["another shape", "another network", "no state dict", "no tensors"],
)
def test_weights_of_something_else_are_an_error(tmp_path, content, words):
    torch.save(content, tmp_path / "vgg.pth")
    with pytest.raises(CheckpointError, match=words):
        VGG19Features(str(tmp_path / "vgg.pth"))


class CountingNetwork(torch.nn.Module):
    """Stands for a feature network; remembers what it was asked for."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def forward(self, image, layers):
        self.asked.append(set(layers))
        return dict.fromkeys(layers, image * 2)


def test_an_image_is_seen_once_however_many_losses_ask():
    network, needs = CountingNetwork(), [{"target": ("a", "b")}, {"target": ("b", "c"), "generated": ("a",)}]
    cache = FeatureCache(network, {"target": image(), "generated": image().requires_grad_()}, needs)
    for layer in "abcab":
        assert not cache("target", layer).requires_grad
    assert cache("generated", "a").requires_grad
    assert network.asked == [{"a", "b", "c"}, {"a"}]


def test_features_that_no_loss_declares_are_refused():
    cache = FeatureCache(CountingNetwork(), {"target": image()}, [{"target": ("a",)}])
    with pytest.raises(KeyError, match="b of the target image"):
        cache("target", "b")
