"""The training loop over all stages, and a sampler that can start anywhere."""

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
from .unreadable import Loaded, UnreadableLimit

HISTORY = 1000
"""Number of iterations whose losses and times are kept for means in the log, unless ``log_processor.window_size`` is
larger."""


@DATA_SAMPLERS.register_module()
class EndlessSampler(Sampler):
    """Endless indices: one permutation after another, each a function of the seed and its number.

    mmengine's ``InfiniteSampler`` can only be resumed by reading all samples again; this one starts anywhere. Each
    process takes its share of one common order.

    Args:
        dataset: the data set. If it ``augments``, each index comes as ``(index, round)``, so that augmentation differs
            from round to round and is the same after a resume.
        seed: seed of the permutations.
        shuffle: False: use the order of the data set.
    """

    def __init__(self, dataset: Any, seed: int = 0, shuffle: bool = True) -> None:
        self.dataset, self.seed, self.shuffle = dataset, seed, shuffle
        self.rank, self.world_size = get_dist_info()
        self.start = 0  # number of samples that this process has already seen

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
    """Runs all stages as one run. A resumed run continues in the right stage, with the next sample.

    Args:
        runner: mmengine's Runner, whose model is a :class:`Trainer`.
        dataloader: data loader of training pairs or clips, with an :class:`EndlessSampler`.
        val_interval: number of iterations between two validations; each stage ends with another.
        max_skipped: number of consecutive steps that are skipped because a loss or a gradient is not finite, after
            which the run stops.
        on_error: handling of training samples whose files cannot be read: ``raise`` ends the run; ``skip`` replaces the
            sample by another, and counts and names it in the log.
        max_unreadable: for ``skip``, maximum fraction of unreadable samples among the last 1000, above which the run
            stops.
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
        self._unreadable = UnreadableLimit(max_unreadable)
        self._named: set[str] = set()  # problems that this process has logged
        self._entered: Stage | None = None

    def run(self) -> Any:
        """Train, starting where a loaded checkpoint ended. (mmengine's loop would first read all samples again.)

        Raises:
            Interrupted: a signal interrupted the run, and a checkpoint was saved.
            NotFiniteError: too many consecutive steps were skipped.
            DataError: a sample cannot be read; with ``on_error="skip"``, too many samples.
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
                self._leave_if_interrupted(interruption)
                if self.runner.val_loop is not None and (
                    self._iter % self.val_interval == 0 or self._iter in self.trainer.stage_ends
                ):
                    self._validate(interruption)
            self.runner.call_hook("after_train_epoch")
            self.runner.call_hook("after_train")
        return self.runner.model

    def run_iter(self, data_batch: Any) -> None:
        """Run one iteration; skip a step that is not finite.

        Random numbers are a function of the seed, the process and the iteration.
        """
        seed_all(self.runner.seed, get_rank(), self._iter)
        self.runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        try:
            outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
            self._info("skipped_in_a_row", 0)
        except NotFiniteError as error:
            outputs = self._skip(data_batch, str(error))
        self.runner.call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._limit_history()
        self._iter += 1

    def _limit_history(self) -> None:
        """Limit the history of logged values: mmengine keeps a million, in memory and in checkpoints, and copies them
        all to append one."""
        for history in self.runner.message_hub.log_scalars.values():
            history.max_length = max(HISTORY, self.runner.log_processor.window_size)

    def _drop_losses_of_others(self, stage: Stage) -> None:
        """Drop losses that this stage does not have: mmengine's log would repeat their last values."""
        of_others = {name for other in self.trainer.stages for name in other.losses} | set(self.trainer.discriminators)
        own = set(stage.losses)
        own |= {"discriminator"} if stage.adversarial else set()
        own |= {"temporal_discriminator"} if stage.temporal_adversarial else set()
        for name in of_others - own:
            self.runner.message_hub.log_scalars.pop(f"train/{name}", None)

    def _readable(self, loaded: Any) -> Any:
        """Return the batch. Count unreadable samples of all processes, and log each problem once."""
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
                    self.runner.logger.warning(f"sample replaced ({count} so far): {problem}")
        hub = self.runner.message_hub  # stored in checkpoints: a resumed run stops where an uninterrupted one does
        recent = str(hub.runtime_info.get("recent_unreadable", ""))
        samples = len(loaded.batch.names) * get_world_size()
        hub.update_info("recent_unreadable", self._unreadable.update(recent, samples, len(left_out)))
        return loaded.batch

    def _skip(self, batch: Any, problem: str) -> dict[str, int]:
        """Count a skipped step, and log the samples of all processes; returns the values to log."""
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
                f"The weights are those of the last finite step. {path} reproduces this step:\n"
                f"  from posegen.engine import reproduce_step; reproduce_step({str(path)!r})"
            )
        return {"skipped_steps": skipped}

    def _info(self, name: str, value: int | None = None) -> int:
        """Return a number that is stored in checkpoints, after setting it to *value* if given."""
        if value is not None:
            self.runner.message_hub.update_info(name, value)
        return int(self.runner.message_hub.runtime_info.get(name, 0))

    def _leave_if_interrupted(self, interruption: Interruption) -> None:
        name = interruption.agreed()
        if name and self._iter < self._max_iters:
            self._leave(name)

    def _validate(self, interruption: Interruption) -> None:
        try:
            self.runner.val_loop.run()
        except ValidationEnded:
            self._leave(interruption.agreed())

    def _leave(self, name: str | None) -> None:
        path = self._checkpoints().save_now(self.runner)
        self.runner.visualizer.close()
        raise Interrupted(f"{name}: saved {path} after iteration {self._iter}; go on with --resume")

    def _checkpoints(self) -> VerifiedCheckpoints:
        for hook in self.runner.hooks:
            if isinstance(hook, VerifiedCheckpoints):
                return hook
        hook = VerifiedCheckpoints(by_epoch=False)  # the config has no checkpoint hook
        hook.before_train(self.runner)
        return hook

    def _enter(self, stage: Stage) -> None:
        if stage is not self._entered:
            self.runner.logger.info(
                f"stage {stage.name!r}: trains {', '.join(stage.train_networks)} for {stage.iters} iterations"
            )
            self.trainer.enter(stage)
            self._entered = stage
            self._drop_losses_of_others(stage)
        if any(other.lr_schedule != "constant" for other in self.trainer.stages):
            factor = stage.lr_factor(self._iter - self.trainer.start_of(stage))
            wrappers = self.runner.optim_wrapper
            for name in [name for name in (stage.name, *self.trainer.discriminators) if name in wrappers]:
                for group in wrappers[name].optimizer.param_groups:  # mmengine's wrapper adds a group of its own
                    group["lr"] = group["stage_lr"] * factor
