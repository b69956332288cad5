"""Models as folders that can be given away: weights as safetensors, a JSON config, a card. Nothing in one executes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import jinja2
import torch
from mmengine.config import Config
from torch import Tensor, nn

from . import catalogue, plugin_access
from .config import load_plain, read_plain, require
from .data import KeypointLayout, require_dataset
from .engine.checkpoint import check_weights
from .engine.checkpoint_files import write_safetensors, write_whole
from .errors import CheckpointError, ConfigError, MissingWeightsError, PosegenError, nearest
from .plugin_access import PluginReport
from .registry import DATASETS, MODELS, REGISTRIES
from .version import __version__
from .weights import read_weights, sha256

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
KEYS = ("model", "structure", "size", "test_dataloader", "requires")
"""All that the config of a shared model may have."""
MOST_OF_A_CONFIG, MOST_OF_WEIGHTS = 1 << 20, 8 << 30
"""Bytes that are fetched; the published models have 0.1 GB."""
HUB = "hf://"
"""What the name of a model on the Hugging Face Hub begins with."""
_OF_HUB = re.compile(r"hf:/{1,2}(.*)", re.DOTALL)  # pathlib takes one of two slashes away
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def with_config(model: nn.Module, config: Config) -> nn.Module:
    """*model* with a method ``save_pretrained`` that knows its config: see :func:`save_pretrained`."""
    if not hasattr(model, "save_pretrained"):  # a plugin's model may have its own
        model.save_pretrained = partial(save_pretrained, model, config=config)  # type: ignore[assignment]
    return model


# Writing


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
    """Write a model as a folder that :func:`from_pretrained` loads: weights, config, and a card for those who read.

    A model that was loaded by posegen has this as a method, ``model.save_pretrained(folder)``. The folder is there
    whole or not at all. What is in the config that has nothing to do with the model (data, losses, optimizers, paths of
    this machine) is left out.

    Args:
        model: a complete model, of any kind.
        folder: to write.
        config: of the model.
        name: of the model, for the card; default: the folder's.
        description: what it is, a sentence or more, for the card.
        scores: by metric, for the card.
        scored_under: under which protocol, on how many images, for the card.
        checkpoint: where the weights come from, for the card and the weight file.
        force: write into a folder that has files; those of the same names are replaced.
        half: keep the weights in 16 bits (float16), half as many bytes: they are loaded as float32, rounded to about
            three digits.

    Returns:
        The folder.

    Raises:
        PosegenError: the folder has files, and *force* is False.
        ConfigError: the config lacks what a shared model needs, or has what is no plain data.
        CheckpointError: *half*, and weights are not finite, or too large for 16 bits.
    """
    folder = Path(os.path.abspath(folder))
    check_destination(folder, force)
    content = shared_config(config)
    weights = in_half(model.state_dict()) if half else model.state_dict()
    card = _card(
        name=name or folder.name,
        place=folder.name,
        description=description,
        scores={metric: _rounded(value) for metric, value in (scores or {}).items()},
        scored_under=scored_under,
        checkpoint=checkpoint,
        trained_on=_trained_on(config),
        weights=sum(value.numel() for value in weights.values()),
        of_clips=not hasattr(model, "transfer"),
        content=content,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        whole = Path(temporary, "whole")
        whole.mkdir()
        write_safetensors(whole / WEIGHTS, weights, name=name, weights_of=checkpoint)
        write_whole(whole / CONFIG, [json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False).encode()])
        write_whole(whole / CARD, [card.encode()])
        _read_config(whole)  # what cannot be loaded is not shared
        _put_in_place(whole, folder)
    return folder


def in_half(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by name with their floating numbers in float16, whole numbers as they are.

    Raises:
        CheckpointError: numbers are not finite, or larger than 65,504; names all tensors that have such.
    """
    halved = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
    bad = {name: int((~torch.isfinite(value)).sum()) for name, value in halved.items()}
    problems = [f"  - {name}: {count} of {halved[name].numel()}\n" for name, count in bad.items() if count]
    if problems:
        raise CheckpointError(
            "weights that are not finite, or larger than 65,504, have no half precision:\n"
            + "".join(problems)
            + "Share them as they are (without --half, half=False), and look why they are so large."
        )
    return halved


def check_destination(folder: Path, force: bool) -> None:
    """Raise PosegenError where *folder* is no folder, or has files and they may not be replaced."""
    if folder.exists() and not folder.is_dir():
        raise PosegenError(f"{folder} is a file; give the name of a folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise PosegenError(f"{folder} has files in it; give --force (force=True) to write there, or another name")


def shared_config(config: Config) -> dict[str, Any]:
    """What of a config is needed to build the model, its structure encoder, and to prepare images: plain data.

    Raises:
        ConfigError: it lacks any of these, or says it with objects of Python.
    """
    require(config, "model", "structure", "size")
    content = {key: _plain(config[key], key) for key in ("model", "structure", "size")}
    preparation = _preparation(config)
    if preparation:
        content["test_dataloader"] = {"dataset": preparation}
    check_no_paths(content)
    return {**content, "requires": _required_plugins(content)}


def check_no_paths(content: Mapping[str, Any]) -> None:
    """Raise ConfigError, which names the keys, where plain data of a config has paths of this machine, at any depth."""
    paths = [f"  - {where}: {text!r}" for where, text in _texts(content) if _is_of_this_machine(text)]
    if paths:
        raise ConfigError(
            "a model that needs files of this machine cannot be given away; its config has the paths\n"
            + "\n".join(paths)
        )


def _preparation(config: Config) -> dict[str, Any]:
    """The data set that says how images are prepared, with its options for that; empty: none says.

    A data set that is drawn and reads nothing goes along whole, so that there is something to show wherever the model
    is (:attr:`posegen.data.PoseDataset.drawn_options`).
    """
    dataset = (config.get("test_dataloader") or {}).get("dataset") or {}
    kind = dataset.get("type")
    if not isinstance(kind, str):
        return {}
    part = require_dataset(DATASETS.get(kind))
    names = part.prepare_options if part.drawn_options is None else part.drawn_options
    kept = {name: _plain(dataset[name], f"test_dataloader.dataset.{name}") for name in names if name in dataset}
    if part.drawn_options is not None:
        return {"type": kind, **kept, "structure": "${structure}", "size": "${size}"}
    return {"type": kind, **kept} if part.has_own_preparation() else {}


def _is_of_this_machine(text: str) -> bool:
    """Whether a text is a path that means something here and not elsewhere: absolute, in somebody's home, or of a file
    or folder that there is. A bare word names a part, whatever lies in this folder."""
    absolute = PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute() or text.startswith("file:")
    like_a_path = bool(re.search(r"[/\\.]", text)) and "\0" not in text
    return absolute or bool(re.match(r"~[\w.-]*([/\\]|$)", text)) or (like_a_path and os.path.exists(text))


def _plain(value: Any, where: str) -> Any:
    """A value of a config as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}.{index}") for index, item in enumerate(value)]
    if value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ConfigError(
        f"{where} is {value!r}, an object of Python: a model whose config is not plain data cannot be shared. "
        "Name a registered part instead."
    )


def _required_plugins(content: Any) -> dict[str, str]:
    """The plugins, with their packages, that bring parts and key-point layouts that a config names."""
    found = {}
    for _, name in _texts(content):
        for plugin in _bringing(name):
            found[plugin.name] = plugin.package if plugin.version else ""
    return dict(sorted(found.items()))


def _texts(node: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """All texts in plain data, each with its dotted key."""
    if isinstance(node, str):
        yield where, node
    elif isinstance(node, (dict, list)):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _texts(value, f"{where}.{key}".lstrip("."))


def _bringing(name: str) -> list[PluginReport]:
    """Return the plugins that bring a part or a key-point layout of a name."""
    parts = [registry.module_dict[name] for registry in REGISTRIES if name in registry.module_dict]
    layouts = [layout for layout in catalogue.all(KeypointLayout) if layout.name == name]
    owners = [*map(plugin_access.owner, parts), *map(catalogue.owner_of, layouts)]
    return [owner for owner in owners if owner is not None]


def _trained_on(config: Config) -> str:
    dataset = (config.get("train_dataloader") or {}).get("dataset") or {}
    return str(dataset.get("type") or "")


def _rounded(value: float) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _card(content: Mapping[str, Any], **told: Any) -> str:
    template = Path(__file__).with_name("model_card.md").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return environment.from_string(template).render(
        model=content["model"]["type"],
        structure=content["structure"]["type"],
        size=content["size"],
        requires=content["requires"],
        version=__version__,
        **told,
    )


def _put_in_place(whole: Path, folder: Path) -> None:
    """A new folder by one renaming; into one that is there file by file. The config makes it a model: the old one goes
    first, and the new one comes last, so that what is left of a killed replacement does not load."""
    if not folder.is_dir():
        os.replace(whole, folder)
        return
    (folder / CONFIG).unlink(missing_ok=True)
    for name in (CARD, WEIGHTS, CONFIG):
        os.replace(whole / name, folder / name)


# Reading


def from_pretrained(folder: str | Path, device: str | torch.device = "cpu", revision: str | None = None) -> nn.Module:
    """The model of a shared folder, in eval mode. Nothing in the folder executes.

    Args:
        folder: as :func:`save_pretrained` writes it; or the name of one that a plugin ships
            (:func:`shared_models`); or ``hf://OWNER/NAME``, one on the Hugging Face Hub, which is fetched where
            huggingface_hub is installed.
        device: where the model goes.
        revision: of a model on the Hub: a branch, tag or commit; None: the newest.

    Returns:
        The model, as :func:`posegen.load_model` gives it.

    Raises:
        ConfigError: the config is broken, would execute something, or needs plugins that are not installed.
        CheckpointError: the weights are broken, missing, or of another architecture; a fetched file is not what the Hub
            says it is.
        MissingWeightsError: there is no such folder or name, and the Hub cannot be asked.
    """
    model, config = load_shared(find_shared(folder, revision))
    return with_config(model.to(device), config)


def is_on_hub(folder: str | Path) -> bool:
    """Whether that is the name of a model on the Hub, ``hf://OWNER/NAME``, and no folder."""
    return _OF_HUB.match(_text_of(folder)) is not None


@dataclass(frozen=True)
class SharedModel:
    """A shared model inside the package of a plugin.

    Args:
        name: name that commands, ``posegen.from_pretrained`` and ``posegen.Inferencer`` take; an existing path of that
            name takes precedence.
        folder: folder as ``posegen share`` writes it.
    """

    name: str
    folder: Path


def shared_models() -> dict[str, Path]:
    """Return the folders of the shared models that plugins bring, by name."""
    models = sorted(catalogue.all(SharedModel), key=lambda model: model.name)
    return {model.name: model.folder for model in models}


def is_shared(folder: str | Path) -> bool:
    """Whether that is a shared model and no config: a folder, a name of the Hub, or of a model that a plugin ships."""
    place = Path(folder)
    return place.is_dir() or is_on_hub(folder) or (not place.exists() and _text_of(folder) in shared_models())


def find_shared(folder: str | Path, revision: str | None = None) -> Path:
    """The folder of a shared model; one on the Hub is fetched. Arguments and errors as of :func:`from_pretrained`."""
    if on_hub := _OF_HUB.match(_text_of(folder)):
        return _fetch(on_hub[1], revision)
    place = Path(folder)
    if not place.exists():
        place = _shipped(_text_of(folder))
    if not place.is_dir():
        raise MissingWeightsError(f"{place} is a file: a shared model is a folder")
    if revision is not None:
        raise ConfigError(f"{place} is a folder: a revision is one of a model on the Hub, {HUB}OWNER/NAME")
    return place


def _shipped(name: str) -> Path:
    """The folder of the shared model of that name, which is no path."""
    models = shared_models()
    if name in models:
        return models[name]
    if _HUB_NAME.fullmatch(name):
        raise MissingWeightsError(f"there is no folder {name}; a model on huggingface.co is {HUB}{name}")
    if re.search(r"[/\\]", name):
        raise MissingWeightsError(f"there is no folder {name}")
    raise MissingWeightsError(
        f"there is no folder {name}, and no shared model of that name{nearest(name, models)}\n"
        f"  shared models that plugins ship: {', '.join(models) or 'none'}\n"
        f"  else give the folder of one, {HUB}OWNER/NAME, or a config and the checkpoint of its model"
    )


def _text_of(folder: str | Path) -> str:
    return folder.as_posix() if isinstance(folder, Path) else folder


def load_shared(place: Path) -> tuple[nn.Module, Config]:
    """The model of a folder, in eval mode on the CPU, and its config. Errors as of :func:`from_pretrained`."""
    config = _read_config(place)
    if not (place / WEIGHTS).is_file():
        raise CheckpointError(f"{place} is no shared model: it has no {WEIGHTS}")
    state = read_weights(place / WEIGHTS)
    with torch.device("meta"):  # no memory is taken for a model that the weights are not of
        check_weights(_build(config, place), state, str(place / WEIGHTS))
    model = _build(config, place)
    model.load_state_dict(state)
    return model.eval(), config


def _build(config: Config, place: Path) -> nn.Module:
    kind = MODELS.get(config.model.type)
    if not (hasattr(kind, "transfer") or hasattr(kind, "frames")):
        raise ConfigError(f"{place / CONFIG}: {config.model.type} is no complete model, of pairs or of clips")
    return MODELS.build_part(config.model)


def _read_config(folder: Path) -> Config:
    """The config of a shared folder, which stands alone and is data."""
    path = folder / CONFIG
    if not path.is_file():
        raise ConfigError(f"{folder} is no shared model: it has no {CONFIG}")
    content, _ = read_plain(path, MOST_OF_A_CONFIG)
    strange = [key for key in content if key not in KEYS]
    if strange:
        raise ConfigError(
            f"{path} has {', '.join(map(repr, strange))}; the config of a shared model has {', '.join(KEYS)}, and "
            "nothing that executes or leads elsewhere"
        )
    missing = [key for key in ("model", "structure", "size", "requires") if key not in content]
    if missing:
        raise ConfigError(f"{path} lacks {', '.join(missing)}")
    config = load_plain(content, path)  # what was checked: the file may be another by now
    _check_values(config, path)
    return config


def _check_values(config: Config, path: Path) -> None:
    parts = [name for name in ("model", "structure") if not isinstance(_type_of(config[name]), str)]
    size = config["size"]
    right = isinstance(size, (list, tuple)) and len(size) == 2 and all(type(s) is int and 0 < s <= 8192 for s in size)
    problems = [f"{name} is no part with a type" for name in parts]
    problems += [] if right else [f"size is [height, width] in pixels, got {size!r}"]
    if problems:
        raise ConfigError(f"{path}: {'; '.join(problems)}")


def _type_of(part: Any) -> Any:
    return part.get("type") if isinstance(part, Mapping) else None


# The Hub


def _fetch(name: str, revision: str | None) -> Path:
    """A folder with config and weights of a model on the Hub, each of the size and the checksum that the Hub gives."""
    if not _HUB_NAME.fullmatch(name):
        raise MissingWeightsError(f"{name!r} is no name of the Hub: a model there is {HUB}OWNER/NAME")
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingWeightsError(
            f"to fetch {name} from huggingface.co, its package is needed: pip install huggingface_hub"
        ) from error
    try:
        about = huggingface_hub.HfApi().model_info(name, revision=revision, files_metadata=True)
        said = {file.rfilename: file for file in about.siblings or ()}
        _check_said(said, name)
        fetched = [Path(huggingface_hub.hf_hub_download(name, file, revision=about.sha)) for file in (CONFIG, WEIGHTS)]
    except PosegenError:
        raise
    except Exception as error:  # of the net, of the Hub, of many kinds
        raise MissingWeightsError(f"{name} cannot be fetched from the Hub: {type(error).__name__}: {error}") from error
    for path in fetched:
        _verify(path, said[path.name])
    return fetched[0].parent


def _check_said(said: Mapping[str, Any], name: str) -> None:
    """Raise CheckpointError, before anything is fetched, where the Hub has not both files, or does not say of one how
    large it is and what its checksum is, or it is too large."""
    missing = [file for file in (CONFIG, WEIGHTS) if file not in said]
    if missing:
        raise CheckpointError(f"{name} on the Hub is no shared model: it has no {' and no '.join(missing)}")
    problems = []
    for file, most in ((CONFIG, MOST_OF_A_CONFIG), (WEIGHTS, MOST_OF_WEIGHTS)):
        size = said[file].size
        if not isinstance(size, int) or not any(_checksums(said[file])):
            problems.append(f"the Hub gives no size, or no checksum, of {file}: it cannot be verified")
        elif size > most:
            problems.append(f"{file} has {size:,} bytes; the limit is {most:,}")
    if problems:
        raise CheckpointError(f"{name} on the Hub is not fetched: {'; '.join(problems)}")


def _checksums(said: Any) -> tuple[str, str]:
    """The SHA-256 that the Hub gives of a large file, and git's checksum that it gives of a small one; or empty."""
    lfs = getattr(said, "lfs", None)
    of_large = lfs.get("sha256") if isinstance(lfs, Mapping) else getattr(lfs, "sha256", None)
    return of_large or "", "" if lfs else getattr(said, "blob_id", None) or ""


def _verify(path: Path, said: Any) -> None:
    """Raise CheckpointError where a fetched file is not the one that the Hub told of."""
    size = path.stat().st_size
    if size != said.size:
        raise CheckpointError(
            f"{path} has {size:,} bytes, and the Hub says {said.size:,}: remove it, and fetch it again"
        )
    of_large, of_small = _checksums(said)
    kind, expected, digest = ("SHA-256", of_large, sha256) if of_large else ("git checksum", of_small, _git_checksum)
    if digest(path) != expected:
        raise CheckpointError(f"{path} has another {kind} than the Hub says, {expected}: remove it, and fetch it again")


def _git_checksum(path: Path) -> str:
    """What git calls a file by: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
