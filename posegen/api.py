"""The public functions of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def load_model(
    config: Any,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    compile: bool | str = False,
) -> Any:
    """The complete model of a config, in eval mode.

    Args:
        config: path of a config, or one loaded with :func:`posegen.config.load_config`. A ``.py`` config is code and
            runs; ``.json`` and ``.yaml`` cannot execute anything.
        checkpoint: of a training run, or converted from a published one; None for fresh random weights.
        device: where the model goes.
        compile: run its networks through torch.compile, at their first call, which takes minutes; or the name of a
            backend of torch's. Where that fails, a warning says so: :func:`posegen.compiling.compile_networks`.

    Returns:
        The model (of kind model), for example :class:`posegen.models.PairModel` with its ``transfer``. Its method
        ``save_pretrained(folder)`` writes it to give away: :func:`posegen.sharing.save_pretrained`.

    Raises:
        ConfigError: the config cannot be read or names something that does not exist; so does *compile*.
        CheckpointError: the checkpoint is unreadable, or of another architecture.
    """
    from .compiling import compile_networks
    from .config import load_config, require
    from .engine.checkpoint import load_weights
    from .registry import MODELS
    from .sharing import with_config

    loaded = load_config(config) if isinstance(config, (str, Path)) else config
    require(loaded, "model")
    model = MODELS.build_part(loaded.model)
    if checkpoint is not None:
        load_weights(model, checkpoint)
    compile_networks(model, compile)
    return with_config(model.to(device).eval(), loaded)


def from_pretrained(folder: str | Path, device: str | torch.device = "cpu", revision: str | None = None) -> Any:
    """The model of a shared folder, or of ``hf://OWNER/NAME`` on the Hub: :func:`posegen.sharing.from_pretrained`."""
    from . import sharing

    return sharing.from_pretrained(folder, device, revision)
