"""Convolutions of stride 1 with fewer multiplications, for CPUs, in plain torch (Winograd's minimal filtering).

A tile of t×t inputs gives m×m outputs of an r×r filter, t = m + r - 1, by t² products instead of m²·r²:
``Y = Aᵀ[(G w Gᵀ) ∘ (Bᵀ d B)]A``, summed over channels. With m = 4 that is a quarter of the products for r = 3, and less
than a sixth for r = 5. The products are matrix products over channels, one for each of the t² places of a tile.
Lavin and Gray, "Fast algorithms for convolutional neural networks", arXiv 1509.09308.

It is exact but for rounding, which depends on the points that the polynomials go through. For r = 3 the usual 0, ±1, ±2
give three times the rounding error of a direct convolution; 0, ±2/3, ±3/2 (reciprocals, as in Alam et al., "Winograd
convolution for deep neural networks: efficient point selection", arXiv 2201.10369) give one and a half times as much:
1e-6 of the result's norm. For r = 5, with two points more, it is 5e-6. Gradients have the same. The error of an output
follows the largest value of its tile, also where its own window does not see that; and one that is not finite makes
all of its tile not finite.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import grad as gradients

POINTS = {3: (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2), 5: (0.0, 1 / 2, -1 / 2, 1.0, -1.0, 2.0, -2.0)}
"""Of the polynomials, by the size of the filters; infinity is one more. There are as many as a tile is wide."""
FEWEST_CHANNELS = 128
"""In and out: with fewer, the transforms of tiles cost what the multiplications save."""
FEWEST_PRODUCTS = {torch.contiguous_format: 2**30, torch.channels_last: 2**28}
"""Of a direct convolution of one image, by layout. With fewer, the transforms cost what the multiplications save, and
each step is over before a second processor has begun."""
FEWEST_PRODUCTS_OF_GRADIENT = 2**28
"""The same for the gradient of the filters, in either layout: that is what torch takes longest for."""
FEWEST_PLACES = 1000
"""Of a result: with fewer the transforms of the filters cost what the multiplications save."""
FEWEST_TILES = 64
"""That are transformed at once, about: fewer are no matrix to speak of."""
MOST_WASTE = 1.2
"""Of the places of all tiles in those of the result: what the last tiles give and nobody asked for."""
SCRATCH = 16384
"""Channels times tiles that are transformed at once, about: as much as a processor's cache holds."""
MOST_KEPT_BYTES = 2**26
"""Of scratch that waits for the next convolution, a thread; what very wide maps need is given back."""
KEPT = 256 * 256
"""Filters that are transformed once a convolution; of more, some at a time, for each piece of an image anew."""


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
    """What ``F.conv2d(x, weight, bias, padding=padding)`` computes; by minimal filtering what is faster by it.

    The choice depends on the kind and the layout of the tensors, on the size of an image, and on whether the filters
    want a gradient; never on the batch.

    Args:
        x: B C H W. weight: O C r r. bias: O.
    """
    products = _products(x, weight, bias, padding)
    if products and products >= FEWEST_PRODUCTS[_layout(x)]:
        return winograd(x, weight, bias, padding)
    if products >= FEWEST_PRODUCTS_OF_GRADIENT and weight.requires_grad and torch.is_grad_enabled():
        return _through_gradients(x, weight, bias, padding, direct=True)
    return F.conv2d(x, weight, bias, padding=padding)


def arranged(x: Tensor, weight: Tensor, padding: int = 0) -> Tensor:
    """*x*, with its channels side by side in memory where :func:`convolve` with such filters is fastest with them.

    Args:
        padding: what it will have on every side when it is convolved.
    """
    if _products(x, weight, None, padding) < FEWEST_PRODUCTS[torch.channels_last]:
        return x
    return x.contiguous(memory_format=torch.channels_last)


PLAIN = (Tensor, nn.Parameter)


def _of_numbers(*given: Tensor | None) -> bool:
    """Whether these are plain maps and filters on a CPU, all of one precision, and torch looks at numbers.

    Not where it looks at operations: compile, function transforms, forward derivatives, autocast, tensors of another
    kind.
    """
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active():
        return False
    if torch.is_autocast_enabled("cpu") or forward_ad._current_level >= 0:
        return False
    tensors = [each for each in given if each is not None]
    return all(type(each) in PLAIN and each.device.type == "cpu" and each.dtype == tensors[0].dtype for each in tensors)


def _products(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> int:
    """Of a direct convolution of one image; 0: it is none that minimal filtering is for.

    Also 0 for whatever torch refuses, and where torch looks at operations and not at numbers.
    """
    if not _of_numbers(x, weight, bias) or x.dim() != 4 or weight.dim() != 4:
        return 0
    made, channels, size = weight.shape[:3]
    if x.shape[1] != channels or weight.shape[3] != size or (bias is not None and bias.shape != (made,)):
        return 0
    if x.dtype not in (torch.float32, torch.float64) or size not in POINTS or not 0 <= padding < size:
        return 0
    rows, columns = _tiles(x, size, padding)
    height, width = (length + 2 * padding - size + 1 for length in x.shape[2:])
    if height * width < FEWEST_PLACES or min(made, channels) < FEWEST_CHANNELS:
        return 0
    if rows * columns * _step(size) ** 2 > MOST_WASTE * height * width:
        return 0
    return height * width * weight.numel()


def winograd(x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
    """``F.conv2d(x, weight, bias, padding=padding)`` for filters of 3×3 and 5×5, by minimal filtering.

    What it needs beside its result are some tiles, not all of them; the backward pass makes them again. Memory for
    them, some tens of megabytes, is kept for the next call; :func:`release_scratch` gives it back.

    Args:
        x: B C H W, in either layout of memory; the result has the same.
        weight: O C r r. bias: O.
        padding: at most r - 1.
    """
    return _through_gradients(x, weight, bias, padding, direct=False)


def _through_gradients(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, *, direct: bool) -> Tensor:
    """With *direct* torch computes the result and the gradient of *x*; that of the filters is by minimal filtering."""
    shape = (len(x), len(weight), *(length + 2 * padding - weight.shape[-1] + 1 for length in x.shape[2:]))
    place = _Gradients.apply(x, weight, bias, padding, shape, direct)  # type: ignore[no-untyped-call]
    if direct:
        return _computed(place, lambda: F.conv2d(x, weight, bias, padding=padding))

    def compute() -> Tensor:
        with _scratch() as space:
            return _filter(space, x, weight, bias, padding)

    return _computed(place, compute)


class _Gradients(torch.autograd.Function):
    """Keeps what the backward pass needs, and stands for the result, before that is computed.

    A checkpoint that makes the inputs again stops where they are kept, and so before the convolution.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, padding, shape, direct):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        ctx.padding, ctx.layout, ctx.shape, ctx.direct = padding, _layout(x), x.shape, direct
        return x.new_empty(1).expand(shape)

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        x, weight = ctx.saved_tensors
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        # Somebody wants the gradient's gradient, or many at once: by operations that have them.
        differentiable = torch.is_grad_enabled() or torch._C._functorch.is_legacy_batchedtensor(gradient)
        if not differentiable:
            gradient = gradient.contiguous(memory_format=ctx.layout)
        with _scratch() as space, torch.autocast("cpu", enabled=False):
            if ctx.needs_input_grad[0] and (ctx.direct or differentiable):
                of_x = gradients.conv2d_input(ctx.shape, weight, gradient, padding=ctx.padding)
            elif ctx.needs_input_grad[0]:
                border = weight.shape[-1] - 1 - ctx.padding
                of_x = _filter(space, gradient, weight, None, border, turned=True)
            if ctx.needs_input_grad[1] and differentiable:
                of_weight = gradients.conv2d_weight(x, weight.shape, gradient, padding=ctx.padding)
            elif ctx.needs_input_grad[1]:
                of_weight = _filter_gradient(space, x, gradient, weight.shape[-1], ctx.padding)
        return of_x, of_weight, of_bias, None, None, None


def _computed(place: Tensor, compute: Callable[[], Tensor]) -> Tensor:
    made: Tensor = _Computed.apply(place, compute)  # type: ignore[no-untyped-call]
    return made


class _Computed(torch.autograd.Function):
    """The result, in its place; its gradient goes there."""

    @staticmethod
    def forward(ctx, place, compute):  # type: ignore[no-untyped-def]
        return compute()

    @staticmethod
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        return gradient, None


class Transforms(NamedTuple):
    """Of a flattened tile, t² (of data), of r² (a filter) to t², and of t² to m² (a result)."""

    data: Tensor
    filter: Tensor
    result: Tensor


@functools.cache
def transforms(size: int, dtype: torch.dtype = torch.float64) -> Transforms:
    """For filters of size×size, by Toom and Cook: polynomials through :data:`POINTS` and infinity."""
    points, tile = np.array(POINTS[size]), len(POINTS[size]) + 1
    step = tile - size + 1
    others = [np.delete(points, place) for place in range(len(points))]
    scale = np.array([np.prod(point - rest) for point, rest in zip(points, others, strict=True)])
    data = np.zeros((tile, tile))
    for place, rest in enumerate(others):
        data[place, :-1] = np.poly(rest)[::-1]
    data[-1] = np.poly(points)[::-1]
    filters = np.vstack([points[:, None] ** np.arange(size) / scale[:, None], np.eye(size)[-1]])
    result = np.hstack([points ** np.arange(step)[:, None], np.eye(step)[:, -1:]])
    return Transforms(*(torch.from_numpy(np.kron(one, one)).to(dtype) for one in (data, filters, result)))


def _filter(
    space: _Scratch, x: Tensor, weight: Tensor, bias: Tensor | None, padding: int, turned: bool = False
) -> Tensor:
    """The convolution, a piece of an image at a time.

    Args:
        turned: with filters that are turned round and give what they take, as the gradient of *x* asks.
    """
    size, channels, made = weight.shape[-1], x.shape[1], weight.shape[1 if turned else 0]
    of, step, last = transforms(size, x.dtype), _step(size), _layout(x) == torch.channels_last
    height, width = (length + 2 * padding - size + 1 for length in x.shape[2:])
    result = torch.empty((len(x), made, height, width), dtype=x.dtype, device=x.device, memory_format=_layout(x))
    at_once = max(1, KEPT // channels)
    parts = [slice(start, min(start + at_once, made)) for start in range(0, made, at_once)]
    filters = _transformed(space, weight, parts[0], turned)
    for number, to in enumerate(result):
        whole = _whole_tiles(space, to, size, last)
        for source, target in _pieces(_padded(x[number : number + 1], size, padding)[0], whole, size, last):
            tile = _by_place(space, of.data, source, "data")
            for part in parts:
                if len(parts) > 1:
                    filters = _transformed(space, weight, part, turned)
                if last:
                    factors = tile.view(len(tile), -1, channels), filters.mT
                else:
                    factors = filters, tile.view(len(tile), channels, -1)
                shape = len(tile), factors[0].shape[1], factors[1].shape[2]
                product = torch.bmm(*factors, out=space("products", x.dtype, *shape))
                piece = space("pieces", x.dtype, step**2, math.prod(shape[1:]))
                torch.mm(of.result, product.flatten(1), out=piece)
                if bias is not None:
                    piece.view(-1, *shape[1:]).add_(bias[part] if last else bias[part, None])
                place = target.narrow(4 if last else 2, part.start, part.stop - part.start)
                place.copy_(piece.view(place.shape))
        if whole is not to:
            to.copy_(whole[:, :height, :width])
    return result


def _filter_gradient(space: _Scratch, x: Tensor, gradient: Tensor, size: int, padding: int) -> Tensor:
    """The gradient of the filters: the same steps, transposed, the tiles of *x* made again."""
    of, channels, made = transforms(size, x.dtype), x.shape[1], gradient.shape[1]
    last = _layout(x) == torch.channels_last
    total = x.new_zeros(len(of.data), made, channels)
    for number, its_gradient in enumerate(gradient):
        whole = _whole_tiles(space, its_gradient, size, last)
        if whole is not its_gradient:
            whole.zero_()[:, : its_gradient.shape[1], : its_gradient.shape[2]] = its_gradient
        for source, target in _pieces(_padded(x[number : number + 1], size, padding)[0], whole, size, last):
            tile = _by_place(space, of.data, source, "data")
            product = _by_place(space, of.result.T, target, "products")
            if last:
                total.baddbmm_(product.view(len(total), -1, made).mT, tile.view(len(total), -1, channels))
            else:
                total.baddbmm_(product.view(len(total), made, -1), tile.view(len(total), channels, -1).mT)
    filters = of.filter.T @ total.flatten(1)
    return filters.T.reshape(made, channels, size, size).contiguous()


def _whole_tiles(space: _Scratch, image: Tensor, size: int, last: bool) -> Tensor:
    """A map O H W itself; where the last tiles reach beyond it, room for whole ones."""
    step = _step(size)
    height, width = (-(-length // step) * step for length in image.shape[1:])
    if image.shape[1:] == (height, width):
        return image
    if last:
        return space("whole", image.dtype, height, width, len(image)).permute(2, 0, 1)
    return space("whole", image.dtype, len(image), height, width)


def _transformed(space: _Scratch, weight: Tensor, part: slice, turned: bool) -> Tensor:
    """The filters of some of the channels that are made: t², those, and the channels that they take.

    A small product for each row of filters: one wide one of so few rows is not shared among processors.
    """
    matrix = transforms(weight.shape[-1], weight.dtype).filter
    matrix = matrix.flip(1) if turned else matrix
    filters = (weight[:, part] if turned else weight[part]).flatten(2).mT
    made = space("filters", weight.dtype, len(filters), len(matrix), filters.shape[2])
    made = torch.bmm(matrix.expand(len(filters), *matrix.shape), filters, out=made).transpose(0, 1)
    return made.mT if turned else made


def _by_place(space: _Scratch, matrix: Tensor, pieces: Tensor, name: str) -> Tensor:
    """*matrix* times all values of each place of a tile, or of a result, which are put side by side for it."""
    places = space("pieces", pieces.dtype, *pieces.shape).copy_(pieces).flatten(2).flatten(0, 1)
    return torch.mm(matrix, places, out=space(name, pieces.dtype, len(matrix), places.shape[1]))


class _Scratch:
    """Memory that is used again and again, and grows where it is too small: the system takes longer to give fresh
    memory than the arithmetic in it takes."""

    def __init__(self) -> None:
        self.spaces: dict[tuple[str, torch.dtype], Tensor] = {}

    def __call__(self, name: str, dtype: torch.dtype, *shape: int) -> Tensor:
        count = math.prod(shape)
        space = self.spaces.get((name, dtype))
        if space is None or len(space) < count:
            with torch.inference_mode(False):  # the next call may be in another mode
                space = self.spaces[name, dtype] = torch.empty(count, dtype=dtype, device="cpu")
        return space[:count].view(shape)


_free: list[_Scratch] = []  # as many as threads were here at once, and processors can be


@contextmanager
def _scratch() -> Iterator[_Scratch]:
    try:
        taken = _free.pop()
    except IndexError:
        taken = _Scratch()
    try:
        yield taken
    finally:
        size = sum(each.nbytes for each in taken.spaces.values())
        if size <= MOST_KEPT_BYTES and len(_free) < (os.cpu_count() or 1):
            _free.append(taken)


def release_scratch() -> None:
    """Give the memory back that is kept between convolutions."""
    _free.clear()


def _pieces(image: Tensor, to: Tensor, size: int, last: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Some rows of tiles after another: of a padded image C H W t×t of inputs, and of *to* O H W m×m places.

    Both with the places of a tile first, and behind them rows and columns of tiles and channels, or, where channels are
    not *last* in memory, channels, rows and columns.
    """
    step = _step(size)
    order = (3, 4, 1, 2, 0) if last else (3, 4, 0, 1, 2)
    source = image.unfold(1, step + size - 1, step).unfold(2, step + size - 1, step).permute(order)
    target = to.unfold(1, step, step).unfold(2, step, step).permute(order)
    axis = order.index(1)
    rows, columns = source.shape[axis : axis + 2]
    tiles = max(FEWEST_TILES, SCRATCH // max(len(image), len(to)))
    count = min(rows, max(1, round(rows * columns / tiles)))  # pieces of one size: a small last one takes as long
    yield from zip(source.tensor_split(count, axis), target.tensor_split(count, axis), strict=True)


def _step(size: int) -> int:
    """m, the side of what a tile gives."""
    return len(POINTS[size]) + 2 - size


def _tiles(x: Tensor, size: int, padding: int) -> tuple[int, int]:
    """Rows and columns of tiles that the result has, the last ones perhaps cut."""
    rows, columns = (-(-(length + 2 * padding - size + 1) // _step(size)) for length in x.shape[-2:])
    return rows, columns


def _padded(image: Tensor, size: int, padding: int) -> Tensor:
    """An image 1 C H W with its border, and as much more as its last tiles need."""
    lengths = [tiles * _step(size) + size - 1 for tiles in _tiles(image, size, padding)]
    below, right = (length - given - padding for length, given in zip(lengths, image.shape[-2:], strict=True))
    return F.pad(image, (padding, right, padding, below)) if padding or below or right else image


def _layout(x: Tensor) -> torch.memory_format:
    """Of each image: how they lie in a batch changes nothing."""
    image = x[:1]
    last = image.is_contiguous(memory_format=torch.channels_last) and not image.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
