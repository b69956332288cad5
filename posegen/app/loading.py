"""A model for the page: of pairs or of clips, from a config with a checkpoint or from the folder of a shared model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from mmengine.config import Config

from ..api import load_model
from ..config import require
from ..data import StructureEncoder
from ..errors import ConfigError
from ..registry import STRUCTURE_ENCODERS
from ..sharing import find_shared, load_shared


class Loaded(Protocol):
    """What the page asks of a loaded model; :class:`posegen.Inferencer` has it, too. ``size``: (H, W) in pixels."""

    model: Any
    config: Config
    encoder: StructureEncoder
    size: tuple[int, int]
    device: torch.device


@dataclass
class LoadedModel:
    """A :class:`Loaded` of a model of pairs or of clips."""

    model: Any
    config: Config
    encoder: StructureEncoder
    size: tuple[int, int]
    device: torch.device


def load(
    config_or_folder: Config | Path,
    checkpoint: Path | None = None,
    device: str = "cpu",
    revision: str | None = None,
) -> LoadedModel:
    """Load a model.

    Args:
        config_or_folder: a config that goes with *checkpoint*; or a shared folder, or ``hf://OWNER/NAME``, without one.
        checkpoint: of the config's model.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …
        revision: of a model on the Hub.

    Raises:
        ConfigError: no complete model, or a config without a checkpoint.
        CheckpointError: the weights are unreadable, or of another architecture.
        MissingWeightsError: there is no such folder.
    """
    if isinstance(config_or_folder, Config):
        if checkpoint is None:
            raise ConfigError(f"{config_or_folder.filename} is a config: name the checkpoint of its model behind it")
        model, config = load_model(config_or_folder, checkpoint), config_or_folder
    else:
        model, config = load_shared(find_shared(config_or_folder, revision))
    require(config, "structure", "size")
    if not (hasattr(model, "transfer") or hasattr(model, "frames")):
        raise ConfigError(f"{config.filename}: {type(model).__name__} makes neither pictures nor clips")
    where = torch.device(device)
    size = (int(config["size"][0]), int(config["size"][1]))
    return LoadedModel(model.to(where).eval(), config, STRUCTURE_ENCODERS.build_part(config.structure), size, where)
