"""The training loop through all stages, and a sampler that can start anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_dist_info, get_rank, get_world_size
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import Sampler

from ..errors import ConfigError
from ..registry import DATA_SAMPLERS, LOOPS
from .checkpoint import VerifiedCheckpoints
from .distributed import gather, in_first_process, maximum
from .interruption import EndValidation, Interrupted, Interruption, ValidationEnded
from .not_finite import NotFiniteError
from .randomness import seed_all
from .reproduce import plain_inputs, write_step
from .stages import Stage
from .trainer import Trainer
from .unreadable import Loaded, ShareOfUnreadable

REMEMBERED = 1000
"""Iterations whose losses and times the log's means can reach back to; more where ``log_processor.window_size`` is."""


@DATA_SAMPLERS.register_module()
class EndlessSampler(Sampler):
    """Endless indices: one permutation after another, each a function of the seed and its number alone.

    mmengine's ``InfiniteSampler`` can only be resumed by reading all samples again; this one starts anywhere. Every
    process takes its share of one common order.

    Args:
        dataset: the data set. If it ``augments``, each index comes as ``(index, round)``, so that augmentation differs
            from round to round and is the same after a resume.
        seed: of the order.
        shuffle: False runs through the data set in its own order.
    """

    def __init__(self, dataset: Any, seed: int = 0, shuffle: bool = True) -> None:
        self.dataset, self.seed, self.shuffle = dataset, seed, shuffle
        self.rank, self.world_size = get_dist_info()
        self.start = 0  # samples this process has already seen

    def __iter__(self) -> Iterator[Any]:
        size = len(self.dataset)
        augments = self.dataset.augments
        round_number, order = -1, torch.empty(0)
        position = self.start * self.world_size + self.rank
        while True:
            if position // size != round_number:
                round_number = position // size
                order = self._order(round_number)
            index = int(order[position % size])
            yield (index, round_number) if augments else index
            position += self.world_size

    def __len__(self) -> int:
        return math.ceil(len(self.dataset) / self.world_size)

    def _order(self, round_number: int) -> torch.Tensor:
        if not self.shuffle:
            return torch.arange(len(self.dataset))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + round_number)
        return torch.randperm(len(self.dataset), generator=generator)


@LOOPS.register_module()
class StagedTrainLoop(IterBasedTrainLoop):
    """Runs every iteration of every stage in one go; a resumed run lands in the right stage, at the right sample.

    Args:
        runner: mmengine's Runner; its model is a :class:`Trainer`.
        dataloader: of training pairs or clips, with an :class:`EndlessSampler`.
        val_interval: iterations between two validations; also at the end of each stage.
        max_skipped: steps in a row that are skipped because a loss or a gradient is not finite; with the last of
            them the run stops.
        on_error: what a training sample does whose files cannot be read: ``raise`` ends the run, ``skip`` puts
            another sample in its place, counted and named in the log.
        max_unreadable: of ``skip``, the largest share of the last 1000 samples that may be unreadable; with more the
            run stops.
    """

    def __init__(
        self,
        runner: Any,
        dataloader: Any,
        val_interval: int = 1000,
        max_skipped: int = 10,
        on_error: str = "raise",
        max_unreadable: float = 0.1,
    ) -> None:
        self.trainer: Trainer = runner.model
        super().__init__(runner, dataloader, max_iters=self.trainer.total_iters, val_interval=val_interval)
        self.max_skipped = max_skipped
        if max_skipped < 1:
            raise ConfigError(f"StagedTrainLoop: max_skipped must be 1 or more, got {max_skipped}")
        self.on_error = on_error
        self._unreadable = ShareOfUnreadable(max_unreadable)
        self._named: set[str] = set()  # problems that the log has; after a resume it names them again
        self._entered: Stage | None = None

    def run(self) -> Any:
        """Train, from where a loaded checkpoint ends. mmengine's own loop would first read all samples again.

        Raises:
            Interrupted: a signal told the run to leave, and it has saved.
            NotFiniteError: too many steps in a row were skipped.
            DataError: a sample cannot be read; of ``on_error="skip"``, too many cannot.
        """
        with Interruption() as interruption:
            self.runner.register_hook(EndValidation(interruption))
            self.runner.call_hook("before_train")
            self.runner.call_hook("before_train_epoch")
            if self._iter > 0:
                sampler: Any = self.dataloader.sampler
                sampler.start = self._iter * (self.dataloader.batch_size or 1)
                self.dataloader_iterator = iter(self.dataloader)
            while self._iter < self._max_iters and not self.stop_training:
                self.runner.model.train()
                self._enter(self.trainer.stage_at(self._iter))
                self.run_iter(self._readable(next(self.dataloader_iterator)))
                self._leave_if_told(interruption)
                if self.runner.val_loop is not None and (
                    self._iter % self.val_interval == 0 or self._iter in self.trainer.stage_ends
                ):
                    self._validate(interruption)
            self.runner.call_hook("after_train_epoch")
            self.runner.call_hook("after_train")
        return self.runner.model

    def run_iter(self, data_batch: Any) -> None:
        """One iteration. What it draws at random is a function of the seed, the process and the iteration; a step that
        is not finite is skipped."""
        seed_all(self.runner.seed, get_rank(), self._iter)
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        try:
            outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
            self._info("skipped_in_a_row", 0)
        except NotFiniteError as error:
            outputs = self._skip(data_batch, str(error))
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._forget_old_values()
        self._iter += 1

    def _forget_old_values(self) -> None:
        """mmengine keeps the last million values of each number that is logged, in memory and in every checkpoint, and
        copies them all to append one."""
        for history in self.runner.message_hub.log_scalars.values():
            history.max_length = max(REMEMBERED, self.runner.log_processor.window_size)

    def _forget_losses_of_others(self, stage: Stage) -> None:
        """mmengine's log would repeat the last value of a loss in all stages that come after and do not have it."""
        of_others = {name for other in self.trainer.stages for name in other.losses} | set(self.trainer.discriminators)
        own = set(stage.losses)
        own |= {"discriminator"} if stage.adversarial else set()
        own |= {"temporal_discriminator"} if stage.temporal_adversarial else set()
        for name in of_others - own:
            self.runner.message_hub.log_scalars.pop(f"train/{name}", None)

    def _readable(self, loaded: Any) -> Any:
        """The batch; where samples were left out of it, in any process, they are counted, and their problems named."""
        if not isinstance(loaded, Loaded):
            return loaded
        mine = loaded.left_out
        any_left_out = int(maximum(torch.tensor(len(mine))))
        left_out = [problems for of_one in gather(mine) for problems in of_one] if any_left_out else []
        if left_out:
            count = self._info("unreadable_samples") + len(left_out)
            self._info("unreadable_samples", count)
            self.runner.message_hub.update_scalar("train/unreadable_samples", count)
            for problem in dict.fromkeys(problem for problems in left_out for problem in problems):
                if problem not in self._named:
                    self._named.add(problem)
                    self.runner.logger.warning(f"sample left out, another in its place ({count} so far): {problem}")
        hub = self.runner.message_hub  # so that a resumed run stops where the unbroken one does
        recent = str(hub.runtime_info.get("recent_unreadable", ""))
        samples = len(loaded.batch.names) * get_world_size()
        hub.update_info("recent_unreadable", self._unreadable.after(recent, samples, len(left_out)))
        return loaded.batch

    def _skip(self, batch: Any, problem: str) -> dict[str, int]:
        """Count a skipped step and name its samples, those of all processes; what the log gets."""
        skipped = self._info("skipped_steps") + 1
        row = self._info("skipped_in_a_row") + 1
        self._info("skipped_steps", skipped)
        self._info("skipped_in_a_row", row)
        names = [name for names in gather(list(batch.names)) for name in names]
        where = f"iteration {self._iter + 1}, stage {self.trainer.stage.name!r}"
        self.runner.logger.warning(
            f"{where}: step skipped, {problem}\n  {skipped} skipped so far, {row} in a row; samples: {', '.join(names)}"
        )
        if row >= self.max_skipped:
            path = Path(self.runner.work_dir) / f"not_finite_iter_{self._iter + 1}.pth"
            inputs = gather(plain_inputs(batch))
            in_first_process(lambda: write_step(path, inputs, problem, self.runner))
            raise NotFiniteError(
                f"{where}: {row} steps in a row were not finite, the last one: {problem}\n"
                f"The weights are those of the last step that was. {path} reproduces this step:\n"
                f"  from posegen.engine import reproduce_step; reproduce_step({str(path)!r})"
            )
        return {"skipped_steps": skipped}

    def _info(self, name: str, value: int | None = None) -> int:
        """A number that checkpoints keep; *value* sets it."""
        if value is not None:
            self.runner.message_hub.update_info(name, value)
        return int(self.runner.message_hub.runtime_info.get(name, 0))

    def _leave_if_told(self, interruption: Interruption) -> None:
        told = interruption.agreed()
        if told and self._iter < self._max_iters:
            self._leave(told)

    def _validate(self, interruption: Interruption) -> None:
        try:
            self.runner.val_loop.run()
        except ValidationEnded:
            self._leave(interruption.agreed())

    def _leave(self, told: str | None) -> None:
        path = self._checkpoints().save_now(self.runner)
        self.runner.visualizer.close()
        raise Interrupted(f"{told}: saved {path} after iteration {self._iter}; go on with --resume")

    def _checkpoints(self) -> VerifiedCheckpoints:
        for hook in self.runner.hooks:
            if isinstance(hook, VerifiedCheckpoints):
                return hook
        hook = VerifiedCheckpoints(by_epoch=False)  # a run without checkpoints of its own
        hook.before_train(self.runner)
        return hook

    def _enter(self, stage: Stage) -> None:
        if stage is not self._entered:
            self.runner.logger.info(
                f"stage {stage.name!r}: trains {', '.join(stage.train_networks)} for {stage.iters} iterations"
            )
            self.trainer.enter(stage)
            self._entered = stage
            self._forget_losses_of_others(stage)
        if any(other.lr_schedule != "constant" for other in self.trainer.stages):
            factor = stage.lr_factor(self._iter - self.trainer.start_of(stage))
            wrappers = self.runner.optim_wrapper
            for name in [name for name in (stage.name, *self.trainer.discriminators) if name in wrappers]:
                for group in wrappers[name].optimizer.param_groups:  # the wrapper's own list has one of mmengine's more
                    group["lr"] = group["stage_lr"] * factor
