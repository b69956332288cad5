"""The training loop through all stages, and a sampler that can start anywhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sized
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import Sampler

from ..registry import DATA_SAMPLERS, LOOPS
from .distributed import unwrapped
from .stages import Stage
from .trainer import Trainer


@DATA_SAMPLERS.register_module()
class EndlessSampler(Sampler):
    """Endless indices: one permutation after another, each a function of the seed and its number alone.

    mmengine's ``InfiniteSampler`` can only be resumed by reading all samples again; this one starts anywhere. Every
    process takes its share of one common order.

    Args:
        dataset: anything with a length. If it has a true attribute ``augments``, each index comes as
            ``(index, round)``, so that augmentation differs from round to round and is the same after a resume.
        seed: of the order.
        shuffle: False runs through the data set in its own order.
    """

    def __init__(self, dataset: Sized, seed: int = 0, shuffle: bool = True) -> None:
        self.dataset, self.seed, self.shuffle = dataset, seed, shuffle
        self.rank, self.world_size = get_dist_info()
        self.start = 0  # samples this process has already seen

    def __iter__(self) -> Iterator[Any]:
        size = len(self.dataset)
        augments = getattr(self.dataset, "augments", False)
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
    """

    def __init__(self, runner: Any, dataloader: Any, val_interval: int = 1000) -> None:
        self.trainer: Trainer = unwrapped(runner.model)
        super().__init__(runner, dataloader, max_iters=self.trainer.total_iters, val_interval=val_interval)
        self._entered: Stage | None = None

    def run(self) -> Any:
        """Train, from where a loaded checkpoint ends. mmengine's own loop would first read all samples again."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        if self._iter > 0:
            sampler: Any = self.dataloader.sampler
            sampler.start = self._iter * (self.dataloader.batch_size or 1)
            self.dataloader_iterator = iter(self.dataloader)
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self._enter(self.trainer.stage_at(self._iter))
            self.run_iter(next(self.dataloader_iterator))
            if self.runner.val_loop is not None and (
                self._iter % self.val_interval == 0 or self._iter in self.trainer.stage_ends
            ):
                self.runner.val_loop.run()
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def _enter(self, stage: Stage) -> None:
        if stage is not self._entered:
            self.runner.logger.info(
                f"stage {stage.name!r}: trains {', '.join(stage.train_networks)} for {stage.iters} iterations"
            )
            self.trainer.enter(stage)
            self._entered = stage
        if any(other.lr_schedule != "constant" for other in self.trainer.stages):
            factor = stage.lr_factor(self._iter - self.trainer.start_of(stage))
            wrappers = self.runner.optim_wrapper
            for name in [name for name in (stage.name, *self.trainer.discriminators) if name in wrappers]:
                for group in wrappers[name].optimizer.param_groups:  # the wrapper's own list has one of mmengine's more
                    group["lr"] = group["stage_lr"] * factor
