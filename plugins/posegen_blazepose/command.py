"""Find key points in photographs and videos; write them as JSON files, and drawings to look at."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posegen.cli.common import add_plugin, load_plugins, refuse_to_overwrite
from posegen.cli.completion import ESTIMATORS, LAYOUTS, complete_with
from posegen.cli.generation import plain_warnings
from posegen.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from posegen.data import KeypointLayout
    from posegen.data.estimators import Figure

    Writer = Callable[[Path, Sequence[Figure], np.ndarray], Path]

OPENPOSE = ("openpose18", "body25")
"""Layouts that OpenPose writes, with all people of a photograph in one file."""
DRAWN = "drawn"
EXAMPLES = """
examples:
  posegen keypoints me.jpg --out poses                  writes poses/me.json and poses/drawn/me.jpg
  posegen keypoints photographs --out poses             the same for each photograph of the folder
  posegen keypoints portrait.jpg --out landmarks --layout ibug68
  posegen keypoints dance.mp4 --out poses               writes poses/dance/000000.json … and poses/drawn/dance.mp4

Needs no download: pip install "posegen[pose]". People are sorted by size, the largest first. Points that are hidden or
outside of the photograph are missing. Other commands find NAME.json beside NAME.jpg, and take it as TARGET.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen keypoints``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    parser.add_argument("input", type=Path, metavar="INPUT", help="photograph, video, or folder of these")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    layout = parser.add_argument(
        "--layout",
        default=OPENPOSE[0],
        help="key-point layout: openpose18, body25, … of people, ibug68 of a face (default: %(default)s)",
    )
    complete_with(layout, LAYOUTS)
    estimator = parser.add_argument(
        "--estimator", metavar="NAME", help="pose estimator, for example rtmpose (default: blazepose)"
    )
    complete_with(estimator, ESTIMATORS)
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    parser.add_argument("--skip-existing", action="store_true", help="leave out what has existing files")
    add_plugin(parser)


@plain_warnings()
def run(parsed: argparse.Namespace) -> int:
    """Write key points and drawings; return 1 if no figure was found at all."""
    load_plugins(parsed)

    from posegen.data import get_layout

    layout = get_layout(parsed.layout)
    write = _writer(layout)
    outputs = _outputs(parsed)
    videos = {file: paths for file, paths in outputs.items() if _is_video(file)}
    photographs = {file: paths for file, paths in outputs.items() if file not in videos}
    empty = _photographs(photographs, layout, parsed.estimator, write) if photographs else []
    empty += [file.name for file, paths in videos.items() if not _video(file, *paths, layout, parsed.estimator, write)]
    if empty:
        shown = ", ".join(empty[:5]) + (", …" if len(empty) > 5 else "")
        print(f"no figure was found in {len(empty)} of {len(outputs)} files: {shown}", file=sys.stderr)
    return int(bool(outputs) and len(empty) == len(outputs))


def _photographs(
    outputs: dict[Path, tuple[Path, Path]], layout: KeypointLayout, estimator: str | None, write: Writer
) -> list[str]:
    """Write points and drawings of photographs; return the names of those without a figure."""
    from rich.progress import track

    from posegen.data.estimators import load_estimator
    from posegen.data.images import read_photograph, write_image
    from posegen.visualization.figures import draw_figures

    estimate = load_estimator(layout, estimator)
    empty = []
    for picture, (points, drawing) in track(outputs.items(), "photographs", disable=len(outputs) < 3):
        image = read_photograph(picture).image
        figures = estimate(image)
        if not figures:
            empty.append(picture.name)
        file = write(points, figures, image)
        write_image(drawing, draw_figures(image, [figure.keypoints for figure in figures], layout))
        print(f"{len(figures)} found: {file}  {drawing}")
    return empty


def _video(
    file: Path, folder: Path, drawing: Path, layout: KeypointLayout, estimator: str | None, write: Writer
) -> bool:
    """Write the points of each frame of a video, and a drawing of all; return whether any figure was found."""
    from rich.progress import track

    from posegen.data.estimators import load_estimator
    from posegen.data.video import VideoReader
    from posegen.visualization.figures import draw_figures
    from posegen.visualization.video import VideoWriter

    estimate = load_estimator(layout, estimator, clip=True)
    video = VideoReader(file)
    count, found = 0, 0
    with VideoWriter(drawing, video.fps, mark=None) as clip:
        for image in track(video, file.name, total=video.count or None):
            figures = estimate(image)
            write(folder / f"{count:06d}", figures, image)
            clip.write(draw_figures(image, [figure.keypoints for figure in figures], layout))
            count, found = count + 1, found + bool(figures)
    print(f"found in {found} of {count} frames: {folder}  {drawing}")
    return found > 0


def _is_video(file: Path) -> bool:
    from posegen.data.images import PHOTOGRAPH_ENDINGS
    from posegen.data.video import VIDEO_ENDINGS

    return file.suffix.lower() in VIDEO_ENDINGS and file.suffix.lower() not in PHOTOGRAPH_ENDINGS


def _outputs(parsed: argparse.Namespace) -> dict[Path, tuple[Path, Path]]:
    """Return for each photograph the file of its points, without suffix, for a video their folder; and the drawing.

    Raises:
        DataError: no photograph or video, or two of one name.
        PosegenError: a file exists, or cannot be written.
    """
    from posegen.data.images import PHOTOGRAPH_ENDINGS
    from posegen.inference import list_files

    inputs = [file for file in list_files(parsed.input) if file.suffix.lower() in PHOTOGRAPH_ENDINGS or _is_video(file)]
    if not inputs:
        raise DataError(parsed.input, "no photograph or video", f"Photographs: {', '.join(PHOTOGRAPH_ENDINGS)}.")
    by_stem: dict[str, list[str]] = {}
    for file in inputs:
        by_stem.setdefault(file.stem, []).append(file.name)
    doubles = [names for names in by_stem.values() if len(names) > 1]
    if doubles:
        clashes = [f"{' and '.join(names)} would be written to the same file" for names in doubles]
        raise DataError(parsed.input, clashes, "Rename one of each.")
    drawn = parsed.out / DRAWN
    outputs = {
        file: (parsed.out / file.stem, drawn / f"{file.stem}.{'mp4' if _is_video(file) else 'jpg'}") for file in inputs
    }
    existing = {file: _existing(paths) for file, paths in outputs.items()}
    if parsed.skip_existing:
        outputs = {file: paths for file, paths in outputs.items() if not existing[file]}
    elif not parsed.force:
        refuse_to_overwrite([path for paths in existing.values() for path in paths], force=False)
    refuse_to_overwrite([drawing for _, drawing in outputs.values()], force=True, inputs=inputs)
    return outputs


def _existing(files: tuple[Path, Path]) -> list[Path]:
    """Return the files of an input that exist, for a video its folder."""
    points, drawing = files
    candidates = (points.with_name(f"{points.name}{suffix}") for suffix in (".json", ".txt"))
    folder = [points] if drawing.suffix == ".mp4" else []
    return [path for path in (*candidates, *folder, drawing) if path.exists()]


def _writer(layout: KeypointLayout) -> Writer:
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
