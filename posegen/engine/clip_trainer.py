"""What mmengine's Runner trains for clips (``spec: clips``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from ..errors import ConfigError
from ..losses import FeatureCache, LossInputs
from ..models.clip_model import join
from ..records import Animation, ClipBatch, Frame, Origins, PairBatch, Transfer
from ..registry import MODELS
from .trainer import Trainer


@MODELS.register_module()
class ClipTrainer(Trainer):
    """Trains a clip model through stages, a clip an iteration, in chunks.

    A stage that renders makes each frame from the one it made before, and hands the last one of a chunk on to the next
    without its gradient; each chunk is a step of the optimizers. A stage without the renderer has no frame of its own
    to go on from: there the true frame before is the previous one. Losses are summed over the frames of a chunk, those
    of flows over both origins too.

    Args:
        model, stages, discriminator, feature_network, autocast, compile: as :class:`Trainer`. The discriminator sees
            one frame of a chunk, drawn at random.
        temporal_discriminator: config of kind discriminator, which judges ``frames`` frames of a chunk that follow each
            other, drawn at random; None where no loss is temporal.
        chunk: most frames in a step.
        previous_frame: which frame the sampling correctness of the flow to the previous frame looks at: the
            ``"generated"`` one (published for faces), without its gradient, or the ``"true"`` one (for dance).
        accumulate: 1: a batch of clips is not worked off in parts; what saves memory is a shorter chunk.
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
                "What saves memory: a shorter chunk (each is a step of its own), or a smaller batch_size"
            )
        super().__init__(model, stages, discriminator, feature_network, autocast, temporal_discriminator, compile)
        # steps taken so far: what is drawn in a step is a function of it, so that a resumed run draws the same
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.chunk, self.previous_frame = chunk, previous_frame
        if chunk < 1:
            raise ConfigError(f"ClipTrainer: chunk must be 1 or more, got {chunk}")
        if previous_frame not in ("generated", "true"):
            raise ConfigError(f"ClipTrainer: previous_frame must be 'generated' or 'true', got {previous_frame!r}")
        if chunk < self.fewest_frames:
            raise ConfigError(f"the temporal discriminator judges {self.fewest_frames} frames, a chunk has {chunk}")

    @property
    def fewest_frames(self) -> int:
        """Frames that a clip must have, in whatever stage: so that what the last one needs is known in the first."""
        temporal = any(stage.temporal_adversarial and stage.iters for stage in self.stages)
        return int(self.temporal_discriminator.frames) if temporal else 1

    def train_step(self, data: ClipBatch, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """One clip: in each chunk the discriminators first, then the model.

        Returns:
            The weighted value of each loss, a mean over chunks, and their sum as ``loss``.

        Raises:
            ConfigError: the clip is shorter than what the temporal discriminator judges.
        """
        batch = data.to(next(self.model.parameters()).device)
        logs = [self._train_chunk(chunk, optim_wrapper) for chunk in self._chunks(batch)]
        self.steps += 1
        names = {name for log in logs for name in log}  # a last chunk may be too short for the temporal loss
        return {name: torch.stack([log[name] for log in logs if name in log]).mean() for name in sorted(names)}

    def _chunks(self, batch: ClipBatch) -> Iterator[Chunk]:
        length = batch.frames.shape[1]
        if length < self.fewest_frames:
            raise ConfigError(f"clips of {length} frames, and the temporal discriminator judges {self.fewest_frames}")
        generated: Tensor | None = None
        for first in range(0, length, self.chunk):
            numbers = range(first, min(first + self.chunk, length))
            chunk = Chunk(batch, numbers, [], generated)
            self._generate(chunk)
            yield chunk
            if self.stage.renders:
                generated = chunk.out[-1].image.detach()

    def _generate(self, chunk: Chunk) -> None:
        for t in chunk.numbers:
            previous = chunk.generated_before(t) if self.stage.renders else chunk.true_before(t)
            inputs = (
                previous,
                chunk.structure_before(t),
                chunk.batch.reference,
                chunk.batch.reference_structure,
                chunk.batch.structures[:, t],
            )
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
                    self.statistics.see_flows(flows, masks, previous.shape[-1], origin)

    def _train_chunk(self, chunk: Chunk, optimizers: OptimWrapperDict) -> dict[str, Tensor]:
        judged, log = self._play(chunk, optimizers)
        losses = self._losses(chunk, judged)
        optimizer = optimizers[self.stage.name]
        total = self._accumulate(torch.stack(list(losses.values())).sum(), optimizer)
        self._update(total, optimizer, self.trained_parameters(self.stage))
        return {**{name: value.detach() for name, value in losses.items()}, **log, "loss": total}

    def _play(self, chunk: Chunk, optimizers: OptimWrapperDict) -> tuple[dict[int, Tensor], dict[str, Tensor]]:
        """Train the discriminators; then what they think of the generated frames, by the loss that asks (its id)."""
        judged: dict[int, Tensor] = {}
        log: dict[str, Tensor] = {}
        drawn = torch.Generator().manual_seed(int(self.steps) * 1_000_003 + chunk.numbers[0])
        games = {"discriminator": self.stage.adversarial, "temporal_discriminator": self.stage.temporal_adversarial}
        for name, loss in games.items():
            frames = int(self.temporal_discriminator.frames) if name == "temporal_discriminator" and loss else 1
            if loss is None or len(chunk.out) < frames:
                continue
            first = int(torch.randint(len(chunk.out) - frames + 1, (), generator=drawn))
            t = chunk.numbers[first]
            real = chunk.batch.frames[:, t : t + frames]
            made = torch.stack([frame.image for frame in chunk.out[first : first + frames]], dim=1)
            if name == "discriminator":
                real, made = real[:, 0], made[:, 0]
            log[name] = self._train_discriminator(name, loss, [(real, made)], optimizers)
            judged[id(loss)] = self._judge(self.discriminators[name], made)
        return judged, log

    def _losses(self, chunk: Chunk, judged: dict[int, Tensor]) -> dict[str, Tensor]:
        computed: dict = {}
        values: dict[str, list[Tensor]] = {}
        for t, frame in zip(chunk.numbers, chunk.out, strict=True):
            from_reference = self._step(chunk, t, chunk.batch.reference, frame, "reference", computed)
            from_previous = self._step(chunk, t, self._looked_at_before(chunk, t), frame, "previous", computed)
            for name, loss in self.stage.losses.items():
                if loss in (self.stage.adversarial, self.stage.temporal_adversarial):
                    continue
                value = loss(from_reference)
                if loss.looks_at == "flow":
                    value = value + loss(from_previous)
                values.setdefault(name, []).append(loss.weight * value)
        for name, loss in self.stage.losses.items():
            if id(loss) in judged:
                values[name] = [loss.weight * loss(LossInputs(None, None, None, judged[id(loss)]))]  # type: ignore[arg-type]
        return {name: torch.stack(frames).sum() for name, frames in values.items()}

    def _looked_at_before(self, chunk: Chunk, t: int) -> Tensor:
        if self.stage.renders and self.previous_frame == "generated":
            return chunk.generated_before(t).detach()
        return chunk.true_before(t)

    def _step(self, chunk: Chunk, t: int, source: Tensor, frame: Frame, origin: str, computed: dict) -> LossInputs:
        """Frame *t* as losses see it: a pair with one of its origins."""
        batch = chunk.batch
        structure = batch.reference_structure if origin == "reference" else chunk.structure_before(t)
        matches = batch.matches if origin == "reference" else batch.matches_previous
        pair = PairBatch(
            source=source,
            source_structure=structure,
            target=batch.frames[:, t],
            target_structure=batch.structures[:, t],
            names=batch.names,
            foreground=None if batch.foreground is None else batch.foreground[:, t],
            matches=None if matches is None else matches[:, t],
        )
        out = Transfer(frame.image, getattr(frame.flows, origin), getattr(frame.masks, origin))
        images = {"source": source, "target": pair.target, "generated": frame.image}
        return LossInputs(pair, out, FeatureCache(self._features, images, self.stage.feature_needs, computed))

    @torch.no_grad()
    def test_step(self, data: ClipBatch) -> list[Animation]:
        """What the model makes of clips, in full precision; the evaluator hands it on to every metric."""
        batch = data.to(next(self.model.parameters()).device)
        return [self.model.animate(batch.reference, batch.reference_structure, batch.structures)]

    @torch.no_grad()
    def val_step(self, data: ClipBatch) -> list[Animation]:
        """As :meth:`test_step`; but while a stage trains that does not render, the previous frames are the true ones,
        as in its training: there is nobody yet to make others."""
        if self.stage.renders:
            return self.test_step(data)
        batch = data.to(next(self.model.parameters()).device)
        chunk = Chunk(batch, range(batch.frames.shape[1]), [], None)
        return [
            join(
                [
                    self.model(
                        chunk.true_before(t),
                        chunk.structure_before(t),
                        batch.reference,
                        batch.reference_structure,
                        batch.structures[:, t],
                    )
                    for t in chunk.numbers
                ]
            )
        ]


@dataclass
class Chunk:
    """Some frames of a clip that make one step.

    Args:
        batch: the clips.
        numbers: of the frames.
        out: what the model made of them so far.
        handed_over: the last frame the model made in the chunk before, without its gradient; None in the first.
    """

    batch: ClipBatch
    numbers: range
    out: list[Frame]
    handed_over: Tensor | None

    def generated_before(self, t: int) -> Tensor:
        """The frame the model made before frame *t*; before the first one, the reference."""
        if t > self.numbers[0]:
            return self.out[t - 1 - self.numbers[0]].image
        return self.batch.reference if self.handed_over is None else self.handed_over

    def true_before(self, t: int) -> Tensor:
        """The true frame before frame *t*; before the first one, the reference."""
        return self.batch.frames[:, t - 1] if t else self.batch.reference

    def structure_before(self, t: int) -> Tensor:
        """The structure of the frame before frame *t*."""
        return self.batch.structures[:, t - 1] if t else self.batch.reference_structure
