"""Swap a model's convolutions for faster ones on CPUs, where a measurement says that they are faster."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import grad as gradients

from ..errors import ConfigError
from ..ops import LocalAttention
from .minimal_filtering import (
    ALL,
    POINTS,
    Part,
    convolve,
    has_values,
    memory_format,
    minimal_conv2d,
    minimal_weight_gradient,
)
from .precision import resolve_precision

CHANNELS_LAST = "channels_last"
MIN_CHANNELS = 32
"""With fewer, the transforms of the tiles take more multiplications than minimal filtering saves."""
MIN_PRODUCTS = 2**28
"""Multiplications of one image. A shorter convolution, of a few milliseconds, is not worth a measurement."""
MARGIN = 0.95
"""Minimal filtering must take less than this share of PyTorch's time."""
CLEAR = 1.3
"""A ratio of times that decides without further measurements."""

Measure = Callable[[Tensor, Tensor, int, Sequence[Part], Sequence[torch.memory_format]], str]


def accelerate(model: nn.Module, choices: Choices | None = None) -> Choices:
    """Compute the convolutions of *model* by what is fastest on this processor; its weights and names stay.

    For float32 and float64 on a CPU. Where that does not apply (another device or type, autocast, torch.compile and
    torch.export, function transforms, forward-mode derivatives), the model computes as before.

    Args:
        model: any module; its ``nn.Conv2d`` and :class:`posegen.ops.LocalAttention` are swapped in place.
        choices: what to use by shape; None: each shape is measured at its first convolution.

    Returns:
        The choices, which fill as shapes are met.
    """
    choices = Choices() if choices is None else choices
    for module in model.modules():
        if isinstance(module, LocalAttention):
            module.convolve = functools.partial(choices.convolve, any_format=True)
            module.forward = functools.partial(_attend, module)  # type: ignore[method-assign]
        elif isinstance(module, nn.Conv2d) and _is_candidate(module):
            module.forward = functools.partial(_forward, module, choices)  # type: ignore[method-assign]
    return choices


def prepare_for_inference(model: nn.Module, precision: str = "auto", choices: Choices | None = None) -> None:
    """Set the precision in which *model* generates images, and make it faster on the device where it is, in place.

    Args:
        model: a complete model. One that is no :class:`posegen.models.GenerativeModel` stays in float32.
        precision: see :func:`resolve_precision`.
        choices: see :func:`accelerate`.

    Raises:
        ConfigError: an unknown precision.
    """
    device = next(model.parameters(), torch.empty(0)).device
    model.precision = resolve_precision(precision, device)  # type: ignore[assignment]
    if device.type != "cpu":
        return
    for module in model.modules():  # the maps that follow take the memory format of the filters
        if isinstance(module, nn.Conv2d) and not _is_candidate(module):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if model.precision == torch.float32:
        accelerate(model, choices)


def _is_candidate(layer: nn.Conv2d) -> bool:
    size = layer.kernel_size[0]
    return (
        size in POINTS
        and layer.kernel_size == (size, size)
        and (layer.stride, layer.dilation, layer.groups) == ((1, 1), (1, 1), 1)
        and isinstance(layer.padding, tuple)
        and layer.padding[0] == layer.padding[1] < size
        and min(layer.in_channels, layer.out_channels) >= MIN_CHANNELS
    )


def _attend(block: LocalAttention, source_features: Tensor, target_features: Tensor, flow: Tensor) -> Tensor:
    """Apply *block*, the source converted once to what its convolution and its gather read fastest."""
    if source_features.device.type == "cpu" and not (torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu")):
        source_features = source_features.contiguous(memory_format=torch.channels_last)
    return type(block).forward(block, source_features, target_features, flow)


def _forward(layer: nn.Conv2d, choices: Choices, x: Tensor) -> Tensor:
    """Compute ``layer(x)``."""
    padding = int(layer.padding[0])
    if layer.padding_mode != "zeros" and padding:
        x, padding = F.pad(x, [padding] * 4, mode=layer.padding_mode), 0
    return choices.convolve(x, layer.weight, layer.bias, padding)


class Choices:
    """The fastest computation of each convolution by its shape, measured once.

    A choice is a string of words: the parts computed by minimal filtering (``output``, ``input_gradient``,
    ``weight_gradient``), and ``channels_last`` where the input is converted first. Empty: PyTorch's convolution. It
    never depends on the batch size: an image gives the same numbers alone and in a batch.

    Args:
        path: a JSON file. Choices in it are read, and new ones are added to it; None: they are kept in memory only.
        measure: times a shape; :func:`measure_shape`, unless a test replaces it.

    Attributes:
        by_shape: the choices so far.

    Raises:
        ConfigError: the file holds something else.
    """

    def __init__(self, path: str | Path | None = None, measure: Measure | None = None) -> None:
        self.path = None if path is None else Path(path)
        self.by_shape: dict[str, str] = {}
        self._measure = measure or measure_shape
        if self.path is not None and self.path.exists():
            try:
                self.update(json.loads(self.path.read_text(encoding="utf-8")))
            except (OSError, ValueError) as error:
                raise ConfigError(f"{self.path} cannot be read: {error}; delete it to measure again") from error

    def update(self, by_shape: Any) -> None:
        """Take over choices, of a file or of the checkpoint of a run.

        Raises:
            ConfigError: they are something else.
        """
        try:
            words = {word for choice in by_shape.values() for word in choice.split()}
        except (AttributeError, TypeError):
            words = {str(by_shape)[:80]}
        if unknown := words - {*ALL, CHANNELS_LAST}:
            where = f" in {self.path}" if self.path else ""
            raise ConfigError(f"unknown choices of acceleration{where}: {', '.join(sorted(unknown))}")
        self.by_shape.update(by_shape)

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0, any_format: bool = False
    ) -> Tensor:
        """Compute ``F.conv2d(x, weight, bias, padding=padding)``.

        Args:
            any_format: the output may be in another memory format than *x*.
        """
        wanted = _wanted_parts(x, weight, bias, padding)
        choice = self._choose(x, weight, padding, wanted, any_format).split() if wanted else []
        if CHANNELS_LAST in choice:
            x = x.contiguous(memory_format=torch.channels_last)
        minimal = [part for part in ALL if part in choice]
        if not minimal:
            return F.conv2d(x, weight, bias, padding=padding)
        return convolve(x, weight, bias, padding, minimal)

    def _choose(self, x: Tensor, weight: Tensor, padding: int, wanted: Sequence[Part], any_format: bool) -> str:
        made, channels, size, _ = weight.shape
        formats = [memory_format(x)]
        if any_format and formats[0] != torch.channels_last:
            formats.append(torch.channels_last)
        known_as = (
            f"{size}x{size}, {channels} to {made} channels, map {x.shape[3]}x{x.shape[2]}, padding {padding}, "
            f"{str(x.dtype).removeprefix('torch.')}, {' or '.join(str(f).removeprefix('torch.') for f in formats)}: "
            f"{', '.join(wanted)}"
        )
        if known_as not in self.by_shape:
            self.by_shape[known_as] = self._measure(x, weight, padding, wanted, formats)
            if self.path is not None:
                _write(self.path, self.by_shape)
        return self.by_shape[known_as]


def _wanted_parts(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> list[Part]:
    """Return the parts that will be computed; empty where the convolution is left to PyTorch."""
    tensors = [x, weight] if bias is None else [x, weight, bias]
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu"):
        return []
    if any(type(each) not in (Tensor, nn.Parameter) or each.device.type != "cpu" for each in tensors):
        return []
    if x.dtype not in (torch.float32, torch.float64) or any(each.dtype != x.dtype for each in tensors):
        return []
    if not _fits(x, weight, bias, padding):  # PyTorch says what is wrong
        return []
    if any(not has_values(each) or forward_ad.unpack_dual(each).tangent is not None for each in tensors):
        return []
    with_gradient = torch.is_grad_enabled()
    needed = {"output": True, "input_gradient": x.requires_grad, "weight_gradient": weight.requires_grad}
    return [part for part in ALL if part == "output" or (with_gradient and needed[part])]


def _fits(x: Tensor, weight: Tensor, bias: Tensor | None, padding: int) -> bool:
    if x.dim() != 4 or weight.dim() != 4 or x.shape[1] != weight.shape[1]:
        return False
    made, channels, size, width = weight.shape
    if size not in POINTS or size != width or not 0 <= padding < size or min(made, channels) < MIN_CHANNELS:
        return False
    if bias is not None and bias.shape != (made,):
        return False
    places = [length + 2 * padding - size + 1 for length in x.shape[2:]]
    return min(places) > 0 and places[0] * places[1] * weight.numel() >= MIN_PRODUCTS


# Measurement --------------------------------------------------------------------------------------------------


@torch.no_grad()
def measure_shape(
    x: Tensor, weight: Tensor, padding: int, wanted: Sequence[Part], formats: Sequence[torch.memory_format]
) -> str:
    """Return the fastest choice for one image of the shape of *x*, see :class:`Choices`.

    Args:
        x, weight, padding: of the convolution; no value is read, no random number is drawn.
        wanted: the parts that are timed.
        formats: memory formats to try; the first is that of *x*.
    """
    height, width = (length + 2 * padding - weight.shape[-1] + 1 for length in x.shape[2:])
    image, filters = torch.ones_like(x[:1], memory_format=formats[0]), torch.ones_like(weight)
    best, fewest_seconds = "", float("inf")
    for format in formats:
        convert = functools.partial(image.contiguous, memory_format=format)
        gradient = torch.ones(1, len(weight), height, width, dtype=x.dtype).contiguous(memory_format=format)
        words, seconds = ([], 0.0) if format == formats[0] else ([CHANNELS_LAST], _seconds(convert))
        for part in wanted:
            direct, minimal = _times(*_ways(part, convert(), filters, gradient, padding))
            if minimal < MARGIN * direct:
                words.append(part)
            seconds += min(direct, minimal)
        if seconds < fewest_seconds:
            best, fewest_seconds = " ".join(words), seconds
    return best


def _ways(part: Part, x: Tensor, weight: Tensor, gradient: Tensor, padding: int) -> list[Callable[[], Any]]:
    """Return PyTorch's computation of a part, and that by minimal filtering."""
    size = weight.shape[-1]
    if part == "output":
        return [
            lambda: F.conv2d(x, weight, padding=padding),
            lambda: minimal_conv2d(x, weight, padding=padding),
        ]
    if part == "input_gradient":
        return [
            lambda: gradients.conv2d_input(x.shape, weight, gradient, padding=padding),
            lambda: minimal_conv2d(gradient, weight, padding=size - 1 - padding, transposed=True),
        ]
    return [
        lambda: gradients.conv2d_weight(x, weight.shape, gradient, padding=padding),
        lambda: minimal_weight_gradient(x, gradient, size, padding),
    ]


def _times(direct: Callable[[], Any], minimal: Callable[[], Any]) -> tuple[float, float]:
    """Time two computations in turn; return the least seconds of each."""
    direct(), minimal()  # memory is allocated
    seconds = [(_seconds(direct), _seconds(minimal))]
    if max(seconds[0]) < CLEAR * min(seconds[0]):
        seconds += [(_seconds(direct), _seconds(minimal)) for _ in range(2)]
    return min(one for one, _ in seconds), min(other for _, other in seconds)


def _seconds(run: Callable[[], Any]) -> float:
    """Return the processor time of all threads, which other programs on a busy machine change little."""
    start = time.process_time()
    run()
    return time.process_time() - start


# Files --------------------------------------------------------------------------------------------------------


def _write(path: Path, choices: dict[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(choices, indent=1), encoding="utf-8")
    temporary.replace(path)
