"""VGG-19 features (``spec: losses``). Images enter as they are, in [-1, 1], not re-normalized."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..errors import CheckpointError, ConfigError, MissingWeightsError
from ..ops.convolution import convolve
from ..registry import FEATURE_NETWORKS
from ..weights import WeightsFile, find_weights, read_weights

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels, convolutions; a pool between blocks
VGG19 = WeightsFile(
    "VGG-19, ImageNet (torchvision)",
    "vgg19-dcbb9e9d.pth",
    "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
    sha256="dcbb9e9d",
    used_by=("VGG19Features",),
)
RANDOM_SEED = 19


@FEATURE_NETWORKS.register_module()
class VGG19Features(nn.Module):
    """Features of a frozen VGG-19. Its weights are constants: never trained, never saved in a checkpoint.

    Args:
        weights: ``"imagenet"``: torchvision's file where torch keeps such files; a path: that file;
            ``"random"``: seeded random weights. Random features let the flow learn, but they are not VGG's:
            perceptual and style losses on them are weaker, and no score made with them is one.

    Raises:
        MissingWeightsError: the file is not there. Nothing is downloaded.
        CheckpointError: the file is there, but is not what it should be.
    """

    def __init__(self, weights: str = "imagenet") -> None:
        super().__init__()
        self.names: list[str] = []
        channels = 3
        for block, (width, convolutions) in enumerate(BLOCKS, start=1):
            for index in range(1, convolutions + 1):
                self.names.append(f"relu{block}_{index}")
                self.register_buffer(f"weight{block}_{index}", torch.empty(width, channels, 3, 3), persistent=False)
                self.register_buffer(f"bias{block}_{index}", torch.zeros(width), persistent=False)
                channels = width
        if weights == "random":
            self._randomize()
        else:
            self._load(_weights_file(weights))

    def forward(self, image: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Features by layer name (``relu1_1`` … ``relu5_4``), B C h w, of images B 3 H W in [-1, 1]."""
        unknown = set(layers) - set(self.names)
        if unknown:
            raise ConfigError(f"VGG-19 has no layer {sorted(unknown)}; it has {', '.join(self.names)}")
        features: dict[str, Tensor] = {}
        x = image.contiguous(memory_format=torch.channels_last)  # the faster layout, and what sampling gathers from
        for name in self.names:
            key = name.removeprefix("relu")
            if key.endswith("_1") and key != "1_1":
                x = _pooled(x)
            x = F.relu_(convolve(x, getattr(self, f"weight{key}"), getattr(self, f"bias{key}"), padding=1))
            if name in layers:
                features[name] = x
                if len(features) == len(set(layers)):
                    break
        return features

    def _randomize(self) -> None:
        generator = torch.Generator().manual_seed(RANDOM_SEED)
        for name in self.names:
            weight = getattr(self, f"weight{name.removeprefix('relu')}")
            weight.normal_(0, (2 / weight[0].numel()) ** 0.5, generator=generator)

    def _load(self, path: Path) -> None:
        state = read_weights(path)
        if not isinstance(state, dict):
            raise CheckpointError(f"{path} is not torchvision's VGG-19: it holds a {type(state).__name__}")
        index = 0
        for name in self.names:
            key = name.removeprefix("relu")
            if key.endswith("_1") and key != "1_1":
                index += 1  # the pool
            for what in ("weight", "bias"):
                own, stored = getattr(self, f"{what}{key}"), state.get(f"features.{index}.{what}")
                if not isinstance(stored, Tensor) or stored.shape != own.shape:
                    found = f"has shape {tuple(stored.shape)}" if isinstance(stored, Tensor) else "is missing"
                    raise CheckpointError(
                        f"{path} is not torchvision's VGG-19: features.{index}.{what} {found}, not {tuple(own.shape)}"
                    )
                own.copy_(stored)
            index += 2  # the convolution and its ReLU


def _pooled(x: Tensor) -> Tensor:
    """The greatest of 2×2; where they were is found again in the backward pass, for their indices are half of a map."""
    if torch.compiler.is_compiling() or not (x.requires_grad and torch.is_grad_enabled()):
        return F.max_pool2d(x, 2)
    pooled: Tensor = checkpoint(F.max_pool2d, x, 2, use_reentrant=False, preserve_rng_state=False)
    return pooled


def _weights_file(weights: str) -> Path:
    try:
        return find_weights(VGG19, None if weights == "imagenet" else weights)
    except MissingWeightsError as error:
        raise MissingWeightsError(
            f"the losses need ImageNet weights of VGG-19 (feature_weights={weights!r}). {error}\n"
            "Or choose something else with the config value feature_weights:\n"
            "  --cfg-options feature_weights=/path/to/vgg19.pth   the same file elsewhere\n"
            "  --cfg-options feature_weights=random               seeded random features, for trying things out"
        ) from None
