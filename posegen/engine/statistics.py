"""What a step looks like from inside, at the logging interval: lengths of flows, masks, norms of gradients, memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook, LoggerHook
from torch import Tensor, nn

from ..registry import HOOKS

NEAR = 0.05
"""A mask nearer than this to 0, or to 1, counts as being there."""
GPU_MEMORY, PROCESS_MEMORY = "memory/gpu_mib", "memory/process_mib"


class StepStatistics:
    """Numbers of one step; each is the mean over the parts of a batch, or the frames and chunks of a clip.

    It only reads: nothing here has a gradient, draws at random, or waits for the device before :meth:`numbers`.
    """

    def __init__(self) -> None:
        self._seen: dict[str, list[Tensor]] = {}

    @torch.no_grad()
    def see_flows(self, flows: Sequence[Tensor], masks: Sequence[Tensor], width: int, origin: str = "") -> None:
        """Look at what F has estimated.

        Args:
            flows: B 2 h w in pixels of h×w, one a level.
            masks: B 1 h w in [0, 1], one a level.
            width: of the image, in whose pixels lengths are given.
            origin: of clips, the image that the flows lead to: ``previous`` or ``reference``.
        """
        for flow in flows:
            flow = flow.detach().float()
            level = _level("flow", flow, origin)
            lengths = flow.norm(dim=1).flatten() * (width / flow.shape[-1])
            self._add(f"{level}/length", lengths.mean())
            self._add(f"{level}/length_p95", lengths.sort().values[math.ceil(0.95 * len(lengths)) - 1])
            self._add(f"{level}/outside", _outside(flow).float().mean())
        for mask in masks:
            mask = mask.detach().float()
            level = _level("mask", mask, origin)
            self._add(f"{level}/mean", mask.mean())
            self._add(f"{level}/near_0", (mask < NEAR).float().mean())
            self._add(f"{level}/near_1", (mask > 1 - NEAR).float().mean())

    @torch.no_grad()
    def see_gradients(self, networks: Mapping[str, nn.Module]) -> None:
        """Look at the norm of each network's gradients, where it has any."""
        for name, network in networks.items():
            gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
            if gradients:
                self._add(f"gradient/{name}", nn.utils.get_total_norm(gradients))

    def _add(self, name: str, value: Tensor) -> None:
        self._seen.setdefault(name, []).append(value)

    def numbers(self) -> dict[str, float]:
        """All that was seen, by name; one wait for the device."""
        if not self._seen:
            return {}
        means = torch.stack([torch.stack(values).mean() for values in self._seen.values()])
        return dict(zip(self._seen, means.tolist(), strict=True))


def _level(what: str, tensor: Tensor, origin: str) -> str:
    height, width = tensor.shape[-2:]
    return f"{what}_{origin}_{height}x{width}" if origin else f"{what}_{height}x{width}"


def _outside(flow: Tensor) -> Tensor:
    """B h w: where a flow leads out of the picture by more than half a pixel."""
    height, width = flow.shape[-2:]
    x = flow[:, 0] + torch.arange(width, device=flow.device)
    y = flow[:, 1] + torch.arange(height, device=flow.device)[:, None]
    return (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)


def memory() -> dict[str, float]:
    """Most memory used so far, in MiB: of the GPU by tensors, where there is one; of this process, where the system
    tells."""
    used = {GPU_MEMORY: torch.cuda.max_memory_allocated() / 2**20} if torch.cuda.is_available() else {}
    if sys.platform == "win32":
        return used
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return {**used, PROCESS_MEMORY: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20}


@HOOKS.register_module()
class TrainingStatistics(Hook):
    """Measures flows, masks, gradients and memory in the iterations that are logged, and hands them to all of the
    visualizer's backends: TensorBoard, ``scalars.json``, Weights & Biases.

    A level is called by its size, height×width. For each: the flow's ``length`` (mean, and ``length_p95``: 95 % are
    shorter) in pixels of the image, the share ``outside`` that leads out of the picture, the mask's ``mean``, and the
    shares of it ``near_0`` (generated) and ``near_1`` (warped). ``gradient/NETWORK``: the norm before clipping. Several
    processes: flows and masks are the first one's, gradients the mean's. A step that is skipped has none. Nothing of
    this changes the training, by a single bit.
    """

    def __init__(self) -> None:
        self._interval = 0

    def before_train(self, runner: Any) -> None:
        """Find out when the run logs; a run without a log measures nothing."""
        self._interval = next((hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)), 0)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Have the trainer measure an iteration that is logged."""
        due = self._interval > 0 and (batch_idx + 1) % self._interval == 0
        runner.train_loop.trainer.statistics = StepStatistics() if due else None

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write what was measured."""
        measured = runner.train_loop.trainer.statistics
        runner.train_loop.trainer.statistics = None
        if measured is None or "loss" not in (outputs or {}):
            return
        done = batch_idx + 1
        # "iter" is the axis that Weights & Biases draws over
        runner.visualizer.add_scalars({**measured.numbers(), **memory(), "iter": done}, step=done)
