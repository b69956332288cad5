"""Checkpoints as plain data: they load without executing anything, and are checked when they load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import HistoryBuffer
from torch import nn

from ..errors import CheckpointError
from ..models.published import is_published
from ..registry import HOOKS
from ..untrusted import RefusedError, opened
from ..weights import SAFETENSORS, read_stream, read_weights
from .checkpoint_files import LAST, damage, prune, remove_unfinished, write_whole
from .distributed import in_first_process

PLAIN = (str, int, float, bool, type(None))
AVERAGED = "averaged_model"
"""Key of a checkpoint with the complete model's averaged weights, see :class:`~.averaging.EMAHook`."""


@HOOKS.register_module()
class PlainCheckpoints(Hook):
    """Makes mmengine's checkpoints loadable with ``weights_only=True``.

    mmengine pickles ``HistoryBuffer`` objects, which torch ≥ 2.6 refuses; to allow them is to allow ``getattr``, which
    is unsafe. So the message hub is stored as numbers and rebuilt on loading. The Python text of the config in old
    mmengine checkpoints, which a resume would execute, is dropped.
    """

    priority = "VERY_HIGH"

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Replace objects in the checkpoint by tensors and plain values."""
        checkpoint["message_hub"] = hub_to_plain(checkpoint["message_hub"])

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Rebuild the objects that :meth:`before_save_checkpoint` replaced."""
        if "message_hub" in checkpoint:
            checkpoint["message_hub"] = hub_from_plain(checkpoint["message_hub"])
        checkpoint.get("meta", {}).pop("config", None)


@HOOKS.register_module()
class VerifiedCheckpoints(CheckpointHook):
    """mmengine's ``CheckpointHook``, with old checkpoints removed only after the new one was read back.

    mmengine removes the old one before it writes the new one, and after a resume does not know which it may remove.
    Arguments: see mmengine's ``CheckpointHook``, in whose place it is put.
    """

    def before_train(self, runner: Any) -> None:
        """Remove partial files of a killed run."""
        super().before_train(runner)
        self._saved = -1
        in_first_process(lambda: remove_unfinished(self.out_dir))

    def save_now(self, runner: Any) -> Path:
        """Save the state after the last iteration, unless it is saved already; returns the checkpoint's path."""
        if self._saved != runner.iter:
            self._save_checkpoint_with_step(runner, runner.iter, {"epoch": runner.epoch, "iter": runner.iter})
        return Path(str(self.last_ckpt))

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict[str, Any]) -> None:
        name = self.filename_tmpl.format(step)
        path = Path(self.out_dir) / name
        self.last_ckpt = str(path)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
        )
        self._saved = step
        in_first_process(lambda: self._point_to(path, runner))

    def _point_to(self, path: Path, runner: Any) -> None:
        write_whole(Path(runner.work_dir) / LAST, [str(path).encode()])
        if self.max_keep_ckpts > 0:
            prune(path, runner.run_id, self.max_keep_ckpts)


def hub_to_plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the state of mmengine's message hub to tensors and plain values."""
    scalars = {
        name: {
            "values": torch.from_numpy(np.array(buffer.data[0], dtype=np.float64)),
            "counts": torch.from_numpy(np.array(buffer.data[1], dtype=np.int64)),
            "max_length": buffer.max_length,
        }
        for name, buffer in state["log_scalars"].items()
    }
    # NumPy's numbers may be instances of Python's (np.float64 is a float), but are pickled as objects
    info = {name: v.item() if isinstance(v, np.generic) else v for name, v in state["runtime_info"].items()}
    info = {name: value for name, value in info.items() if isinstance(value, PLAIN)}
    resumed = {name: bool(keep) for name, keep in state["resumed_keys"].items() if name in scalars or name in info}
    return {"log_scalars": scalars, "runtime_info": info, "resumed_keys": resumed}


def hub_from_plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the result of :func:`hub_to_plain` back to a state that mmengine's message hub loads."""
    buffers = {
        name: HistoryBuffer(plain["values"].tolist(), plain["counts"].tolist(), plain["max_length"])
        for name, plain in state["log_scalars"].items()
    }
    return {**state, "log_scalars": buffers}


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
