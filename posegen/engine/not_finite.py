"""Detect steps whose loss or gradients are not finite, and undo them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import PosegenError

MAX_NAMED = 5
"""Number of parameters that an error names."""


class NotFiniteError(PosegenError):
    """A loss or a gradient is not finite. The step was not taken, and its changes are undone."""


def check_finite(loss: Tensor, network: nn.Module, parameters: Iterable[nn.Parameter]) -> None:
    """Raise NotFiniteError unless a loss and the norm of its gradients are finite.

    A finite step costs one norm and one synchronization with the device.

    Args:
        loss: the loss; with several processes, their mean, as the gradients are, so that all processes raise or none.
        network: module that knows the parameters' names, for the error.
        parameters: parameters whose gradients are checked.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if bool((loss.detach() + norm).isfinite()):
        return
    problems = [] if bool(loss.isfinite()) else [f"the loss is {float(loss)}"]
    names = [name for name, p in network.named_parameters() if p.grad is not None and not bool(p.grad.isfinite().all())]
    if names:
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        problems.append(f"no finite gradient in {', '.join(names[:MAX_NAMED])}{more}")
    raise NotFiniteError("; ".join(problems) or f"the norm of the gradients is {float(norm)}")


class Undo:
    """Backup of the state that a step changes before it is known to be finite.

    This state is the networks' buffers (running statistics, vectors of spectral norms), and the discriminators with
    their optimizers, since discriminators are updated first.

    Args:
        networks: networks whose buffers are backed up.
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        self._buffers = [buffer for network in networks for buffer in network.buffers()]
        self._backup = [buffer.detach().clone() for buffer in self._buffers]
        self._updated: list[tuple[Any, list[nn.Parameter], list[Tensor], dict[str, Any]]] = []

    def commit(self) -> None:
        """Make the current state the one that :meth:`restore` returns to."""
        if self._buffers:
            torch._foreach_copy_(self._backup, self._buffers)
        self._updated.clear()

    def back_up(self, optimizer: Any, parameters: list[nn.Parameter]) -> None:
        """Back up *parameters* and *optimizer* before an update within a step that may still fail."""
        weights = [parameter.detach().clone() for parameter in parameters]
        self._updated.append((optimizer, parameters, weights, copy.deepcopy(optimizer.state_dict())))

    @torch.no_grad()
    def restore(self) -> None:
        """Return to the last committed state."""
        for optimizer, parameters, weights, state in reversed(self._updated):
            torch._foreach_copy_(parameters, weights)
            optimizer.load_state_dict(state)
        if self._buffers:
            torch._foreach_copy_(self._buffers, self._backup)
        self._updated.clear()
