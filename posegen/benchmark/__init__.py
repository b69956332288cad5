"""How fast and how lean the project's formulations are beside the published one: the same numbers, measured together.

``reference`` is the published formulation, ``measure`` compares and measures, ``rows`` says what, ``report`` prints and
writes; ``rounding`` is bf16 where no processor computes in it. The command is ``tools/benchmark.py``;
docs/performance.md says how to read it.
"""

from .measure import OURS, PUBLISHED, Case, DisagreementError, Figure, Growth, Result, Skipped, Trainings, measure
from .report import machine, print_results, write_results
from .rows import ROWS, SampleFiles, Settings, choose_rows, default_rows, row

__all__ = [
    "OURS",
    "PUBLISHED",
    "ROWS",
    "Case",
    "DisagreementError",
    "Figure",
    "Growth",
    "Result",
    "SampleFiles",
    "Settings",
    "Skipped",
    "Trainings",
    "choose_rows",
    "default_rows",
    "machine",
    "measure",
    "print_results",
    "row",
    "write_results",
]
