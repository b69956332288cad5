"""What is measured: a small function a row of the issue's table, each called by name on the command line."""

from __future__ import annotations

import copy
import itertools
import statistics
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ..api import load_model
from ..compiling import CompilerWarning, compile_networks
from ..data import HeatmapEncoder, Keypoints
from ..engine import PairTrainer, Stage, StageOptimizers
from ..engine.loop import EndlessSampler
from ..engine.not_finite import NotFiniteError
from ..engine.trainer import computes_in_bfloat16
from ..errors import ConfigError, nearest
from ..losses.correctness import sampling_correctness
from ..ops import LocalAttention
from ..records import Pair, PairBatch, collate_pairs
from ..registry import DATASETS, MODELS, STRUCTURE_ENCODERS
from . import reference
from .measure import (
    OURS,
    PUBLISHED,
    Case,
    Figure,
    Growth,
    Losses,
    Measured,
    Skipped,
    Trainings,
    Work,
    faster,
    leaner,
    memory_share,
    rate,
    slower,
    timed,
)
from .rounding import bfloat16_anywhere

NO_BFLOAT16 = "bf16 is left out: this processor does not compute in it"
ROUNDED = "numbers of bf16 by rounding: products in fp32, their results rounded"


@dataclass(frozen=True)
class SampleFiles:
    """A data set to make samples of, from files in a form that users have.

    Args:
        name: what tables call it.
        dataset: config of the project's data set.
        published: the same pairs in the published formulation.
        rate: target, pairs a second that a loader with two workers should give; None: none.
    """

    name: str
    dataset: Mapping[str, Any]
    published: reference.PublishedSamples
    rate: float | None = None


@dataclass(frozen=True)
class Settings:
    """What all rows are told.

    Args:
        config: of pairs, with the published networks and losses; loaded.
        device: ``"cpu"`` or ``"cuda"``.
        quick: tiny sizes, to see that everything runs; such figures are not held against targets.
        checkpoint: weights for the figures of images; None: fresh ones.
        samples: writes the files of data sets into a folder, and says what to make of them; None: the row is skipped.
        folder: for them; temporary.
        seconds: most that one side of a growth may take.
        drawn: config of pairs that are drawn, in any size, for trainings that are followed; None: they are skipped.
        say: told how far a training is, a line at a time.
    """

    config: Any
    device: str = "cpu"
    quick: bool = False
    checkpoint: Path | None = None
    samples: Callable[[Path, bool], Sequence[SampleFiles]] | None = None
    folder: Path | None = None
    seconds: float = 120.0
    drawn: Any = None
    say: Callable[[str], None] = lambda line: None

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU: it has other targets."""
        return self.device.startswith("cuda")

    def target(self, cpu: float | None, gpu: float | None = None) -> float | None:
        """The target that holds on this device."""
        return gpu if self.on_gpu else cpu


Row = Callable[[Settings], Iterator[Case | Growth | Trainings | Skipped]]

ROWS: dict[str, Row] = {}
"""The rows by name, in the order they are run."""

ALWAYS, ON_A_GPU, WHEN_NAMED = ("cpu", "cuda"), ("cuda",), ()

_UNASKED: dict[str, Sequence[str]] = {}


def row(name: str, unasked: Sequence[str] = ALWAYS) -> Callable[[Row], Row]:
    """Register a row: a function that yields what is to be measured. Its docstring says what it is.

    Args:
        unasked: kinds of device on which it is run where no rows are named.
    """

    def register(function: Row) -> Row:
        ROWS[name], _UNASKED[name] = function, unasked
        return function

    return register


def default_rows(device: str) -> list[str]:
    """The rows that are run on a device where none are named."""
    return [name for name, kinds in _UNASKED.items() if torch.device(device).type in kinds]


def choose_rows(names: Sequence[str]) -> dict[str, Row]:
    """The rows of these names.

    Raises:
        ConfigError: all names that are none.
    """
    unknown = [f"{name!r}{nearest(name, ROWS)}" for name in names if name not in ROWS]
    if unknown:
        raise ConfigError(f"no row is called {', nor '.join(unknown)}\nthere are: {', '.join(ROWS)}")
    return {name: ROWS[name] for name in names}


# Local attention ----------------------------------------------------------------------------------------------

Attention = Callable[[LocalAttention, Tensor, Tensor, Tensor], Tensor]


@row("attention-5")
def attention_5(settings: Settings) -> Iterator[Case]:
    """Local attention, C 128, 64×64, n 5, batch 4, forward and backward."""
    channels, side = (6, 9) if settings.quick else (128, 64)
    figures = [faster(settings.target(8, 5)), leaner(settings.target(10)), slower(settings.target(1.35, 1.5), BARE)]
    yield _attention(settings, channels, side, 5, figures)


@row("attention-3")
def attention_3(settings: Settings) -> Iterator[Case]:
    """Local attention, C 256, 32×32, n 3, batch 4, forward and backward."""
    channels, side = (6, 9) if settings.quick else (256, 32)
    figures = [faster(settings.target(5, 5)), leaner(None), slower(settings.target(1.35, 1.5), BARE)]
    yield _attention(settings, channels, side, 3, figures)


BARE = "bare convolutions"
GATHERED = "patches gathered at once"


def _attention(settings: Settings, channels: int, side: int, size: int, figures: Sequence[Figure]) -> Case:
    torch.manual_seed(0)
    block = LocalAttention(channels, size).to(settings.device)
    source, target = torch.randn(2, 4, channels, side, side, device=settings.device)
    # Between pixels: at whole ones the gradient of bilinear sampling may take either side.
    flow = torch.randint(-3, 4, (4, 2, side, side)) + torch.empty(4, 2, side, side).uniform_(0.1, 0.9)
    flow = flow.to(settings.device)
    formulations: dict[str, Attention] = {
        OURS: LocalAttention.__call__,
        PUBLISHED: reference.PatchAttention.forward,  # type: ignore[dict-item]  # needs no more than LocalAttention has
        GATHERED: reference.attention_by_gathered_patches,
    }
    exactly = copy.deepcopy(block).double(), source.double(), target.double(), flow.double()
    return Case(
        f"attention block, C {channels}, {side}×{side}, n {size}, batch 4",
        {
            **{name: partial(_attend, call, block, source, target, flow) for name, call in formulations.items()},
            BARE: partial(_convolve, block, source, target),
        },
        [*figures, faster(None, than=GATHERED)],
        same=tuple(formulations),
        exact={name: partial(_attend, call, *exactly) for name, call in formulations.items()},
    )


def _attend(
    call: Attention, block: LocalAttention, source: Tensor, target: Tensor, flow: Tensor
) -> Mapping[str, Tensor]:
    """The block's output; in double precision, where rounding decides nothing, with all gradients."""
    inputs = {"source": source, "target": target, "flow": flow}
    inputs = {name: tensor.detach().requires_grad_() for name, tensor in inputs.items()}
    out = call(block, *inputs.values())
    wanted = {**inputs, **dict(block.named_parameters())}
    gradients = torch.autograd.grad(out.square().mean(), list(wanted.values()))
    numbers = {"output": out.detach()}
    if out.dtype == torch.float64:
        numbers |= {f"gradient of {name}": gradient for name, gradient in zip(wanted, gradients, strict=True)}
    return numbers


def _convolve(block: LocalAttention, source: Tensor, target: Tensor) -> Mapping[str, Tensor]:
    """The arithmetic floor: the two halves of the n×n convolution alone, on plain maps, forward and backward."""
    padding = block.kernel_size // 2
    halves = block.patch_conv.weight.detach().chunk(2, dim=1)
    for features, half in zip((target, source), halves, strict=True):
        inputs = features.detach().requires_grad_(), half.contiguous().requires_grad_()
        torch.autograd.grad(F.conv2d(*inputs, padding=padding).square().mean(), inputs)
    return {}


# Images -------------------------------------------------------------------------------------------------------


@row("image")
def image(settings: Settings) -> Iterator[Case]:
    """One image of the config's size through F and G, in fp32, and in bf16; where the processor does not compute in it
    its rounding alone."""
    models = dict(zip((OURS, PUBLISHED), _models(settings), strict=True))
    inputs = _inputs(_random_pairs(settings, 1))
    work: dict[str, Work] = {name: partial(_transfer, model, inputs) for name, model in models.items()}
    doubled = {name: _in_double(copy.deepcopy(model)) for name, model in models.items()}
    exact = {name: partial(_transfer, model, inputs) for name, model in doubled.items()}
    figures, notes = [faster(settings.target(2)), leaner(None)], []
    if computes_in_bfloat16():
        work[BF16] = partial(_in_bfloat16, settings, work[OURS])
        figures += [faster(settings.target(5), name=BF16), Figure("PSNR of bf16", _psnr, at_least=40, unit=" dB")]
    else:
        figures.append(Figure("PSNR of bf16, rounded", partial(_psnr_rounded, settings, work[OURS]), 40, unit=" dB"))
        notes += ["bf16 is left out of the times: this processor does not compute in it", ROUNDED]
    notes.append(PSNR_NOTE)
    notes.append("fresh weights make a faint image, so its difference is told in halves of the scale from -1 to 1")
    yield Case(f"one image, {_size(settings)}, F and G", work, figures, exact=exact, unit=1.0, notes=notes)


BF16 = "ours in bf16"
PSNR_NOTE = "PSNR: the peak is the range of the fp32 image, so a faint image of fresh weights does not flatter"


def _models(settings: Settings) -> tuple[Any, Any]:
    """The project's model and the published formulation of it, with the same weights."""
    torch.manual_seed(0)
    ours = load_model(settings.config, settings.checkpoint, settings.device)
    published = reference.published_model(settings.config.model)
    published.load_state_dict(ours.state_dict())
    return ours, published.to(settings.device).eval()


def _transfer(model: Any, inputs: Sequence[Tensor]) -> Mapping[str, Tensor]:
    return {"image": model.transfer(*inputs).image}


def _in_bfloat16(settings: Settings, work: Work) -> Mapping[str, Tensor]:
    with torch.autocast(torch.device(settings.device).type, torch.bfloat16):
        return work()


def _psnr(measured: Measured) -> list[float]:
    """Of the bf16 image against the fp32 image, in dB; the peak is the range of that."""
    return _psnr_of(*(measured.numbers[name]["image"] for name in (OURS, BF16)))


def _psnr_rounded(settings: Settings, work: Work, measured: Measured) -> list[float]:
    """The same where the processor does not compute in bf16."""
    with bfloat16_anywhere():
        half = _in_bfloat16(settings, work)["image"]
    return _psnr_of(measured.numbers[OURS]["image"], half)


def _psnr_of(full: Tensor, half: Tensor) -> list[float]:
    full = full.double()
    error = (full - half).square().mean()
    return [float(10 * torch.log10((full.max() - full.min()).square() / error))]


def _inputs(batch: PairBatch) -> tuple[Tensor, Tensor, Tensor]:
    return batch.source, batch.source_structure, batch.target_structure


def _size(settings: Settings) -> str:
    return "×".join(map(str, settings.config.size))


def _random_pairs(settings: Settings, count: int, size: tuple[int, int] | None = None) -> PairBatch:
    """Random smooth images, with structures of random points, as the config's encoder has them."""
    torch.manual_seed(1)
    height, width = size or tuple(settings.config.size)
    encoder = STRUCTURE_ENCODERS.build_part(settings.config.structure)
    points = [_points(seed, encoder.channels, height, width) for seed in range(2 * count)]
    structures = [encoder.encode(keypoints, (height, width)) for keypoints in points]
    # Not plain noise: its features are alike everywhere, and sampling correctness would be a difference of equals.
    coarse = torch.rand(2 * count, 3, max(height // 8, 2), max(width // 8, 2)) * 2 - 1
    source, target = F.interpolate(coarse, (height, width), mode="bicubic").clamp(-1, 1).chunk(2)
    halves = torch.stack(structures[:count]), torch.stack(structures[count:])
    names = [str(number) for number in range(count)]
    return PairBatch(source, halves[0], target, halves[1], names).to(settings.device)


def _points(seed: int, count: int, height: int, width: int) -> Keypoints:
    rng = np.random.default_rng(seed)
    return Keypoints(rng.uniform(0, [width - 1, height - 1], (count, 2)), rng.random(count) > 0.1)


# Training -----------------------------------------------------------------------------------------------------


@row("step")
def step(settings: Settings) -> Iterator[Case]:
    """A training step of the config's last stage (both networks, all losses), batch 2."""
    figures = [faster(settings.target(2.2)), memory_share(settings.target(0.45))]
    yield _steps(settings, -1, figures, bfloat16=settings.target(4))


@row("flow-step")
def flow_step(settings: Settings) -> Iterator[Case]:
    """A training step of the config's first stage (F alone), batch 2."""
    yield _steps(settings, 0, [faster(settings.target(2.5)), memory_share(None)])


def _steps(settings: Settings, stage: int, figures: list[Figure], bfloat16: float | None = None) -> Case:
    trainers = _trainers(settings, stage)
    batch = _random_pairs(settings, 2)
    small = _random_pairs(settings, 1, _smallest(settings))
    exact = {name: partial(_gradients, _exactly(trainer), small) for name, trainer in trainers.items()}
    notes = ["gradients are compared in double precision, with the same weights, at the smallest size F takes"]
    if bfloat16 is not None and computes_in_bfloat16():
        trainers[BF16] = copy.deepcopy(trainers[OURS])
        trainers[BF16].autocast = True
        figures.append(faster(bfloat16, name=BF16))
    elif bfloat16 is not None:
        notes.append(NO_BFLOAT16)
    work = {name: partial(trainer.train_step, batch, StageOptimizers()(trainer)) for name, trainer in trainers.items()}
    figures.append(faster(None, than=WHOLE_NETWORK))
    kind = trainers[OURS].stage.name
    return Case(
        f"training step, stage {kind}, {_size(settings)}, batch 2",
        work,
        figures,
        exact=exact,
        tolerance=1e-4,  # losses in single precision, after two networks and a third: rounding alone makes 1e-5
        notes=notes,
    )


def _trainers(settings: Settings, stage: int) -> dict[str, PairTrainer]:
    """Both formulations of the trainer, in that stage, with the same weights."""
    ours = _trainer(settings, stage)
    trainers = {OURS: ours}
    for name, whole in ((PUBLISHED, False), (WHOLE_NETWORK, True)):
        published = reference.published_trainer(settings.config.model, settings.config.trainer, whole)
        published.load_state_dict(ours.state_dict())
        trainers[name] = _ready(published, settings, stage)
    return trainers


WHOLE_NETWORK = "published, all of VGG for each loss"


def _trainer(settings: Settings, stage: int) -> PairTrainer:
    torch.manual_seed(0)
    return _ready(MODELS.build_part({**settings.config.trainer, "model": settings.config.model}), settings, stage)


def _ready(trainer: PairTrainer, settings: Settings, stage: int) -> PairTrainer:
    trainer.to(settings.device).train()
    trainer.enter(trainer.stages[stage])
    return trainer


def _smallest(settings: Settings) -> tuple[int, int]:
    side = 2 ** (settings.config.model.flow_estimator.depth + 1)
    return side, side


def _exactly(trainer: PairTrainer) -> PairTrainer:
    """A copy whose networks compute in double precision, so that rounding tips no ReLU and no floor."""
    trainer = copy.deepcopy(trainer)
    _in_double(trainer.model)
    for network in (trainer.discriminator, trainer.feature_network):
        if network is not None:
            _in_double(network, itself=True)
    trainer.enter(trainer.stage)  # it looks at the networks as they are now
    return trainer


def _in_double(network: nn.Module, itself: bool = False) -> nn.Module:
    """*network* in double precision, whatever its parts (or it itself) are handed."""
    network.double()
    for part in [network] if itself else network.children():
        part.register_forward_pre_hook(lambda module, inputs: tuple(map(_doubled, inputs)))
    return network


def _doubled(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_doubled(part) for part in value]
    return value.double() if isinstance(value, Tensor) else value


def _gradients(trainer: PairTrainer, batch: PairBatch) -> Mapping[str, Tensor]:
    """The losses of a training step and the gradients that its optimizers are given; no weight changes."""
    networks = {trainer.stage.name: trainer.stage.train_networks, "discriminator": ("discriminator",)}
    recorders = {}
    for optimizer, names in networks.items():
        named = [(name, p) for name, p in trainer.named_parameters() if name.removeprefix("model.").startswith(names)]
        if named:
            recorders[optimizer] = GradientRecorder(named)
    numbers = dict(trainer.train_step(batch, OptimWrapperDict(**recorders)))
    for recorder in recorders.values():
        numbers |= {f"gradient of {part}": torch.cat(flat) for part, flat in recorder.gradients.items()}
    return numbers


class GradientRecorder(OptimWrapper):
    """An optimizer that keeps the gradients of a step and changes no weight.

    Gradients are kept by part of a network, in one piece: some single ones, as of a bias before an instance norm, are
    nothing but rounding.

    Args:
        named: parameters with their names in the trainer.
    """

    def __init__(self, named: Sequence[tuple[str, nn.Parameter]]) -> None:
        super().__init__(torch.optim.SGD([parameter for _, parameter in named], lr=0.0))
        self.named = named
        self.gradients: dict[str, list[Tensor]] = {}

    def step(self, **kwargs: Any) -> None:
        """Keep what an optimizer would use."""
        for name, parameter in self.named:
            if parameter.grad is not None:
                part = ".".join(name.removeprefix("model.").split(".")[:2])
                self.gradients.setdefault(part, []).append(parameter.grad.flatten())


# Data ---------------------------------------------------------------------------------------------------------


@row("heatmaps")
def heatmaps(settings: Settings) -> Iterator[Case | Skipped]:
    """The heat maps of one image of the config's size, on the CPU."""
    encoder = STRUCTURE_ENCODERS.build_part(settings.config.structure)
    if not isinstance(encoder, HeatmapEncoder):
        yield Skipped("heat maps", f"the config's structure is a {type(encoder).__name__}")
        return
    if encoder.subpixel:
        yield Skipped("heat maps", "the config has them between pixels; the published ones stand on whole pixels")
        return
    height, width = settings.config.size
    points = _points(0, encoder.channels, height, width)
    rounds = 2 if settings.quick else 20  # a single one is over before a clock has looked twice
    ways: dict[str, Callable[[], Tensor]] = {
        OURS: lambda: encoder.encode(points, (height, width)),
        PUBLISHED: lambda: reference.heatmaps_by_exponentials(points, (height, width), encoder.sigma),
    }
    yield Case(
        f"{encoder.channels} heat maps, {_size(settings)}, {rounds} times",
        {name: partial(_repeated, rounds, way) for name, way in ways.items()},
        [faster(20)],
        tolerance=1e-6,
        memory=False,
    )


def _repeated(rounds: int, way: Callable[[], Tensor]) -> Mapping[str, Tensor]:
    for _ in range(rounds - 1):
        way()  # given back before the next, as a loader does once a batch is put together
    return {"maps": way()}


@row("samples")
def samples(settings: Settings) -> Iterator[Case | Skipped]:
    """Pairs from files to tensors, one after the other and by a loader with two workers, on the CPU.

    The files have been read before: the system holds them in memory, in either formulation.
    """
    if settings.samples is None or settings.folder is None:
        yield Skipped("samples", "no data set was given")
        return
    for files in settings.samples(settings.folder, settings.quick):
        datasets: dict[str, Dataset[Pair]] = {OURS: DATASETS.build_part(files.dataset), PUBLISHED: files.published}
        count = len(files.published)
        work: dict[str, Work] = {name: partial(_read_all, data) for name, data in datasets.items()}
        for name, data in datasets.items():
            loader = DataLoader(data, 4, num_workers=2, persistent_workers=True, collate_fn=collate_pairs)
            work[f"{name}, 2 workers"] = partial(_load_all, loader)
        loaded = f"{OURS}, 2 workers"
        figures = [faster(2), faster(None, loaded, f"{PUBLISHED}, 2 workers"), rate(count, "pairs")]
        figures.append(rate(count, "pairs", loaded, at_least=files.rate))
        exact = {name: partial(_first, data, min(4, count)) for name, data in datasets.items()}
        yield Case(f"{count} pairs of {files.name}", work, figures, same=(), exact=exact, memory=False)


def _read_all(data: Any) -> Mapping[str, Tensor]:
    for index in range(len(data)):
        data[index]
    return {}


def _load_all(loader: DataLoader) -> Mapping[str, Tensor]:
    for _ in loader:
        pass
    return {}


def _first(data: Any, count: int) -> Mapping[str, Tensor]:
    batch = collate_pairs([data[index] for index in range(count)])
    fields = ("source", "source_structure", "target", "target_structure")
    return {field: getattr(batch, field) for field in fields}


# Sampling correctness -----------------------------------------------------------------------------------------


@row("correctness")
def correctness(settings: Settings) -> Iterator[Case | Growth]:
    """Sampling correctness at 64×64 features (C 256, batch 2), with its gradient, and how it grows."""
    channels, side = (8, 12) if settings.quick else (256, 64)
    ways: dict[str, Any] = {OURS: sampling_correctness, PUBLISHED: reference.correctness_by_matrix}
    features = _features(settings, channels, side)
    exactly = [tensor.double() for tensor in features]
    yield Case(
        f"sampling correctness, C {channels}, {side}×{side}, batch 2",
        {name: partial(_judge_flow, way, *features) for name, way in ways.items()},
        [faster(None), leaner(None)],
        exact={name: partial(_judge_flow, way, *exactly) for name, way in ways.items()},
    )
    sides = (8, 16) if settings.quick else (32, 64, 128)
    yield Growth(
        "growth of sampling correctness",
        sides,
        lambda side: partial(_judge_flow, sampling_correctness, *_features(settings, channels, side)),
        memory_at_most=1.1,
        seconds=settings.seconds,
        notes=["exponents in locations; its time is quadratic by definition"],
    )


def _features(settings: Settings, channels: int, side: int) -> list[Tensor]:
    """Source and target features, and a flow."""
    torch.manual_seed(0)
    features = torch.randn(2, 2, channels, side, side).relu()
    flow = torch.randint(-3, 4, (2, 2, side, side)) + torch.empty(2, 2, side, side).uniform_(0.1, 0.9)
    return [tensor.to(settings.device) for tensor in (*features, flow)]


def _judge_flow(
    way: Callable[[Tensor, Tensor, Tensor], Tensor], source: Tensor, target: Tensor, flow: Tensor
) -> Mapping[str, Tensor]:
    flow = flow.detach().requires_grad_()
    loss = way(source, target, flow)
    (gradient,) = torch.autograd.grad(loss, flow)
    return {"loss": loss.detach(), "gradient of the flow": gradient}


# Growth -------------------------------------------------------------------------------------------------------


@row("growth")
def growth(settings: Settings) -> Iterator[Growth]:
    """Inference and a training step (batch 1) from 64×64 to 512×512, the latter with and without correctness."""
    smallest, _ = _smallest(settings)
    sides = (smallest, 2 * smallest) if settings.quick else (64, 128, 256, 512)
    ours, _ = _models(settings)

    def pairs(side: int) -> PairBatch:
        return _random_pairs(settings, 1, (side, side))

    def inference(side: int) -> Work:
        return partial(_transfer, ours, _inputs(pairs(side)))

    yield Growth("growth of inference", sides, inference, 1.1, 1.1, settings.seconds)
    trainer = _trainer(settings, -1)
    optimizers = StageOptimizers()(trainer)

    def training(side: int) -> Work:
        return partial(trainer.train_step, pairs(side), optimizers)

    note = ["its time has a part that is quadratic by definition: sampling correctness"]
    yield Growth("growth of a training step", sides, training, None, 1.1, settings.seconds, note)
    _drop_correctness(trainer.stage)
    yield Growth("growth of a training step without correctness", sides, training, 1.1, 1.1, settings.seconds)


def _drop_correctness(stage: Stage) -> None:
    for name, loss in list(stage.losses.items()):
        if type(loss).__name__ == "SamplingCorrectness":
            del stage.losses[name]


# torch.compile and CUDA graphs --------------------------------------------------------------------------------


@row("compile", WHEN_NAMED)
def compiled(settings: Settings) -> Iterator[Case | Skipped]:
    """One image, and a training step of batch 2, as they are and compiled; with the seconds that compiling takes."""
    ours, _ = _models(settings)
    fast, inputs = copy.deepcopy(ours), _inputs(_random_pairs(settings, 1))
    transfers = {name: partial(_transfer, model, inputs) for name, model in ((OURS, ours), (COMPILED, fast))}
    name = f"torch.compile, one image, {_size(settings)}"
    yield _compiled(settings, name, transfers, fast, same=(OURS, COMPILED), unit=1.0)  # as in the row "image"
    batch, trainers = _random_pairs(settings, 2), {OURS: _trainer(settings, -1)}
    trainers[COMPILED] = copy.deepcopy(trainers[OURS])
    steps = {name: partial(trainer.train_step, batch, StageOptimizers()(trainer)) for name, trainer in trainers.items()}
    name = f"torch.compile, training step, {_size(settings)}, batch 2"
    yield _compiled(settings, name, steps, trainers[COMPILED].model, same=())  # compiling takes a step of its own


COMPILED, GRAPHED = "compiled", "as a CUDA graph"


def _compiled(
    settings: Settings,
    name: str,
    work: Mapping[str, Work],
    model: nn.Module,
    same: Sequence[str],
    unit: float | None = None,
) -> Case | Skipped:
    try:
        seconds = _compile(settings, model, work[COMPILED])
    except CompilerWarning as told:
        return Skipped(name, str(told))
    first = Figure("first call", lambda measured: [seconds], unit=" s")
    return Case(name, work, [faster(None, COMPILED, OURS), first], same, unit=unit)


def _compile(settings: Settings, model: nn.Module, work: Work) -> float:
    """Compile *model*, which *work* runs; returns the seconds of the first call.

    Raises:
        CompilerWarning: compiling fails, and *work* would be done uncompiled.
    """
    torch.compiler.reset()  # or torch would compile for any size, having seen another
    with warnings.catch_warnings():
        warnings.simplefilter("error", CompilerWarning)
        compile_networks(model)
        return timed(work, settings.device)


def _graphed(work: Work) -> Work:
    """*work* captured as a CUDA graph: its kernels are launched at once, and read and write where they did then."""
    beside = torch.cuda.Stream()
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        for _ in range(3):  # libraries choose their kernels and take their memory before the capture
            work()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        numbers = work()

    def replay() -> Mapping[str, Tensor]:
        graph.replay()
        return numbers

    return replay


# Rates --------------------------------------------------------------------------------------------------------


@row("throughput")
def throughput(settings: Settings) -> Iterator[Case]:
    """Inference at batch 1, 8 and 64 (CPU: 1, 8): fp32, bf16; on a GPU compiled and as a CUDA graph, too."""
    model = load_model(settings.config, settings.checkpoint, settings.device)
    for count in (1, 2) if settings.quick else (1, 8, 64) if settings.on_gpu else (1, 8):
        inputs = _inputs(_random_pairs(settings, count))
        work: dict[str, Work] = {OURS: partial(_transfer, model, inputs)}
        notes = []
        if settings.on_gpu:
            notes = _add_compiled(settings, work, model, inputs) + _add_graphed(work)
        same = tuple(work)
        if computes_in_bfloat16():
            work[BF16] = partial(_in_bfloat16, settings, work[OURS])
        else:
            notes.append(NO_BFLOAT16)
        figures = [rate(count, "images", name) for name in work]
        figures += [faster(None, name, OURS) for name in work if name != OURS]
        # in single precision, through two networks, by kernels that are chosen anew
        yield Case(f"inference, {_size(settings)}, batch {count}", work, figures, same, tolerance=1e-4, notes=notes)


def _add_compiled(settings: Settings, work: dict[str, Work], model: nn.Module, inputs: Sequence[Tensor]) -> list[str]:
    """Put the compiled model into *work*, where it compiles; returns notes."""
    fast = copy.deepcopy(model)
    run = partial(_transfer, fast, inputs)
    try:
        seconds = _compile(settings, fast, run)
    except CompilerWarning as told:
        return [f"{COMPILED}: left out, {told}"]
    work[COMPILED] = run
    return [f"{COMPILED}: the first call took {seconds:.0f} s"]


def _add_graphed(work: dict[str, Work]) -> list[str]:
    """Put the CUDA graph of ours into *work*, where it can be captured; returns notes."""
    try:
        work[GRAPHED] = _graphed(work[OURS])
    except RuntimeError as error:  # of CUDA, whatever the reason
        return [f"{GRAPHED}: left out, it cannot be captured: {(str(error) or '?').splitlines()[0]}"]
    return [f"{GRAPHED}: its memory is held all the time, and so not seen as extra"]


@row("training-rate", ON_A_GPU)
def training_rate(settings: Settings) -> Iterator[Case]:
    """Images a second in training, last stage, batch 8, 32 and 128 (CPU, when named: 4): fp32 and bf16."""
    trainer = _trainer(settings, -1)
    optimizers = StageOptimizers()(trainer)
    native = computes_in_bfloat16()
    for count in (2,) if settings.quick else (8, 32, 128) if settings.on_gpu else (4,):
        batch = _random_pairs(settings, count)
        for name in (OURS, BF16) if native else (OURS,):  # each by itself: one may not fit in memory
            yield Case(
                f"training step, {_size(settings)}, batch {count}, {'fp32' if name == OURS else 'bf16'}",
                {name: partial(_step_in, trainer, name == BF16, batch, optimizers)},
                [rate(count, "images", name)],
                same=(),
                notes=[] if native else [NO_BFLOAT16],
            )


def _step_in(
    trainer: PairTrainer, bfloat16: bool, batch: PairBatch, optimizers: OptimWrapperDict
) -> Mapping[str, Tensor]:
    trainer.autocast = bfloat16
    return trainer.train_step(batch, optimizers)


# Trainings in bf16 --------------------------------------------------------------------------------------------


@row("curves", WHEN_NAMED)
def curves(settings: Settings) -> Iterator[Trainings | Skipped]:
    """Losses of 200 steps on drawn pairs, from one start: whether bf16 differs from fp32 more than seeds do."""
    if settings.drawn is None:
        yield Skipped("loss curves", NOTHING_DRAWN)
        return
    drawn = replace(settings, config=settings.drawn)
    steps, seeds = 4 if settings.quick else 200, range(3)
    runs = {
        f"{precision}, seed {seed}": partial(_losses, drawn, precision, seed, steps, settings.drawn)
        for seed in seeds
        for precision in ("fp32", "bf16")
    }
    figures = [
        Figure(
            "bf16 from fp32, in distances between seeds",
            lambda measured: _distances(measured, seeds),
            at_most=1,
        ),
        Figure("last tenth of the losses, in those of fp32", lambda measured: _last_tenths(measured, seeds)),
    ]
    notes = ["a seed is an order of the pairs; learning rates stay what they are at the start"]
    if not computes_in_bfloat16():
        notes.append(ROUNDED)
    yield Trainings(f"loss curves of {steps} steps, {_size(drawn)}", runs, figures, notes)


@row("stability", WHEN_NAMED)
def stability(settings: Settings) -> Iterator[Trainings | Skipped]:
    """1,000 training steps of the config in bf16, last stage, on drawn pairs: whether all are finite."""
    steps = 6 if settings.quick else 1000
    name = f"{steps} steps in bf16, {_size(settings)}"
    if settings.drawn is None:
        yield Skipped(name, NOTHING_DRAWN)
        return
    if not (settings.quick or computes_in_bfloat16()):
        yield Skipped(name, NO_BFLOAT16)
        return
    runs = {BF16: partial(_losses, settings, "bf16", 0, steps, settings.drawn)}
    figures = [
        Figure("steps not finite", lambda measured: [measured.losses[BF16].count(None)], at_most=0, unit=""),
        Figure("largest loss, in medians", lambda measured: [_largest(measured.losses[BF16])]),
    ]
    yield Trainings(name, runs, figures, [] if computes_in_bfloat16() else [ROUNDED])


NOTHING_DRAWN = "no config of drawn pairs was given"


def _losses(settings: Settings, precision: str, seed: int, steps: int, drawn: Any) -> Losses:
    """Train the last stage of the config on pairs of the config *drawn*, in this config's size."""
    size, structure = settings.config.size, settings.config.structure
    dataset = DATASETS.build_part({**drawn.train_dataloader.dataset, "size": size, "structure": structure})
    trainer = _trainer(settings, -1)
    trainer.autocast = precision == "bf16"
    optimizers = StageOptimizers()(trainer)
    losses: Losses = []
    for batch in itertools.islice(_batches(dataset, seed, settings), steps):
        try:
            with bfloat16_anywhere() if trainer.autocast else nullcontext():
                losses.append(float(trainer.train_step(batch, optimizers)["loss"]))
        except NotFiniteError:
            losses.append(None)
        if len(losses) % TOLD_EVERY == 0:
            settings.say(f"{precision}, seed {seed}: step {len(losses)} of {steps}, loss {losses[-1]}")
    return losses


TOLD_EVERY = 50  # steps


def _batches(dataset: Any, seed: int, settings: Settings) -> Iterator[PairBatch]:
    indices = iter(EndlessSampler(dataset, seed))
    count = 2 if settings.quick else settings.config.batch_size
    while True:
        yield collate_pairs([dataset[index] for index in itertools.islice(indices, count)])


def _distances(measured: Measured, seeds: Iterable[int]) -> list[float]:
    """For each seed, how far its bf16 curve is from its fp32 curve, in the mean distance of fp32 curves of two seeds.

    Curves are means of twentieths of the steps; a distance is the root of the mean square.
    """
    curve = {name: _twentieths(losses) for name, losses in measured.losses.items()}
    pairs = itertools.combinations(seeds, 2)
    between = statistics.mean(_distance(curve[f"fp32, seed {a}"], curve[f"fp32, seed {b}"]) for a, b in pairs)
    return [_distance(curve[f"bf16, seed {seed}"], curve[f"fp32, seed {seed}"]) / between for seed in seeds]


def _twentieths(losses: Losses) -> np.ndarray:
    return np.array([part.mean() for part in np.array_split(np.array(losses, float), min(20, len(losses)))])


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


def _last_tenths(measured: Measured, seeds: Iterable[int]) -> list[float]:
    tenths = {name: np.array(losses, float)[-max(len(losses) // 10, 1) :] for name, losses in measured.losses.items()}
    return [float(tenths[f"bf16, seed {seed}"].mean() / tenths[f"fp32, seed {seed}"].mean()) for seed in seeds]


def _largest(losses: Losses) -> float:
    taken = [loss for loss in losses if loss is not None]
    return max(taken) / statistics.median(taken) if taken else float("inf")
