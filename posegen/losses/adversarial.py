"""Adversarial losses (GFLA, arXiv 2003.00696, section 3.2; clips: arXiv 2008.12606)."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..registry import LOSSES
from .base import Loss, LossInputs


@LOSSES.register_module()
class AdversarialLoss(Loss):
    """Loss of the generator; :meth:`discriminate` is the discriminator's. Published: least squares, weight 2.

    Args:
        mode: ``"lsgan"`` (least squares) or ``"hinge"``.
        weight: factor of the generator's term in the total; the discriminator's term has none.
    """

    discriminator = "discriminator"
    """Name of the trainer's discriminator whose logits the loss judges."""

    def __init__(self, mode: Literal["lsgan", "hinge"] = "lsgan", weight: float = 1.0) -> None:
        super().__init__(weight)
        if mode not in ("lsgan", "hinge"):
            raise ConfigError(f"mode must be 'lsgan' or 'hinge', got {mode!r}")
        self.mode = mode

    def forward(self, inputs: LossInputs) -> Tensor:
        assert inputs.logits is not None, "an adversarial loss needs a discriminator in the model"
        return self.generator(inputs.logits)

    def generator(self, logits: Tensor) -> Tensor:
        """Compute the generator's loss from logits for generated images."""
        logits = logits.float()
        return (logits - 1).square().mean() if self.mode == "lsgan" else -logits.mean()

    def discriminate(self, real: Tensor, generated: Tensor) -> Tensor:
        """Compute the discriminator's loss, halved, from its logits for real and for generated images."""
        return (self.real(real.float()) + self.generated(generated.float())) / 2

    def real(self, logits: Tensor) -> Tensor:
        """Compute the discriminator's term for real images."""
        return (logits - 1).square().mean() if self.mode == "lsgan" else F.relu(1 - logits).mean()

    def generated(self, logits: Tensor) -> Tensor:
        """Compute the discriminator's term for generated images."""
        return logits.square().mean() if self.mode == "lsgan" else F.relu(1 + logits).mean()


@LOSSES.register_module()
class TemporalAdversarialLoss(AdversarialLoss):
    """Adversarial loss of the temporal discriminator. Arguments as :class:`AdversarialLoss`."""

    discriminator = "temporal_discriminator"
