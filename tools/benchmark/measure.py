"""Measure formulations of the same work in turn, after a check that they compute the same numbers."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler, which counts memory, logs to the terminal

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from posegen.acceleration.minimal_filtering import release_scratch
from posegen.errors import PosegenError

OURS, PUBLISHED, BF16 = "posegen", "published", "posegen in bf16"

Work = Callable[[], Mapping[str, Tensor]]
"""Work to measure; returns its numbers by name."""


class DisagreementError(PosegenError):
    """Two formulations do not compute the same numbers, so their times must not be compared."""


@dataclass
class Comparison:
    """The same work in several formulations, or at several sizes.

    Args:
        name: title in tables.
        work: what is timed, by formulation.
        check: work whose numbers must agree with those of the first entry; run once, before anything is timed.
        tolerance: largest relative difference of the numbers, ‖a − b‖ / ‖b‖.
        count: things that one call makes (images, pairs), for a rate; 0: no rate.
        pixels: number of pixels of each entry of *work*, for exponents of growth.
        memory: whether to measure peak memory.
    """

    name: str
    work: Mapping[str, Work]
    check: Mapping[str, Work] = field(default_factory=dict)
    tolerance: float = 1e-5
    count: int = 0
    pixels: Sequence[int] = ()
    memory: bool = True


@dataclass
class Result:
    """Measurements of a comparison.

    Attributes:
        seconds: of each repeat, by formulation.
        peak_bytes: peak memory beyond what was allocated before.
        ratios: median time and peak memory of each other formulation, divided by those of the first.
        rates: things per second, by formulation.
        exponents: of time and memory in the number of pixels.
        errors: largest relative difference of each number that was checked.
    """

    name: str
    seconds: dict[str, list[float]]
    peak_bytes: dict[str, int]
    ratios: dict[str, dict[str, float]]
    rates: dict[str, float]
    exponents: dict[str, float]
    errors: dict[str, float]


def measure(case: Comparison, repeats: int, device: str) -> Result:
    """Check a comparison, then measure it.

    Args:
        case: what to measure.
        repeats: timed calls of each formulation, after one to warm up.
        device: ``"cpu"`` or ``"cuda"``.

    Raises:
        DisagreementError: formulations do not compute the same numbers.
    """
    errors = agreement(case.name, {name: work() for name, work in case.check.items()}, case.tolerance)
    for work in case.work.values():
        work()
    peaks = {name: peak_bytes(work, device) for name, work in case.work.items()} if case.memory else {}
    seconds = time_in_turn(case.work, repeats, device)
    medians = {name: statistics.median(each) for name, each in seconds.items()}
    first, *others = case.work
    ratios = {
        name: {"time": medians[name] / medians[first]}
        | ({"memory": peaks[name] / peaks[first]} if peaks and peaks[first] else {})
        for name in (() if case.pixels else others)
    }
    rates = {name: case.count / median for name, median in medians.items()} if case.count else {}
    exponents = {}
    if case.pixels:
        exponents = {"time": exponent(case.pixels, list(medians.values()))}
        exponents |= {"memory": exponent(case.pixels, list(peaks.values()))} if peaks else {}
    return Result(case.name, seconds, peaks, ratios, rates, exponents, errors)


def agreement(name: str, numbers: Mapping[str, Mapping[str, Tensor]], tolerance: float) -> dict[str, float]:
    """Compute the largest relative difference of each number from that of the first formulation.

    Raises:
        DisagreementError: lists all numbers that differ by more than *tolerance*, are missing, or are not finite.
    """
    errors: dict[str, float] = {}
    problems = []
    first, *others = numbers or [""]
    for other in others:
        for key in sorted({*numbers[first], *numbers[other]}):
            if key not in numbers[first] or key not in numbers[other]:
                problems.append(f"{key}: only one of {first} and {other} has it")
                continue
            error = relative_error(numbers[first][key], numbers[other][key])
            errors[key] = max(error, errors.get(key, 0.0))
            if not error <= tolerance:  # NaN included
                problems.append(f"{key}: {first} and {other} differ by {error:.1e}, allowed {tolerance:.0e}")
    if problems:
        raise DisagreementError(f"{name}: formulations disagree, nothing is compared\n  " + "\n  ".join(problems))
    return errors


def relative_error(value: Tensor, reference: Tensor) -> float:
    """Compute ‖value − reference‖ / ‖reference‖; NaN for other shapes, values that are not finite, or all zeros."""
    if value.shape != reference.shape:
        return float("nan")
    value, reference = value.detach().double(), reference.detach().double()
    return float((value - reference).norm() / reference.norm())


def time_in_turn(work: Mapping[str, Work], repeats: int, device: str) -> dict[str, list[float]]:
    """Time each repeat in seconds. Formulations take turns, every other round in reverse, so load hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(repeats):
        for name in list(work) if repeat % 2 == 0 else reversed(list(work)):
            _synchronize(device)
            start = time.perf_counter()
            work[name]()
            _synchronize(device)
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _synchronize(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def peak_bytes(work: Callable[[], object], device: str) -> int:
    """Measure the peak memory of *work* beyond what was allocated before.

    On CUDA: torch's counter. On the CPU: the running sum of allocations in torch's profiler, which is the same in every
    run, unlike the size of the process; memory that a library allocates inside its kernels is not seen.
    """
    if device.startswith("cuda"):
        _synchronize(device)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        _synchronize(device)
        return torch.cuda.max_memory_allocated() - before
    release_scratch()  # scratch memory that convolutions keep is part of the work
    gc.disable()  # objects of earlier work must not be freed meanwhile
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            work()
    finally:
        gc.enable()
    events = [e for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return int(max(np.cumsum([0, *sizes])))


def exponent(pixels: Sequence[int], values: Sequence[float]) -> float:
    """Fit b in values = a · pixelsᵇ, by least squares of logarithms."""
    return float(np.polyfit(np.log(pixels), np.log(values), 1)[0])
