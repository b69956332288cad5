"""Training of clip models (GFLA for image animation, arXiv 2008.12606)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from ..errors import ConfigError
from ..losses import AdversarialLoss, FeatureCache, LossInputs
from ..models.clip_model import join
from ..records import Animation, ClipBatch, Frame, Origins, PairBatch, Transfer
from ..registry import MODELS
from .trainer import Trainer


@MODELS.register_module()
class ClipTrainer(Trainer):
    """Trains a model of clips through stages: one batch of clips per iteration, one optimizer step per chunk of frames.

    A stage that renders generates each frame from the previous generated frame. The last frame of a chunk is passed to
    the next chunk without its gradient. A stage that trains F alone generates no frames, and uses the real previous
    frame. Losses are summed over the frames of a chunk; losses of flows also over both origins.

    Args:
        model, stages, discriminator, feature_network, autocast, compile: see :class:`Trainer`. The discriminator judges
            one random frame of a chunk.
        temporal_discriminator: config of kind discriminator, which judges ``frames`` consecutive frames of a chunk at a
            random position; None if no loss is temporal.
        chunk: maximum number of frames per optimizer step.
        previous_frame: the frame that losses of the flow to the previous frame compare with: ``"generated"`` (published
            for faces; without its gradient) or ``"true"`` (published for dance).
        accumulate: must be 1. To save memory, shorten the chunk.
    """

    def __init__(
        self,
        model: Any,
        stages: Sequence[Any],
        discriminator: Any = None,
        temporal_discriminator: Any = None,
        feature_network: Any = None,
        autocast: bool | Literal["auto"] = False,
        chunk: int = 6,
        previous_frame: Literal["generated", "true"] = "generated",
        compile: bool | str = False,
        accumulate: int = 1,
    ) -> None:
        if accumulate != 1:
            raise ConfigError(
                f"ClipTrainer does not accumulate gradients: accumulate must be 1, got {accumulate!r}\n"
                "To save memory, set a shorter chunk or a smaller batch_size"
            )
        super().__init__(model, stages, discriminator, feature_network, autocast, temporal_discriminator, compile)
        # the number of steps seeds the random choice of frames, so that a resumed run chooses the same
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.chunk, self.previous_frame = chunk, previous_frame
        if chunk < 1:
            raise ConfigError(f"ClipTrainer: chunk must be 1 or more, got {chunk}")
        if previous_frame not in ("generated", "true"):
            raise ConfigError(f"ClipTrainer: previous_frame must be 'generated' or 'true', got {previous_frame!r}")
        if chunk < self.min_frames:
            raise ConfigError(f"the temporal discriminator judges {self.min_frames} frames, a chunk has {chunk}")

    @property
    def min_frames(self) -> int:
        """Minimum length of a clip, the same in all stages, so that a stage does not fail after the ones before it."""
        temporal = any(stage.temporal_adversarial and stage.iters for stage in self.stages)
        return int(self.temporal_discriminator.frames) if temporal else 1

    def train_step(self, data: ClipBatch, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """Train on a batch of clips: in each chunk, update the discriminators, then the model.

        Returns:
            The weighted value of each loss, averaged over chunks, and their sum as ``loss``.

        Raises:
            ConfigError: the clips have fewer frames than the temporal discriminator judges.
            NotFiniteError: the step of this chunk is undone.
        """
        batch = data.to(self.device)
        logs = [self._train_chunk(chunk, optim_wrapper) for chunk in self._chunks(batch)]
        self.steps += 1
        names = {name for log in logs for name in log}  # the last chunk may be too short for the temporal loss
        return {name: torch.stack([log[name] for log in logs if name in log]).mean() for name in sorted(names)}

    def _chunks(self, batch: ClipBatch) -> Iterator[Chunk]:
        length = batch.frames.shape[1]
        if length < self.min_frames:
            raise ConfigError(
                f"a clip of {length} frames is too short: the temporal discriminator judges {self.min_frames} frames"
            )
        generated: Tensor | None = None
        for first in range(0, length, self.chunk):
            numbers = range(first, min(first + self.chunk, length))
            chunk = Chunk(batch, numbers, generated)
            self._generate(chunk)
            yield chunk
            if self.stage.renders:
                generated = chunk.out[-1].image.detach()

    def _generate(self, chunk: Chunk) -> None:
        for t in chunk.numbers:
            previous = chunk.generated_before(t) if self.stage.renders else chunk.true_before(t)
            inputs = chunk.inputs(t, previous)
            with self._in_network():
                if self.stage.renders:
                    frame = self.model(*inputs)
                    frame.image = frame.image.float()
                else:
                    frame = Frame(previous.new_empty(0), *self.model.flow_estimator(*inputs))
            chunk.out.append(frame)
            if self.statistics is not None:
                for origin in Origins._fields:
                    flows, masks = getattr(frame.flows, origin), getattr(frame.masks, origin)
                    self.statistics.add_flows(flows, masks, previous.shape[-1], origin)

    def _train_chunk(self, chunk: Chunk, optimizers: OptimWrapperDict) -> dict[str, Tensor]:
        judged, log = self._train_discriminators(chunk, optimizers)
        losses = self._losses(chunk, judged)
        optimizer = optimizers[self.stage.name]
        total = self._accumulate(torch.stack(list(losses.values())).sum(), optimizer)
        self._update(total, optimizer, self.trained_parameters(self.stage))
        return {**{name: value.detach() for name, value in losses.items()}, **log, "loss": total}

    def _train_discriminators(
        self, chunk: Chunk, optimizers: OptimWrapperDict
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Update the discriminators; return logits of generated frames and values to log, both by discriminator."""
        judged: dict[str, Tensor] = {}
        log: dict[str, Tensor] = {}
        generator = torch.Generator().manual_seed(int(self.steps) * 1_000_003 + chunk.numbers[0])
        for loss in filter(None, (self.stage.adversarial, self.stage.temporal_adversarial)):
            name = loss.discriminator
            frames = int(self.temporal_discriminator.frames) if name == "temporal_discriminator" else 1
            if len(chunk.out) < frames:
                continue
            first = int(torch.randint(len(chunk.out) - frames + 1, (), generator=generator))
            t = chunk.numbers[first]
            real = chunk.batch.frames[:, t : t + frames]
            generated = torch.stack([frame.image for frame in chunk.out[first : first + frames]], dim=1)
            if name == "discriminator":
                real, generated = real[:, 0], generated[:, 0]
            log[name] = self._train_discriminator(name, loss, [(real, generated)], optimizers)
            judged[name] = self._judge(self.discriminators[name], generated)
        return judged, log

    def _losses(self, chunk: Chunk, judged: dict[str, Tensor]) -> dict[str, Tensor]:
        computed: dict = {}
        values: dict[str, list[Tensor]] = {}
        for t, frame in zip(chunk.numbers, chunk.out, strict=True):
            from_reference = self._inputs(chunk, t, chunk.batch.reference, frame, "reference", computed)
            from_previous = self._inputs(chunk, t, self._compared_previous(chunk, t), frame, "previous", computed)
            for name, loss in self.stage.losses.items():
                if isinstance(loss, AdversarialLoss):
                    continue
                value = loss(from_reference)
                if loss.looks_at == "flow":
                    value = value + loss(from_previous)
                values.setdefault(name, []).append(loss.weight * value)
        for name, loss in self.stage.losses.items():
            if isinstance(loss, AdversarialLoss) and loss.discriminator in judged:
                values[name] = [loss.weight * loss.generator(judged[loss.discriminator])]
        return {name: torch.stack(frames).sum() for name, frames in values.items()}

    def _compared_previous(self, chunk: Chunk, t: int) -> Tensor:
        """Return the previous frame that losses of flows compare with."""
        if self.stage.renders and self.previous_frame == "generated":
            return chunk.generated_before(t).detach()
        return chunk.true_before(t)

    def _inputs(self, chunk: Chunk, t: int, source: Tensor, frame: Frame, origin: str, computed: dict) -> LossInputs:
        """Return frame *t* as losses see it: a pair with one of its origins."""
        batch = chunk.batch
        structure = batch.reference_structure if origin == "reference" else chunk.structure_before(t)
        suffix = "" if origin == "reference" else "_previous"
        known = {name: getattr(batch, name + suffix) for name in ("flow", "visible", "matches")}
        known["foreground"] = batch.foreground
        pair = PairBatch(
            source=source,
            source_structure=structure,
            target=batch.frames[:, t],
            target_structure=batch.structures[:, t],
            names=batch.names,
            **{name: None if value is None else value[:, t] for name, value in known.items()},
        )
        out = Transfer(frame.image, getattr(frame.flows, origin), getattr(frame.masks, origin), frame.generated)
        images = {"source": source, "target": pair.target, "generated": frame.image}
        return LossInputs(pair, out, FeatureCache(self._features, images, self.stage.feature_needs, computed))

    @torch.no_grad()
    def test_step(self, data: ClipBatch) -> list[Animation]:
        """Generate clips in full precision; mmengine's evaluator hands the result to every metric."""
        batch = data.to(self.device)
        return [self.model.animate(batch.reference, batch.reference_structure, batch.structures)]

    @torch.no_grad()
    def val_step(self, data: ClipBatch) -> list[Animation]:
        """Generate clips as :meth:`test_step` does; in a stage that does not render, from real previous frames."""
        with self.averaged():
            if self.stage.renders:
                return self.test_step(data)
            batch = data.to(self.device)
            clip = Chunk(batch, range(batch.frames.shape[1]))
            return [join([self.model(*clip.inputs(t, clip.true_before(t))) for t in clip.numbers])]


@dataclass
class Chunk:
    """The frames of a clip that make one optimizer step.

    Args:
        batch: the clips.
        numbers: numbers of the frames.
        last_generated: last generated frame of the previous chunk, without its gradient; None in the first chunk.
        out: the frames generated so far.
    """

    batch: ClipBatch
    numbers: range
    last_generated: Tensor | None = None
    out: list[Frame] = field(default_factory=list)

    def generated_before(self, t: int) -> Tensor:
        """Return the generated frame before frame *t*; before the first one, the reference."""
        if t > self.numbers[0]:
            return self.out[t - 1 - self.numbers[0]].image
        return self.batch.reference if self.last_generated is None else self.last_generated

    def true_before(self, t: int) -> Tensor:
        """Return the real frame before frame *t*; before the first one, the reference."""
        return self.batch.frames[:, t - 1] if t else self.batch.reference

    def structure_before(self, t: int) -> Tensor:
        """Return the structure of the frame before frame *t*."""
        return self.batch.structures[:, t - 1] if t else self.batch.reference_structure

    def inputs(self, t: int, previous: Tensor) -> tuple[Tensor, ...]:
        """Return the arguments of the model for frame *t*."""
        batch = self.batch
        structure = self.structure_before(t)
        return previous, structure, batch.reference, batch.reference_structure, batch.structures[:, t]
