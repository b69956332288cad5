"""The published formulation, as the paper and ``spec: gfla`` describe it: what the project's own is compared with.

Patches are built for local attention, convolutions and instance norms are torch's own, maps keep the layout that images
come in, every loss runs the feature network anew and keeps what it looked at, what norm and act make of a map is kept
for the backward pass, sampling correctness computes all cosines at once, a heat map is an exponential at every pixel, a
sample is made from the text of its lists. Everything else (networks, weights, other losses, optimizers) is the
project's, so that a difference has one of these causes.
Where the description leaves a choice, the cheaper one is taken: features as deep as a loss asks and no deeper, no
gradient for the frozen feature network, heat maps in single precision.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from ..data import Keypoints
from ..engine import PairTrainer
from ..errors import ConfigError
from ..losses import FeatureCache, LossInputs, SamplingCorrectness, VGG19Features
from ..losses.correctness import EPSILON
from ..models import LocalAttentionRenderer, PairModel
from ..models.layers import Block, Convolution, InstanceNorm
from ..ops import LocalAttention, sample_gaussian, sampling_positions
from ..ops.local_attention import SLOPE
from ..ops.reference import local_attention_by_patches
from ..records import Pair, PairBatch, Transfer
from ..registry import FEATURE_NETWORKS

# Local attention ----------------------------------------------------------------------------------------------


class PatchAttention(LocalAttention):
    """Local attention that builds the patches of both maps. Arguments and weights as :class:`LocalAttention`."""

    def forward(self, source_features: Tensor, target_features: Tensor, flow: Tensor) -> Tensor:
        """Attended source features, B C H W, as :meth:`LocalAttention.forward`."""
        return local_attention_by_patches(self, source_features, target_features, flow)


def attention_by_gathered_patches(block: LocalAttention, source: Tensor, target: Tensor, flow: Tensor) -> Tensor:
    """What ``block(source, target, flow)`` computes, the patches built in one call each.

    The least costly way of building patches with torch's own operations that we know: it shows how much of a ratio is
    the algebra, and how much another way of building.
    """
    size, (height, width) = block.kernel_size, source.shape[-2:]
    side = torch.arange(size, device=flow.device, dtype=flow.dtype) - size // 2
    shifts = torch.stack(torch.meshgrid(side, side, indexing="xy")).flatten(1)  # 2 n², row by row
    positions = sampling_positions(flow).unsqueeze(2) + shifts.view(1, 2, -1, 1, 1)  # B 2 n² H W
    extent = positions.new_tensor([width - 1, height - 1]).view(1, 2, 1, 1, 1)
    grid = (positions * (2 / extent) - 1).permute(0, 2, 3, 4, 1).flatten(1, 2)  # B n²·H W 2
    sampled = F.grid_sample(source, grid, padding_mode="border", align_corners=True)
    source_patches = sampled.unflatten(2, (size**2, height))  # B C n² H W
    padded = F.pad(target, [size // 2] * 4, mode="replicate")
    target_patches = F.unfold(padded, size).view_as(source_patches)
    both = torch.cat([target_patches, source_patches], dim=1)
    assert block.patch_conv.bias is not None
    hidden = torch.einsum("bcthw,oct->bohw", both, block.patch_conv.weight.flatten(2))
    hidden = hidden + block.patch_conv.bias.view(1, -1, 1, 1)
    kernel = torch.softmax(block.kernel_conv(F.leaky_relu(hidden, SLOPE)), dim=1)
    attended = (source_patches * kernel.unsqueeze(1)).sum(2)
    return attended / size**2 if block.reduction == "mean" else attended


class PatchRenderer(LocalAttentionRenderer):
    """The renderer with :class:`PatchAttention`. Arguments and weights as :class:`LocalAttentionRenderer`."""

    def _block(self, channels: int, kernel_size: int) -> nn.Module:
        return PatchAttention(channels, kernel_size, reduction=self.reduction)


def published_model(model: Mapping[str, Any]) -> PairModel:
    """The model of a config's ``model``, its renderer building patches, its norms as torch computes them.

    Raises:
        ConfigError: a model or a renderer that has no published formulation here.
    """
    renderer = dict(model["renderer"])
    kinds = model["type"], renderer.pop("type")
    if kinds != ("PairModel", "LocalAttentionRenderer"):
        raise ConfigError(
            f"the benchmark compares a PairModel with a LocalAttentionRenderer; the config has {' with '.join(kinds)}"
        )
    published = PublishedModel(model["flow_estimator"], PatchRenderer(**renderer))
    for network in list(published.modules()):
        if isinstance(network, Block):
            network.recompute = False
        for name, part in network.named_children():
            if isinstance(part, InstanceNorm):
                setattr(network, name, nn.InstanceNorm2d(part.num_features, affine=True))
    _leave_convolutions_to_torch(published)
    return published


def _leave_convolutions_to_torch(whole: nn.Module) -> None:
    for network in whole.modules():
        if isinstance(network, Convolution):
            network.direct = True


class PublishedModel(PairModel):
    """The model with its maps in the layout that images come in. Arguments as :class:`PairModel`."""

    @torch.no_grad()
    def transfer(
        self, source: Tensor, source_structure: Tensor, target_structure: Tensor, encoded: Any = None
    ) -> Transfer:
        """As :meth:`PairModel.transfer`."""
        return self(source, source_structure, target_structure, encoded)


# Losses -------------------------------------------------------------------------------------------------------


class WholeMatrixCorrectness(SamplingCorrectness):
    """Sampling correctness that computes the cosines of all target with all source locations at once.

    Arguments as :class:`SamplingCorrectness`, without masks.
    """

    def forward(self, inputs: LossInputs) -> Tensor:
        terms = []
        for level, flow in zip(self.levels, inputs.out.flows, strict=True):
            if level in self.included:
                source, target = (inputs.features(image, f"relu{level + 1}_1") for image in ("source", "target"))
                terms.append(correctness_by_matrix(source, target, flow, self.window, self.sigma))
        return torch.stack(terms).sum()


def correctness_by_matrix(source: Tensor, target: Tensor, flow: Tensor, window: int = 4, sigma: float = 2.0) -> Tensor:
    """What :func:`posegen.losses.correctness.sampling_correctness` computes, from a matrix B HW HW of cosines."""
    source, target = source.detach(), target.detach()
    flow = F.interpolate(flow, size=target.shape[-2:], mode="nearest")
    cosine = F.cosine_similarity(sample_gaussian(source, flow, window, sigma), target, dim=1)
    units = [F.normalize(features.flatten(2), dim=1) for features in (source, target)]
    matrix = units[1].transpose(1, 2) @ units[0]
    best = matrix.amax(2).view_as(cosine)
    return (torch.exp(-cosine / (best + EPSILON)) - math.exp(-1)).mean()


class PlainFeatures(nn.Module):
    """The same feature network, its maps in the layout that images come in.

    Args:
        network: whose weights are used.
        whole: run it to its end, whatever is asked for.
    """

    def __init__(self, network: VGG19Features, whole: bool = False) -> None:
        super().__init__()
        self.network, self.whole = network.network[:-1], whole  # the last pool gives no feature
        self.names = network.names

    def forward(self, image: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Features by layer name, as :meth:`VGG19Features.forward`."""
        features: dict[str, Tensor] = {}
        x = image
        names = iter(self.names)
        for module in self.network:
            x = module(x)
            if isinstance(module, nn.ReLU) and (name := next(names)) in layers:
                features[name] = x
                if len(features) == len(set(layers)) and not self.whole:
                    break
        return features


class PublishedTrainer(PairTrainer):
    """Trains pairs with features computed anew for every loss. Arguments as :class:`PairTrainer`."""

    def _losses(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        judged = None if self.stage.adversarial is None else self._judge(self.discriminator, out.image)
        images = {"source": batch.source, "target": batch.target, "generated": out.image}
        losses = {}
        for name, loss in self.stage.losses.items():
            features = FeatureCache(self._features, images, [loss.needs])  # type: ignore[list-item]
            losses[name] = loss.weight * loss(LossInputs(batch, out, features, judged))
        return losses


def published_trainer(
    model: Mapping[str, Any], trainer: Mapping[str, Any], whole_network: bool = False
) -> PublishedTrainer:
    """The trainer of a config's ``model`` and ``trainer``, everything in it in the published formulation.

    Args:
        whole_network: the feature network is run to its end for every loss, however deep that looks.
    """
    arguments = {name: value for name, value in trainer.items() if name != "type"}
    arguments["stages"] = [_published_stage(stage) for stage in arguments["stages"]]
    features = FEATURE_NETWORKS.build_part(arguments["feature_network"])
    if not isinstance(features, VGG19Features):
        raise ConfigError(f"the benchmark compares trainers with VGG19Features, not {type(features).__name__}")
    published = PublishedTrainer(
        published_model(model), **{**arguments, "feature_network": PlainFeatures(features, whole_network)}
    )
    _leave_convolutions_to_torch(published)  # the discriminator's, too
    return published


def _published_stage(stage: Mapping[str, Any]) -> dict[str, Any]:
    losses = {}
    for name, loss in stage["losses"].items():
        arguments = dict(loss)
        kind = PUBLISHED_LOSSES.get(arguments.pop("type"))
        losses[name] = loss if kind is None else kind(**arguments)
    return {**stage, "losses": losses}


PUBLISHED_LOSSES: dict[str, Callable[..., Any]] = {
    "SamplingCorrectness": WholeMatrixCorrectness,
}


# Data ---------------------------------------------------------------------------------------------------------


def heatmaps_by_exponentials(keypoints: Keypoints, size: tuple[int, int], sigma: float) -> Tensor:
    """What :meth:`posegen.data.HeatmapEncoder.encode` gives, K H W: an exponential at every pixel of every map."""
    rows, columns = np.indices(size, dtype=np.float32)
    maps = np.zeros((len(keypoints), *size), np.float32)
    for place, (point, present) in enumerate(zip(keypoints.points, keypoints.present, strict=True)):
        if present:
            x, y = int(point[0]), int(point[1])
            maps[place] = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return torch.from_numpy(maps)


class PublishedSamples(Dataset[Pair]):
    """Pairs from lists of pairs and of key points, everything made when a pair is asked for.

    Args:
        pairs: CSV, a source and a target image a row.
        annotations: CSV separated by ``:``, a name and the JSON lists of y and of x a row, −1 = missing.
        images: folder of the images.
        size: (H, W) in pixels.
        frame: (H, W) that the points count.
        sigma: of the heat maps, in pixels.
    """

    MISSING = -1

    def __init__(
        self, pairs: Path, annotations: Path, images: Path, size: Sequence[int], frame: Sequence[int], sigma: float
    ) -> None:
        with pairs.open(newline="") as file:
            self.pairs = list(csv.reader(file))[1:]
        with annotations.open(newline="") as file:
            table = csv.reader(file, delimiter=":", quoting=csv.QUOTE_NONE)
            self.points = {name: (y, x) for name, y, x in list(table)[1:]}  # as text
        self.images, self.size, self.frame, self.sigma = images, (size[0], size[1]), frame, sigma

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        (source, source_structure), (target, target_structure) = map(self._view, self.pairs[index])
        return Pair(source, source_structure, target, target_structure, name="_2_".join(self.pairs[index]))

    def _view(self, name: str) -> tuple[Tensor, Tensor]:
        height, width = self.size
        image = Image.open(self.images / name).convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float() / 255
        y, x = (np.array(json.loads(text), np.float32) for text in self.points[name])
        present = (x != self.MISSING) & (y != self.MISSING)
        points = np.stack([x * (width / self.frame[1]), y * (height / self.frame[0])], 1)
        return (pixels - 0.5) / 0.5, heatmaps_by_exponentials(Keypoints(points, present), self.size, self.sigma)
