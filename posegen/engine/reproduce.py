"""Write a failed training step to a file, and repeat it from there."""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints.files import write_whole
from ..config import load_config
from ..errors import CheckpointError
from ..records import ClipBatch, PairBatch
from ..registry import MODELS
from ..weights import read_weights
from .not_finite import NotFiniteError
from .optimizers import StageOptimizers
from .provenance import versions
from .randomness import seed_all

RECORDS = {record.__name__: record for record in (PairBatch, ClipBatch)}


def plain_inputs(batch: PairBatch | ClipBatch) -> dict[str, Any]:
    """Convert a batch to tensors on the CPU and plain values; ``"record"`` is the name of its class."""
    values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    tensors = {name: value.cpu() if isinstance(value, Tensor) else value for name, value in values.items()}
    return {"record": type(batch).__name__, **tensors}


def write_step(path: Path, inputs: list[dict[str, Any]], error: str, runner: Any) -> None:
    """Write the file from which :func:`reproduce_step` repeats a step.

    Args:
        path: file to write: tensors and plain values, loadable with ``weights_only=True``.
        inputs: :func:`plain_inputs` of each process.
        error: what was not finite.
        runner: runner whose model is in the state before the step.
    """
    trainer = runner.train_loop.trainer
    content = {
        "inputs": inputs,
        "error": error,
        "iteration": runner.iter,
        "stage": trainer.stage.name,
        "seed": runner.seed,
        "autocast": trainer.autocast,
        "config": json.dumps(runner.cfg.to_dict()),
        "state_dict": {name: value.cpu() for name, value in trainer.state_dict().items()},
        "versions": versions(),
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    write_whole(path, [stream.getbuffer()])


def reproduce_step(path: str | Path) -> list[str | None]:
    """Repeat a step on the CPU from the file ``not_finite_iter_N.pth`` that a stopped run wrote.

    The run's config is loaded, and with it the plugins that it names.

    Returns:
        For the inputs of each process, what was not finite; None if everything was.

    Raises:
        CheckpointError: the file is not such a file.
    """
    content = read_weights(path)
    if not isinstance(content, dict) or "inputs" not in content:
        raise CheckpointError(f"{path} is not the file of a step that was not finite")
    return [_repeat(content, rank) for rank in range(len(content["inputs"]))]


def _repeat(content: dict[str, Any], rank: int) -> str | None:
    plugins = json.loads(content["config"]).get("plugins") or ()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_text(content["config"], encoding="utf-8")
        config = load_config(file, plugin_files=plugins)
    trainer = MODELS.build_part({**config.trainer, "model": config.model, "autocast": content["autocast"]})
    trainer.load_state_dict(content["state_dict"])
    trainer.train()
    trainer.enter(next(stage for stage in trainer.stages if stage.name == content["stage"]))
    inputs = dict(content["inputs"][rank])
    batch = RECORDS[inputs.pop("record")](**inputs)
    seed_all(content["seed"], rank, content["iteration"])
    try:
        trainer.train_step(batch, StageOptimizers()(trainer))
    except NotFiniteError as error:
        return str(error)
    return None
