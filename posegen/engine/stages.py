"""Training stages: which networks train, for how long, on which losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import nn

from ..errors import ConfigError
from ..losses import AdversarialLoss, Loss, TemporalAdversarialLoss
from ..registry import LOSSES

LAST_FACTOR = 0.05  # of the learning rate, at the end of a cosine schedule


class Stage(nn.Module):
    """One stage of a run. The published method has two: the flow alone, then everything.

    Args:
        name: how logs and errors call it.
        iters: training iterations; 0 leaves the stage out.
        train: networks of the model that train: ``"flow_estimator"``, ``"renderer"``. A stage without the renderer
            renders no image.
        losses: configs of losses by name; each has its weight.
        optimizer: config of the optimizer of these networks, for example ``dict(type="Adam", lr=1e-4)``.
        lr_scale: factors of the learning rate by network, 1 where not given.
        discriminator_optimizer: the same for the discriminator; needed where a loss is adversarial.
        clip_gradient: largest norm of the gradient of these networks, None for no limit.
        lr_schedule: ``"constant"``, as published, or ``"cosine"``: down to 5 % at the stage's end.
    """

    NETWORKS = ("flow_estimator", "renderer")

    def __init__(
        self,
        name: str,
        iters: int,
        train: Sequence[str],
        losses: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        lr_scale: Mapping[str, float] | None = None,
        discriminator_optimizer: Mapping[str, Any] | None = None,
        clip_gradient: float | None = None,
        lr_schedule: Literal["constant", "cosine"] = "constant",
    ) -> None:
        super().__init__()
        self.name, self.iters, self.train_networks = name, iters, tuple(train)
        unknown = sorted(set(self.train_networks) - set(self.NETWORKS))
        if unknown or not self.train_networks:
            raise ConfigError(f"stage {name!r}: train must name some of {self.NETWORKS}, got {tuple(train)}")
        if not isinstance(iters, int) or iters < 0:
            raise ConfigError(f"stage {name!r}: iters must be a whole number of at least 0, got {iters!r}")
        if name in ("discriminator", "temporal_discriminator"):
            raise ConfigError(f"a stage cannot be called {name!r}: a discriminator's optimizer is")
        self.losses = _build_losses(name, losses)
        self.optimizer = dict(optimizer)
        self.lr_scale = dict(lr_scale or {})
        idle = sorted(set(self.lr_scale) - set(self.train_networks))
        if idle:
            raise ConfigError(f"stage {name!r}: lr_scale names {idle}, but the stage trains {[*train]}")
        if self.lr_scale and "lr" not in self.optimizer:
            raise ConfigError(f"stage {name!r}: lr_scale is a factor of the optimizer's lr, which is not given")
        self.discriminator_optimizer = dict(discriminator_optimizer) if discriminator_optimizer else None
        self.clip_gradient = clip_gradient
        self.lr_schedule = lr_schedule
        if lr_schedule not in ("constant", "cosine"):
            raise ConfigError(f"stage {name!r}: lr_schedule must be 'constant' or 'cosine', got {lr_schedule!r}")
        if (self.adversarial or self.temporal_adversarial) and (
            self.discriminator_optimizer is None or not self.renders
        ):
            raise ConfigError(f"stage {name!r}: an adversarial loss needs the renderer and a discriminator_optimizer")

    def lr_factor(self, iteration: int) -> float:
        """Factor of all learning rates at an iteration of this stage, from 0. A function of the iteration alone, so
        that there is nothing to save."""
        if self.lr_schedule == "constant":
            return 1.0
        progress = min(iteration / max(self.iters, 1), 1.0)
        return LAST_FACTOR + (1 - LAST_FACTOR) * (1 + math.cos(math.pi * progress)) / 2

    @property
    def renders(self) -> bool:
        """Whether the stage makes images."""
        return "renderer" in self.train_networks

    @property
    def adversarial(self) -> AdversarialLoss | None:
        """The stage's adversarial loss on images, if it has one."""
        return next((loss for loss in self._adversarial if not isinstance(loss, TemporalAdversarialLoss)), None)

    @property
    def temporal_adversarial(self) -> TemporalAdversarialLoss | None:
        """The stage's adversarial loss on motion, if it has one."""
        return next((loss for loss in self._adversarial if isinstance(loss, TemporalAdversarialLoss)), None)

    @property
    def _adversarial(self) -> list[AdversarialLoss]:
        return [loss for loss in self.losses.values() if isinstance(loss, AdversarialLoss)]

    @property
    def feature_needs(self) -> list[Any]:
        """What the stage's losses need of the feature network."""
        return [loss.needs for loss in self.losses.values() if loss.needs]


def _build_losses(stage: str, configs: Mapping[str, Any]) -> nn.ModuleDict:
    losses = {name: LOSSES.build_part(config) for name, config in configs.items()}
    for name, loss in losses.items():
        if not isinstance(loss, Loss):
            raise ConfigError(f"stage {stage!r}: {name!r} is a {type(loss).__name__}, not a posegen.losses.Loss")
    games = {name: type(loss) for name, loss in losses.items() if isinstance(loss, AdversarialLoss)}
    if len(set(games.values())) < len(games):
        raise ConfigError(f"stage {stage!r}: one loss can be adversarial, got {', '.join(games)}")
    return nn.ModuleDict(losses)
