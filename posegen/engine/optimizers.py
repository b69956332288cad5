"""The optimizers of all stages: one for the networks a stage trains, one for the discriminator."""

from __future__ import annotations

from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIMIZERS
from torch import nn

from ..registry import OPTIM_WRAPPER_CONSTRUCTORS
from .distributed import unwrapped
from .stages import Stage
from .trainer import Trainer


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class StageOptimizers:
    """Builds ``{stage name: ..., "discriminator": ...}`` from the stages of a :class:`Trainer`.

    Each stage begins with fresh moments, as published. The arguments are mmengine's and unused: a stage says itself how
    it is optimized.
    """

    def __init__(self, optim_wrapper_cfg: Any = None, paramwise_cfg: Any = None) -> None:
        pass

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """The optimizers of *model*, a trainer or a wrapper around one."""
        trainer: Any = unwrapped(model)
        wrappers = {stage.name: _stage_optimizer(trainer, stage) for stage in trainer.stages}
        adversarial = next((stage for stage in trainer.stages if stage.discriminator_optimizer), None)
        if adversarial is not None:
            for name, discriminator in trainer.discriminators.items():
                wrappers[name] = _wrap(adversarial.discriminator_optimizer, list(discriminator.parameters()), None)
        return OptimWrapperDict(**wrappers)


def _stage_optimizer(trainer: Trainer, stage: Stage) -> OptimWrapper:
    rate = stage.optimizer.get("lr")
    groups = []
    for name in stage.train_networks:
        group: dict[str, Any] = {"params": list(getattr(trainer.model, name).parameters())}
        if name in stage.lr_scale and rate is not None:
            group["lr"] = rate * stage.lr_scale[name]
        groups.append(group)
    return _wrap(stage.optimizer, groups, stage.clip_gradient)


def _wrap(config: Any, parameters: Any, clip: float | None) -> OptimWrapper:
    optimizer = OPTIMIZERS.build(dict(config, params=parameters))
    for group in optimizer.param_groups:
        group["stage_lr"] = group["lr"]  # what a stage's schedule is a factor of
    return OptimWrapper(optimizer, clip_grad={"max_norm": clip} if clip else None)
