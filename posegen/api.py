"""The public functions of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def load_model(config: Any, checkpoint: str | Path | None = None, device: str | torch.device = "cpu") -> Any:
    """The complete model of a config, in eval mode.

    Args:
        config: path of a config, or one loaded with :func:`posegen.config.load_config`.
        checkpoint: of a training run, or converted from a published one; None for fresh random weights.
        device: where the model goes.

    Returns:
        The model (of kind model), for example :class:`posegen.models.PairModel` with its ``transfer``.

    Raises:
        ConfigError: the config cannot be read or names something that does not exist.
        CheckpointError: the checkpoint is unreadable, or of another architecture.
    """
    from .config import load_config, require
    from .engine.checkpoint import load_weights
    from .registry import MODELS

    loaded = load_config(config) if isinstance(config, (str, Path)) else config
    require(loaded, "model")
    model = MODELS.build_part(loaded.model)
    if checkpoint is not None:
        load_weights(model, checkpoint)
    return model.to(device).eval()
