"""Exponential moving average of the model's weights, for validation, sample sheets, tests and sharing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from ..checkpoints import AVERAGED, check_weights
from ..errors import ConfigError
from ..registry import HOOKS


class WeightAverage:
    """Exponential moving averages of a model's parameters. Buffers are not averaged.

    Args:
        model: the model; its averages start at its present parameters.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._parameters: list[Tensor] = list(model.parameters())
        self._averages = [parameter.detach().clone() for parameter in self._parameters]
        self._by_parameter = {id(p): average for p, average in zip(self._parameters, self._averages, strict=True)}

    @torch.no_grad()
    def update(self, network: nn.Module, momentum: float) -> None:
        """Move the averages of a network of the model towards its parameters by the fraction *momentum*."""
        parameters: list[Tensor] = list(network.parameters())
        averages = [self._by_parameter[id(parameter)] for parameter in parameters]
        if momentum == 1:
            torch._foreach_copy_(averages, parameters)
        else:
            torch._foreach_lerp_(averages, parameters, momentum)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averaged parameters; restore its own at the end of the block, bit for bit."""
        own = [parameter.detach().clone() for parameter in self._parameters]
        self._set(self._averages)
        try:
            yield
        finally:
            self._set(own)

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        torch._foreach_copy_(self._parameters, values)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the model's state dict with averaged parameters."""
        state = self._model.state_dict(keep_vars=True)
        return {name: self._by_parameter.get(id(value), value).detach() for name, value in state.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue with the averages of a state dict of the same model."""
        for name, value in self._model.state_dict(keep_vars=True).items():
            if id(value) in self._by_parameter:
                self._by_parameter[id(value)].copy_(state[name])


@HOOKS.register_module()
class EMAHook(Hook):
    """Averages the model's weights while it trains, and evaluates and shares the averages. In place of mmengine's.

    After each iteration, the averages of the networks that the stage trains move towards their weights by the fraction
    max(momentum, gamma / (gamma + n)), where n is the number of iterations that trained the network before. So the
    first iteration replaces the random initialization, and early averages are over the last n / gamma iterations.

    Validation and sample sheets use the averages. Checkpoints hold both: ``state_dict``, from which a run resumes, and
    ``averaged_model``, which :func:`posegen.load_model`, ``posegen test``, ``posegen share`` and ``load_from`` read.

    Args:
        momentum: final fraction, in (0, 1); the average is over the last 1 / momentum iterations.
        gamma: length of the warm-up, positive; see above.

    Raises:
        ConfigError: *momentum* or *gamma* is out of its range.
    """

    priority = "ABOVE_NORMAL"  # before sample sheets and checkpoints

    def __init__(self, momentum: float = 0.001, gamma: float = 10) -> None:
        if not 0 < momentum < 1:
            raise ConfigError(f"EMAHook: momentum must be between 0 and 1, got {momentum!r}")
        if not gamma > 0:
            raise ConfigError(f"EMAHook: gamma must be positive, got {gamma!r}")
        self.momentum, self.gamma = momentum, gamma
        self._loaded: Mapping[str, Tensor] | None = None

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Keep the averages of the checkpoint that is resumed."""
        self._loaded = checkpoint.get(AVERAGED)

    def before_train(self, runner: Any) -> None:
        """Start averaging, at the averages of the resumed checkpoint or else at the weights."""
        trainer = runner.train_loop.trainer
        trainer.average = WeightAverage(trainer.model)
        if self._loaded is not None:
            check_weights(trainer.model, self._loaded, f"{AVERAGED} of the checkpoint")
            trainer.average.load_state_dict(self._loaded)
            self._loaded = None
        elif runner.iter > 0:
            runner.logger.info("the checkpoint has no averaged weights: averaging starts at its weights")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Update the averages of the networks that the current stage trains."""
        trainer = runner.train_loop.trainer
        for name in trainer.stage.train_networks:
            before = trainer.trained_iters(name, runner.iter)
            trainer.average.update(trainer.network(name), max(self.momentum, self.gamma / (self.gamma + before)))

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Add the averages to a checkpoint."""
        average = runner.train_loop.trainer.average.state_dict()
        checkpoint[AVERAGED] = {name: value.cpu() for name, value in average.items()}
