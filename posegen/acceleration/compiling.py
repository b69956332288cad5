"""torch.compile as an option."""

from __future__ import annotations

import warnings

import torch
from torch import nn

from ..errors import ConfigError, nearest

OPTIONS = {
    # With channels last, PyTorch 2.13 takes the gradient of replicate padding for contiguous, and fails.
    "inductor": {"layout_optimization": False}
}


class CompilerWarning(UserWarning):
    """torch.compile does not work here; the model runs uncompiled, with the same numbers."""


def compile_networks(model: nn.Module, backend: bool | str = True) -> None:
    """Compile each network of a complete model by ``torch.compile``, in place; names of weights stay.

    F and G are compiled separately, since a stage may train F alone. Each is compiled at its first call, and again for
    other image sizes and with gradients, which takes up to minutes. Where the backend does not work on this machine,
    a CompilerWarning says why, and the model stays uncompiled.

    Args:
        model: its children are its networks.
        backend: name of a backend; True: ``"inductor"``, PyTorch's default; False: nothing is done.

    Raises:
        ConfigError: PyTorch has no such backend.
    """
    if not backend:
        return
    name = "inductor" if backend is True else backend
    names = torch.compiler.list_backends(exclude_tags=())
    if name not in names:
        raise ConfigError(f"torch.compile has no backend {name!r}{nearest(name, names)}\nit has: {', '.join(names)}")
    try:
        torch.compile(torch.nn.Tanh(), backend=name)(torch.zeros(1))  # fails where there is no compiler
    except Exception as error:  # a backend raises anything
        cause = str(getattr(error, "inner_exception", error)).strip().partition("\n")[0]
        message = f"torch.compile fails here, the model runs uncompiled: {type(error).__name__}: {cause}"
        warnings.warn(message, CompilerWarning, stacklevel=2)
        return
    for network in model.children():
        # With dynamic sizes, PyTorch would guess that sizes vary once a layer meets two, and fail on the guess.
        network.compile(backend=name, dynamic=False, options=OPTIONS.get(name))
