"""Base class of all losses, what a loss is given, and features computed once per image."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ..records import PairBatch, Transfer

Needs = Mapping[str, tuple[str, ...]]
"""Feature layers by image: ``{"source": ("relu4_1",), "target": ..., "generated": ...}``."""

FeatureNetwork = Callable[[Tensor, Collection[str]], dict[str, Tensor]]
"""``network(image, layers) -> {layer: B C h w}``."""

ComputedFeatures = dict[tuple[int, int], tuple[Tensor, dict[str, Tensor]]]
"""Images and their features, by the memory the image lies in."""


class FeatureCache:
    """Features of the images of one training step. Each image passes the network once, as deep as any loss needs.

    Args:
        network: the feature network.
        images: images by name, B 3 H W in [-1, 1].
        needs: the layers that the losses of this step declare.
        computed: features shared with other caches, as between the frames of a clip. An image is recognized by its
            memory, so a detached view of a generated frame gets the frame's features, detached.
    """

    def __init__(
        self,
        network: FeatureNetwork,
        images: Mapping[str, Tensor],
        needs: Iterable[Needs],
        computed: ComputedFeatures | None = None,
    ) -> None:
        self._network, self._images = network, images
        self._computed: ComputedFeatures = {} if computed is None else computed
        self._layers: dict[str, set[str]] = {}
        for need in needs:
            for image, layers in need.items():
                self._layers.setdefault(image, set()).update(layers)

    def __call__(self, image: str, layer: str) -> Tensor:
        """Return the features B C h w of one image at one layer; without a gradient where the image has none.

        Raises:
            KeyError: no loss declared this layer of this image.
        """
        layers = self._layers.get(image, set())
        if layer not in layers:
            raise KeyError(f"{layer} of the {image} image was asked for, but no loss declares it in `needs`")
        tensor = self._images[image]
        key = (tensor.data_ptr(), tensor.numel())
        known, features = self._computed.get(key, (tensor, {}))
        if not layers <= features.keys() or (tensor.requires_grad and not known.requires_grad):
            with torch.set_grad_enabled(torch.is_grad_enabled() and tensor.requires_grad):
                features = self._network(tensor, {*layers, *features})
            self._computed[key] = (tensor, features)  # holding the image keeps its memory from being reused
        return features[layer] if tensor.requires_grad else features[layer].detach()


@dataclass
class LossInputs:
    """One training step as losses see it.

    ``logits`` B 1 h w: the discriminator's judgment of the generated images, None without a discriminator.
    In a stage that renders nothing ``out.image`` is empty.
    """

    batch: PairBatch
    out: Transfer
    features: FeatureCache
    logits: Tensor | None = None


class Loss(nn.Module):
    """Base of all losses.

    Args:
        weight: factor of this loss in the total.
    """

    needs: Needs = {}

    looks_at: Literal["image", "flow"] = "image"
    """Output that the loss judges; ``"flow"``: flows, masks or both. For a frame of a clip, such a loss is computed for
    each origin."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, inputs: LossInputs) -> Tensor:
        """Compute the loss, a scalar, before its weight."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward(inputs)")
