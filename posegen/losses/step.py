"""What a loss sees of a training step, and features computed once an image a step, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..records import PairBatch, Transfer

Needs = Mapping[str, tuple[str, ...]]
"""Feature layers by image: ``{"source": ("relu4_1",), "target": ..., "generated": ...}``."""


class FeatureMemory:
    """Features of images that several caches of one training step look at, so that each is computed once.

    An image is known again by the memory it lies in: a detached view of a generated frame gets the frame's features,
    detached.

    Args:
        network: a feature network: ``network(image, layers) -> {layer: B C h w}``.
    """

    def __init__(self, network: Callable[[Tensor, Collection[str]], dict[str, Tensor]]) -> None:
        self._network = network
        self._known: dict[tuple[int, int], tuple[Tensor, dict[str, Tensor]]] = {}

    def __call__(self, image: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Features of *image* at *layers*; without a gradient where the image asks for none."""
        key = (image.data_ptr(), image.numel())
        known, features = self._known.get(key, (image, {}))
        if not set(layers) <= set(features) or (image.requires_grad and not known.requires_grad):
            with torch.set_grad_enabled(torch.is_grad_enabled() and image.requires_grad):
                features = self._network(image, {*layers, *features})
            self._known[key] = (image, features)  # keeps the image, so that no other can take its place in memory
        if image.requires_grad:
            return features
        return {layer: feature.detach() for layer, feature in features.items()}


class FeatureCache:
    """Features of the images of one step. Each image goes through the network at most once, as deep as anyone asked.

    Args:
        network: a feature network: ``network(image, layers) -> {layer: B C h w}``, or a memory of one.
        images: images by name, B 3 H W in [-1, 1].
        needs: the layers of each image that the losses of this step declare.
    """

    def __init__(
        self,
        network: Callable[[Tensor, Collection[str]], dict[str, Tensor]],
        images: Mapping[str, Tensor],
        needs: Iterable[Needs],
    ) -> None:
        self._memory = network if isinstance(network, FeatureMemory) else FeatureMemory(network)
        self._images = images
        self._needs: dict[str, set[str]] = {}
        for need in needs:
            for image, layers in need.items():
                self._needs.setdefault(image, set()).update(layers)
        self._features: dict[str, dict[str, Tensor]] = {}

    def __call__(self, image: str, layer: str) -> Tensor:
        """Features B C h w of one image at one layer.

        Raises:
            KeyError: no loss declared that it needs this.
        """
        if layer not in self._needs.get(image, ()):
            raise KeyError(f"{layer} of the {image} image was asked for, but no loss declares it in `needs`")
        if image not in self._features:
            self._features[image] = self._memory(self._images[image], self._needs[image])
        return self._features[image][layer]


@dataclass
class Step:
    """One training step as losses see it.

    ``judged`` B 1 h w: the discriminator's logits of the generated images, None where there is no discriminator.
    In a stage that renders nothing ``out.image`` is empty.
    """

    batch: PairBatch
    out: Transfer
    features: FeatureCache
    judged: Tensor | None = None


class Loss(nn.Module):
    """Base of all losses.

    Args:
        weight: factor of this loss in the total.
    """

    needs: Needs = {}

    looks_at: Literal["image", "flow"] = "image"
    """What it judges: a loss of flows is asked twice for a frame of a clip, for the flow to each of its origins."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, step: Step) -> Tensor:
        """The loss of a step, a scalar, before its weight."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward(step)")
