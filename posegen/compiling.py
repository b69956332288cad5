"""torch.compile as an option: where it does not work, all goes on without it."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .errors import ConfigError, nearest


class CompilerWarning(UserWarning):
    """torch.compile failed; the model runs uncompiled, and gives the same numbers."""


OPTIONS = {
    # With its channels moved last, torch 2.13 takes the gradient of replicated borders for one in the plain layout, and
    # fails. Inference has its channels last already; training is faster without (docs/performance.md).
    "inductor": {"layout_optimization": False}
}


def compile_networks(model: nn.Module, backend: bool | str = True) -> None:
    """Have torch.compile compile each network of a complete model, in place; names of weights stay what they are.

    F and G each by itself, because a stage may train F alone. Nothing is compiled before the first call, and again at
    the first call of each other kind (with gradients and without, other sizes); each takes up to minutes. Where the
    compiler is missing or fails, one CompilerWarning says so, and all networks of the model go on uncompiled. The
    backward pass is compiled with the first call that has gradients, for which the network runs twice. A copy of the
    model is not compiled.

    Args:
        model: its children are its networks.
        backend: a name of torch's; True: torch's default, ``"inductor"``; False: nothing is done.

    Raises:
        ConfigError: torch has no such backend.
    """
    if not backend:
        return
    name = "inductor" if backend is True else backend
    names = torch.compiler.list_backends(exclude_tags=())
    if name not in names:
        raise ConfigError(f"torch.compile has no backend {name!r}{nearest(name, names)}\nit has: {', '.join(names)}")
    networks = list(model.children())
    for network in networks:
        try:
            # Torch would guess that sizes vary once a layer meets two, and fail on the guess: each size by itself.
            network.compile(backend=name, dynamic=False, options=OPTIONS.get(name))
        except Exception as error:  # torch has no compiler for every Python and every system
            _give_up(networks, error)
            return
        # Where torch itself keeps what it calls in place of the network; left out of copies and of what is saved.
        network._compiled_call_impl = _Compiled(networks, network, network._compiled_call_impl)


class _Compiled:
    """What a network makes of its inputs, compiled; uncompiled, from now on and all *networks*, where that fails."""

    def __init__(self, networks: list[nn.Module], network: nn.Module, compiled: Any) -> None:
        self.networks, self.network, self.compiled = networks, network, compiled
        self.way_back_is_known = False

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        try:
            out = self.compiled(*inputs, **named)
            if self.way_back_is_known or not self._goes_back(out):
                return out
            return self.compiled(*inputs, **named)  # what was gone back from is used up
        except Exception as error:  # a compiler may raise anything
            failure = error
        out = self.network._call_impl(*inputs, **named)  # raises where not the compiler is to blame, but the inputs
        _give_up(self.networks, failure)
        return out

    def _goes_back(self, out: Any) -> bool:
        """Compile the backward pass, if there is one, by going it once: torch would do so where nobody could go on
        without. Returns whether there is one."""
        weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        ends = [tensor.float().sum() for tensor in _tensors(out) if tensor.requires_grad]
        if weights and ends:
            torch.autograd.grad(torch.stack(ends).sum(), weights, allow_unused=True)
            self.way_back_is_known = True
        return self.way_back_is_known


def _tensors(out: Any) -> Iterator[Tensor]:
    """The tensors in what a network returns: lists of them, records of lists."""
    if isinstance(out, Tensor):
        yield out
    elif isinstance(out, (list, tuple)):
        for part in out:
            yield from _tensors(part)
    elif dataclasses.is_dataclass(out):
        yield from _tensors(list(vars(out).values()))


def _give_up(networks: list[nn.Module], error: Exception) -> None:
    for network in networks:
        network._compiled_call_impl = None
    cause = getattr(error, "inner_exception", error)  # torch wraps what a backend raises in many lines
    told = (str(cause).strip() or "?").splitlines()[0]
    warnings.warn(
        f"torch.compile fails here, the model runs uncompiled: {type(cause).__name__}: {told}",
        CompilerWarning,
        stacklevel=2,
    )
