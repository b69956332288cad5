"""Statistics of training steps at the logging interval: flows, masks, norms of gradients, memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook, LoggerHook
from torch import Tensor, nn

from ..ops import sampling_positions
from ..registry import HOOKS

NEAR = 0.05
"""Mask values closer than this to 0 or 1 count as 0 or 1."""


class StepStatistics:
    """Statistics of one step; each is a mean over the parts of a batch, or over the frames and chunks of a clip.

    They do not change the step: nothing has a gradient, is random, or synchronizes with the device before
    :meth:`numbers`.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor]] = {}

    @torch.no_grad()
    def add_flows(self, flows: Sequence[Tensor], masks: Sequence[Tensor], width: int, origin: str = "") -> None:
        """Measure flows and masks.

        Args:
            flows: B 2 h w in pixels of h×w, one per level.
            masks: B 1 h w in [0, 1], one per level.
            width: width of the image; lengths are given in its pixels.
            origin: for clips, the image that the flows point to: ``previous`` or ``reference``.
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
    def add_gradients(self, networks: Mapping[str, nn.Module]) -> None:
        """Measure the norm of the gradients of each network that has some."""
        for name, network in networks.items():
            gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
            if gradients:
                self._add(f"gradient/{name}", nn.utils.get_total_norm(gradients))

    def _add(self, name: str, value: Tensor) -> None:
        self._values.setdefault(name, []).append(value)

    def numbers(self) -> dict[str, float]:
        """Return all statistics by name; synchronizes with the device once."""
        if not self._values:
            return {}
        means = torch.stack([torch.stack(values).mean() for values in self._values.values()])
        return dict(zip(self._values, means.tolist(), strict=True))


def _level(kind: str, tensor: Tensor, origin: str) -> str:
    height, width = tensor.shape[-2:]
    return f"{kind}_{origin}_{height}x{width}" if origin else f"{kind}_{height}x{width}"


def _outside(flow: Tensor) -> Tensor:
    """Return where a flow points outside of the image, B h w: by more than half a pixel."""
    height, width = flow.shape[-2:]
    x, y = sampling_positions(flow).unbind(1)
    return (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)


def memory() -> dict[str, float]:
    """Return the peak memory in MiB: of tensors on the GPU, and of this process (not on Windows)."""
    used = {"memory/gpu_mib": torch.cuda.max_memory_allocated() / 2**20} if torch.cuda.is_available() else {}
    if sys.platform == "win32":
        return used
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return {**used, "memory/process_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20}


@HOOKS.register_module()
class TrainingStatistics(Hook):
    """Writes statistics of the logged iterations to the visualizer's backends: TensorBoard, ``scalars.json``, W&B.

    For each level, named by its height×width: the flow's ``length`` in pixels of the image (mean, and the 95th
    percentile ``length_p95``), the fraction ``outside`` of the image; the mask's ``mean``, and the fractions ``near_0``
    (generated) and ``near_1`` (warped). ``gradient/NETWORK`` is the norm before clipping. With several processes, flows
    and masks are those of the first one, gradients are averaged. Skipped steps have no statistics. The training is not
    changed by a single bit.
    """

    def __init__(self) -> None:
        self._interval = 0

    def before_train(self, runner: Any) -> None:
        """Read the logging interval; without a logger, nothing is measured."""
        self._interval = next((hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)), 0)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Let the trainer measure an iteration that is logged."""
        due = self._interval > 0 and (batch_idx + 1) % self._interval == 0
        runner.train_loop.trainer.statistics = StepStatistics() if due else None

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the statistics."""
        measured = runner.train_loop.trainer.statistics
        runner.train_loop.trainer.statistics = None
        if measured is None or "loss" not in (outputs or {}):
            return
        done = batch_idx + 1
        # Weights & Biases takes its horizontal axis from "iter"
        runner.visualizer.add_scalars({**measured.numbers(), **memory(), "iter": done}, step=done)
