"""The published formulation, as the paper describes it: the baseline of the benchmark.

Patches are built for local attention, convolutions and norms are torch's own, every loss runs the feature network
again, sampling correctness computes all cosines at once, activations are kept for the backward pass, a heat map is an
exponential at every pixel, and samples are parsed from the text of the lists. The rest is the project's, so these are
the only causes of a difference. Where the paper leaves a choice, the cheaper one is taken.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from posegen.data import Keypoints
from posegen.engine import PairTrainer
from posegen.losses import FeatureCache, LossInputs, SamplingCorrectness
from posegen.losses.correctness import EPSILON
from posegen.models.layers import Block
from posegen.ops import LocalAttention, sample_gaussian
from posegen.ops.reference import local_attention_by_patches
from posegen.records import Pair, PairBatch, Transfer
from posegen.registry import FEATURE_NETWORKS, MODELS


def published_model(config: Mapping[str, Any]) -> nn.Module:
    """Build the model of a config's ``model`` in the published formulation; weights load from the project's model."""
    return publish(MODELS.build_part(config))


def publish(network: nn.Module) -> nn.Module:
    """Replace what the project computes in another way inside *network*, in place."""
    for part in list(network.modules()):
        if isinstance(part, LocalAttention):
            part.forward = partial(local_attention_by_patches, part)  # type: ignore[method-assign]
        if isinstance(part, Block):
            vars(part).pop("norm_act_conv", None)
        for name, child in part.named_children():
            if isinstance(child, nn.GroupNorm) and child.num_groups == child.num_channels:
                setattr(part, name, nn.InstanceNorm2d(child.num_channels, affine=True))
    return network


class WholeMatrixCorrectness(SamplingCorrectness):
    """Sampling correctness with one matrix of all cosines. Arguments as :class:`SamplingCorrectness`, without masks."""

    def forward(self, inputs: LossInputs) -> Tensor:
        """Compute the loss from features kept by the backward pass."""
        terms = []
        for level, flow in zip(self.levels, inputs.out.flows, strict=True):
            source, target = (inputs.features(image, f"relu{level + 1}_1") for image in ("source", "target"))
            flow = F.interpolate(flow, size=target.shape[-2:], mode="nearest")
            cosine = F.cosine_similarity(sample_gaussian(source, flow), target, dim=1)
            units = [F.normalize(features.flatten(2), dim=1) for features in (source, target)]
            best = (units[1].transpose(1, 2) @ units[0]).amax(2).view_as(cosine)
            terms.append((torch.exp(-cosine / (best + EPSILON)) - math.exp(-1)).mean())
        return torch.stack(terms).sum()


class PlainFeatures(nn.Module):
    """The same feature network in the memory format of its input, keeping all activations."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network, self.names = network.network, network.names

    def forward(self, image: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Compute features by layer name, as :meth:`posegen.losses.VGG19Features.forward`."""
        features: dict[str, Tensor] = {}
        names = iter(self.names)
        for module in self.network:
            image = module(image)
            if isinstance(module, nn.ReLU) and (name := next(names)) in layers:
                features[name] = image
            if len(features) == len(set(layers)):
                break
        return features


class PublishedTrainer(PairTrainer):
    """A trainer that computes features again for every loss. Arguments as :class:`PairTrainer`."""

    def _losses(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        logits = None if self.stage.adversarial is None else self._judge(self.discriminator, out.image)
        images = {"source": batch.source, "target": batch.target, "generated": out.image}
        return {
            name: loss.weight * loss(LossInputs(batch, out, FeatureCache(self._features, images, [loss.needs]), logits))  # type: ignore
            for name, loss in self.stage.losses.items()
        }


def published_trainer(model: Mapping[str, Any], trainer: Mapping[str, Any]) -> PublishedTrainer:
    """Build the trainer of a config's ``model`` and ``trainer`` in the published formulation."""
    arguments = {name: value for name, value in trainer.items() if name != "type"}
    arguments["feature_network"] = PlainFeatures(FEATURE_NETWORKS.build_part(arguments["feature_network"]))
    arguments["stages"] = [
        {**stage, "losses": {name: _published_loss(loss) for name, loss in stage["losses"].items()}}
        for stage in arguments["stages"]
    ]
    published = PublishedTrainer(published_model(model), **arguments)
    publish(published)  # the discriminator
    return published


def _published_loss(config: Mapping[str, Any]) -> Any:
    arguments = dict(config)
    if arguments.pop("type") == "SamplingCorrectness":
        return WholeMatrixCorrectness(**arguments)
    return config


def heatmaps_by_exponentials(keypoints: Keypoints, size: tuple[int, int], sigma: float) -> Tensor:
    """Draw the heat maps of :class:`posegen.data.HeatmapEncoder`, K H W, with an exponential at every pixel."""
    rows, columns = np.indices(size, dtype=np.float32)
    maps = np.zeros((len(keypoints), *size), np.float32)
    for place, (point, present) in enumerate(zip(keypoints.points, keypoints.present, strict=True)):
        if present:
            x, y = int(point[0]), int(point[1])
            maps[place] = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return torch.from_numpy(maps)


class PublishedSamples(Dataset[Pair]):
    """Pairs from the published lists, everything parsed and drawn when a pair is asked for.

    Args:
        pairs: CSV with a source and a target image a row.
        annotations: CSV separated by ``:`` with a name and JSON lists of y and of x a row; −1: missing.
        images: folder of the images.
        size: (H, W) of a sample in pixels.
        frame: (H, W) that the points refer to.
        sigma: of the heat maps, in pixels.
    """

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
        present = (x != -1) & (y != -1)
        points = np.stack([x * (width / self.frame[1]), y * (height / self.frame[0])], 1)
        return (pixels - 0.5) / 0.5, heatmaps_by_exponentials(Keypoints(points, present), self.size, self.sigma)
