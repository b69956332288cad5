"""Means over pixels that weigh the subject more than the background."""

from __future__ import annotations

from torch import Tensor

from ..errors import ConfigError
from ..records import PairBatch


def foreground_weights(batch: PairBatch, background: float, user: str) -> Tensor:
    """Return weights of the target's pixels, B 1 H W: 1 in the foreground, *background* elsewhere.

    Args:
        batch: pairs with ``foreground``: drawn data knows it, and data sets may draw it from key points.
        background: weight of a pixel of the background.
        user: name of the loss, for the error.

    Raises:
        ConfigError: the data has no foreground.
    """
    if batch.foreground is None:
        raise ConfigError(f"{user}: background={background:g} needs data with a foreground, the mask of the subject")
    return background + (1 - background) * batch.foreground


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Compute the weighted mean of each image of values B C H W, then over images; an image without weight counts as 0.

    The mean is taken image by image, so that a batch split over processes gives the same value.
    """
    channels = values.shape[1]
    sums = (values * weights).flatten(1).sum(1)
    return (sums / (channels * weights.flatten(1).sum(1)).clamp(min=1e-6)).mean()
