"""The adversarial game (``spec: losses``)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..registry import LOSSES
from .step import Loss, Step


@LOSSES.register_module()
class AdversarialLoss(Loss):
    """The generator's side, and through :meth:`discriminate` the discriminator's. Published: least squares, weight 2.

    Args:
        mode: ``"lsgan"`` (least squares) or ``"hinge"``.
        weight: of the generator's term in the total; the discriminator's has none.
    """

    def __init__(self, mode: Literal["lsgan", "hinge"] = "lsgan", weight: float = 1.0) -> None:
        super().__init__(weight)
        if mode not in ("lsgan", "hinge"):
            raise ConfigError(f"mode must be 'lsgan' or 'hinge', got {mode!r}")
        self.mode = mode

    def forward(self, step: Step) -> Tensor:
        assert step.judged is not None, "an adversarial loss needs a discriminator in the model"
        judged = step.judged.float()
        return (judged - 1).square().mean() if self.mode == "lsgan" else -judged.mean()

    def discriminate(self, real: Tensor, generated: Tensor) -> Tensor:
        """The discriminator's loss, halved, of its logits for real and for generated images."""
        return (self.real(real.float()) + self.generated(generated.float())) / 2

    def real(self, logits: Tensor) -> Tensor:
        """The discriminator's term for real images."""
        return (logits - 1).square().mean() if self.mode == "lsgan" else F.relu(1 - logits).mean()

    def generated(self, logits: Tensor) -> Tensor:
        """The discriminator's term for generated images."""
        return logits.square().mean() if self.mode == "lsgan" else F.relu(1 + logits).mean()


@LOSSES.register_module()
class TemporalAdversarialLoss(AdversarialLoss):
    """The same game about the motion in a clip, with the temporal discriminator. Arguments as there."""
