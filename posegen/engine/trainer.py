"""The module that mmengine's Runner trains: the complete model, its discriminators, and the losses of all stages.

GFLA trains F alone first, then F and G together with a discriminator (``docs/method.md``).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Literal

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from ..acceleration import compile_networks, native_bfloat16, recompute_activations
from ..errors import ConfigError
from ..losses import AdversarialLoss, AffineRegularization, FeatureCache, LossInputs, SamplingCorrectness
from ..records import PairBatch, Transfer
from ..registry import DISCRIMINATORS, FEATURE_NETWORKS, MODELS, check_arguments
from .averaging import WeightAverage
from .distributed import average_gradients
from .not_finite import NotFiniteError, Undo, check_finite
from .stages import Stage
from .statistics import StepStatistics


class Trainer(BaseModel):
    """Base of the trainers of pairs and clips: stages, discriminators, features, updates.

    Args:
        model: config of the complete model, of kind model; :func:`posegen.load_model` loads it from a checkpoint.
        stages: configs of :class:`Stage`, in the order in which they run; empty if the model is only tested.
        discriminator: config of kind discriminator; None if no loss is adversarial.
        feature_network: config of kind feature network; None if no loss uses features.
        autocast: run the networks in bfloat16, losses and optimizers in float32 (``--amp``); ``"auto"``: if the device
            computes in bfloat16 natively.
        temporal_discriminator: config of kind discriminator; None if no loss is temporal.
        compile: compile the model's networks, see :func:`posegen.acceleration.compile_networks`. Checkpoints are the
            same, and a run may be resumed with it or without.
        accumulate: number of equal parts into which a batch is split. Gradients are those of the whole batch; memory
            holds the activations of one part.

    Attributes:
        stage: the current stage; set by :meth:`enter`.
        statistics: measurements of the current step, or None; set by the hook TrainingStatistics.
        average: averages of the model's weights, or None; set by the hook EMAHook.
    """

    stage: Stage
    statistics: StepStatistics | None = None
    average: WeightAverage | None = None
    _undo: Undo

    def __init__(
        self,
        model: Any,
        stages: Sequence[Any],
        discriminator: Any = None,
        feature_network: Any = None,
        autocast: bool | Literal["auto"] = False,
        temporal_discriminator: Any = None,
        compile: bool | str = False,
        accumulate: int = 1,
    ) -> None:
        super().__init__()
        self.stages: Sequence[Stage] = nn.ModuleList(map(_build_stage, stages))  # type: ignore[assignment]
        self.model = MODELS.build_part(model)
        self.discriminator = DISCRIMINATORS.build_part(discriminator)
        self.temporal_discriminator: Any = DISCRIMINATORS.build_part(temporal_discriminator)
        self.feature_network = FEATURE_NETWORKS.build_part(feature_network)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.autocast = native_bfloat16(device) if autocast == "auto" else bool(autocast)
        self.accumulate = accumulate
        check_accumulation(accumulate)
        self._check_stages()
        recompute_activations(self.model)
        compile_networks(self.model, compile)

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        """The discriminators by the names of their optimizers."""
        both = {"discriminator": self.discriminator, "temporal_discriminator": self.temporal_discriminator}
        return {name: network for name, network in both.items() if network is not None}

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    def _check_stages(self) -> None:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ConfigError(f"stages must have different names, got {names}")
        optimizers = [stage.discriminator_optimizer for stage in self.stages if stage.discriminator_optimizer]
        if any(optimizer != optimizers[0] for optimizer in optimizers):
            raise ConfigError(
                f"the discriminator has one optimizer in all stages: discriminator_optimizer must be the same, "
                f"got {' and '.join(map(str, optimizers))}"
            )
        networks = dict(self.model.named_children())
        for stage in self.stages:
            if stage.feature_needs and self.feature_network is None:
                raise ConfigError(f"stage {stage.name!r} has losses on features: the trainer needs a feature_network")
            if stage.adversarial is not None and self.discriminator is None:
                raise ConfigError(f"stage {stage.name!r} has an adversarial loss: the trainer needs a discriminator")
            missing = [name for name in stage.train_networks if name not in networks]
            if missing:
                raise ConfigError(f"stage {stage.name!r} trains {', '.join(missing)}, which the model does not have")
            if stage.temporal_adversarial is not None and self.temporal_discriminator is None:
                raise ConfigError(
                    f"stage {stage.name!r} has a temporal loss: it needs clips and a temporal_discriminator"
                )
            for name, loss in stage.losses.items():
                self._check_loss(loss, f"stage {stage.name!r}, loss {name!r}")

    def _check_loss(self, loss: Any, where: str) -> None:
        if self.accumulate > 1 and isinstance(loss, SamplingCorrectness) and loss.masked:
            raise ConfigError(
                f"{where}: masked=True takes one mean over the masks of the whole batch, which its parts do not know: "
                f"the trainer's accumulate must be 1, got {self.accumulate}"
            )
        flow_estimator: Any = dict(self.model.named_children()).get("flow_estimator")
        if flow_estimator is not None:
            levels = list(flow_estimator.levels)
            if isinstance(loss, SamplingCorrectness) and [*loss.levels] != levels:
                raise ConfigError(f"{where}: levels {[*loss.levels]} must be those of the flow, {levels}")
            if isinstance(loss, AffineRegularization) and len(loss.kernel_sizes) != len(levels):
                sizes = [*loss.kernel_sizes]
                raise ConfigError(f"{where}: kernel_sizes {sizes} must be one for each level of the flow {levels}")
        layers = getattr(self.feature_network, "names", None)  # a plugin's network may not tell its layers
        unknown = sorted({layer for needed in loss.needs.values() for layer in needed} - set(layers or ()))
        if layers is not None and unknown:
            kind = type(self.feature_network).__name__
            raise ConfigError(f"{where}: {kind} has no layer {', '.join(unknown)}; it has {', '.join(layers)}")

    @property
    def total_iters(self) -> int:
        """Number of iterations of all stages."""
        return sum(stage.iters for stage in self.stages)

    @property
    def stage_ends(self) -> set[int]:
        """Numbers of iterations done when a stage ends."""
        return set(itertools.accumulate(stage.iters for stage in self.stages))

    def stage_at(self, iteration: int) -> Stage:
        """Return the stage of an iteration, counted from 0; after the end, the last stage."""
        for stage in self.stages:
            if iteration < stage.iters:
                return stage
            iteration -= stage.iters
        return self.stages[-1]

    def start_of(self, stage: Stage) -> int:
        """Return the first iteration of *stage*, counted from 0."""
        return sum(earlier.iters for earlier in itertools.takewhile(lambda other: other is not stage, self.stages))

    def trained_iters(self, network: str, iteration: int) -> int:
        """Return how many of the iterations before *iteration*, counted from 0, trained a network."""
        trained = 0
        for stage in self.stages:
            done = min(iteration, stage.iters)
            trained += done if network in stage.train_networks else 0
            iteration -= done
        return trained

    def network(self, name: str) -> nn.Module:
        """Return a network of the model: ``flow_estimator`` or ``renderer``."""
        return self.model.get_submodule(name)

    def trained_parameters(self, stage: Stage) -> list[nn.Parameter]:
        """Return the parameters of the model that *stage* trains."""
        return [p for name in stage.train_networks for p in self.network(name).parameters()]

    def enter(self, stage: Stage) -> None:
        """Make *stage* the current one; networks that it does not train get no gradients for their parameters."""
        self.stage = stage
        for name, network in self.model.named_children():
            network.requires_grad_(name in stage.train_networks)
        self._undo = Undo([self.model, *self.discriminators.values()])

    def averaged(self) -> AbstractContextManager[None]:
        """Return a context in which the model has its averaged weights, if they are averaged."""
        return nullcontext() if self.average is None else self.average.applied()

    def _in_network(self) -> torch.autocast:
        """Return the context in which networks run. Losses and optimizers stay outside, in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)

    def _judge(self, discriminator: nn.Module, image: Tensor) -> Tensor:
        with self._in_network():
            return discriminator(image).float()

    def _features(self, image: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        with self._in_network():
            features = self.feature_network(image, layers)
        return {name: feature.float() for name, feature in features.items()}

    def _train_discriminator(
        self,
        name: str,
        loss: AdversarialLoss,
        images: Iterable[tuple[Tensor, Tensor]],
        optimizers: OptimWrapperDict,
    ) -> Tensor:
        """Update a discriminator.

        Args:
            name: its name in :attr:`discriminators`.
            loss: the adversarial loss.
            images: real and generated images of each part of the batch.
            optimizers: the optimizers of all networks.

        Returns:
            The discriminator's loss.
        """
        discriminator = self.discriminators[name]
        discriminator.requires_grad_(True)
        values = []
        try:
            for real, generated in images:
                judged = self._judge(discriminator, real), self._judge(discriminator, generated.detach())
                values.append(self._accumulate(loss.discriminate(*judged), optimizers[name]))
            value = torch.stack(values).mean()
            self._update(value, optimizers[name], list(discriminator.parameters()), last=False)
        finally:
            discriminator.requires_grad_(False)  # gradients of the model pass through it
        return value

    def _accumulate(self, loss: Tensor, optimizer: Any) -> Tensor:
        """Add the gradient of one part of the batch; returns the value of its loss."""
        optimizer.backward(loss / self.accumulate)
        return loss.detach()

    def _update(self, loss: Tensor, optimizer: Any, parameters: list[nn.Parameter], last: bool = True) -> None:
        """Update *parameters* by their gradients.

        Args:
            loss: the loss that the gradients are of.
            optimizer: optimizer of *parameters*.
            parameters: the parameters to update.
            last: False if other parameters are updated later in the same step.

        Raises:
            NotFiniteError: the loss or a gradient is not finite, in any process. The whole step is undone.
        """
        mean_loss = average_gradients(parameters, loss)
        try:
            check_finite(mean_loss, self, parameters)
        except NotFiniteError:
            optimizer.zero_grad()
            self._undo.restore()
            raise
        if self.statistics is not None:  # only the networks of this update have gradients now
            self.statistics.add_gradients(dict(self.model.named_children()) | self.discriminators)
        if not last:
            self._undo.back_up(optimizer, parameters)
        optimizer.step()
        optimizer.zero_grad()
        if last:
            self._undo.commit()

    def forward(self, *inputs: Any, **kwargs: Any) -> Transfer:
        """Call the complete model; mmengine requires this method."""
        return self.model(*inputs, **kwargs)


@MODELS.register_module()
class PairTrainer(Trainer):
    """Trains a model of pairs through stages. Arguments: see :class:`Trainer`."""

    def __init__(
        self,
        model: Any,
        stages: Sequence[Any],
        discriminator: Any = None,
        feature_network: Any = None,
        autocast: bool | Literal["auto"] = False,
        compile: bool | str = False,
        accumulate: int = 1,
    ) -> None:
        super().__init__(
            model, stages, discriminator, feature_network, autocast, compile=compile, accumulate=accumulate
        )

    def train_step(self, data: PairBatch, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """Run one iteration of the current stage: update the discriminator, then the model.

        Returns:
            The weighted value of each loss, and their sum as ``loss``.

        Raises:
            ConfigError: the batch cannot be split into ``accumulate`` equal parts.
            NotFiniteError: the step is undone.
        """
        batch = data.to(self.device)
        if self.accumulate > 1:
            return self._train_in_parts(batch, optim_wrapper)
        log: dict[str, Tensor] = {}
        out = self._generate(batch)
        if self.stage.adversarial is not None:
            log["discriminator"] = self._train_discriminator(
                "discriminator", self.stage.adversarial, [(batch.target, out.image)], optim_wrapper
            )
        losses = self._model_losses(batch, out, optim_wrapper)
        self._update(losses["loss"], optim_wrapper[self.stage.name], self.trained_parameters(self.stage))
        return {**log, **losses}

    def _train_in_parts(self, batch: PairBatch, optimizers: OptimWrapperDict) -> dict[str, Tensor]:
        """Run one iteration on a batch whose activations do not fit into memory together.

        As without accumulation, the discriminator is updated first, on all parts. So images are generated twice: first
        without gradients for the discriminator, then with gradients for the model.
        """
        check_accumulation(self.accumulate, len(batch))
        log: dict[str, Tensor] = {}
        if self.stage.adversarial is not None:
            images = ((part.target, self._image(part)) for part in self._parts(batch))
            log["discriminator"] = self._train_discriminator(
                "discriminator", self.stage.adversarial, images, optimizers
            )
        of_parts = [self._model_losses(part, self._generate(part), optimizers) for part in self._parts(batch)]
        losses = {name: torch.stack([part[name] for part in of_parts]).mean() for name in of_parts[0]}
        self._update(losses["loss"], optimizers[self.stage.name], self.trained_parameters(self.stage))
        return {**log, **losses}

    def _parts(self, batch: PairBatch) -> Iterator[PairBatch]:
        """Split the batch into ``accumulate`` parts.

        A pass changes buffers, such as the vectors of spectral norms. All parts see the same buffers, and only the last
        part's changes are kept, as after one pass of the whole batch.
        """
        *first, last = batch.split(len(batch) // self.accumulate)
        for part in first:
            with unchanged_buffers(self.model, *self.discriminators.values()):
                yield part
        yield last

    def _image(self, batch: PairBatch) -> Tensor:
        """Generate without gradients; restore the buffers afterwards."""
        with torch.no_grad(), unchanged_buffers(self.model):
            return self._generate(batch).image

    def _generate(self, batch: PairBatch) -> Transfer:
        inputs = (batch.source, batch.source_structure, batch.target_structure)
        with self._in_network():
            if self.stage.renders:
                out = self.model(*inputs)
                out = replace(out, image=out.image.float())
            else:
                out = Transfer(batch.source.new_empty(0), *self.model.estimate(*inputs))
        if self.statistics is not None:
            self.statistics.add_flows(out.flows, out.masks, batch.source.shape[-1])
        return out

    def _model_losses(self, batch: PairBatch, out: Transfer, optimizers: OptimWrapperDict) -> dict[str, Tensor]:
        """Add the gradients of the model; returns the weighted value of each loss, and their sum as ``loss``."""
        losses = self._losses(batch, out)
        total = self._accumulate(torch.stack(list(losses.values())).sum(), optimizers[self.stage.name])
        return {**{name: value.detach() for name, value in losses.items()}, "loss": total}

    def _losses(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        judged = None if self.stage.adversarial is None else self._judge(self.discriminator, out.image)
        images = {"source": batch.source, "target": batch.target, "generated": out.image}
        inputs = LossInputs(batch, out, FeatureCache(self._features, images, self.stage.feature_needs), judged)
        return {name: loss.weight * loss(inputs) for name, loss in self.stage.losses.items()}

    @torch.no_grad()
    def val_step(self, data: PairBatch) -> list[Transfer]:
        """Generate in full precision; mmengine's evaluator hands the result to every metric."""
        batch = data.to(self.device)
        with self.averaged():
            return [self.model.transfer(batch.source, batch.source_structure, batch.target_structure)]

    test_step = val_step


def check_accumulation(accumulate: int, batch_size: int = 0) -> None:
    """Raise ConfigError if *accumulate* is no positive integer, or does not divide the batch size."""
    if not isinstance(accumulate, int) or accumulate < 1:
        raise ConfigError(f"the trainer's accumulate must be a whole number of at least 1, got {accumulate!r}")
    if batch_size % accumulate:
        raise ConfigError(
            f"a batch of {batch_size} has no {accumulate} equal parts: make batch_size ({batch_size}) a multiple of "
            f"trainer.accumulate ({accumulate})"
        )


@contextmanager
def unchanged_buffers(*networks: nn.Module) -> Iterator[None]:
    """Restore the buffers of *networks* at the end of the block."""
    buffers = [buffer for network in networks for buffer in network.buffers()]
    kept = [buffer.detach().clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, kept, strict=True):
            buffer.copy_(value)


def _build_stage(stage: Any) -> Stage:
    if isinstance(stage, Stage):
        return stage
    check_arguments(Stage, dict(stage), where=f"stage {stage.get('name', '?')!r}")
    return Stage(**stage)
