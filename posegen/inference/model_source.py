"""Models by name: a config with its checkpoint, a shared folder, a plugin's model, a model on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from .. import plugin_access
from ..checkpoints import check_weights, read_model_weights
from ..config import is_config, load_config, require
from ..data import StructureEncoder
from ..errors import CheckpointError, ConfigError
from ..registry import MODELS, STRUCTURE_ENCODERS
from ..sharing import WEIGHTS, find_shared, is_shared, read_shared_config, with_config


@dataclass(frozen=True)
class ModelSource:
    """Config and weight file of a model. The config is read; the weights are read by :meth:`load`.

    Args:
        config: config of the model.
        weights: posegen checkpoint or weights of a shared folder; None: random weights.
        shared: whether both come from a shared folder, which is not trusted.
    """

    config: Config
    weights: Path | None = None
    shared: bool = False

    @classmethod
    def find(
        cls,
        model: str | Path | Config,
        checkpoint: str | Path | None = None,
        revision: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        plugin_files: Sequence[str | Path] = (),
    ) -> ModelSource:
        """Find a model and read its config.

        Args:
            model: a config, its path or the name of one that comes with posegen, each with *checkpoint*; or a shared
                folder, the name of a model that a plugin ships, or ``hf://OWNER/NAME``.
            checkpoint: posegen checkpoint (from training or ``posegen convert``) of a config's model.
            revision: branch, tag or commit of a model on the Hub; None: the newest.
            overrides: values by dotted key, for a config.
            plugin_files: plugins to load before anything is looked up.

        Raises:
            ConfigError: the config is broken, or these arguments do not go together.
            CheckpointError: no such checkpoint.
            MissingWeightsError: no such folder or name, or it cannot be fetched.
        """
        for plugin in plugin_files:
            plugin_access.load_named(plugin)
        if not isinstance(model, Config) and is_shared(model):
            if checkpoint is not None or overrides:
                raise ConfigError(
                    f"{model} is a shared model with its own weights and config: remove CHECKPOINT and --cfg-options"
                )
            return cls.in_folder(find_shared(model, revision))
        if checkpoint is None:
            if isinstance(model, Config) or is_config(model):
                name = model.filename if isinstance(model, Config) else model
                raise ConfigError(
                    f"missing argument: CHECKPOINT. {name} is a config; give a posegen checkpoint (from training or "
                    "`posegen convert`) of its model"
                )
            return cls.in_folder(find_shared(model, revision))  # which says what is missing
        if revision is not None:
            raise ConfigError(f"--revision {revision} is for a model on the Hub, not for a checkpoint")
        if not Path(checkpoint).is_file():
            raise CheckpointError(f"no such checkpoint: {checkpoint}")
        config = model if isinstance(model, Config) else load_config(model, overrides, plugin_files)
        return cls(config, Path(checkpoint))

    @classmethod
    def in_folder(cls, folder: Path) -> ModelSource:
        """Read the config of a shared folder. Errors: see :meth:`find`."""
        config = read_shared_config(folder)
        if not (folder / WEIGHTS).is_file():
            raise CheckpointError(f"{folder} is not a shared model: it has no {WEIGHTS}")
        return cls(config, folder / WEIGHTS, shared=True)

    def keypoint_encoder(self) -> StructureEncoder:
        """Build the structure encoder.

        Raises:
            ConfigError: the config has none, or it does not encode key points.
        """
        require(self.config, "structure", "size")
        encoder = STRUCTURE_ENCODERS.build_part(self.config.structure)
        if encoder.layout is None:
            raise ConfigError(f"{self.config.filename}: {type(encoder).__name__} does not encode key points")
        return encoder

    def load(self) -> nn.Module:
        """Build the model on the CPU, in eval mode, and load its weights.

        Raises:
            ConfigError: the config has no model.
            CheckpointError: the weights are unreadable or belong to another architecture.
        """
        require(self.config, "model")
        build = partial(MODELS.build_part, self.config.model)
        if self.weights is None:
            return with_config(build().eval(), self.config)
        state = read_model_weights(self.weights)
        if self.shared:
            with torch.device("meta"):  # refuse a config that asks for more memory than the weights need
                check_weights(build(), state, str(self.weights))
        model = build()
        check_weights(model, state, str(self.weights))
        model.load_state_dict(state)
        return with_config(model.eval(), self.config)
