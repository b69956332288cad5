"""Runs formulations of the same work in turn: first that they give the same numbers, then time and memory."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from ..errors import PosegenError
from ..ops.convolution import release_scratch

OURS, PUBLISHED = "ours", "published"
TOLERANCE = 1e-5  # relative

Work = Callable[[], Mapping[str, Tensor]]
"""Something to be measured; returns the numbers it comes to, by name."""

Losses = list[float | None]
"""Of a training, one a step; None where the step was not finite, and so not taken."""


class DisagreementError(PosegenError):
    """Formulations that should compute the same do not: comparing their times would mean nothing."""


@dataclass
class Measured:
    """What was measured of formulations, by name: seconds of each repeat, peak extra bytes, the numbers they gave; of
    trainings the losses, step by step."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, Mapping[str, Tensor]] = field(default_factory=dict)
    losses: dict[str, Losses] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """A number that measurements come to, and the target it has.

    Args:
        name: what tables call it.
        values: one value a repeat, or one alone where all repeats give the same.
        at_least, at_most: the target; neither: it has none.
        unit: written behind the number.
    """

    name: str
    values: Callable[[Measured], Sequence[float]]
    at_least: float | None = None
    at_most: float | None = None
    unit: str = "×"


@dataclass(frozen=True)
class Judged:
    """A figure's median, least and greatest value over the repeats; ``met`` is None where it has no target."""

    name: str
    median: float
    least: float
    greatest: float
    unit: str
    at_least: float | None
    at_most: float | None
    met: bool | None


@dataclass
class Result:
    """What came of a case.

    ``errors``: the largest relative difference of each number that had to agree; ``refused``: why formulations do not
    compute the same; then nothing was measured. ``skipped``: why it cannot be measured here. ``losses``: of trainings.
    """

    name: str
    seconds: dict[str, list[float]] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    figures: list[Judged] = field(default_factory=list)
    errors: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skipped: str = ""
    refused: str = ""
    losses: dict[str, Losses] = field(default_factory=dict)


@dataclass
class Case:
    """The same work in several formulations.

    Args:
        name: what tables call it.
        work: by formulation, what is timed. What those in *same* return must agree.
        figures: what is made of it.
        same: formulations whose numbers must agree; the others are no comparison of the same thing.
        exact: by formulation, the same work where rounding decides nothing (double precision) with gradients; all must
            agree to 1e-5. Run once.
        tolerance: relative, of what *work* returns.
        unit: what differences of that are relative to, root mean square; None: the numbers' own norm.
        memory: whether peak memory is measured; not where other processes work.
        notes: what a reader has to know.
    """

    name: str
    work: Mapping[str, Work]
    figures: Sequence[Figure] = ()
    same: Sequence[str] = (OURS, PUBLISHED)
    exact: Mapping[str, Work] = field(default_factory=dict)
    tolerance: float = TOLERANCE
    unit: float | None = None
    memory: bool = True
    notes: list[str] = field(default_factory=list)


@dataclass
class Growth:
    """How time and memory of some work grow with the side of a square.

    Args:
        name: what tables call it.
        sides: in pixels, small to large.
        work: by side.
        time_at_most, memory_at_most: targets of the exponents in the number of pixels.
        seconds: a side that will take longer, all repeats together, is left out.
        notes: what a reader has to know.
    """

    name: str
    sides: Sequence[int]
    work: Callable[[int], Work]
    time_at_most: float | None = None
    memory_at_most: float | None = None
    seconds: float = 120.0
    notes: list[str] = field(default_factory=list)


@dataclass
class Trainings:
    """Trainings that are followed step by step: what becomes of their losses, not how long a step takes.

    Args:
        name: what tables call them.
        runs: by name; each trains once.
        figures: what is made of their losses.
        notes: what a reader has to know.
    """

    name: str
    runs: Mapping[str, Callable[[], Losses]]
    figures: Sequence[Figure]
    notes: list[str] = field(default_factory=list)


@dataclass
class Skipped:
    """Work that cannot be measured here, and why."""

    name: str
    reason: str


def measure(case: Case | Growth | Trainings | Skipped, repeats: int, device: str, judge: bool = True) -> Result:
    """Measure a case; one whose formulations do not give the same numbers is refused, and not measured; one that a GPU
    has too little memory for is skipped.

    Args:
        repeats: of each formulation, in turn, after one to warm up; trainings are run once.
        device: ``"cpu"`` or ``"cuda"``.
        judge: whether figures are held against their targets.
    """
    if isinstance(case, Skipped):
        return Result(case.name, skipped=case.reason)
    try:
        if isinstance(case, Growth):
            return _measure_growth(case, repeats, device, judge)
        if isinstance(case, Trainings):
            return _follow(case, judge)
        return _measure_case(case, repeats, device, judge)
    except torch.OutOfMemoryError as error:
        return Result(case.name, skipped=str(error).splitlines()[0], notes=case.notes)


def _measure_case(case: Case, repeats: int, device: str, judge: bool) -> Result:
    try:
        errors, numbers = _compared(case)
    except DisagreementError as error:
        return Result(case.name, refused=str(error), notes=case.notes)
    measured = Measured(numbers=numbers)
    if case.memory:
        measured.peak_bytes = {name: peak_bytes(work, device) for name, work in case.work.items()}
    measured.seconds = time_in_turn(case.work, repeats, device)
    figures = [_judge(figure, measured, judge) for figure in case.figures]
    return Result(case.name, measured.seconds, measured.peak_bytes, figures, errors, case.notes)


def _compared(case: Case) -> tuple[dict[str, float], dict[str, Mapping[str, Tensor]]]:
    """The differences of all that has to agree, and the numbers of what will be timed; this warms it up, too."""
    errors = agreement(case.name, {name: work() for name, work in case.exact.items()}, TOLERANCE)
    numbers = {name: work() for name, work in case.work.items()}
    same = {name: numbers[name] for name in case.same}
    return errors | agreement(case.name, same, case.tolerance, case.unit), numbers


# The same numbers ---------------------------------------------------------------------------------------------


def agreement(
    name: str, numbers: Mapping[str, Mapping[str, Tensor]], tolerance: float, unit: float | None = None
) -> dict[str, float]:
    """The relative difference of each number of each formulation from that of the first: ‖a − b‖ / ‖b‖, or its root
    mean square in a *unit*.

    Raises:
        DisagreementError: all that differ by more than *tolerance*, are missing, not finite, or nothing but zeros.
    """
    if len(numbers) < 2:
        return {}
    first, *others = numbers
    errors: dict[str, float] = {}
    problems = []
    for other in others:
        ours, theirs = numbers[first], numbers[other]
        for lone in sorted(set(ours) ^ set(theirs)):
            problems.append(f"{lone}: {first if lone in ours else other} alone has it")
        for key in (key for key in ours if key in theirs):
            error = relative_error(ours[key], theirs[key], unit)
            errors[key] = max(error, errors.get(key, 0.0))
            if not error <= tolerance:  # NaN, too
                problems.append(f"{key}: {first} and {other} differ by {error:.1e} of it, allowed are {tolerance:.0e}")
    if problems:
        listed = "\n".join(f"  - {problem}" for problem in problems)
        raise DisagreementError(f"{name}: not the same numbers, so nothing is compared\n{listed}")
    return errors


def relative_error(value: Tensor, reference: Tensor, unit: float | None = None) -> float:
    """‖value − reference‖ / ‖reference‖, or their root mean square difference in a *unit*.

    NaN where that means nothing: other shapes, a reference of zeros.
    """
    if value.shape != reference.shape:
        return math.nan
    value, reference = value.detach().double(), reference.detach().double()
    scale = reference.norm()
    if unit is not None:
        scale = torch.where(scale > 0, unit * reference.numel() ** 0.5, scale)
    return math.nan if scale == 0 else float((value - reference).norm() / scale)


# Time and memory ----------------------------------------------------------------------------------------------


def time_in_turn(work: Mapping[str, Work], repeats: int, device: str) -> dict[str, list[float]]:
    """Seconds of each repeat. The formulations take turns, every other round backwards, so that what the machine does
    beside strikes all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(repeats):
        for name in list(work) if repeat % 2 == 0 else reversed(list(work)):
            seconds[name].append(timed(work[name], device))
    return seconds


def timed(work: Work, device: str) -> float:
    """Seconds that *work* takes, with all that it has put on the device's queue."""
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def peak_bytes(work: Work, device: str) -> int:
    """The most memory that *work* has at a time beyond what there was before.

    CUDA: torch's count. CPU: the sum of all that torch's allocator gives and takes back, from torch's profiler; the
    same every time, where a process's size depends on what it did before. Scratch memory inside a library's kernel is
    not seen.
    """
    if device.startswith("cuda"):
        _wait(device)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        _wait(device)
        return torch.cuda.max_memory_allocated() - before
    release_scratch()  # what convolutions need is part of the work
    gc.disable()  # or what earlier work left in circles would be taken back meanwhile
    try:
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
            work()
    finally:
        gc.enable()
    events = recorded.profiler.kineto_results.events()
    changes = sorted(
        ((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"), key=lambda change: change[0]
    )
    return int(max(np.cumsum([0, *(size for _, size in changes)])))


# Figures ------------------------------------------------------------------------------------------------------


def faster(by: float | None = None, name: str = OURS, than: str = PUBLISHED) -> Figure:
    """How many times faster one formulation is than another, from runs that followed each other."""
    title = "faster" if (name, than) == (OURS, PUBLISHED) else f"{name} faster than {than}"
    return Figure(title, lambda m: _ratios(m.seconds[than], m.seconds[name]), at_least=by)


def slower(at_most: float | None, than: str) -> Figure:
    """The time of ours in times of something else."""
    return Figure(f"time, in those of {than}", lambda m: _ratios(m.seconds[OURS], m.seconds[than]), at_most=at_most)


def leaner(by: float | None) -> Figure:
    """How many times less peak extra memory ours needs than the published formulation."""
    return Figure("less memory", lambda m: [m.peak_bytes[PUBLISHED] / m.peak_bytes[OURS]], at_least=by)


def memory_share(at_most: float | None) -> Figure:
    """The peak extra memory of ours as a share of that of the published formulation."""
    return Figure("share of memory", lambda m: [m.peak_bytes[OURS] / m.peak_bytes[PUBLISHED]], at_most=at_most)


def rate(count: int, what: str, name: str = OURS, at_least: float | None = None) -> Figure:
    """How many of *count* things a second a formulation makes."""
    return Figure(f"{name}: {what}/s", lambda m: [count / s for s in m.seconds[name]], at_least=at_least, unit="")


def _ratios(above: Iterable[float], below: Iterable[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def _judge(figure: Figure, measured: Measured, judge: bool) -> Judged:
    values = figure.values(measured)
    median = statistics.median(values)
    met = None
    if judge and figure.at_least is not None:
        met = median >= figure.at_least
    if judge and figure.at_most is not None:
        met = median <= figure.at_most
    return Judged(figure.name, median, min(values), max(values), figure.unit, figure.at_least, figure.at_most, met)


# Trainings ----------------------------------------------------------------------------------------------------


def _follow(case: Trainings, judge: bool) -> Result:
    measured = Measured()
    for name, run in case.runs.items():
        start = time.perf_counter()
        measured.losses[name] = run()
        measured.seconds[name] = [time.perf_counter() - start]
    figures = [_judge(figure, measured, judge) for figure in case.figures]
    return Result(case.name, measured.seconds, figures=figures, notes=case.notes, losses=measured.losses)


# Growth -------------------------------------------------------------------------------------------------------


def _measure_growth(case: Growth, repeats: int, device: str, judge: bool) -> Result:
    measured, notes = Measured(), list(case.notes)
    pixels: list[int] = []
    for side in case.sides:
        name = f"{side}×{side}"
        if reason := _too_much(case, measured, side**2 / pixels[-1] if pixels else 1.0, repeats, device):
            notes.append(f"{name} and above are left out: {reason}")
            break
        work = case.work(side)
        work()
        measured.peak_bytes[name] = peak_bytes(work, device)
        measured.seconds |= time_in_turn({name: work}, repeats, device)
        pixels.append(side**2)
    figures = []
    if len(pixels) > 1:
        times = list(zip(*measured.seconds.values(), strict=True))  # of all sides, by repeat
        memory = [exponent(pixels, list(measured.peak_bytes.values()))]
        figures = [
            Figure(
                "exponent of time", lambda m: [exponent(pixels, t) for t in times], at_most=case.time_at_most, unit=""
            ),
            Figure("exponent of memory", lambda m: memory, at_most=case.memory_at_most, unit=""),
        ]
    judged = [_judge(figure, measured, judge) for figure in figures]
    return Result(case.name, measured.seconds, measured.peak_bytes, judged, notes=notes)


def exponent(pixels: Sequence[int], values: Sequence[float]) -> float:
    """The b of the best fit values = a · pixelsᵇ, in logarithms."""
    return float(np.polyfit(np.log(pixels), np.log(values), 1)[0])


def _too_much(case: Growth, measured: Measured, ratio: float, repeats: int, device: str) -> str:
    """Why a side with *ratio* times the pixels of the last one should not be tried, or nothing."""
    if not measured.seconds:
        return ""
    *_, seconds = measured.seconds.values()
    *_, peak = measured.peak_bytes.values()
    expected = statistics.median(seconds) * ratio * (repeats + 2)
    if expected > case.seconds:
        return f"it would take about {expected:.0f} s or more, allowed are {case.seconds:.0f}"
    if peak * ratio > available_bytes(device):
        return f"it would need about {peak * ratio / 1e9:.1f} GB, free are {available_bytes(device) / 1e9:.1f}"
    return ""


def available_bytes(device: str) -> float:
    """Free memory of the device; without end where the system does not tell."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info()[0]
    told = Path("/proc/meminfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), math.inf)
