"""bfloat16 where the processor does not compute in it: its rounding, without its speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_any, tree_map_only

from ..engine.trainer import computes_in_bfloat16

PRODUCTS = {
    torch.ops.aten.convolution.default,
    torch.ops.aten.convolution_backward.default,
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.bmm.default,
    torch.ops.aten.baddbmm.default,
}
"""What matrix units do."""


class RoundedProducts(TorchDispatchMode):
    """Convolutions and matrix products of bfloat16 in single precision, their results rounded to bfloat16.

    That is what a matrix unit does: products of two bfloat16 are exact in single precision, and are summed in it; the
    order of the sums may differ. torch's own way on a processor without such units takes a hundred times as long.
    """

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = (args, dict(kwargs or {}))
        if func not in PRODUCTS:
            with self:  # in inference mode layers arrive whole
                made = func.decompose(*given[0], **given[1])
            return func(*given[0], **given[1]) if made is NotImplemented else made
        if tree_any(_is_of_another_precision, given):
            return func(*given[0], **given[1])
        args, kwargs = tree_map_only(Tensor, Tensor.float, given)
        return tree_map_only(Tensor, Tensor.bfloat16, func(*args, **kwargs))


def bfloat16_anywhere() -> AbstractContextManager[Any]:
    """Nothing where the processor computes in bfloat16; elsewhere :class:`RoundedProducts`."""
    return nullcontext() if computes_in_bfloat16() else RoundedProducts()


def _is_of_another_precision(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype != torch.bfloat16
