"""Convolutions of stride 1 with fewer multiplications, for CPUs, in plain PyTorch (Winograd's minimal filtering).

A tile of t×t inputs gives m×m outputs of an r×r filter, t = m + r - 1, by t² products instead of m²·r²:
``Y = Aᵀ[(G w Gᵀ) ∘ (Bᵀ d B)]A``, summed over channels. With m = 4 that is a quarter of the products for r = 3, and less
than a sixth for r = 5. The products are matrix products over channels, one for each of the t² positions of a tile.
Lavin and Gray, "Fast algorithms for convolutional neural networks", arXiv 1509.09308.

The result is exact but for rounding, which depends on the interpolation points. For r = 3 the usual points 0, ±1, ±2
have three times the rounding error of a direct convolution; 0, ±2/3, ±3/2 (reciprocals, as in Alam et al., "Winograd
convolution for deep neural networks: efficient point selection", arXiv 2201.10369) have 1.5 times: 1e-6 of the norm of
the result. For r = 5, with two more points, it is 5e-6. The gradients have the same error. The error of an output
scales with the largest value of its tile, and a value that is not finite makes all outputs of its tile not finite.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import grad as gradients

Part = Literal["output", "input_gradient", "weight_gradient"]
"""The three convolutions of a layer: forward, and the two of its backward pass."""
ALL: tuple[Part, ...] = get_args(Part)
POINTS = {3: (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2), 5: (0.0, 1 / 2, -1 / 2, 1.0, -1.0, 2.0, -2.0)}
"""Interpolation points by filter size; infinity is one more. A tile is as wide as there are points."""
TILES_AT_ONCE = 64
"""Smallest number of tiles that are transformed together, roughly."""
PIECE = 16384
"""Channels times tiles that are transformed together, roughly: what a processor's cache holds."""
FILTERS_AT_ONCE = 256 * 256
"""Filters that are transformed together; a layer with more transforms them again for each piece of an image."""
MAX_SCRATCH_BYTES = 2**26
"""Scratch memory kept for the next convolution, per thread."""


def convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    padding: int = 0,
    minimal: Collection[Part] = ALL,
) -> Tensor:
    """Compute ``F.conv2d(x, weight, bias, padding=padding)``, some parts by minimal filtering, the others by PyTorch.

    A second derivative, and a batch of gradients at once, are computed by PyTorch.

    Args:
        x: B C H W, in any memory format; the output has the same.
        weight: O C r r, r = 3 or 5. bias: O.
        padding: at most r - 1.
        minimal: parts that are computed by minimal filtering.
    """
    height, width = _output_size(x, weight.shape[-1], padding)
    shape = (len(x), len(weight), height, width)
    placeholder: Tensor = _SaveForBackward.apply(x, weight, bias, padding, shape, minimal)  # type: ignore[no-untyped-call]
    compute = minimal_conv2d if "output" in minimal else F.conv2d
    output: Tensor = _Compute.apply(placeholder, lambda: compute(x, weight, bias, padding=padding))  # type: ignore[no-untyped-call]
    return output


class _SaveForBackward(torch.autograd.Function):
    """Save the inputs before the output is computed, and compute their gradients.

    ``torch.utils.checkpoint`` stops recomputing once all inputs are saved again. Saved before the convolution, its
    input can be recomputed without the convolution being computed twice.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, padding, shape, minimal):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        ctx.padding, ctx.format, ctx.shape, ctx.minimal = padding, memory_format(x), x.shape, minimal
        return x.new_empty(1).expand(shape)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        x, weight = ctx.saved_tensors
        size, padding = weight.shape[-1], ctx.padding
        # A gradient that is differentiated itself, or a batch of gradients, needs differentiable operations.
        minimal = () if torch.is_grad_enabled() or not has_values(gradient) else ctx.minimal
        if minimal:
            gradient = gradient.contiguous(memory_format=ctx.format)
        for_x = for_weight = for_bias = None
        with torch.autocast("cpu", enabled=False):
            if ctx.needs_input_grad[0] and "input_gradient" in minimal:
                for_x = minimal_conv2d(gradient, weight, padding=size - 1 - padding, transposed=True)
            elif ctx.needs_input_grad[0]:
                for_x = gradients.conv2d_input(ctx.shape, weight, gradient, padding=padding)
            if ctx.needs_input_grad[1] and "weight_gradient" in minimal:
                for_weight = minimal_weight_gradient(x, gradient, size, padding)
            elif ctx.needs_input_grad[1]:
                for_weight = gradients.conv2d_weight(x, weight.shape, gradient, padding=padding)
            if ctx.needs_input_grad[2]:
                for_bias = gradient.sum((0, 2, 3))
        return for_x, for_weight, for_bias, None, None, None


class _Compute(torch.autograd.Function):
    """Put the output in the place of its placeholder."""

    @staticmethod
    def forward(ctx, placeholder: Tensor, compute: Callable[[], Tensor]) -> Tensor:  # type: ignore[no-untyped-def]
        return compute()

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient, None


def has_values(x: Tensor) -> bool:
    """Return whether a tensor has memory of its own: not inside function transforms such as ``torch.func.vmap``."""
    try:
        x.data_ptr()
    except RuntimeError:
        return False
    return True


def memory_format(x: Tensor) -> torch.memory_format:
    """Return the memory format of each image of a batch B C H W, channels last or contiguous."""
    image = x[:1]  # how images lie in the batch is of no interest
    channels_last = image.is_contiguous(memory_format=torch.channels_last) and not image.is_contiguous()
    return torch.channels_last if channels_last else torch.contiguous_format


# The three convolutions ---------------------------------------------------------------------------------------


class Transforms(NamedTuple):
    """Matrices on flattened tiles: t² of the input → t², r² of a filter → t², t² of products → m² of the output."""

    input: Tensor
    filter: Tensor
    output: Tensor


@functools.cache
def transforms(size: int, dtype: torch.dtype = torch.float64) -> Transforms:
    """Return the transforms for filters of size×size by Toom and Cook: interpolation at :data:`POINTS` and infinity."""
    points, tile = np.array(POINTS[size]), len(POINTS[size]) + 1
    others = [np.delete(points, index) for index in range(len(points))]
    scale = np.array([np.prod(point - rest) for point, rest in zip(points, others, strict=True)])
    data = np.zeros((tile, tile))
    for index, rest in enumerate(others):
        data[index, :-1] = np.poly(rest)[::-1]
    data[-1] = np.poly(points)[::-1]
    filters = np.vstack([points[:, None] ** np.arange(size) / scale[:, None], np.eye(size)[-1]])
    output = np.hstack([points ** np.arange(_step(size))[:, None], np.eye(_step(size))[:, -1:]])
    return Transforms(*(torch.from_numpy(np.kron(one, one)).to(dtype) for one in (data, filters, output)))


@torch.no_grad()
def minimal_conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0, transposed: bool = False
) -> Tensor:
    """Convolve by minimal filtering, one piece of an image at a time; no gradient.

    Args:
        x, weight, bias, padding: see :func:`convolve`.
        transposed: filters rotated by 180°, their input and output channels swapped, as the gradient of *x* needs them.
    """
    size, channels, made = weight.shape[-1], x.shape[1], weight.shape[1 if transposed else 0]
    matrices, step, last = transforms(size, x.dtype), _step(size), memory_format(x) == torch.channels_last
    height, width = _output_size(x, size, padding)
    result = torch.empty((len(x), made, height, width), dtype=x.dtype, device=x.device, memory_format=memory_format(x))
    at_once = max(1, FILTERS_AT_ONCE // channels)
    parts = [slice(start, min(start + at_once, made)) for start in range(0, made, at_once)]
    filters = _transform_filters(weight, parts[0], transposed)
    for number, output in enumerate(result):
        whole = _whole_tiles(output, size, last)
        for source, target in _pieces(_padded(x[number : number + 1], size, padding)[0], whole, size, last):
            tiles = _transform_tiles(matrices.input, source, "input")
            for part in parts:
                if len(parts) > 1:
                    filters = _transform_filters(weight, part, transposed)
                if last:
                    factors = tiles.view(len(tiles), -1, channels), filters.mT
                else:
                    factors = filters, tiles.view(len(tiles), channels, -1)
                shape = len(tiles), factors[0].shape[1], factors[1].shape[2]
                products = torch.bmm(*factors, out=_scratch("products", x.dtype, *shape))
                piece = _scratch("pieces", x.dtype, step**2, math.prod(shape[1:]))
                torch.mm(matrices.output, products.flatten(1), out=piece)
                if bias is not None:
                    piece.view(-1, *shape[1:]).add_(bias[part] if last else bias[part, None])
                place = target.narrow(4 if last else 2, part.start, part.stop - part.start)
                place.copy_(piece.view(place.shape))
        if whole is not output:
            output.copy_(whole[:, :height, :width])
    _scratch.trim()
    return result


@torch.no_grad()
def minimal_weight_gradient(x: Tensor, gradient: Tensor, size: int, padding: int) -> Tensor:
    """Return the gradient O C r r of the filters by minimal filtering: the steps of the convolution, transposed.

    Args:
        x: B C H W, the input. gradient: B O H' W', of the output, in the memory format of *x*.
        size: r. padding: of the convolution.
    """
    matrices, channels, made = transforms(size, x.dtype), x.shape[1], gradient.shape[1]
    last = memory_format(x) == torch.channels_last
    total = x.new_zeros(len(matrices.input), made, channels)
    for number, one in enumerate(gradient):
        whole = _whole_tiles(one, size, last)
        if whole is not one:
            whole.zero_()[:, : one.shape[1], : one.shape[2]] = one
        for source, target in _pieces(_padded(x[number : number + 1], size, padding)[0], whole, size, last):
            tiles = _transform_tiles(matrices.input, source, "input")
            products = _transform_tiles(matrices.output.T, target, "products")
            if last:
                total.baddbmm_(products.view(len(total), -1, made).mT, tiles.view(len(total), -1, channels))
            else:
                total.baddbmm_(products.view(len(total), made, -1), tiles.view(len(total), channels, -1).mT)
    _scratch.trim()
    filters = matrices.filter.T @ total.flatten(1)
    return filters.T.reshape(made, channels, size, size).contiguous()


# Tiles --------------------------------------------------------------------------------------------------------


def _transform_filters(weight: Tensor, part: slice, transposed: bool) -> Tensor:
    """Transform the filters of the output channels in *part*: t², output channels, input channels.

    A small product for each row of filters: one wide product of so few rows is not shared among processors.
    """
    matrix = transforms(weight.shape[-1], weight.dtype).filter
    matrix = matrix.flip(1) if transposed else matrix
    filters = (weight[:, part] if transposed else weight[part]).flatten(2).mT
    made = _scratch("filters", weight.dtype, len(filters), len(matrix), filters.shape[2])
    made = torch.bmm(matrix.expand(len(filters), *matrix.shape), filters, out=made).transpose(0, 1)
    return made.mT if transposed else made


def _transform_tiles(matrix: Tensor, pieces: Tensor, name: str) -> Tensor:
    """Gather the values of each position of the tiles as a row, and multiply *matrix* by these rows."""
    rows = _scratch("pieces", pieces.dtype, *pieces.shape).copy_(pieces).flatten(2).flatten(0, 1)
    return torch.mm(matrix, rows, out=_scratch(name, pieces.dtype, len(matrix), rows.shape[1]))


def _pieces(image: Tensor, output: Tensor, size: int, last: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield some rows of tiles at a time: t×t of a padded image C H W, and m×m of the output O H W.

    Both have the positions in a tile first, then rows and columns of tiles and channels; without *last*, channels, rows
    and columns.
    """
    step = _step(size)
    order = (3, 4, 1, 2, 0) if last else (3, 4, 0, 1, 2)
    source = image.unfold(1, step + size - 1, step).unfold(2, step + size - 1, step).permute(order)
    target = output.unfold(1, step, step).unfold(2, step, step).permute(order)
    axis = order.index(1)
    rows, columns = source.shape[axis : axis + 2]
    tiles = max(TILES_AT_ONCE, PIECE // max(len(image), len(output)))
    count = min(rows, max(1, round(rows * columns / tiles)))  # of equal size: a small last piece takes as long
    yield from zip(source.tensor_split(count, axis), target.tensor_split(count, axis), strict=True)


def _whole_tiles(image: Tensor, size: int, last: bool) -> Tensor:
    """Return a map O H W itself, or scratch for whole tiles where the last tiles reach beyond the map."""
    step = _step(size)
    height, width = (-(-length // step) * step for length in image.shape[1:])
    if image.shape[1:] == (height, width):
        return image
    if last:
        return _scratch("whole", image.dtype, height, width, len(image)).permute(2, 0, 1)
    return _scratch("whole", image.dtype, len(image), height, width)


def _padded(image: Tensor, size: int, padding: int) -> Tensor:
    """Pad an image 1 C H W, and further so that its last tiles are whole."""
    step = _step(size)
    lengths = [-(-length // step) * step + size - 1 for length in _output_size(image, size, padding)]
    below, right = (length - given - padding for length, given in zip(lengths, image.shape[-2:], strict=True))
    return F.pad(image, (padding, right, padding, below)) if padding or below or right else image


def _output_size(x: Tensor, size: int, padding: int) -> tuple[int, int]:
    return x.shape[-2] + 2 * padding - size + 1, x.shape[-1] + 2 * padding - size + 1


def _step(size: int) -> int:
    """Return m, the side of a tile's output."""
    return len(POINTS[size]) + 2 - size


class _Scratch(threading.local):
    """Buffers of one thread that are used again: the system takes longer to give memory than the arithmetic in it."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def __call__(self, name: str, dtype: torch.dtype, *shape: int) -> Tensor:
        count = math.prod(shape)
        buffer = self.buffers.get((name, dtype))
        if buffer is None or len(buffer) < count:
            with torch.inference_mode(False):  # the next call may be outside of it
                buffer = self.buffers[name, dtype] = torch.empty(count, dtype=dtype, device="cpu")
        return buffer[:count].view(shape)

    def trim(self) -> None:
        if sum(buffer.nbytes for buffer in self.buffers.values()) > MAX_SCRATCH_BYTES:
            self.buffers.clear()


_scratch = _Scratch()


def release_scratch() -> None:
    """Free the scratch memory that this thread keeps between convolutions."""
    _scratch.buffers.clear()
