"""Distance of the features of a pretrained network, for training without LPIPS's weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from posegen.evaluation import ImageBatch, ImageMetric
from posegen.registry import FEATURE_NETWORKS, METRICS

LAYERS = ("relu1_2", "relu2_2", "relu3_3", "relu4_3")


@METRICS.register_module()
class FeatureDistance(ImageMetric):
    """``feature_distance``, in [0, 2], 0 = equal: mean squared distance of unit features, averaged over layers.

    The features of each position are divided by their norm, as LPIPS does, but layers and channels count alike: nothing
    is fitted to people's judgment. Values of different networks, layers or image sizes cannot be compared.

    Args:
        network: config of a feature network, such as ``dict(type="VGG16Features", weights="hed")``.
        layers: layers of the network.
        prefix: see :class:`PairMetric`.
    """

    higher_is_better = {"feature_distance": False}
    packages = ("torchvision",)

    def __init__(self, network: Any, layers: Sequence[str] = LAYERS, prefix: str = "") -> None:
        super().__init__(prefix)
        self.network = FEATURE_NETWORKS.build_part(network)
        self.layers = tuple(layers)

    @torch.no_grad()
    def score(self, images: ImageBatch) -> dict[str, Tensor]:
        """Compute ``feature_distance`` of each image."""
        network = self.network.to(images.generated.device)
        generated, target = (network(2 * batch.float() - 1, self.layers) for batch in (images.generated, images.target))
        distances = [unit_distance(generated[layer], target[layer]) for layer in self.layers]
        return {"feature_distance": torch.stack(distances).mean(0)}


def unit_distance(first: Tensor, second: Tensor) -> Tensor:
    """Mean over positions of the squared distance of unit vectors, B, of features B C h w."""
    return (F.normalize(first, dim=1) - F.normalize(second, dim=1)).square().sum(1).mean((1, 2))
