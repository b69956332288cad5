"""A run as one HTML page: nothing is loaded from anywhere, and no script runs."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jinja2
from PIL import Image

from ..data.files import natural_order, read_text, written_whole
from ..data.images import read_image
from ..errors import DataError
from ..version import __version__
from . import charts
from .scalars import TRAINING, VALIDATION, Scalars
from .state import NOT_LOSSES, RunState, duration, look
from .terminal import number, rows

MOST_SHEETS = 6
MOST_WIDE = 1400  # pixels of a sheet
MOST_HIGH = 16_000  # WebP ends at 16,383
MOST_OF_A_CONFIG = 1 << 20  # bytes
QUALITY = 85
GENERATOR = b'<meta name="generator" content="posegen report">'
HEAD = 1024  # bytes of a page within which that stands


class Sheet(NamedTuple):
    """A sample sheet: its name, and the picture as a data URI, empty where it cannot be read, and why."""

    name: str
    uri: str
    problem: str = ""


class Validated(NamedTuple):
    """What a validation metric was: the last value, the least and the most with the iterations where."""

    name: str
    last: str
    least: str
    most: str


def write_report(work_dir: str | Path, path: str | Path, now: float | None = None) -> None:
    """Write the page of a run: curves, sample sheets, statistics, config, versions, machine. Whole or not at all.

    Args:
        work_dir: of a run, trained or not.
        path: of the page; a page that is there is replaced.
        now: seconds since 1970; None: now.

    Raises:
        DataError: no run is in the folder.
    """
    now = time.time() if now is None else now
    scalars = Scalars(work_dir)
    run = look(scalars, now)
    if run is None:
        raise DataError(work_dir, "no run is in this folder (no status.json, and no */vis_data/scalars.json)")
    with written_whole(path) as temporary:
        temporary.write_text(html(run, scalars, now), encoding="utf-8")


def is_report(path: Path) -> bool:
    """Whether a file is a page that :func:`write_report` wrote."""
    try:
        with path.open("rb") as file:
            return GENERATOR in file.read(HEAD)
    except OSError:
        return False


def html(run: RunState, scalars: Scalars, now: float) -> str:
    """The whole page; everything from outside is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
    stages = run.status.stages if run.status else []
    return template.render(
        run=run,
        name=run.work_dir.resolve().name,
        facts=rows(run),
        spent=duration(_spent(scalars)),
        stages=stages,
        validated=_validated(scalars),
        charts=charts.charts(scalars, stages),
        shape=charts,
        sheets=sheets(run.work_dir),
        config=_config(run.work_dir),
        made_with=run.status.made_with if run.status else {},
        written=time.strftime("%Y-%m-%d %H:%M", time.localtime(now)),
        version=__version__,
    )


def _spent(scalars: Scalars) -> float:
    """Seconds in training iterations, of all starts: each record's mean time, for as many as there are up to it."""
    seconds, before = 0.0, 0
    for step, each in scalars.points(TRAINING).get("time", []):
        seconds, before = seconds + each * (step - before), step
    return seconds


def _validated(scalars: Scalars) -> list[Validated]:
    found = []
    for name, points in scalars.points(VALIDATION).items():
        if name not in NOT_LOSSES:
            least, most = (choose(points, key=lambda point: point[1]) for choose in (min, max))
            ends = (f"{number(value)} at {step}" for step, value in (least, most))
            found.append(Validated(name, number(points[-1][1]), *ends))
    return found


def sheets(work_dir: Path) -> list[Sheet]:
    """Sample sheets, the first and the last and some between, in order of iteration."""
    paths = sorted(work_dir.glob("samples/iter_*.png"), key=natural_order)
    return [_sheet(path) for path in _spread(paths)]


def _spread(paths: Sequence[Path]) -> list[Path]:
    if len(paths) <= MOST_SHEETS:
        return list(paths)
    return [paths[round(k * (len(paths) - 1) / (MOST_SHEETS - 1))] for k in range(MOST_SHEETS)]


def _sheet(path: Path) -> Sheet:
    name = path.stem.replace("iter_", "iteration ")
    try:
        image = Image.fromarray(read_image(path))
    except DataError as error:
        return Sheet(name, "", str(error))
    image.thumbnail((MOST_WIDE, MOST_HIGH))
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=QUALITY)
    return Sheet(name, f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}")


def _config(work_dir: Path) -> str:
    """The newest start's config as text; it is code, and is not run."""
    found = sorted(work_dir.glob("*/vis_data/config.py"))
    if not found:
        return "no config is kept in this folder"
    try:
        return read_text(found[-1], MOST_OF_A_CONFIG)
    except DataError as error:
        return str(error)
