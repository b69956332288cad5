"""From a config to mmengine's Runner."""

from __future__ import annotations

import functools
import itertools
import logging
import time
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import Runner
from mmengine.runner.checkpoint import weights_to_cpu
from mmengine.utils import apply_to
from torch import nn

from ..acceleration import Choices, accelerate, prepare_for_inference
from ..config import RUNNER_KEYS, require, unresolved
from ..data import require_dataset
from ..errors import CheckpointError, ConfigError, PosegenError
from ..registry import DATASETS, FEATURE_NETWORKS
from ..torchvision_import import import_torchvision
from .checkpoint import check_weights, load_weights, read_checkpoint
from .checkpoint_files import LAST, newest_sound, numbered, write_checkpoint
from .distributed import broadcast_weights, in_first_process, join_process_group
from .interruption import shield_worker
from .provenance import revision, versions
from .randomness import SeededSamples
from .run_status import RunHook
from .trainer import check_accumulation
from .unreadable import skipping

CHOICES = "acceleration.json"
"""File in the work dir with the choices of :func:`posegen.acceleration.accelerate`: a resumed run computes the same
bits."""


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
        ConfigError: the config lacks what training needs.
    """
    require(config, "model", "trainer", "train_cfg", "optim_wrapper", "val_cfg", "val_evaluator")
    require(config, "train_dataloader.dataset", "val_dataloader.dataset")
    check_accumulation(config.trainer.get("accumulate", 1), config.train_dataloader.get("batch_size") or 1)
    _check_backends(config)
    refuse_to_overwrite(work_dir, resume)
    # Missing weights and bad data are found here, before the Runner writes its first log.
    feature_network = FEATURE_NETWORKS.build_part(config.trainer.get("feature_network"))
    loaders = {name: _with_data(config[name]) for name in ("train_dataloader", "val_dataloader")}
    seed = (config.get("randomness") or {}).get("seed") or 0
    loaders["train_dataloader"]["dataset"] = SeededSamples(loaders["train_dataloader"]["dataset"], seed)
    if config.train_cfg.get("on_error") == "skip":
        loaders["train_dataloader"] = skipping(loaders["train_dataloader"], seed)
    if config.get("load_from") and not resume:
        read_checkpoint(config.load_from)
    join_process_group(launcher)
    trainer = {
        **config.trainer,
        "model": config.model,
        "feature_network": feature_network,
        "autocast": amp or config.trainer.get("autocast", False),
    }
    changes: dict[str, Any] = {"model": trainer, "resume": resume, "launcher": launcher, **loaders}
    runner: QuietRunner = _runner(config, work_dir, QuietRunner, cfg=unresolved(config), **changes)
    runner.start_from = config.get("load_from")
    if _computes_on_cpu(runner) and not (trainer["autocast"] or config.trainer.get("compile")):
        accelerate(runner.model, Choices(Path(work_dir) / CHOICES))
    runner.show_log()
    for line in _told_first(config):
        runner.logger.info(line)
    return runner


def build_tester(config: Config, work_dir: str | Path, launcher: str = "none") -> Runner:
    """A Runner that tests the model of *config*; it needs no losses, and so no weights of feature networks.

    Raises:
        ConfigError: the config lacks what testing needs.
    """
    require(config, "model", "trainer.type", "test_cfg", "test_evaluator", "test_dataloader.dataset")
    join_process_group(launcher)
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
    runner: QuietRunner = _runner(tested, work_dir, QuietRunner, cfg=unresolved(config), **changes)
    if _computes_on_cpu(runner):
        prepare_for_inference(runner.model.model, "fp32", Choices(Path(work_dir) / CHOICES))
    runner.show_log()
    return runner


def _computes_on_cpu(runner: Runner) -> bool:
    """Return whether one process computes on the CPU; several would each measure what is fastest, and differ."""
    return not runner.distributed and next(runner.model.parameters()).device.type == "cpu"


def _told_first(config: Config) -> Iterator[str]:
    """What whoever starts this run should know before it begins."""
    if (config.trainer.get("feature_network") or {}).get("weights") == "random":
        yield (
            "the losses compare seeded random features (feature_weights=random): the flow learns from them, perceptual "
            "and style loss are weaker, and nothing trained so is a result"
        )
    interval = ((config.get("default_hooks") or {}).get("logger") or {}).get("interval", 0)
    total = sum(stage.get("iters", 0) for stage in config.trainer.get("stages", []))
    if interval > total:
        yield (
            f"losses are logged every {interval} iterations, and this run has {total}: none will be seen; "
            "--cfg-options default_hooks.logger.interval=1 logs all"
        )


BACKENDS = {
    "AimVisBackend": "aim",
    "ClearMLVisBackend": "clearml",
    "DVCLiveVisBackend": "dvclive",
    "MLflowVisBackend": "mlflow",
    "NeptuneVisBackend": "neptune",
    "WandbVisBackend": "wandb",
}
"""mmengine's backends of the visualizer that need a package which posegen does not bring."""


def _check_backends(config: Config) -> None:
    """Raise ConfigError, before anything is written, where the visualizer has backends whose packages are missing."""
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
    """A data loader's config with its data set built."""
    return {**loader, "dataset": require_dataset(DATASETS.build_part(loader["dataset"]))}


def refuse_to_overwrite(work_dir: str | Path, resume: bool) -> None:
    """Raise where a new run would write over an earlier one."""
    if not resume and ((Path(work_dir) / LAST).exists() or numbered(work_dir)):
        raise PosegenError(
            f"{work_dir} holds checkpoints of an earlier run.\n"
            "Give --resume to go on with it, or --work-dir for another folder."
        )


def _runner(config: Config, work_dir: str | Path, kind: type[SafeRunner] | None = None, **changes: Any) -> Any:
    arguments = {key: value for key, value in config.items() if key in RUNNER_KEYS}
    arguments.update(work_dir=str(work_dir), default_scope="posegen", **changes)
    arguments["default_hooks"] = _with_verified_checkpoints(arguments.get("default_hooks") or {})
    arguments["custom_hooks"] = [dict(type="PlainCheckpoints"), *arguments.get("custom_hooks", [])]
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if arguments.get(name):
            arguments[name] = {"worker_init_fn": {"type": shield_worker}, **arguments[name]}
            if not arguments[name].get("num_workers"):  # torch refuses to keep workers it has not
                arguments[name]["persistent_workers"] = False
    # mmengine keeps global instances by this name and the second: two runs of one process must not share them.
    name = arguments.get("experiment_name") or Path(work_dir).name
    arguments["experiment_name"] = f"{name}_{next(_runs)}"
    import_torchvision()  # the Runner collects its version
    return (kind or SafeRunner)(**arguments)


def _with_verified_checkpoints(hooks: Any) -> dict[str, Any]:
    """Default hooks, with :class:`VerifiedCheckpoints` where mmengine's ``CheckpointHook`` stands."""
    hook = hooks.get("checkpoint", {"type": "CheckpointHook", "by_epoch": False})
    if hook is not None and hook.get("type") == "CheckpointHook":
        hook = {**hook, "type": "posegen.VerifiedCheckpoints"}
    return {**hooks, "checkpoint": hook}


class SafeRunner(Runner):
    """mmengine's Runner, with safe checkpoints, and our way to train in several processes.

    mmengine would let torch before 2.6 execute what a checkpoint holds, and leave out weights that do not fit; and it
    would wrap the model in ``DistributedDataParallel``, which wants a GPU from it and one pass through it a step.

    Attributes:
        start_from: a checkpoint of ours whose model weights training starts from, unless a run is resumed.
        run_id: 32 hexadecimal digits in every checkpoint of a run, however often it is resumed.
    """

    start_from: str | None = None
    run_id: str = ""
    _has_loaded: bool  # mmengine's

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        """Move the trainer to its device. It needs no wrapper: it averages gradients itself."""
        model = model.to(get_device())
        broadcast_weights(model)
        return model

    def train(self) -> nn.Module:
        """Train; every :class:`~.run_status.RunHook` is told how the run ended."""
        ended_by: BaseException | None = None
        try:
            return super().train()
        except BaseException as error:
            ended_by = error
            raise
        finally:
            for hook in self.hooks:
                if isinstance(hook, RunHook):
                    hook.run_ended(self, ended_by)

    def load_or_resume(self) -> None:
        """Resume where that was asked for and there is something to resume, else load :attr:`start_from`."""
        if self._has_loaded:
            return
        self.run_id = uuid.uuid4().hex
        path = self._newest_checkpoint() if self._resume else None
        if path:
            self.resume(path)
        elif self.start_from:
            load_weights(self.model.model, self.start_from)
            self._has_loaded = True
            self.logger.info(f"starts from the weights of {self.start_from}")

    def _newest_checkpoint(self) -> str | None:
        """The newest checkpoint that is whole: the first process looks, all use what it found."""
        path, faults = in_first_process(lambda: newest_sound(self.work_dir))
        for fault in faults:
            self.logger.warning(f"left out, and the checkpoint before is taken: {fault}")
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
        """Write a checkpoint, sealed and read back. All processes call it, the first one writes, and none goes on
        before that is done. Arguments as mmengine's; only local folders are written to.

        Raises:
            CheckpointError: it was not written; says why. In all processes.
        """

        def write() -> None:
            content = self._checkpoint(save_optimizer, save_param_scheduler, meta or {})
            self.call_hook("before_save_checkpoint", checkpoint=content)
            write_checkpoint(Path(out_dir) / filename, content, self.run_id)

        in_first_process(write)

    @functools.cached_property
    def _config_text(self) -> str:
        """The config as text, which no run changes; to format it takes longer than to write a small checkpoint."""
        return self.cfg.pretty_text

    def _checkpoint(self, save_optimizer: bool, save_param_scheduler: bool, meta: dict[str, Any]) -> dict[str, Any]:
        """What mmengine's runner saves, and where it came from."""
        meta = {"epoch": self.epoch, "iter": self.iter + 1, **meta}
        meta.update(
            cfg=self._config_text,
            seed=self.seed,
            experiment_name=self.experiment_name,
            time=time.strftime("%Y%m%d_%H%M%S", time.localtime()),
            run=self.run_id,
            revision=revision(),
            versions=versions(),
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
        """Load weights from the checkpoint of a run to resume; returns the whole checkpoint, on the CPU.

        Raises:
            CheckpointError: the file cannot be read, is of another architecture, or is no checkpoint of a run.
        """
        checkpoint = read_checkpoint(filename)
        missing = [key for key in ("state_dict", "meta", "message_hub") if key not in checkpoint]
        if missing:
            raise CheckpointError(
                f"{filename} is no checkpoint of a run, it has no {', '.join(missing)}: nothing to resume.\n"
                "To start a new run from its weights, set load_from."
            )
        model = self.model
        check_weights(model, checkpoint["state_dict"], str(filename))
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        model.load_state_dict(checkpoint["state_dict"])
        self.run_id = checkpoint["meta"].get("run") or self.run_id
        self._has_loaded = True
        self.logger.info(f"loaded: {filename}")
        return checkpoint


MMENGINES_OWN = (" has no metainfo. ", '"FileClient" will be deprecated', '"HardDiskBackend" is the alias')
"""What mmengine warns of and no user can mend: calls of its own that it gives up, a field that it does without."""


class QuietRunner(SafeRunner):
    """A Runner whose terminal is for whoever waits: environment, config and hooks go to the log file alone, and so do
    :data:`MMENGINES_OWN` warnings. Until :meth:`show_log` the terminal shows nothing but the other warnings and errors.
    """

    def build_logger(self, *args: Any, **kwargs: Any) -> Any:
        """mmengine's logger, quiet in the terminal."""
        logger = super().build_logger(*args, **kwargs)
        self._terminal = [(each, each.level) for each in logger.handlers if not isinstance(each, logging.FileHandler)]
        for handler, level in self._terminal:
            handler.setLevel(max(level, logging.WARNING))
            handler.addFilter(_concerns_the_user)
        return logger

    def show_log(self) -> None:
        """From now on the terminal shows what the log file gets, which it names."""
        for handler, level in self._terminal:
            handler.setLevel(level)
        for handler in self.logger.handlers:
            if isinstance(handler, logging.FileHandler):
                self.logger.info(f"environment, config and hooks: {handler.baseFilename}")


def _concerns_the_user(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    return not any(words in message for words in MMENGINES_OWN)


def _to_cpu(state: Any) -> Any:
    return apply_to(state, lambda value: hasattr(value, "cpu"), lambda value: value.cpu())


def _states(schedulers: Any) -> Any:
    """States of mmengine's schedulers: a list of them, or one by optimizer."""
    if isinstance(schedulers, dict):
        return {name: _states(some) for name, some in schedulers.items()}
    return [scheduler.state_dict() for scheduler in schedulers]


_runs = itertools.count(1)
