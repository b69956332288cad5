"""The rows of the benchmark: one function each, called by name on the command line."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from posegen.acceleration import accelerate, native_bfloat16
from posegen.api import load_model
from posegen.data import Keypoints
from posegen.data.images import write_image
from posegen.engine import PairTrainer, StageOptimizers
from posegen.evaluation import ImagePair, Protocol
from posegen.evaluation.evaluate import evaluate
from posegen.ops import LocalAttention
from posegen.ops.reference import local_attention_by_patches
from posegen.records import PairBatch, collate_pairs
from posegen.registry import DATASETS, MODELS, STRUCTURE_ENCODERS

from . import reference
from .measure import BF16, OURS, PUBLISHED, Comparison, Work


@dataclass(frozen=True)
class Settings:
    """Arguments of all rows.

    Args:
        config: a config of pairs with the published networks and losses, loaded.
        folder: temporary folder for files.
        others: configs whose training steps the row ``configs`` compares, by name.
        device: ``"cpu"`` or ``"cuda"``.
        quick: tiny sizes, to see that everything runs and agrees.
    """

    config: Any
    folder: Path
    others: Mapping[str, Any]
    device: str = "cpu"
    quick: bool = False


def attention(settings: Settings) -> Iterator[Comparison]:
    """Local attention against patches, batch 4, forward and backward: C 128, 64×64, n 5, and C 256, 32×32, n 3."""
    for channels, side, size in ((128, 64, 5), (256, 32, 3)):
        channels, side = (6, 9) if settings.quick else (channels, side)
        torch.manual_seed(0)
        block = LocalAttention(channels, size).to(settings.device)
        source, target = torch.randn(2, 4, channels, side, side, device=settings.device)
        # Between pixels: at whole ones the gradient of bilinear sampling may take either side.
        flow = torch.randint(-3, 4, (4, 2, side, side)) + torch.empty(4, 2, side, side).uniform_(0.1, 0.9)
        inputs = source, target, flow.to(settings.device)
        exactly = copy.deepcopy(block).double(), *(tensor.double() for tensor in inputs)
        accelerate(block)
        ways: dict[str, Any] = {OURS: LocalAttention.__call__, PUBLISHED: local_attention_by_patches}
        yield Comparison(
            f"attention block, C {channels}, {side}×{side}, n {size}, batch 4",
            {name: partial(_attend, way, block, *inputs) for name, way in ways.items()},
            check={name: partial(_attend, way, *exactly) for name, way in ways.items()},
        )


def _attend(
    way: Callable[..., Tensor], block: LocalAttention, source: Tensor, target: Tensor, flow: Tensor
) -> Mapping[str, Tensor]:
    inputs = {"source": source, "target": target, "flow": flow}
    inputs = {name: tensor.detach().requires_grad_() for name, tensor in inputs.items()}
    out = way(block, *inputs.values())
    wanted = {**inputs, **dict(block.named_parameters())}
    gradients = torch.autograd.grad(out.square().mean(), list(wanted.values()))
    return {"output": out.detach(), **{f"gradient of {n}": g for n, g in zip(wanted, gradients, strict=True)}}


def image(settings: Settings) -> Iterator[Comparison]:
    """One image of the config's size through F and G, in fp32, and in bf16 where the processor has it."""
    ours = _model(settings)
    published = reference.published_model(settings.config.model)
    published.load_state_dict(ours.state_dict())
    published.to(settings.device).eval()
    inputs = _inputs(_random_pairs(settings, 1))
    work: dict[str, Work] = {
        OURS: partial(_transfer, ours, inputs),
        PUBLISHED: lambda: {"image": torch.no_grad()(published)(*inputs).image},
    }
    check = dict(work)
    if native_bfloat16():
        work[BF16] = partial(_transfer, _model(settings, "bf16"), inputs)
    yield Comparison(f"one image, {_size(settings)}", work, check, tolerance=1e-3, count=1)


def step(settings: Settings) -> Iterator[Comparison]:
    """A training step of the config's last stage (both networks, all losses), batch 2."""
    ours = _trainer(settings)
    published = reference.published_trainer(settings.config.model, settings.config.trainer)
    published.load_state_dict(ours.state_dict())
    published.to(settings.device).train()
    published.enter(published.stages[-1])
    batch = _random_pairs(settings, 2)
    trainers = {OURS: ours, PUBLISHED: published}
    check = {name: _step(copy.deepcopy(trainer), batch) for name, trainer in trainers.items()}
    work = {name: _step(trainer, batch) for name, trainer in trainers.items()}
    if native_bfloat16():
        half = copy.deepcopy(ours)
        half.autocast = True
        work[BF16] = _step(half, batch)
    yield Comparison(f"training step, {_size(settings)}, batch 2", work, check, tolerance=1e-4)


def configs(settings: Settings) -> Iterator[Comparison]:
    """A training step of the last stage of each of --configs, in turn, on its own data."""
    if not settings.others:
        return
    work = {}
    for name, config in settings.others.items():
        trainer = MODELS.build_part({**config.trainer, "model": config.model}).train()
        trainer.enter(trainer.stages[-1])
        data = DATASETS.build_part(config.train_dataloader.dataset)
        work[name] = _step(trainer, collate_pairs([data[k] for k in range(config.batch_size)]))
    yield Comparison("training step of each config", work)


def samples(settings: Settings) -> Iterator[Comparison]:
    """Pairs of 256×256 from files like DeepFashion's to tensors, one after the other, on the CPU."""
    size, frame, sigma = (256, 256), (256, 176), 6
    images, pairs, annotations = _write_people(settings.folder / "people", frame, 4 if settings.quick else 32)
    structure = dict(type="HeatmapEncoder", layout="openpose18", sigma=sigma)
    config = dict(type="AnnotatedPairs", root=images.parent, split="train", prefix="fasion", size=size,
                  keypoint_frame=frame, structure=structure)  # fmt: skip
    datasets = {
        OURS: DATASETS.build_part(config),
        PUBLISHED: reference.PublishedSamples(pairs, annotations, images, size, frame, sigma),
    }
    count = len(datasets[PUBLISHED])
    yield Comparison(
        f"{count} pairs of a data set",
        {name: partial(_read, data, count) for name, data in datasets.items()},
        check={name: partial(_read, data, 4) for name, data in datasets.items()},
        count=count,
        memory=False,
    )


def growth(settings: Settings) -> Iterator[Comparison]:
    """Inference and a training step (batch 1) at growing sizes; sampling correctness is quadratic by definition."""
    smallest = 2 ** (settings.config.model.flow_estimator.depth + 1)
    sides = (smallest, 2 * smallest) if settings.quick else (64, 128, 256)
    model, trainer = _model(settings), _trainer(settings)
    batches = {f"{side}×{side}": _random_pairs(settings, 1, (side, side)) for side in sides}
    pixels = [side**2 for side in sides]
    inference = {name: partial(_transfer, model, _inputs(batch)) for name, batch in batches.items()}
    yield Comparison("growth of inference", inference, pixels=pixels)
    steps = {name: _step(trainer, batch) for name, batch in batches.items()}
    yield Comparison("growth of a training step", steps, pixels=pixels)


def evaluation(settings: Settings) -> Iterator[Comparison]:
    """Scoring of image files: pairs of 176×256 (JPEG against PNG) through two SSIMs, PSNR and L1."""
    ssims = {name: {"type": "SSIM", "variant": name} for name in ("uniform51", "ssim256")}
    protocol = Protocol("benchmark", "benchmark", metrics={**ssims, "psnr": {"type": "PSNR"}, "l1": {"type": "L1"}})
    rng, pairs = np.random.default_rng(0), []
    for number in range(4 if settings.quick else 200):
        generated, target = (settings.folder / name for name in (f"generated/{number}.jpg", f"target/{number}.png"))
        true = _smooth_image(rng, (256, 176))
        write_image(target, true)
        write_image(generated, (true + rng.normal(0, 10, true.shape)).clip(0, 255).astype(np.uint8))
        pairs.append(ImagePair(str(number), generated, target))
    yield Comparison(
        f"scoring {len(pairs)} pairs", {OURS: lambda: _scores(pairs, protocol)}, count=len(pairs), memory=False
    )


ROWS: dict[str, Callable[[Settings], Iterator[Comparison]]] = {
    row.__name__: row for row in (attention, image, step, configs, samples, growth, evaluation)
}


# Shared by rows -----------------------------------------------------------------------------------------------


def _model(settings: Settings, precision: str = "fp32") -> Any:
    torch.manual_seed(0)
    return load_model(settings.config, None, settings.device, precision=precision)


def _transfer(model: Any, inputs: Sequence[Tensor]) -> Mapping[str, Tensor]:
    return {"image": model.transfer(*inputs).image}


def _trainer(settings: Settings) -> PairTrainer:
    torch.manual_seed(0)
    trainer = MODELS.build_part({**settings.config.trainer, "model": settings.config.model})
    trainer.to(settings.device).train()
    if settings.device == "cpu":  # as a run does, see posegen.engine.build
        accelerate(trainer)
    trainer.enter(trainer.stages[-1])
    return trainer


def _step(trainer: PairTrainer, batch: PairBatch) -> Work:
    return partial(trainer.train_step, batch, StageOptimizers()(trainer))


def _inputs(batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
    return batch.source, batch.source_structure, batch.target_structure


def _size(settings: Settings) -> str:
    height, width = settings.config.size
    return f"{width}×{height}"


def _random_pairs(settings: Settings, count: int, size: tuple[int, int] | None = None) -> PairBatch:
    """Make random smooth images with structures of random points. Noise would have the same features everywhere."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    height, width = size or tuple(settings.config.size)
    encoder = STRUCTURE_ENCODERS.build_part(settings.config.structure)
    structures = []
    for _ in range(2 * count):
        points = rng.uniform(0, [width - 1, height - 1], (encoder.channels, 2))
        keypoints = Keypoints(points, rng.random(encoder.channels) > 0.1)
        structures.append(encoder.encode(keypoints, (height, width)))
    coarse = torch.rand(2 * count, 3, max(height // 8, 2), max(width // 8, 2)) * 2 - 1
    source, target = F.interpolate(coarse, (height, width), mode="bicubic").clamp(-1, 1).chunk(2)
    halves = torch.stack(structures[:count]), torch.stack(structures[count:])
    names = [str(number) for number in range(count)]
    return PairBatch(source, halves[0], target, halves[1], names).to(settings.device)


def _read(data: Any, count: int) -> Mapping[str, Tensor]:
    batch = collate_pairs([data[index] for index in range(count)])
    return {"source": batch.source, "structure": batch.source_structure, "target": batch.target}


def _smooth_image(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    coarse = Image.fromarray(rng.integers(0, 256, (16, 8, 3), np.uint8))
    return np.asarray(coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def _write_people(root: Path, size: tuple[int, int], count: int) -> tuple[Path, Path, Path]:
    """Write images and lists in the format of DeepFashion; returns the images' folder, the pairs, the annotations.

    Each image is in two pairs; a tenth of the points is missing.
    """
    rng = np.random.default_rng(0)
    names = [f"image{number:03d}.jpg" for number in range(count)]
    rows = ["name:keypoints_y:keypoints_x"]
    for name in names:
        write_image(root / "train" / name, _smooth_image(rng, size))
        missing = rng.random(18) < 0.1
        y, x = (np.where(missing, -1, rng.integers(0, extent, 18)).tolist() for extent in size)
        rows.append(f"{name}: {json.dumps(y)}: {json.dumps(x)}")
    pairs = ["from,to", *(f"{a},{b}" for a, b in zip(names, names[1:] + names[:1], strict=True))]
    lists = root / "fasion-pairs-train.csv", root / "fasion-annotation-train.csv"
    for path, lines in zip(lists, (pairs, rows), strict=True):
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root / "train", *lists


def _scores(pairs: Sequence[ImagePair], protocol: Protocol) -> Mapping[str, Tensor]:
    scores = evaluate(pairs, protocol).scores
    return {name: torch.tensor(score.value) for name, score in scores.items()}
