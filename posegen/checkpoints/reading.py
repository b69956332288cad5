"""Read checkpoints and weights of a model; nothing in them is executed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import CheckpointError
from ..models.published import is_published
from ..untrusted import RefusedError, opened
from ..weights import SAFETENSORS, read_stream, read_weights
from .files import damage

AVERAGED = "averaged_model"
"""Key of a checkpoint with the complete model's averaged weights, see :class:`posegen.engine.EMAHook`."""


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Load a checkpoint file onto the CPU. Nothing in it is executed.

    Raises:
        CheckpointError: the file does not exist, is damaged, or holds more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    checkpoint = read_weights(path) if path.suffix == SAFETENSORS else _read_sealed(path)
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{path} is not a checkpoint: it holds a {type(checkpoint).__name__}")
    return checkpoint


def _read_sealed(path: Path) -> Any:
    """Load a file of ``torch.save``. A sealed file is loaded from the same bytes that its checksum was computed of."""
    try:
        with opened(path) as stream:
            if fault := damage(stream):
                raise CheckpointError(f"{path}: {fault}")
            return read_stream(stream, path)
    except (OSError, RefusedError) as error:
        raise CheckpointError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from error


def state_of(checkpoint: Mapping[str, Any], path: str | Path) -> Mapping[str, Any]:
    """Return the state dict of a checkpoint, which may be a state dict itself.

    Raises:
        CheckpointError: it is neither.
    """
    state = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(f"{path} holds no weights: it is not a state dict, and has none")
    return state


def load_weights(model: nn.Module, path: str | Path, prefix: str = "model.") -> None:
    """Load the complete model's weights from a checkpoint of a run, or from a state dict of the model.

    Raises:
        CheckpointError: the file cannot be read, or is of another architecture. Weights that do not fit are named.
    """
    state = read_model_weights(path, prefix)
    check_weights(model, state, str(path))
    model.load_state_dict(state)


def read_model_weights(path: str | Path, prefix: str = "model.") -> Mapping[str, Any]:
    """Read the complete model's weights from a checkpoint of a run, or from a state dict of the model.

    Averaged weights take precedence, if the run averaged them.

    Raises:
        CheckpointError: the file cannot be read, or is a published weight file that is not converted.
    """
    checkpoint = read_checkpoint(path)
    state = state_of({"state_dict": checkpoint[AVERAGED]} if AVERAGED in checkpoint else checkpoint, path)
    if any(name.startswith(prefix) for name in state):
        state = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if is_published(state):
        raise CheckpointError(
            f"{path} is a published weight file; convert it first:\n  posegen convert {path} NEW.pth --config CONFIG"
        )
    return state


def check_weights(model: nn.Module, state: Mapping[str, Any], where: str, max_shown: int = 12) -> None:
    """Raise CheckpointError unless *state* has exactly the weights of *model*; name those that do not fit."""
    own = model.state_dict()
    problems = [f"missing: {name} {tuple(own[name].shape)}" for name in own if name not in state]
    problems += [f"left over: {name} {_shape(state[name])}" for name in state if name not in own]
    problems += [
        f"wrong shape: {name} is {_shape(state[name])}, the model has {tuple(own[name].shape)}"
        for name in own
        if name in state and _shape(state[name]) != tuple(own[name].shape)
    ]
    problems += [
        f"wrong type: {name} is {state[name].dtype}, the model has {own[name].dtype}"
        for name in own
        if isinstance(state.get(name), torch.Tensor) and _kind(state[name]) != _kind(own[name])
    ]
    if problems:
        shown = "\n".join(f"  - {problem}" for problem in problems[:max_shown])
        left = f"\n  … and {len(problems) - max_shown} more" if len(problems) > max_shown else ""
        raise CheckpointError(
            f"{where} is of another architecture than the config: {len(problems)} weights differ\n{shown}{left}"
        )


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__


def _kind(tensor: torch.Tensor) -> tuple[bool, bool]:
    """Return the kind of numbers without their precision: floating, complex, or (neither) integer."""
    return tensor.dtype.is_floating_point, tensor.dtype.is_complex
