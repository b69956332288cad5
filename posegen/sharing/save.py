"""Write a model as a folder to give away: weights as safetensors, a JSON config, a model card."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from .. import catalogue, plugin_access
from ..checkpoints.files import write_safetensors, write_whole
from ..config import require
from ..data import KeypointLayout, require_dataset
from ..errors import CheckpointError, ConfigError, PosegenError
from ..registry import DATASETS, REGISTRIES
from ..version import __version__
from .find import CARD, CONFIG, WEIGHTS, read_shared_config

TEMPLATE = Path(__file__).with_name("model_card.md")


def with_config(model: nn.Module, config: Config) -> nn.Module:
    """Give *model* a method ``save_pretrained`` that knows its config: see :func:`save_pretrained`."""
    if not hasattr(model, "save_pretrained"):  # a plugin's model may have its own
        model.save_pretrained = partial(save_pretrained, model, config=config)  # type: ignore[assignment]
    return model


def save_pretrained(
    model: nn.Module,
    folder: str | Path,
    config: Config,
    name: str = "",
    description: str = "",
    scores: Mapping[str, float] | None = None,
    scored_under: str = "",
    checkpoint: str = "",
    force: bool = False,
    half: bool = False,
) -> Path:
    """Write a model as a folder for :func:`posegen.from_pretrained`: weights, config, and a model card.

    A model that posegen loaded has this as a method, ``model.save_pretrained(folder)``. The folder is written whole or
    not at all. Its config has only what the model needs: no data, losses, optimizers, or paths of this machine.

    Args:
        model: a complete model of any kind.
        folder: folder to write.
        config: config of the model.
        name: name of the model in the card (default: the folder's).
        description: description in the card, a sentence or more.
        scores: scores by metric, for the card.
        scored_under: protocol and number of images of the scores, for the card.
        checkpoint: origin of the weights, for the card and the weight file.
        force: write into a folder that has files; files of the same names are replaced.
        half: store the weights as float16, half as many bytes. They are loaded as float32, rounded to about three
            digits.

    Returns:
        The folder.

    Raises:
        PosegenError: the folder has files, and *force* is False.
        ConfigError: the config lacks what a shared model needs, or is not plain data.
        CheckpointError: *half*, and weights are not finite or too large for float16.
    """
    folder = Path(os.path.abspath(folder))
    check_destination(folder, force)
    content = shared_config(config)
    weights = to_half(model.state_dict()) if half else model.state_dict()
    card = _card(
        content,
        name=name or folder.name,
        folder=folder.name,
        description=description,
        scores={metric: f"{value:.4g}" for metric, value in (scores or {}).items()},
        scored_under=scored_under,
        checkpoint=checkpoint,
        trained_on=str(_dataset(config, "train_dataloader").get("type") or ""),
        weights=sum(value.numel() for value in weights.values()),
        single_images=hasattr(model, "transfer"),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        whole = Path(temporary, "whole")
        whole.mkdir()
        write_safetensors(whole / WEIGHTS, weights, name=name, weights_of=checkpoint)
        write_whole(whole / CONFIG, [json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False).encode()])
        write_whole(whole / CARD, [card.encode()])
        read_shared_config(whole)  # a model that cannot be loaded is not shared
        _move(whole, folder)
    return folder


def to_half(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert floating-point weights to float16.

    Raises:
        CheckpointError: values are not finite or larger than 65,504; names all tensors that have such.
    """
    halved = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    bad = {name: int((~torch.isfinite(value)).sum()) for name, value in halved.items()}
    problems = [f"  - {name}: {count} of {halved[name].numel()}" for name, count in bad.items() if count]
    if problems:
        raise CheckpointError(
            "weights that are not finite, or larger than 65,504, have no half precision:\n"
            + "\n".join(problems)
            + "\nShare them in full precision (without --half, half=False), and find out why they are so large."
        )
    return halved


def check_destination(folder: Path, force: bool) -> None:
    """Raise PosegenError if *folder* is a file, or has files that must not be replaced."""
    if folder.exists() and not folder.is_dir():
        raise PosegenError(f"{folder} is a file; give the name of a folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise PosegenError(f"{folder} is not empty; use --force (force=True) to write there, or choose another name")


def shared_config(config: Config) -> dict[str, Any]:
    """Return the part of a config that builds the model and its structure encoder and prepares images, as plain data.

    Raises:
        ConfigError: it lacks any of these, or contains Python objects or paths of this machine.
    """
    require(config, "model", "structure", "size")
    content = {key: _plain(config[key], key) for key in ("model", "structure", "size")}
    if preparation := _preparation(config):
        content["test_dataloader"] = {"dataset": preparation}
    check_no_paths(content)
    return {**content, "requires": _required_plugins(content)}


def check_no_paths(content: Mapping[str, Any]) -> None:
    """Raise ConfigError, which names the keys, if plain data has paths of this machine at any depth."""
    paths = [f"  - {where}: {text!r}" for where, text in _texts(content) if _is_local_path(text)]
    if paths:
        raise ConfigError("a model that needs files of this machine cannot be shared. Paths:\n" + "\n".join(paths))


def _dataset(config: Config, loader: str) -> Mapping[str, Any]:
    return (config.get(loader) or {}).get("dataset") or {}


def _preparation(config: Config) -> dict[str, Any]:
    """Return the test data set with the options that prepare images; empty if its class only resizes them.

    A data set that is drawn keeps the options that determine what is drawn, so that there are examples wherever the
    model is (:attr:`posegen.data.PoseDataset.drawn_options`).
    """
    dataset = _dataset(config, "test_dataloader")
    kind = dataset.get("type")
    if not isinstance(kind, str):
        return {}
    part = require_dataset(DATASETS.get(kind))
    names = part.prepare_options if part.drawn_options is None else part.drawn_options
    kept = {name: _plain(dataset[name], f"test_dataloader.dataset.{name}") for name in names if name in dataset}
    if part.drawn_options is not None:
        return {"type": kind, **kept, "structure": "${structure}", "size": "${size}"}
    return {"type": kind, **kept} if part.has_own_preparation() else {}


def _is_local_path(text: str) -> bool:
    """Return whether a text is a path of this machine: absolute, in a home folder, or of a file that exists.

    A bare word is the name of a part, even if a file of that name exists.
    """
    absolute = PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute() or text.startswith("file:")
    like_a_path = bool(re.search(r"[/\\.]", text)) and "\0" not in text
    return absolute or bool(re.match(r"~[\w.-]*([/\\]|$)", text)) or (like_a_path and os.path.exists(text))


def _plain(value: Any, where: str) -> Any:
    """Return a config value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}.{index}") for index, item in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ConfigError(
        f"{where} is {value!r}, a Python object: only a model whose config is plain data can be shared. Use the name "
        "of a registered part instead."
    )


def _texts(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Yield all texts in plain data, each with its dotted key."""
    if isinstance(node, str):
        yield where, node
    elif isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _texts(value, f"{where}.{key}".lstrip("."))


def _required_plugins(content: Any) -> dict[str, str]:
    """Return the plugins, with their packages, that bring the parts and key-point layouts that a config names."""
    found = {}
    for _, name in _texts(content):
        parts = [registry.module_dict[name] for registry in REGISTRIES if name in registry.module_dict]
        layouts = [layout for layout in catalogue.all(KeypointLayout) if layout.name == name]
        for plugin in (*map(plugin_access.owner, parts), *map(catalogue.owner_of, layouts)):
            if plugin is not None:
                found[plugin.name] = plugin.package if plugin.version else ""
    return dict(sorted(found.items()))


def _card(content: Mapping[str, Any], **values: Any) -> str:
    import jinja2  # which takes 0.2 s, and only to write a model

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        model=content["model"]["type"],
        structure=content["structure"]["type"],
        size=content["size"],
        requires=content["requires"],
        version=__version__,
        **values,
    )


def _move(whole: Path, folder: Path) -> None:
    """Rename a new folder at once; replace an existing one file by file.

    The config makes it a model: the old one is removed first and the new one is written last, so that an interrupted
    replacement does not load.
    """
    if not folder.is_dir():
        os.replace(whole, folder)
        return
    (folder / CONFIG).unlink(missing_ok=True)
    for name in (CARD, WEIGHTS, CONFIG):
        os.replace(whole / name, folder / name)
