"""Hooks that write checkpoints of a run as plain data, which load without executing anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import HistoryBuffer

from ..checkpoints.files import LAST, prune, remove_unfinished, write_whole
from ..registry import HOOKS
from .distributed import in_first_process

PLAIN = (str, int, float, bool, type(None))


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
