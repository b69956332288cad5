"""VGG-19 features for the losses (GFLA, arXiv 2003.00696, sections 3.1 and 3.2)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import CheckpointError, ConfigError, MissingWeightsError
from ..registry import FEATURE_NETWORKS
from ..torchvision_import import import_torchvision
from ..weights import WeightsFile, find_weights, read_weights

VGG19 = WeightsFile(
    "VGG-19, ImageNet (torchvision)",
    "vgg19-dcbb9e9d.pth",
    "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    sha256="dcbb9e9d",
    used_by=("VGG19Features",),
)
LAYERS = [f"relu{block}_{n}" for block, count in enumerate((2, 2, 4, 4, 4), 1) for n in range(1, count + 1)]
RANDOM_SEED = 19


@FEATURE_NETWORKS.register_module()
class VGG19Features(nn.Module):
    """Features of torchvision's VGG-19. Its weights are constants: never trained, never saved in a checkpoint.

    Images enter in [-1, 1] and are not normalized with the statistics of ImageNet, as in the published model.

    Args:
        weights: ``"imagenet"``: torchvision's weight file in torch's cache folder; a path: that file;
            ``"random"``: seeded random weights. The flow learns from random features, but perceptual and style losses
            on them are weaker, and scores computed with them are not comparable.

    Raises:
        MissingWeightsError: the weight file does not exist. Nothing is downloaded.
        CheckpointError: the weight file is damaged or holds another network.
    """

    names: Sequence[str] = LAYERS
    """The layers, shallow to deep."""

    def __init__(self, weights: str = "imagenet") -> None:
        super().__init__()
        import_torchvision()
        from torchvision.models import vgg19

        with torch.device("meta"):  # neither memory nor random numbers for weights that are replaced
            self.network = vgg19(weights=None, init_weights=False).features
        if weights == "random":
            _randomize(self.network)
        else:
            _load(self.network, _find_file(weights))
        for module in self.network:
            for name, parameter in list(module.named_parameters()):
                delattr(module, name)
                module.register_buffer(name, parameter.detach().float(), persistent=False)

    def forward(self, image: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Compute features B C h w by layer name, ``relu1_1`` … ``relu5_4``.

        Args:
            image: B 3 H W in [-1, 1].
            layers: the layers to return; the network runs no deeper than the deepest of them.

        Raises:
            ConfigError: VGG-19 has no such layer.
        """
        unknown = set(layers) - set(self.names)
        if unknown:
            raise ConfigError(f"VGG-19 has no layer {sorted(unknown)}; it has {', '.join(self.names)}")
        features: dict[str, Tensor] = {}
        x = image.contiguous(memory_format=torch.channels_last)  # the layout that sampling gathers from
        names = iter(self.names)
        for module in self.network:
            if len(features) == len(set(layers)):
                break
            # torchvision's ReLUs work in place: on the output of a convolution, never on a feature.
            x = _pool(module, x) if isinstance(module, nn.MaxPool2d) else module(x)
            if isinstance(module, nn.ReLU) and (name := next(names)) in layers:
                features[name] = x
        return features


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


def _load(network: nn.Sequential, path: Path) -> None:
    stored = read_weights(path)
    if not isinstance(stored, dict):
        raise CheckpointError(f"{path} is not torchvision's VGG-19: it holds a {type(stored).__name__}")
    own = {name.removeprefix("features."): value for name, value in stored.items() if name.startswith("features.")}
    try:
        network.load_state_dict(own, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is not torchvision's VGG-19: {error}") from error


def _find_file(weights: str) -> Path:
    try:
        return find_weights(VGG19, None if weights == "imagenet" else weights)
    except MissingWeightsError as error:
        raise MissingWeightsError(
            f"the losses need ImageNet weights of VGG-19 (feature_weights={weights!r}). {error}\n"
            "Alternatives, by the config value feature_weights:\n"
            "  --cfg-options feature_weights=/path/to/vgg19.pth   the same file in another place\n"
            "  --cfg-options feature_weights=random               seeded random features, for trying things out"
        ) from None
