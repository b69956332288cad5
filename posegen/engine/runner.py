"""From a config to mmengine's Runner."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from ..config import unresolved
from ..errors import PosegenError
from ..registry import DATASETS, FEATURE_NETWORKS
from .checkpoint import check_weights, read_checkpoint
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
    # Missing weights and bad data are found here, before the Runner writes its first log.
    feature_network = FEATURE_NETWORKS.build_part(config.trainer.get("feature_network"))
    loaders = {name: _with_data(config[name]) for name in ("train_dataloader", "val_dataloader")}
    start_processes_without_gpu(launcher)
    trainer = {
        **config.trainer,
        "model": config.model,
        "feature_network": feature_network,
        "autocast": amp or config.trainer.get("autocast", False),
    }
    changes: dict[str, Any] = {"model": trainer, "resume": resume, "launcher": launcher, **loaders}
    return _runner(config, work_dir, cfg=unresolved(config), **changes)


def build_tester(config: Config, work_dir: str | Path, launcher: str = "none") -> Runner:
    """A Runner that tests the model of *config*; it needs no losses, and so no weights of feature networks."""
    start_processes_without_gpu(launcher)
    trainer = {"type": config.trainer["type"], "model": config.model, "stages": []}
    unused = (
        "train_dataloader",
        "train_cfg",
        "optim_wrapper",
        "val_dataloader",
        "val_cfg",
        "val_evaluator",
        "param_scheduler",
    )
    tested = Config({key: value for key, value in config.items() if key not in unused}, filename=config.filename)
    tested.custom_hooks = []
    loader = _with_data(tested.test_dataloader)
    changes: dict[str, Any] = {"model": trainer, "launcher": launcher, "test_dataloader": loader}
    return _runner(tested, work_dir, cfg=unresolved(config), **changes)


def _with_data(loader: Any) -> dict[str, Any]:
    """A data loader's config with its data set built."""
    return {**loader, "dataset": DATASETS.build_part(loader["dataset"])}


def refuse_to_overwrite(work_dir: str | Path, resume: bool) -> None:
    """Raise where a new run would write over an earlier one."""
    if not resume and (Path(work_dir) / "last_checkpoint").exists():
        raise PosegenError(
            f"{work_dir} holds checkpoints of an earlier run.\n"
            "Give --resume to go on with it, or --work-dir for another folder."
        )


def _runner(config: Config, work_dir: str | Path, **changes: Any) -> Runner:
    arguments = {key: value for key, value in config.items() if key in _RUNNER_KEYS}
    arguments.update(work_dir=str(work_dir), default_scope="posegen", **changes)
    arguments["custom_hooks"] = [dict(type="PlainCheckpoints"), *arguments.get("custom_hooks", [])]
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if arguments.get(name) and not arguments[name].get("num_workers"):  # torch refuses to keep workers it has not
            arguments[name] = {**arguments[name], "persistent_workers": False}
    # mmengine keeps global instances by this name and the second: two runs of one process must not share them.
    name = arguments.get("experiment_name") or Path(work_dir).name
    arguments["experiment_name"] = f"{name}_{next(_runs)}"
    return SafeRunner(**arguments)


class SafeRunner(Runner):
    """mmengine's Runner, with safe checkpoints, and our way to train in several processes.

    mmengine would let torch before 2.6 execute what a checkpoint holds, and leave out weights that do not fit; and it
    would wrap the model in ``DistributedDataParallel``, which wants a GPU from it and one pass through it a step.
    """

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        """The model on its device; in several processes wrapped in :class:`GradientAveraging`."""
        if self.distributed and model_wrapper_cfg is None:
            model_wrapper_cfg = {"type": "posegen.GradientAveraging"}
        return super().wrap_model(model_wrapper_cfg, model)

    def load_checkpoint(self, filename: str, *unused: Any, **also_unused: Any) -> dict[str, Any]:
        """Load weights from a file; returns the whole checkpoint, on the CPU.

        Raises:
            CheckpointError: the file cannot be read, or is of another architecture.
        """
        checkpoint = read_checkpoint(filename)
        model: Any = getattr(self.model, "module", self.model)
        check_weights(model, checkpoint.get("state_dict", checkpoint), str(filename))
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        model.load_state_dict(checkpoint["state_dict"])
        self._has_loaded = True
        self.logger.info(f"loaded: {filename}")
        return checkpoint


_runs = itertools.count(1)

_RUNNER_KEYS = (
    "train_dataloader", "val_dataloader", "test_dataloader", "train_cfg", "val_cfg", "test_cfg", "optim_wrapper",
    "param_scheduler", "val_evaluator", "test_evaluator", "default_hooks", "custom_hooks", "env_cfg", "log_processor",
    "log_level", "visualizer", "randomness", "experiment_name",
)  # fmt: skip
