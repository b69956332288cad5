"""Move pictures into other poses."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PosegenError
from .common import find_model
from .generation import PIXELS, add_model_source_target, add_output_options, plain_warnings, transfer_pictures

if TYPE_CHECKING:
    from ..inference import PoseInput

EXAMPLES = f"""
examples:
  posegen transfer shared_model/ me.jpg pose.json                      writes me_to_pose.png; me.json has its key points
  posegen transfer config.py checkpoint.pth me.jpg pose.json --out moved.png --explain
  posegen transfer shared_model/ me.jpg other.jpg                      requires a pose estimator
  posegen transfer shared_model/ photographs/ poses/ --out moved/      every photograph into every pose
  posegen transfer shared_model/ test/ target.jpg --source-keypoints list.csv --target-keypoints list.csv

A list of many images is not a TARGET: give the image, which selects its row in the list.
{PIXELS}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen transfer``."""
    add_model_source_target(
        parser,
        EXAMPLES,
        "image to move, or a folder of images",
        "pose: a key-point file, an image, or a folder of them",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="FILE|DIR",
        help="image to write (.png, .jpg, .webp), or folder for SOURCE_to_TARGET.png (default: the current folder)",
    )
    parser.add_argument(
        "--keep-alpha",
        action="store_true",
        help="write results with the source's transparency, moved along the flow (.png, .webp)",
    )
    parser.add_argument(
        "--skip-existing", action="store_true", help="keep pictures that exist, and generate the others"
    )
    parser.add_argument("--explain", action="store_true", help="also write …_explained.png: flow, mask, warped source")
    add_output_options(parser)


@plain_warnings()
def run(parsed: argparse.Namespace) -> int:
    """Write a picture for each source and target; return 0."""
    model = find_model(parsed)

    from ..inference import find_sources, find_targets

    sources = find_sources(parsed.source, parsed.source_keypoints)
    targets = find_targets(parsed.target, parsed.target_keypoints)
    paths = output_paths(sources, targets, parsed.out)
    transfer_pictures(model, sources, targets, paths, parsed, "_explained" if parsed.explain else "")
    return 0


def output_paths(sources: Sequence[PoseInput], targets: Sequence[PoseInput], out: Path) -> list[Path]:
    """Return the file of each picture, target by target for each source.

    Raises:
        PosegenError: *out* ends as a picture or clip of another format, is one picture for several, or is a file.
    """
    from ..data.generated import FORMATS
    from ..data.images import PHOTOGRAPH_ENDINGS
    from ..inference.files import CLIP_ENDINGS

    count, ending = len(sources) * len(targets), out.suffix.lower()
    if ending in (*FORMATS, *PHOTOGRAPH_ENDINGS, *CLIP_ENDINGS) and not out.is_dir():
        if ending not in FORMATS:
            raise PosegenError(f"--out {out}: a picture must end in {', '.join(FORMATS)}")
        if count > 1:
            raise PosegenError(f"--out {out} is one picture, but {count} will be written; give a folder")
        return [out]
    if out.exists() and not out.is_dir():
        raise PosegenError(f"--out {out} is a file; give a folder, or a picture: {', '.join(FORMATS)}")
    return [out / f"{source.name}_to_{target.name}.png" for source in sources for target in targets]
