"""Shapes that move: an example of a package that extends posegen from outside."""

from __future__ import annotations

from pathlib import Path

from posegen.data import KeypointLayout, Keypoints
from posegen.errors import DataError
from posegen.hookspecs import hookimpl

posegen_hook_version = 2


@hookimpl
def posegen_register() -> None:
    """Import the modules whose classes register themselves."""
    from . import data, metric, structure  # noqa: F401


@hookimpl
def posegen_catalogue() -> list[KeypointLayout]:
    """Return the layout of an arrow's corners."""
    from .structure import ARROW

    return [ARROW]


@hookimpl
def posegen_read_keypoints(path: Path, layout: KeypointLayout, image: Path | None) -> Keypoints | None:
    """Read the corners of an arrow from a text file with one line ``x y`` per corner, in pixels."""
    if layout.name != "arrow" or path.suffix != ".txt":
        return None
    try:
        points = [[float(number) for number in line.split()] for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise DataError(path, str(error), hint="A line is: x y") from error
    if [len(point) for point in points] != [2] * len(layout):
        raise DataError(path, f"needs {len(layout)} lines of two numbers", hint="A line is: x y")
    return Keypoints(points, [True] * len(points))
