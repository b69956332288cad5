"""Structural loss: structural similarity of the generated image and the target (Wang et al., IEEE TIP 2004)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ConfigError
from ..registry import LOSSES
from .base import Loss, LossInputs

WINDOW, SIGMA = 11, 1.5
"""Size and standard deviation of the Gaussian window, in pixels."""
STABILITY = 0.01**2, 0.03**2
"""C1 and C2 for images in [0, 1]."""


@LOSSES.register_module()
class StructuralLoss(Loss):
    """One minus the mean structural similarity of generated and target image, in [0, 2].

    Wang's window, averaged over channels and over the positions where all of it lies inside the image. A mean color
    has little weight, contrast and structure much: it keeps texture that a mean difference of pixels would blur.

    Args:
        weight: factor in the total.

    Raises:
        ConfigError: the images are smaller than the window, 11×11.
    """

    def forward(self, inputs: LossInputs) -> Tensor:
        generated, target = inputs.out.image.float(), inputs.batch.target
        if min(target.shape[-2:]) < WINDOW:
            height, width = target.shape[-2:]
            raise ConfigError(f"StructuralLoss needs images of {WINDOW}×{WINDOW} pixels or more, got {width}×{height}")
        return 1 - structural_similarity((generated + 1) / 2, (target + 1) / 2).mean()


def structural_similarity(first: Tensor, second: Tensor) -> Tensor:
    """Compute the map of structural similarity, B C (H − 10) (W − 10), of images B C H W in [0, 1]."""
    offsets = torch.arange(WINDOW, dtype=first.dtype, device=first.device) - WINDOW // 2
    window = torch.softmax(-offsets.square() / (2 * SIGMA**2), 0)
    averaged = torch.cat([first, second, first.square(), second.square(), first * second], 1)
    planes = averaged.shape[1]
    for shape in ((1, 1, -1, 1), (1, 1, 1, -1)):
        averaged = F.conv2d(averaged, window.view(shape).expand(planes, -1, -1, -1), groups=planes)
    mean, other_mean, square, other_square, product = averaged.chunk(5, 1)
    means, squared_means = mean * other_mean, mean.square() + other_mean.square()
    covariance, variances = product - means, square + other_square - squared_means
    luminance = (2 * means + STABILITY[0]) / (squared_means + STABILITY[0])
    return luminance * (2 * covariance + STABILITY[1]) / (variances + STABILITY[1])
