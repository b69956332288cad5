"""Build mmengine's Runner from a config."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..acceleration import Choices, accelerate, prepare_for_inference
from ..checkpoints import read_checkpoint
from ..checkpoints.files import LAST, numbered
from ..config import RUNNER_KEYS, require, unresolved
from ..data import require_dataset
from ..errors import ConfigError, PosegenError
from ..registry import DATASETS, FEATURE_NETWORKS
from ..torchvision_import import import_torchvision
from .distributed import in_first_process, join_process_group
from .interruption import shield_worker
from .randomness import SeededSamples
from .runner import PosegenRunner
from .trainer import check_accumulation
from .unreadable import skipping
from .work_dir_lock import WorkDirLock

CHOICES = "acceleration.json"
"""File in the work dir with the choices of :func:`posegen.acceleration.accelerate`: a resumed run computes the same
bits."""
TRAINING_KEYS = (
    "train_dataloader", "train_cfg", "optim_wrapper", "val_dataloader", "val_cfg", "val_evaluator", "param_scheduler",
)  # fmt: skip
"""Keys of a config that testing does not use."""

_runs = itertools.count(1)


def build_trainer(
    config: Config, work_dir: str | Path, resume: bool = False, launcher: str = "none", amp: bool = False
) -> PosegenRunner:
    """Build a Runner that trains all stages of a config.

    Args:
        config: config from :func:`posegen.config.load_config`.
        work_dir: folder for checkpoints, logs and sample sheets.
        resume: resume from the newest checkpoint in *work_dir*, if there is one.
        launcher: ``"none"``, ``"pytorch"`` or ``"slurm"``.
        amp: run networks in bfloat16, losses and optimizers in float32.

    Raises:
        PosegenError: another training runs in *work_dir*, or it holds checkpoints of another run and *resume* is False.
        ConfigError: the config lacks a key that training needs.
    """
    require(config, "model", "trainer", "train_cfg", "optim_wrapper", "val_cfg", "val_evaluator")
    require(config, "train_dataloader.dataset", "val_dataloader.dataset")
    check_accumulation(config.trainer.get("accumulate", 1), config.train_dataloader.get("batch_size") or 1)
    _check_backends(config)
    _check_work_dir(work_dir, resume)
    # before the Runner writes anything: missing weights and bad data are found here
    feature_network = FEATURE_NETWORKS.build_part(config.trainer.get("feature_network"))
    loaders = {name: _with_data(config[name]) for name in ("train_dataloader", "val_dataloader")}
    seed = (config.get("randomness") or {}).get("seed") or 0
    loaders["train_dataloader"]["dataset"] = SeededSamples(loaders["train_dataloader"]["dataset"], seed)
    if config.train_cfg.get("on_error") == "skip":
        loaders["train_dataloader"] = skipping(loaders["train_dataloader"], seed)
    if config.get("load_from") and not resume:
        read_checkpoint(config.load_from)
    join_process_group(launcher)
    in_first_process(WorkDirLock(work_dir).check)
    trainer = {
        **config.trainer,
        "model": config.model,
        "feature_network": feature_network,
        "autocast": amp or config.trainer.get("autocast", False),
    }
    changes: dict[str, Any] = {"model": trainer, "resume": resume, "launcher": launcher, **loaders}
    runner = _build(config, work_dir, cfg=unresolved(config), **changes)
    runner.start_from = config.get("load_from")
    if _computes_on_cpu(runner) and not (runner.model.autocast or config.trainer.get("compile")):
        runner.choices = accelerate(runner.model, Choices(Path(work_dir) / CHOICES))
    runner.show_log()
    for line in _notes(config):
        runner.logger.info(line)
    return runner


def build_tester(config: Config, work_dir: str | Path, launcher: str = "none") -> PosegenRunner:
    """Build a Runner that tests the model of a config, without losses and so without weights of feature networks.

    Raises:
        ConfigError: the config lacks a key that testing needs.
    """
    require(config, "model", "trainer.type", "test_cfg", "test_evaluator", "test_dataloader.dataset")
    join_process_group(launcher)
    trainer = {"type": config.trainer["type"], "model": config.model, "stages": []}
    tested = Config({key: value for key, value in config.items() if key not in TRAINING_KEYS}, filename=config.filename)
    tested.custom_hooks = []
    loader = _with_data(tested.test_dataloader)
    changes: dict[str, Any] = {"model": trainer, "launcher": launcher, "test_dataloader": loader}
    runner = _build(tested, work_dir, cfg=unresolved(config), **changes)
    if _computes_on_cpu(runner):
        prepare_for_inference(runner.model.model, "fp32", Choices(Path(work_dir) / CHOICES))
    runner.show_log()
    return runner


def _computes_on_cpu(runner: PosegenRunner) -> bool:
    """Return whether one process computes on the CPU; several would each measure what is fastest, and differ."""
    return not runner.distributed and next(runner.model.parameters()).device.type == "cpu"


def _notes(config: Config) -> Iterator[str]:
    """Return notes for the start of the log."""
    if (config.trainer.get("feature_network") or {}).get("weights") == "random":
        yield (
            "the losses use seeded random features (feature_weights=random): the flow learns from them, but perceptual "
            "and style loss are weaker; do not report scores of this model"
        )
    interval = ((config.get("default_hooks") or {}).get("logger") or {}).get("interval", 0)
    total = sum(stage.get("iters", 0) for stage in config.trainer.get("stages", []))
    if interval > total:
        yield (
            f"losses are logged every {interval} iterations, but this run has {total}: none are logged; to log "
            "all, give --cfg-options default_hooks.logger.interval=1"
        )


BACKENDS = {
    "AimVisBackend": "aim",
    "ClearMLVisBackend": "clearml",
    "DVCLiveVisBackend": "dvclive",
    "MLflowVisBackend": "mlflow",
    "NeptuneVisBackend": "neptune",
    "WandbVisBackend": "wandb",
}
"""Packages that mmengine's visualizer backends need and posegen does not install."""


def _check_backends(config: Config) -> None:
    """Raise ConfigError if packages of the visualizer's backends are missing."""
    backends = (config.get("visualizer") or {}).get("vis_backends") or []
    kinds = [str(backend.get("type", "")).rpartition(".")[2] for backend in backends]
    missing = [(kind, BACKENDS[kind]) for kind in kinds if kind in BACKENDS and not find_spec(BACKENDS[kind])]
    if missing:
        names = "; ".join(f"{kind} needs the package {package}" for kind, package in missing)
        raise ConfigError(
            f"visualizer.vis_backends: {names}, which is not installed\n"
            f"pip install {' '.join(package for _, package in missing)}, or take it out of the config"
        )


def _with_data(loader: Any) -> dict[str, Any]:
    """Return the config of a data loader with its data set built."""
    return {**loader, "dataset": require_dataset(DATASETS.build_part(loader["dataset"]))}


def _check_work_dir(work_dir: str | Path, resume: bool) -> None:
    """Raise PosegenError if a new run would overwrite an earlier one."""
    if not resume and ((Path(work_dir) / LAST).exists() or numbered(work_dir)):
        raise PosegenError(
            f"{work_dir} holds checkpoints of an earlier run.\nGive --resume to resume it, or another --work-dir."
        )


def _build(config: Config, work_dir: str | Path, **changes: Any) -> PosegenRunner:
    arguments = {key: value for key, value in config.items() if key in RUNNER_KEYS}
    arguments.update(work_dir=str(work_dir), default_scope="posegen", **changes)
    arguments["default_hooks"] = _with_verified_checkpoints(arguments.get("default_hooks") or {})
    arguments["custom_hooks"] = [dict(type="PlainCheckpoints"), *arguments.get("custom_hooks", [])]
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if arguments.get(name):
            arguments[name] = {"worker_init_fn": {"type": shield_worker}, **arguments[name]}
            if not arguments[name].get("num_workers"):  # which torch refuses without workers
                arguments[name]["persistent_workers"] = False
    # mmengine keeps global instances by this name and the second, which two runs of a process must not share
    name = arguments.get("experiment_name") or Path(work_dir).name
    arguments["experiment_name"] = f"{name}_{next(_runs)}"
    import_torchvision()  # the Runner logs its version
    return PosegenRunner(**arguments)


def _with_verified_checkpoints(hooks: Any) -> dict[str, Any]:
    """Replace mmengine's ``CheckpointHook`` by :class:`~.checkpoint.VerifiedCheckpoints`."""
    hook = hooks.get("checkpoint", {"type": "CheckpointHook", "by_epoch": False})
    if hook is not None and hook.get("type") == "CheckpointHook":
        hook = {**hook, "type": "posegen.VerifiedCheckpoints"}
    return {**hooks, "checkpoint": hook}
