"""Find key points in photographs; write them as JSON files, and drawings to look at."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posegen.cli.common import add_plugin, load_plugins, refuse_to_overwrite
from posegen.cli.generation import plain_warnings
from posegen.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from posegen.data import KeypointLayout
    from posegen.data.estimators import Figure

OPENPOSE = ("openpose18", "body25")
"""Layouts that OpenPose writes, with all people of a photograph in one file."""
DRAWN = "drawn"
EXAMPLES = """
examples:
  posegen keypoints me.jpg --out poses                  writes poses/me.json and poses/drawn/me.jpg
  posegen keypoints photographs --out poses             the same for each photograph of the folder
  posegen keypoints portrait.jpg --out landmarks --layout ibug68

Needs no download: pip install "posegen[pose]". People are sorted by size, the largest first. Points that are hidden or
outside of the photograph are missing. Other commands find NAME.json beside NAME.jpg, and take it as TARGET.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen keypoints``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("input", type=Path, metavar="INPUT", help="photograph, or folder of photographs")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--layout",
        default=OPENPOSE[0],
        help="key-point layout: openpose18, body25, … of people, ibug68 of a face (default: %(default)s)",
    )
    parser.add_argument("--estimator", metavar="NAME", help="pose estimator, for example rtmpose (default: blazepose)")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    parser.add_argument("--skip-existing", action="store_true", help="leave out photographs with existing files")
    add_plugin(parser)


@plain_warnings()
def run(parsed: argparse.Namespace) -> int:
    """Write key points and drawings; return 1 if no figure was found at all."""
    load_plugins(parsed)

    from rich.progress import track

    from posegen.data import get_layout
    from posegen.data.estimators import load_estimator
    from posegen.data.images import read_photograph, write_image
    from posegen.visualization.figures import draw_figures

    layout = get_layout(parsed.layout)
    write = _writer(layout)
    outputs = _outputs(parsed)
    estimate = load_estimator(layout, parsed.estimator)
    empty = []
    for picture, (points, drawing) in track(outputs.items(), "photographs", disable=len(outputs) < 3):
        image = read_photograph(picture).image
        figures = estimate(image)
        if not figures:
            empty.append(picture.name)
        file = write(points, figures, image)
        write_image(drawing, draw_figures(image, [figure.keypoints for figure in figures], layout))
        print(f"{len(figures)} found: {file}  {drawing}")
    if empty:
        shown = ", ".join(empty[:5]) + (", …" if len(empty) > 5 else "")
        print(f"no figure was found in {len(empty)} of {len(outputs)} photographs: {shown}", file=sys.stderr)
    return int(bool(outputs) and len(empty) == len(outputs))


def _outputs(parsed: argparse.Namespace) -> dict[Path, tuple[Path, Path]]:
    """Return for each photograph the file of its points, without suffix, and that of the drawing.

    Raises:
        DataError: no photograph, or two of one name.
        PosegenError: a file exists.
    """
    from posegen.data.images import PHOTOGRAPH_ENDINGS
    from posegen.inference import list_files

    pictures = [file for file in list_files(parsed.input) if file.suffix.lower() in PHOTOGRAPH_ENDINGS]
    if not pictures:
        raise DataError(parsed.input, "no photograph", f"Supported: {', '.join(PHOTOGRAPH_ENDINGS)}.")
    by_stem: dict[str, list[str]] = {}
    for picture in pictures:
        by_stem.setdefault(picture.stem, []).append(picture.name)
    if clashes := [
        f"{' and '.join(names)} would be written to the same file" for names in by_stem.values() if names[1:]
    ]:
        raise DataError(parsed.input, clashes, "Rename one of each.")
    outputs = {one: (parsed.out / one.stem, parsed.out / DRAWN / f"{one.stem}.jpg") for one in pictures}
    if parsed.skip_existing:
        return {one: files for one, files in outputs.items() if not _existing(files)}
    refuse_to_overwrite([path for files in outputs.values() for path in _existing(files)], parsed.force)
    return outputs


def _existing(files: tuple[Path, Path]) -> list[Path]:
    """Return the files of a photograph that exist."""
    points, drawing = files
    candidates = (points.with_name(f"{points.name}{suffix}") for suffix in (".json", ".txt"))
    return [path for path in (*candidates, drawing) if path.exists()]


def _writer(layout: KeypointLayout) -> Callable[[Path, Sequence[Figure], np.ndarray], Path]:
    """Return the function that writes the figures of an image to a file, whose suffix it adds."""
    if layout.name in OPENPOSE:
        return write_people

    def write(path: Path, figures: Sequence[Figure], image: np.ndarray) -> Path:
        return _write_largest(path, figures, image, layout)

    return write


def write_people(path: Path, figures: Sequence[Figure], image: np.ndarray) -> Path:
    """Write people as OpenPose does, with the size of the image.

    Args:
        path: the file without its suffix, ``.json``.
        figures: the people, in OpenPose's 18 or 25 points.
        image: the image H W 3.
    """
    import numpy as np

    from posegen.files import written_whole

    people = []
    for figure in figures:
        triples = np.column_stack([figure.keypoints.points, figure.scores]) * figure.keypoints.present[:, None]
        people.append({"pose_keypoints_2d": [round(value, 3) for value in triples.ravel().tolist()]})
    content: dict[str, Any] = {"version": 1.3, "people": people}
    content |= {"canvas_width": image.shape[1], "canvas_height": image.shape[0]}
    file = path.with_name(f"{path.name}.json")
    with written_whole(file, to_disk=False) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
    return file


def _write_largest(path: Path, figures: Sequence[Figure], image: np.ndarray, layout: KeypointLayout) -> Path:
    """Write the largest figure in the format that the plugin of its layout writes."""
    from dataclasses import replace

    import numpy as np

    from posegen import plugin_access
    from posegen.data import Keypoints

    size = (image.shape[0], image.shape[1])
    nobody = Keypoints(np.zeros((len(layout), 2)), np.zeros(len(layout)))
    keypoints = replace(figures[0].keypoints if figures else nobody, frame=size)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = plugin_access.first("posegen_write_keypoints", path=path, keypoints=keypoints, layout=layout)
    if file is None:
        raise DataError(path, f"no plugin writes key points of the layout {layout.name!r}")
    return file
