"""mmengine's Runner with safe checkpoints, training in several processes, and a short log in the terminal."""

from __future__ import annotations

import functools
import logging
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.runner import Runner
from mmengine.runner.checkpoint import weights_to_cpu
from mmengine.utils import apply_to
from torch import nn

from ..acceleration import Choices
from ..checkpoints import check_weights, load_weights, read_checkpoint
from ..checkpoints.files import newest_sound, write_checkpoint
from ..console import discard_output
from ..errors import CheckpointError
from .distributed import broadcast_weights, in_first_process
from .provenance import revision, versions
from .run_status import RunHook
from .work_dir_lock import WorkDirLock

WARNINGS_OF_MMENGINE = (" has no metainfo. ", '"FileClient" will be deprecated', '"HardDiskBackend" is the alias')
"""Warnings of mmengine about its own calls, which no user can act on."""


class TerminalLog(logging.StreamHandler):
    """Prints the log to the terminal for as long as somebody reads it; the log file goes on.

    Args:
        logger: logger of the handler.
        replaced: handler of mmengine, whose stream, format and level it takes.
    """

    def __init__(self, logger: logging.Logger, replaced: logging.StreamHandler) -> None:
        super().__init__(replaced.stream)
        self._logger = logger
        self.setFormatter(replaced.formatter)
        self.setLevel(replaced.level)

    def handleError(self, record: logging.LogRecord) -> None:
        """Stop printing if the pipe was closed, where logging would print a traceback for every line."""
        if not isinstance(sys.exc_info()[1], BrokenPipeError):
            super().handleError(record)
            return
        self.setLevel(logging.CRITICAL + 1)
        discard_output()
        self._logger.warning(
            "nobody reads the output of this command any more; training goes on, and this file has the log"
        )


class PosegenRunner(Runner):
    """mmengine's Runner with safe checkpoints, training in several processes, and a short log in the terminal.

    mmengine's own would let torch before 2.6 execute code in a checkpoint, skip weights that do not fit, wrap the model
    in ``DistributedDataParallel``, which needs a GPU and one pass per step, and print environment, config and hooks.

    Attributes:
        start_from: checkpoint whose model weights training starts from, unless a run is resumed.
        choices: choices of acceleration, stored in checkpoints, so that a resumed run computes the same bits.
        run_id: identifier of the run in all its checkpoints, 32 hexadecimal digits; a resumed run keeps it.
    """

    start_from: str | None = None
    choices: Choices | None = None
    run_id: str = ""
    _has_loaded: bool  # defined by mmengine

    def build_logger(self, *args: Any, **kwargs: Any) -> Any:
        """Build mmengine's logger; until :meth:`show_log`, its terminal handlers print warnings only."""
        logger = super().build_logger(*args, **kwargs)
        for each in [each for each in logger.handlers if type(each) is logging.StreamHandler]:
            logger.removeHandler(each)
            logger.addHandler(TerminalLog(logger, each))
        self._terminal = [(each, each.level) for each in logger.handlers if not isinstance(each, logging.FileHandler)]
        for handler, level in self._terminal:
            handler.setLevel(max(level, logging.WARNING))
            handler.addFilter(_is_for_users)
        return logger

    def show_log(self) -> None:
        """Print the log to the terminal from now on, and name the log file."""
        for handler, level in self._terminal:
            handler.setLevel(level)
        for handler in self.logger.handlers:
            if isinstance(handler, logging.FileHandler):
                self.logger.info(f"environment, config and hooks: {handler.baseFilename}")

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        """Move the trainer to its device. It needs no wrapper: it averages gradients itself."""
        model = model.to(get_device())
        broadcast_weights(model)
        return model

    def train(self) -> nn.Module:
        """Train; every :class:`~.run_status.RunHook` is told how the run ended.

        Raises:
            PosegenError: another training runs in the work dir.
        """
        ended_by: BaseException | None = None
        lock = WorkDirLock(self.work_dir)
        if note := in_first_process(lock.acquire):
            self.logger.warning(note)
        try:
            return super().train()
        except BaseException as error:
            ended_by = error
            raise
        finally:
            for hook in self.hooks:
                if isinstance(hook, RunHook):
                    hook.run_ended(self, ended_by)
            lock.release()

    def load_or_resume(self) -> None:
        """Resume if requested and there is a checkpoint; else load :attr:`start_from`."""
        if self._has_loaded:
            return
        self.run_id = uuid.uuid4().hex
        path = self._newest_checkpoint() if self._resume else None
        if path:
            self.resume(path, resume_param_scheduler=False)  # learning rates are functions of the iteration
        elif self.start_from:
            load_weights(self.model.model, self.start_from)
            self._has_loaded = True
            self.logger.info(f"starts from the weights of {self.start_from}")

    def _newest_checkpoint(self) -> str | None:
        """Return the newest intact checkpoint, found by the first process."""
        path, faults = in_first_process(lambda: newest_sound(self.work_dir))
        for fault in faults:
            self.logger.warning(f"skipped, an earlier checkpoint is used: {fault}")
        return path and str(path)

    def save_checkpoint(  # type: ignore[override]
        self,
        out_dir: str,
        filename: str,
        file_client_args: Any = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict[str, Any] | None = None,
        by_epoch: bool = False,
        backend_args: Any = None,
    ) -> None:
        """Write a sealed checkpoint to a local folder and read it back. All processes must call it; the first writes.

        Arguments: see mmengine's.

        Raises:
            CheckpointError: the checkpoint was not written. Raised in all processes.
        """

        def write() -> None:
            content = self._checkpoint(save_optimizer, save_param_scheduler, meta or {})
            self.call_hook("before_save_checkpoint", checkpoint=content)
            write_checkpoint(Path(out_dir) / filename, content, self.run_id)

        in_first_process(write)

    @functools.cached_property
    def _config_text(self) -> str:
        """The config as text. Formatting takes longer than writing a small checkpoint."""
        return self.cfg.pretty_text

    def _checkpoint(self, save_optimizer: bool, save_param_scheduler: bool, meta: dict[str, Any]) -> dict[str, Any]:
        """Return the content of mmengine's checkpoints, and their provenance."""
        meta = {"epoch": self.epoch, "iter": self.iter + 1, **meta}
        meta.update(
            cfg=self._config_text,
            seed=self.seed,
            experiment_name=self.experiment_name,
            time=time.strftime("%Y%m%d_%H%M%S", time.localtime()),
            run=self.run_id,
            revision=revision(),
            versions=versions(),
            settings=self._settings(),
            acceleration={} if self.choices is None else dict(self.choices.by_shape),
            mmengine_version=versions()["mmengine"],
        )
        if hasattr(self.train_dataloader.dataset, "metainfo"):
            meta["dataset_meta"] = self.train_dataloader.dataset.metainfo
        content = {
            "meta": meta,
            "state_dict": weights_to_cpu(self.model.state_dict()),
            "message_hub": _to_cpu(self.message_hub.state_dict()),
        }
        if save_optimizer:
            content["optimizer"] = _to_cpu(self.optim_wrapper.state_dict())
        if save_param_scheduler and self.param_schedulers is not None:
            content["param_schedulers"] = _states(self.param_schedulers)
        return content

    def load_checkpoint(self, filename: str, *unused: Any, **also_unused: Any) -> dict[str, Any]:
        """Load the weights of a run to resume; return the whole checkpoint, on the CPU.

        Raises:
            CheckpointError: the file cannot be read, is of another architecture, or is not a checkpoint of a run.
        """
        checkpoint = read_checkpoint(filename)
        missing = [key for key in ("state_dict", "meta", "message_hub") if key not in checkpoint]
        if missing:
            raise CheckpointError(
                f"{filename} cannot be resumed, it is not a checkpoint of a run: it has no {', '.join(missing)}.\n"
                "To start a new run from its weights, set load_from."
            )
        model = self.model
        check_weights(model, checkpoint["state_dict"], str(filename))
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        model.load_state_dict(checkpoint["state_dict"])
        self.run_id = checkpoint["meta"].get("run") or self.run_id
        if self.choices is not None:
            self.choices.update(checkpoint["meta"].get("acceleration") or {})
        self._has_loaded = True
        self.logger.info(f"loaded: {filename}")
        for change in changes(checkpoint["meta"].get("settings") or {}, self._settings()):
            self.logger.warning(change)
        return checkpoint

    def _settings(self) -> dict[str, str]:
        """Return the settings that determine which samples an iteration sees, and what is trained."""
        trainer, loader = self.train_loop.trainer, self.train_dataloader
        return {
            "batch size": str(loader.batch_size),
            "number of processes": str(get_world_size()),
            "size": "×".join(map(str, reversed(self.cfg.get("size") or []))),
            "number of iterations": ", ".join(f"{stage.name} {stage.iters}" for stage in trainer.stages),
            "number of accumulated batches": str(trainer.accumulate),
            "seed": str(self.seed),
        }


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return a sentence for each setting of a resumed run that has changed."""
    return [
        f"resumed with another {name}: {before[name]} before, {value} now"
        for name, value in now.items()
        if name in before and before[name] != value
    ]


def _is_for_users(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(words in message for words in WARNINGS_OF_MMENGINE)


def _to_cpu(state: Any) -> Any:
    return apply_to(state, lambda value: hasattr(value, "cpu"), lambda value: value.cpu())


def _states(schedulers: Any) -> Any:
    """Return the states of mmengine's schedulers: a list, or a list by optimizer."""
    if isinstance(schedulers, dict):
        return {name: _states(some) for name, some in schedulers.items()}
    return [scheduler.state_dict() for scheduler in schedulers]
