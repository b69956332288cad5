"""From a config to mmengine's Runner."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from ..errors import PosegenError
from .distributed import start_processes_without_gpu


def build_trainer(
    config: Config, work_dir: str | Path, resume: bool = False, launcher: str = "none", amp: bool = False
) -> Runner:
    """A Runner that trains *config* through all its stages.

    Args:
        config: as :func:`posegen.config.load_config` gives it.
        work_dir: where checkpoints, logs and sample sheets go.
        resume: go on from the newest checkpoint in *work_dir*, if there is one.
        launcher: ``"none"``, ``"pytorch"`` or ``"slurm"``.
        amp: run networks in bfloat16 where that is safe.

    Raises:
        PosegenError: *work_dir* holds another run's checkpoints and *resume* is False.
    """
    refuse_to_overwrite(work_dir, resume)
    start_processes_without_gpu(launcher)
    trainer = {**config.trainer, "model": config.model, "autocast": amp or config.trainer.get("autocast", False)}
    return _runner(config, work_dir, model=trainer, resume=resume, launcher=launcher)


def build_tester(config: Config, work_dir: str | Path, launcher: str = "none") -> Runner:
    """A Runner that tests the model of *config*; it needs no losses, and so no weights of feature networks."""
    start_processes_without_gpu(launcher)
    trainer = {"type": config.trainer["type"], "model": config.model, "stages": []}
    unused = ("train_dataloader", "train_cfg", "optim_wrapper", "val_dataloader", "val_cfg", "val_evaluator", "param_scheduler")
    tested = Config({key: value for key, value in config.items() if key not in unused}, filename=config.filename)
    tested.custom_hooks = []
    return _runner(tested, work_dir, model=trainer, resume=False, launcher=launcher)


def refuse_to_overwrite(work_dir: str | Path, resume: bool) -> None:
    """Raise where a new run would write over an earlier one."""
    if not resume and (Path(work_dir) / "last_checkpoint").exists():
        raise PosegenError(
            f"{work_dir} holds checkpoints of an earlier run.\n"
            "Give --resume to go on with it, or --work-dir for another folder."
        )


def _runner(config: Config, work_dir: str | Path, **changes: Any) -> Runner:
    arguments = {key: value for key, value in config.items() if key in _RUNNER_KEYS}
    arguments.update(work_dir=str(work_dir), default_scope="posegen", cfg=config, **changes)
    arguments["custom_hooks"] = [dict(type="PlainCheckpoints"), *arguments.get("custom_hooks", [])]
    # mmengine keeps global instances by this name and the second: two runs of one process must not share them.
    name = arguments.get("experiment_name") or Path(work_dir).name
    arguments["experiment_name"] = f"{name}_{next(_runs)}"
    return Runner(**arguments)


_runs = itertools.count(1)

_RUNNER_KEYS = (
    "train_dataloader", "val_dataloader", "test_dataloader", "train_cfg", "val_cfg", "test_cfg", "optim_wrapper",
    "param_scheduler", "val_evaluator", "test_evaluator", "default_hooks", "custom_hooks", "env_cfg", "log_processor",
    "log_level", "visualizer", "randomness", "experiment_name",
)  # fmt: skip
