"""What a loss sees of a training step, and features computed once an image a step, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..records import PairBatch, Transfer

Needs = Mapping[str, tuple[str, ...]]
"""Feature layers by image: ``{"source": ("relu4_1",), "target": ..., "generated": ...}``."""


class FeatureCache:
    """Features of the images of one step. Each image goes through the network at most once, as deep as anyone asked.

    Args:
        network: a feature network: ``network(image, layers) -> {layer: B C h w}``.
        images: images by name, B 3 H W in [-1, 1].
        needs: the layers of each image that the losses of this step declare.
    """

    def __init__(
        self,
        network: Callable[[Tensor, Collection[str]], dict[str, Tensor]],
        images: Mapping[str, Tensor],
        needs: Iterable[Needs],
    ) -> None:
        self._network = network
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
            self._compute(image)
        return self._features[image][layer]

    def _compute(self, image: str) -> None:
        if self._images[image].requires_grad:
            self._features[image] = self._network(self._images[image], self._needs[image])
            return
        with torch.no_grad():
            self._features[image] = self._network(self._images[image], self._needs[image])


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

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, step: Step) -> Tensor:
        """The loss of a step, a scalar, before its weight."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward(step)")
