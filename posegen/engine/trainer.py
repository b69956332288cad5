"""What mmengine's Runner trains: the complete model, its discriminator, and the stages' losses."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from ..errors import ConfigError
from ..losses import FeatureCache, Step
from ..records import PairBatch, Transfer
from ..registry import DISCRIMINATORS, FEATURE_NETWORKS, MODELS, check_arguments
from .distributed import average_gradients
from .stages import Stage


@MODELS.register_module()
class PairTrainer(BaseModel):
    """Trains a pair model through stages.

    Args:
        model: config of the complete model, of kind model; what :func:`posegen.load_model` loads.
        stages: configs of :class:`Stage`, in the order they are run; none where the model is only tested.
        discriminator: config of kind discriminator; None where no loss is adversarial.
        feature_network: config of kind feature network; None where no loss looks at features.
        autocast: run networks in bfloat16 where that is safe (``--amp``); ``"auto"`` does so where the processor
            computes in it natively, and so gains by it.

    Attributes:
        stage: the current stage; the loop sets it.
    """

    stage: Stage

    def __init__(
        self,
        model: Any,
        stages: Sequence[Any],
        discriminator: Any = None,
        feature_network: Any = None,
        autocast: bool | Literal["auto"] = False,
    ) -> None:
        super().__init__()
        self.stages: Sequence[Stage] = nn.ModuleList(map(_build_stage, stages))  # type: ignore[assignment]
        self.model = MODELS.build_part(model)
        self.discriminator = DISCRIMINATORS.build_part(discriminator)
        self.feature_network = FEATURE_NETWORKS.build_part(feature_network)
        self.autocast = computes_in_bfloat16() if autocast == "auto" else bool(autocast)
        for stage in self.stages:
            if stage.feature_needs and self.feature_network is None:
                raise ConfigError(f"stage {stage.name!r} has losses on features: the trainer needs a feature_network")
            if stage.adversarial is not None and self.discriminator is None:
                raise ConfigError(f"stage {stage.name!r} has an adversarial loss: the trainer needs a discriminator")

    @property
    def total_iters(self) -> int:
        """Iterations of all stages together."""
        return sum(stage.iters for stage in self.stages)

    @property
    def stage_ends(self) -> set[int]:
        """The iterations at which a stage has just ended."""
        return set(itertools.accumulate(stage.iters for stage in self.stages))

    def stage_at(self, iteration: int) -> Stage:
        """The stage that trains iteration *iteration* (from 0); the last one for anything later."""
        for stage in self.stages:
            if iteration < stage.iters:
                return stage
            iteration -= stage.iters
        return self.stages[-1]

    def start_of(self, stage: Stage) -> int:
        """The iteration at which *stage* begins."""
        return sum(earlier.iters for earlier in itertools.takewhile(lambda other: other is not stage, self.stages))

    def trained_parameters(self, stage: Stage) -> list[nn.Parameter]:
        """Parameters of the model that *stage* trains."""
        return [p for name in stage.train_networks for p in getattr(self.model, name).parameters()]

    def train_step(self, data: PairBatch, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """One iteration of the current stage: the discriminator first, then the model.

        Returns:
            The weighted value of each loss, and their sum as ``loss``.
        """
        batch = data.to(next(self.model.parameters()).device)
        log: dict[str, Tensor] = {}
        with torch.autocast(batch.source.device.type, torch.bfloat16, enabled=self.autocast):
            out = self._generate(batch)
            if self.stage.adversarial is not None:
                log["discriminator"] = self._train_discriminator(batch, out, optim_wrapper["discriminator"])
            losses = self._losses(batch, out)
        total = torch.stack(list(losses.values())).sum()
        self._update(total, optim_wrapper[self.stage.name], self.trained_parameters(self.stage))
        return {**{name: value.detach() for name, value in losses.items()}, **log, "loss": total.detach()}

    def _generate(self, batch: PairBatch) -> Transfer:
        if self.stage.renders:
            return self.model(batch.source, batch.source_structure, batch.target_structure)
        flows, masks = self.model.flow_estimator(batch.source, batch.source_structure, batch.target_structure)
        return Transfer(batch.source.new_empty(0), flows, masks)

    def _train_discriminator(self, batch: PairBatch, out: Transfer, optimizer: Any) -> Tensor:
        assert self.stage.adversarial is not None
        self.discriminator.requires_grad_(True)
        real, generated = self.discriminator(batch.target), self.discriminator(out.image.detach())
        loss = self.stage.adversarial.discriminate(real, generated)
        self._update(loss, optimizer, list(self.discriminator.parameters()))
        return loss.detach()

    def _losses(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        judged = None
        if self.stage.adversarial is not None:
            self.discriminator.requires_grad_(False)  # the gradient passes through it, and is not kept in it
            judged = self.discriminator(out.image)
        images = {"source": batch.source, "target": batch.target, "generated": out.image}
        step = Step(batch, out, FeatureCache(self.feature_network, images, self.stage.feature_needs), judged)
        return {name: loss.weight * loss(step) for name, loss in self.stage.losses.items()}

    def _update(self, loss: Tensor, optimizer: Any, parameters: list[nn.Parameter]) -> None:
        optimizer.backward(loss)
        average_gradients(parameters)
        optimizer.step()
        optimizer.zero_grad()  # after the step, so that no network keeps a gradient from one step to the next

    @torch.no_grad()
    def val_step(self, data: PairBatch) -> list[Transfer]:
        """What the model makes of a batch, in full precision; the evaluator hands it on to every metric."""
        batch = data.to(next(self.model.parameters()).device)
        return [self.model.transfer(batch.source, batch.source_structure, batch.target_structure)]

    test_step = val_step

    def forward(self, *inputs: Any, **kwargs: Any) -> Transfer:
        """The complete model's forward."""
        return self.model(*inputs, **kwargs)


def computes_in_bfloat16() -> bool:
    """Whether this machine's processor, the GPU where there is one, computes in bfloat16 natively."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _build_stage(stage: Any) -> Stage:
    if isinstance(stage, Stage):
        return stage
    check_arguments(Stage, dict(stage), where=f"stage {stage.get('name', '?')!r}")
    return Stage(**stage)
