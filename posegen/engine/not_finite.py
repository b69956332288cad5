"""Steps whose loss or gradients are not finite: noticed before anything is changed, undone, and reproducible."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import records
from ..errors import CheckpointError, PosegenError
from ..weights import read_weights
from .checkpoint_files import write_whole
from .provenance import versions
from .randomness import seed_all

_MOST_NAMED = 5


class NotFiniteError(PosegenError):
    """A loss or a gradient of a step is not finite; the step was not taken, and nothing of it is left."""


def check_finite(loss: Tensor, network: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
    """Raise NotFiniteError unless a loss and the norm of its gradients are finite. One norm, one look at the device.

    Args:
        loss: in several processes the mean of theirs, as the gradients are, so that all raise or none does.
        network: knows the parameters' names.
        parameters: whose gradients are looked at.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if bool((loss.detach() + norm).isfinite()):
        return
    problems = [] if bool(loss.isfinite()) else [f"the loss is {float(loss)}"]
    named = [name for name, p in network.named_parameters() if p.grad is not None and not bool(p.grad.isfinite().all())]
    if named:
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        problems.append(f"no finite gradient in {', '.join(named[:_MOST_NAMED])}{more}")
    raise NotFiniteError("; ".join(problems) or f"the gradients' norm is {float(norm)}")


class Undo:
    """What a step changes before it is known whether it will be taken: running statistics and other buffers, and the
    discriminators, which are trained first.

    Args:
        networks: whose buffers are kept.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self._buffers = [buffer for network in networks for buffer in network.buffers()]
        self._kept = [buffer.detach().clone() for buffer in self._buffers]
        self._trained: list[tuple[Any, list[nn.Parameter], list[Tensor], dict[str, Any]]] = []

    def keep(self) -> None:
        """What there is now is what :meth:`restore` goes back to."""
        if self._buffers:
            torch._foreach_copy_(self._kept, self._buffers)
        self._trained.clear()

    def before(self, optimizer: Any, parameters: list[nn.Parameter]) -> None:
        """Called before *optimizer* changes *parameters* in a step that may still fail."""
        weights = [parameter.detach().clone() for parameter in parameters]
        self._trained.append((optimizer, parameters, weights, copy.deepcopy(optimizer.state_dict())))

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back."""
        for optimizer, parameters, weights, state in reversed(self._trained):
            torch._foreach_copy_(parameters, weights)
            optimizer.load_state_dict(state)
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._kept)
        self._trained.clear()


def plain_inputs(batch: Any) -> dict[str, Any]:
    """A batch as tensors on the CPU and plain values, with the name of its record."""
    values = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    tensors = {name: value.cpu() if isinstance(value, Tensor) else value for name, value in values.items()}
    return {"record": type(batch).__name__, **tensors}


def write_step(path: Path, inputs: list[dict[str, Any]], error: str, runner: Any) -> None:
    """Write a file from which :func:`reproduce_step` repeats the step that *runner* has just undone.

    Args:
        path: of the file: tensors and plain values, loadable with ``weights_only=True``.
        inputs: :func:`plain_inputs` of each process.
        error: what was not finite.
        runner: whose model is again what it was before the step.
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
    """Repeat the step of a file that a run wrote when it stopped: on the CPU, each process's inputs by themselves.

    The run's config is loaded, and with it the plugins that it names.

    Returns:
        What was not finite, for the inputs of each process; None where all was.

    Raises:
        CheckpointError: the file is none of these.
    """
    content = read_weights(path)
    if not isinstance(content, dict) or "inputs" not in content:
        raise CheckpointError(f"{path} is no file of a step that was not finite")
    return [_repeat(content, rank) for rank in range(len(content["inputs"]))]


def _repeat(content: dict[str, Any], rank: int) -> str | None:
    from ..config import load_config
    from ..registry import MODELS
    from .optimizers import StageOptimizers

    plain = json.loads(content["config"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_text(content["config"], encoding="utf-8")
        config = load_config(file, plugin_files=plain.get("plugins") or ())
    trainer = MODELS.build_part({**config.trainer, "model": config.model, "autocast": content["autocast"]})
    trainer.load_state_dict(content["state_dict"])
    trainer.train()
    trainer.enter(next(stage for stage in trainer.stages if stage.name == content["stage"]))
    inputs = dict(content["inputs"][rank])
    batch = getattr(records, inputs.pop("record"))(**inputs)
    seed_all(content["seed"], rank, content["iteration"])
    try:
        trainer.train_step(batch, StageOptimizers()(trainer))
    except NotFiniteError as error:
        return str(error)
    return None
