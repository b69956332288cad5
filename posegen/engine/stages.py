"""Training stages: the networks that train, their losses and optimizers, and the number of iterations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch import nn

from ..errors import ConfigError
from ..losses import AdversarialLoss, Loss, TemporalAdversarialLoss
from ..losses.base import Needs
from ..registry import LOSSES

FINAL_FACTOR = 0.05
"""Factor of the learning rate at the end of a cosine schedule."""


class Stage(nn.Module):
    """One stage of a run. The published method has two: F alone, then F and G together (``docs/method.md``).

    Args:
        name: name in logs and errors.
        iters: number of iterations; 0 skips the stage.
        train: names of the networks that train: ``"flow_estimator"``, ``"renderer"``. Without the renderer, no image is
            generated.
        losses: configs of losses by name; each has its weight.
        optimizer: config of the optimizer of these networks, for example ``dict(type="Adam", lr=1e-4)``.
        lr_scale: factors of the learning rate by network (default: 1).
        discriminator_optimizer: config of the discriminators' optimizers; required for an adversarial loss.
        clip_gradient: maximum norm of the gradient of these networks; None: no limit.
        lr_schedule: ``"constant"`` (published), or ``"cosine"``: falls to 5 % at the end of the stage.
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
            raise ConfigError(f"stage {name!r}: iters must be an integer of at least 0, got {iters!r}")
        if name in ("discriminator", "temporal_discriminator"):
            raise ConfigError(f"a stage cannot be called {name!r}: this is the name of a discriminator's optimizer")
        self.losses: Mapping[str, Loss] = _build_losses(name, losses)  # type: ignore[assignment]
        self.optimizer = dict(optimizer)
        self.lr_scale = dict(lr_scale or {})
        idle = sorted(set(self.lr_scale) - set(self.train_networks))
        if idle:
            raise ConfigError(f"stage {name!r}: lr_scale names {idle}, but the stage trains only {[*train]}")
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
        """Return the factor of all learning rates at an iteration of this stage, counted from 0."""
        if self.lr_schedule == "constant":
            return 1.0
        progress = min(iteration / max(self.iters, 1), 1.0)
        return FINAL_FACTOR + (1 - FINAL_FACTOR) * (1 + math.cos(math.pi * progress)) / 2

    @property
    def renders(self) -> bool:
        """True if the stage generates images."""
        return "renderer" in self.train_networks

    @property
    def adversarial(self) -> AdversarialLoss | None:
        """The adversarial loss on images, or None."""
        return next((loss for loss in self._adversarial if not isinstance(loss, TemporalAdversarialLoss)), None)

    @property
    def temporal_adversarial(self) -> TemporalAdversarialLoss | None:
        """The adversarial loss on motion, or None."""
        return next((loss for loss in self._adversarial if isinstance(loss, TemporalAdversarialLoss)), None)

    @property
    def _adversarial(self) -> list[AdversarialLoss]:
        return [loss for loss in self.losses.values() if isinstance(loss, AdversarialLoss)]

    @property
    def feature_needs(self) -> list[Needs]:
        """Feature layers that the losses need, see :attr:`posegen.losses.Loss.needs`."""
        return [loss.needs for loss in self.losses.values() if loss.needs]


def _build_losses(stage: str, configs: Mapping[str, Any]) -> nn.ModuleDict:
    losses = {name: LOSSES.build_part(config) for name, config in configs.items()}
    for name, loss in losses.items():
        if not isinstance(loss, Loss):
            raise ConfigError(f"stage {stage!r}: {name!r} is a {type(loss).__name__}, not a posegen.losses.Loss")
    adversarial = {name: type(loss) for name, loss in losses.items() if isinstance(loss, AdversarialLoss)}
    if len(set(adversarial.values())) < len(adversarial):
        raise ConfigError(f"stage {stage!r}: one loss of a kind can be adversarial, got {', '.join(adversarial)}")
    return nn.ModuleDict(losses)
