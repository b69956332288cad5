"""Plot the curves of a run from the scalars that mmengine writes to its work dir."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import DataError

Points = list[tuple[int, float]]  # iteration, value


def read_scalars(work_dir: str | Path) -> dict[str, Points]:
    """Read all scalars of a run by name, in order of iteration. After a resume, the later measurement counts.

    Raises:
        DataError: the folder has no scalars, or a line is damaged (a truncated last line is skipped).
    """
    files = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    if not files:
        raise DataError(work_dir, "this folder has no scalars of a run (*/vis_data/scalars.json)")
    found: dict[str, dict[int, float]] = {}
    for path in files:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                if number == len(lines):
                    continue
                raise DataError(path, f"line {number} is not JSON: {error}") from error
            for name, value in record.items():
                if isinstance(value, (int, float)) and name != "step":
                    found.setdefault(name, {})[int(record["step"])] = float(value)
    return {name: sorted(points.items()) for name, points in found.items()}


def draw_curves(scalars: Mapping[str, Points], panels: Sequence[Sequence[str]], path: str | Path) -> None:
    """Draw scalars over iterations into an image file, one panel per group of names.

    Names without values are skipped; a panel without values stays empty.
    """
    import matplotlib

    matplotlib.use("Agg")  # needs no display
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(panels), figsize=(5 * len(panels), 3.4), squeeze=False)
    for axis, names in zip(axes[0], panels, strict=True):
        for name in names:
            if scalars.get(name):
                axis.plot(*zip(*scalars[name], strict=True), label=name, marker="o", markersize=2.5, linewidth=1.2)
        axis.set_xlabel("iteration")
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=8)
    figure.tight_layout()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
