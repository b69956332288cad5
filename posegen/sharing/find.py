"""Find shared models, and read their configs, which must be plain data."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .. import catalogue
from ..config import load_plain
from ..errors import ConfigError, MissingWeightsError, nearest
from ..files import read_plain
from ..registry import MODELS
from .hub import HUB, fetch, hub_name, is_hub_name

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
KEYS = ("model", "structure", "size", "test_dataloader", "requires")
"""All keys that the config of a shared model may have."""
MAX_CONFIG_BYTES, MAX_WEIGHTS_BYTES = 1 << 20, 8 << 30
"""Limits of files that are fetched; published models have 0.1 GB."""


@dataclass(frozen=True)
class SharedModel:
    """A shared model inside the package of a plugin.

    Args:
        name: name that commands, ``posegen.from_pretrained`` and ``posegen.Inferencer`` take; an existing path of that
            name takes precedence.
        folder: folder as ``posegen share`` writes it.
        examples: numbers, from 0, of the samples of its test set that are shown first.
    """

    name: str
    folder: Path
    examples: Sequence[int] = ()


def shared_models() -> dict[str, Path]:
    """Return the folders of the shared models that plugins bring, by name."""
    models = sorted(catalogue.all(SharedModel), key=lambda model: model.name)
    return {model.name: model.folder for model in models}


def example_numbers(name: str | Path, count: int) -> list[int]:
    """Return numbers, from 0, of samples of a model's test set to show: its examples, if it is shipped, then others."""
    first = next((one.examples for one in catalogue.all(SharedModel) if one.name == Path(name).as_posix()), ())
    others = (number for number in itertools.count() if number not in first)
    return list(itertools.islice(itertools.chain(first, others), count))


def is_shared(name: str | Path) -> bool:
    """Return whether a name is that of a shared model: a folder, a plugin's model or a model on the Hub."""
    path = Path(name)
    return path.is_dir() or hub_name(name) is not None or (not path.exists() and path.as_posix() in shared_models())


def find_shared(name: str | Path, revision: str | None = None) -> Path:
    """Return the folder of a shared model; fetch a model on the Hub.

    Args:
        name: a folder as :func:`save_pretrained` writes it, the name of a model that a plugin ships, or
            ``hf://OWNER/NAME``, which requires huggingface_hub.
        revision: branch, tag or commit of a model on the Hub; None: the newest.

    Raises:
        ConfigError: a *revision* of a model that is not on the Hub.
        CheckpointError: a fetched file has not the size or checksum that the Hub gives.
        MissingWeightsError: no such folder or name, or it cannot be fetched.
    """
    if (on_hub := hub_name(name)) is not None:
        return fetch(on_hub, {CONFIG: MAX_CONFIG_BYTES, WEIGHTS: MAX_WEIGHTS_BYTES}, revision)
    folder = Path(name)
    if not folder.exists():
        folder = _shipped(folder.as_posix())
    if not folder.is_dir():
        raise MissingWeightsError(f"{folder} is a file: a shared model is a folder")
    if revision is not None:
        raise ConfigError(f"--revision {revision} is for a model on the Hub, {HUB}OWNER/NAME; {folder} is a folder")
    return folder


def _shipped(name: str) -> Path:
    models = shared_models()
    if name in models:
        return models[name]
    if is_hub_name(name):
        raise MissingWeightsError(f"no such folder: {name}. For a model on huggingface.co, use {HUB}{name}")
    if re.search(r"[/\\]", name):
        raise MissingWeightsError(f"no such folder: {name}")
    raise MissingWeightsError(
        f"no folder and no shared model is called {name}{nearest(name, models)}\n"
        f"  shared models of plugins: {', '.join(models) or 'none'}\n"
        f"  or give the folder of a shared model, {HUB}OWNER/NAME, or a config and its checkpoint"
    )


def read_shared_config(folder: Path) -> Config:
    """Read the config of a shared folder, which must be plain data without references to other files.

    Raises:
        ConfigError: missing, broken, or it would execute something, needs plugins that are not installed, or has no
            complete model.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ConfigError(f"{folder} is not a shared model: it has no {CONFIG}")
    content, _ = read_plain(path, MAX_CONFIG_BYTES)
    unknown = [key for key in content if key not in KEYS]
    if unknown:
        raise ConfigError(
            f"{path} has {', '.join(map(repr, unknown))}; the config of a shared model has only {', '.join(KEYS)}"
        )
    missing = [key for key in KEYS if key not in content and key != "test_dataloader"]
    if missing:
        raise ConfigError(f"{path} lacks {', '.join(missing)}")
    config = load_plain(content, path)  # checks this content; the file could change in between
    problems = [f"{name} is not a part with a type" for name in ("model", "structure") if not _has_type(config[name])]
    size = config["size"]
    if not (isinstance(size, (list, tuple)) and len(size) == 2 and all(type(s) is int and 0 < s <= 8192 for s in size)):
        problems.append(f"size is [height, width] in pixels, got {size!r}")
    if problems:
        raise ConfigError(f"{path}: {'; '.join(problems)}")
    kind = MODELS.get(config.model.type)
    if not (hasattr(kind, "transfer") or hasattr(kind, "frames")):
        raise ConfigError(f"{path}: {config.model.type} is not a complete model of pairs or clips")
    return config


def _has_type(part: Any) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("type"), str)
