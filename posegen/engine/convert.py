"""Convert weight files of the published models (https://github.com/RenYurui/Global-Flow-Local-Attention)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from ..checkpoints import read_checkpoint, state_of
from ..config import require
from ..errors import CheckpointError
from ..models.published import ALIASES, is_published, our_name
from ..registry import DISCRIMINATORS, MODELS

MOST_LISTED = 6
"""Keys that an error names."""
DISCRIMINATOR_NAMES = ("discriminator", "temporal_discriminator")
"""Names of a trainer's discriminators."""


def convert(config: Config, source: str | Path, discriminators: Sequence[str | Path] = ()) -> dict[str, Any]:
    """Make a posegen checkpoint from published weight files.

    Args:
        config: config of the same architecture.
        source: published file of F and G, or of a discriminator, recognized by its keys.
        discriminators: published discriminator files to add to F and G; clip models have two.

    Raises:
        CheckpointError: a file cannot be read or does not fit. Names the keys that are missing, left over or of
            the wrong shape.
    """
    state = read_published(source)
    if is_published(state):
        converted = _convert_model(config, state, str(source))
    else:
        converted = _convert_discriminator(config, state, str(source))
    for discriminator in discriminators:
        converted |= _convert_discriminator(config, read_published(discriminator), str(discriminator))
    return {"state_dict": converted, "meta": {"converted_from": Path(source).name}}


def read_published(path: str | Path) -> dict[str, Tensor]:
    """Return the state dict of a published file without ``module.`` prefixes. Nothing in the file is executed."""
    state = state_of(read_checkpoint(path), path)
    odd = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if odd or not state:
        raise CheckpointError(f"{path} is not a plain state dict: {', '.join(odd[:5]) or 'it is empty'}")
    if any(name.startswith(("model.flow_estimator.", "model.renderer.")) for name in state):
        raise CheckpointError(f"{path} is a posegen checkpoint: there is nothing to convert")
    return {name.removeprefix("module."): value for name, value in state.items()}


def _convert_model(config: Config, state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    require(config, "model")
    model = MODELS.build_part(config.model)
    names: dict[str, str | None] = dict.fromkeys(state)
    for part, network in model.named_children():
        for published in state:
            ours = our_name(published, network)
            if ours is not None:
                names[published] = f"{part}.{ours}"
    return _translate(model, state, names, where, "model.")


def _convert_discriminator(config: Config, state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Convert to the trainer's discriminator that the file fits; if none, name what differs from the closest."""
    require(config, "trainer")
    found = {name: config.trainer[name] for name in DISCRIMINATOR_NAMES if config.trainer.get(name)}
    if not found:
        raise CheckpointError(f"{where} is a discriminator, and the config has none")
    converted, errors = {}, []
    for name, part in found.items():
        model = DISCRIMINATORS.build_part(part)
        try:
            converted[name] = _translate(model, state, {key: our_name(key, model) for key in state}, where, f"{name}.")
        except CheckpointError as error:
            errors.append(error)
    if not converted:
        raise min(errors, key=lambda error: str(error).count("\n"))
    if len(converted) > 1:
        raise CheckpointError(f"{where} fits {' and '.join(converted)} alike: leave one of them out of the config")
    return next(iter(converted.values()))


def _translate(
    model: nn.Module, state: Mapping[str, Tensor], names: Mapping[str, str | None], where: str, prefix: str
) -> dict[str, Tensor]:
    own = model.state_dict()
    converted: dict[str, Tensor] = {}
    problems = []
    for published, value in state.items():
        ours = names[published]
        if ALIASES.search(published):
            continue  # the file has the same array under its other name
        if ours is None or ours not in own:
            problems.append(f"left over: {published} {tuple(value.shape)}")
        elif value.shape != own[ours].shape:
            problems.append(f"wrong shape: {published} is {tuple(value.shape)}, {ours} is {tuple(own[ours].shape)}")
        else:
            converted[prefix + ours] = value.to(own[ours].dtype)
    taken = {names[published] for published in state}
    problems += [f"missing: nothing for {name} {tuple(own[name].shape)}" for name in own if name not in taken]
    if not converted:
        first = ", ".join(list(state)[:MOST_LISTED])
        raise CheckpointError(
            f"{where} is no published file of this model: none of its {len(state)} keys belongs to it\n"
            f"  the first keys of the file: {first}"
        )
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems[:MOST_LISTED])
        if len(problems) > MOST_LISTED:
            listed += f"\n  … and {len(problems) - MOST_LISTED} more"
        raise CheckpointError(
            f"{where} does not fit the config: {len(problems)} keys\n{listed}\n"
            "Give the config of the same architecture; `posegen configs` lists those that come with posegen."
        )
    return converted
