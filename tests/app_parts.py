"""Where the seconds of one action of the page go: a pose is moved, and the new result is on its way to the browser.

python -m tests.app_parts CONFIG CHECKPOINT
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from posegen.app import Studio, Subject, load
from posegen.app.values import made_value
from posegen.config import load_config

REPEATS = 9
"""Of an action; the median is told."""


def measure(studio: Studio) -> dict[str, float]:
    """Milliseconds by part, medians; and the kilobytes that go to the browser."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (512, 512, 3), np.uint8)  # noise: no picture packs worse
    if studio.gallery.examples:
        subject, target = studio.gallery.examples[0]
        wanted = studio.prepared_points(target) if studio.layout else target.structure
    else:
        subject, wanted = Subject(picture, studio.neutral((512, 512))), studio.neutral(studio.size)
    taken: dict[str, list[float]] = defaultdict(list)

    def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                taken[part].append(1000 * (time.perf_counter() - start))

        return run

    model = studio.loaded.model
    model.flow_estimator.forward = timed("F", model.flow_estimator.forward)
    model.renderer.forward = timed("G", model.renderer.forward)
    sizes = []
    for _ in range(REPEATS + 1):
        timed("prepare", lambda: (studio._source(subject), studio._encoded(wanted)))()
        made = timed("make", studio.make)(subject, wanted)
        value = timed("PNG", made_value)({"model": made})
        sizes.append(len(timed("JSON", json.dumps)(value)) / 1000)
    found = {part: statistics.median(values[1:]) for part, values in taken.items()}  # the first one warms up
    found["pictures of flow and mask"] = found["make"] - found["prepare"] - found["F"] - found["G"]
    return {**found, "kB": statistics.median(sizes)}


def main() -> None:
    """What this module's docstring says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config")
    parser.add_argument("checkpoint", type=Path)
    given = parser.parse_args()
    studio = Studio(load(load_config(given.config), given.checkpoint), 1)
    for part, number in measure(studio).items():
        print(f"{part:26} {number:8.1f}")


if __name__ == "__main__":
    main()
