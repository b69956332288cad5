"""Optimizers of all stages: one for the networks that a stage trains, one for each discriminator."""

from __future__ import annotations

from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIMIZERS

from ..registry import OPTIM_WRAPPER_CONSTRUCTORS
from .stages import Stage
from .trainer import Trainer


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class StageOptimizers:
    """Builds ``{stage name: ..., "discriminator": ...}`` from the stages of a :class:`Trainer`.

    Each stage starts with an optimizer of its own, as published. The constructor's arguments are mmengine's and are not
    used: a stage's own config says how it is optimized.
    """

    def __init__(self, optim_wrapper_cfg: Any = None, paramwise_cfg: Any = None) -> None:
        pass

    def __call__(self, trainer: Trainer) -> OptimWrapperDict:
        """Build the optimizers of all stages."""
        wrappers = {stage.name: _stage_optimizer(trainer, stage) for stage in trainer.stages}
        config = next(
            (stage.discriminator_optimizer for stage in trainer.stages if stage.discriminator_optimizer), None
        )
        if config is not None:
            for name, discriminator in trainer.discriminators.items():
                wrappers[name] = _wrap(config, list(discriminator.parameters()), clip=None)
        return OptimWrapperDict(**wrappers)


def _stage_optimizer(trainer: Trainer, stage: Stage) -> OptimWrapper:
    rate = stage.optimizer.get("lr")
    groups = []
    for name in stage.train_networks:
        group: dict[str, Any] = {"params": list(trainer.network(name).parameters())}
        if name in stage.lr_scale and rate is not None:
            group["lr"] = rate * stage.lr_scale[name]
        groups.append(group)
    return _wrap(stage.optimizer, groups, stage.clip_gradient)


def _wrap(config: Any, parameters: Any, clip: float | None) -> OptimWrapper:
    optimizer = OPTIMIZERS.build(dict(config, params=parameters))
    for group in optimizer.param_groups:
        group["stage_lr"] = group["lr"]  # the rate that a schedule multiplies
    return OptimWrapper(optimizer, clip_grad={"max_norm": clip} if clip else None)
