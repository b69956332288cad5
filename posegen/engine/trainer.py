"""What mmengine's Runner trains: the complete model, its discriminators, and the stages' losses."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from ..acceleration import compile_networks, native_bfloat16, recompute_activations
from ..errors import ConfigError
from ..losses import AdversarialLoss, FeatureCache, LossInputs, SamplingCorrectness
from ..records import PairBatch, Transfer
from ..registry import DISCRIMINATORS, FEATURE_NETWORKS, MODELS, check_arguments
from .distributed import average_gradients
from .not_finite import NotFiniteError, Undo, check_finite
from .stages import Stage
from .statistics import StepStatistics


class Trainer(BaseModel):
    """What training pairs and training clips have in common: stages, discriminators, features, updates.

    Args:
        model: config of the complete model, of kind model; what :func:`posegen.load_model` loads.
        stages: configs of :class:`Stage`, in the order they are run; none where the model is only tested.
        discriminator: config of kind discriminator; None where no loss is adversarial.
        feature_network: config of kind feature network; None where no loss looks at features.
        temporal_discriminator: config of kind discriminator; None where no loss is temporal.
        autocast: run networks in bfloat16 where that is safe (``--amp``); ``"auto"`` does so where the processor
            computes in it natively, and so gains by it.
        compile: compile the model's networks, see :func:`posegen.acceleration.compile_networks`. Checkpoints are the
            same, and a run may be resumed with it or without.
        accumulate: equal parts in which a batch is worked off, one after the other: gradients are those of the whole
            batch, activations are in memory of one part.

    Attributes:
        stage: the current stage; the loop sets it, with :meth:`enter`.
        statistics: what looks at the current step; the hook TrainingStatistics sets it, for the steps that are logged.
    """

    stage: Stage
    statistics: StepStatistics | None = None
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
        """The discriminators there are, by the names of their optimizers."""
        both = {"discriminator": self.discriminator, "temporal_discriminator": self.temporal_discriminator}
        return {name: network for name, network in both.items() if network is not None}

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
        for stage in self.stages:
            if stage.feature_needs and self.feature_network is None:
                raise ConfigError(f"stage {stage.name!r} has losses on features: the trainer needs a feature_network")
            if stage.adversarial is not None and self.discriminator is None:
                raise ConfigError(f"stage {stage.name!r} has an adversarial loss: the trainer needs a discriminator")
            missing = [name for name in stage.train_networks if getattr(self.model, name, None) is None]
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
        levels = getattr(getattr(self.model, "flow_estimator", None), "levels", None)
        if levels is not None:
            if tuple(getattr(loss, "levels", levels)) != tuple(levels):
                raise ConfigError(f"{where}: levels {[*loss.levels]} are not those of the flow, {[*levels]}")
            sizes = getattr(loss, "kernel_sizes", levels)
            if len(sizes) != len(levels):
                raise ConfigError(
                    f"{where}: kernel_sizes {[*sizes]} must be one for each level of the flow {[*levels]}"
                )
        layers = getattr(self.feature_network, "names", None)
        unknown = sorted({layer for needed in loss.needs.values() for layer in needed} - set(layers or ()))
        if layers is not None and unknown:
            kind = type(self.feature_network).__name__
            raise ConfigError(f"{where}: {kind} has no layer {', '.join(unknown)}; it has {', '.join(layers)}")

    @property
    def total_iters(self) -> int:
        """Iterations of all stages together."""
        return sum(stage.iters for stage in self.stages)

    @property
    def stage_ends(self) -> set[int]:
        """The iterations at which a stage has just ended."""
        return set(itertools.accumulate(stage.iters for stage in self.stages))

    def stage_at(self, iteration: int) -> Stage:
        """The stage that trains iteration *iteration* (from 0); the last one for anything later."""
        for stage in self.stages:
            if iteration < stage.iters:
                return stage
            iteration -= stage.iters
        return self.stages[-1]

    def start_of(self, stage: Stage) -> int:
        """The iteration at which *stage* begins."""
        return sum(earlier.iters for earlier in itertools.takewhile(lambda other: other is not stage, self.stages))

    def network(self, name: str) -> nn.Module:
        """Return a network of the model: ``flow_estimator`` or ``renderer``."""
        return self.model.get_submodule(name)

    def trained_parameters(self, stage: Stage) -> list[nn.Parameter]:
        """Return the parameters of the model that *stage* trains."""
        return [p for name in stage.train_networks for p in self.network(name).parameters()]

    def enter(self, stage: Stage) -> None:
        """Make *stage* the current one: a network that it does not train gets no gradient, only passes it on."""
        self.stage = stage
        for name, network in self.model.named_children():
            network.requires_grad_(name in stage.train_networks)
        self._undo = Undo([self.model, *self.discriminators.values()])

    def _in_network(self) -> torch.autocast:
        """Where networks run, in bfloat16 if so configured; losses and optimizers stay outside, in full precision."""
        device = next(self.model.parameters()).device.type
        return torch.autocast(device, torch.bfloat16, enabled=self.autocast)

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
        """One step of the discriminator called *name* on the real and the generated *images* of each part of the batch;
        returns its loss."""
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
            discriminator.requires_grad_(False)  # the model's gradient passes through it, and is not kept in it
        return value

    def _accumulate(self, loss: Tensor, optimizer: Any) -> Tensor:
        """Add the share that the *loss* of one part has in the gradient of the whole batch; returns its value."""
        optimizer.backward(loss / self.accumulate)
        return loss.detach()

    def _update(self, loss: Tensor, optimizer: Any, parameters: list[nn.Parameter], last: bool = True) -> None:
        """Change *parameters* by their gradients, which are those of *loss*; *last* is False where others are still to
        follow in the step.

        Raises:
            NotFiniteError: the loss or a gradient is not finite, in any process: nothing of the step is left.
        """
        mean_loss = average_gradients(parameters, loss)
        try:
            check_finite(mean_loss, self, parameters)
        except NotFiniteError:
            optimizer.zero_grad()
            self._undo.restore()
            raise
        if self.statistics is not None:  # no network but those of this update has a gradient now
            self.statistics.see_gradients(dict(self.model.named_children()) | self.discriminators)
        if not last:
            self._undo.back_up(optimizer, parameters)
        optimizer.step()
        optimizer.zero_grad()  # after the step, so that no network keeps a gradient from one step to the next
        if last:
            self._undo.commit()

    def forward(self, *inputs: Any, **kwargs: Any) -> Transfer:
        """The complete model's forward."""
        return self.model(*inputs, **kwargs)


@MODELS.register_module()
class PairTrainer(Trainer):
    """Trains a pair model through stages. Arguments as :class:`Trainer`; a pair has no motion to judge."""

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
        """One iteration of the current stage: the discriminator first, then the model.

        Returns:
            The weighted value of each loss, and their sum as ``loss``.

        Raises:
            ConfigError: the batch has no ``accumulate`` equal parts.
        """
        batch = data.to(next(self.model.parameters()).device)
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
        """:meth:`train_step` for a batch whose activations do not fit into memory together.

        Here, too, the discriminator is trained first, on all parts, and the model sees the trained one. So where there
        is one, images are generated twice, first without what their gradients need: to keep that of all parts is what
        accumulation avoids.
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
        """The batch in ``accumulate`` parts. Each meets the same networks, and the last one leaves them as the whole
        batch would: a pass changes the vectors of spectral norms."""
        *first, last = batch.split(len(batch) // self.accumulate)
        for part in first:
            with unchanged_buffers(self.model, *self.discriminators.values()):
                yield part
        yield last

    def _image(self, batch: PairBatch) -> Tensor:
        """What the model generates, as if it had not."""
        with torch.no_grad(), unchanged_buffers(self.model):
            return self._generate(batch).image

    def _generate(self, batch: PairBatch) -> Transfer:
        inputs = (batch.source, batch.source_structure, batch.target_structure)
        with self._in_network():
            if self.stage.renders:
                out = self.model(*inputs)
                out = Transfer(out.image.float(), out.flows, out.masks)
            else:
                out = Transfer(batch.source.new_empty(0), *self.model.estimate(*inputs))
        if self.statistics is not None:
            self.statistics.see_flows(out.flows, out.masks, batch.source.shape[-1])
        return out

    def _model_losses(self, batch: PairBatch, out: Transfer, optimizers: OptimWrapperDict) -> dict[str, Tensor]:
        """Add the model's gradients; returns the weighted value of each loss, and their sum as ``loss``."""
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
        """What the model makes of a batch, in full precision; the evaluator hands it on to every metric."""
        batch = data.to(next(self.model.parameters()).device)
        return [self.model.transfer(batch.source, batch.source_structure, batch.target_structure)]

    test_step = val_step


def check_accumulation(accumulate: int, batch_size: int = 0) -> None:
    """Raise ConfigError where *accumulate* is no number of parts, or a batch has no such equal parts."""
    if not isinstance(accumulate, int) or accumulate < 1:
        raise ConfigError(f"the trainer's accumulate must be a whole number of at least 1, got {accumulate!r}")
    if batch_size % accumulate:
        raise ConfigError(
            f"a batch of {batch_size} has no {accumulate} equal parts: make batch_size ({batch_size}) a multiple of "
            f"trainer.accumulate ({accumulate})"
        )


@contextmanager
def unchanged_buffers(*networks: nn.Module) -> Iterator[None]:
    """Whatever happens inside leaves the buffers of *networks* as they were."""
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
