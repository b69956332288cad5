"""Move one picture into another pose: `posegen transfer` with an option for every file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from posegen.cli import run_tool
from posegen.cli.common import add_model, find_model
from posegen.cli.generation import add_device, add_min_score, plain_warnings, transfer_pictures
from posegen.errors import PosegenError
from posegen.hookspecs import Command

WITHOUT = {"background": None, "keep_alpha": False, "skip_existing": False}
"""Options of ``posegen transfer`` that this script does not have."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_model(parser)
    file = {"type": Path, "metavar": "FILE"}
    parser.add_argument("--source", required=True, help="image to move", **file)
    parser.add_argument("--source-keypoints", required=True, help="key points, in pixels of the source", **file)
    parser.add_argument(
        "--target-keypoints",
        required=True,
        help="pose to move to, in pixels of the target image; without one, of an image of the size that the file says "
        "or else of the source",
        **file,
    )
    parser.add_argument(
        "--target-image", help="image of the target key points, which selects its entry in a list of many", **file
    )
    parser.add_argument("--out", required=True, help="image to write (.png, .jpg, .webp)", **file)
    add_min_score(parser)
    parser.add_argument("--overlay", action="store_true", help="also write OUT_overlay.png: flow, mask, warped source")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    add_device(parser, "cpu")
    parser.set_defaults(estimator=None, resize_back=False, target_frame=None, crop="auto", retarget="auto", **WITHOUT)
    parser.set_defaults(source_figure=None, target_figure=None)


@plain_warnings()
def run(parsed: argparse.Namespace) -> int:
    """Write the picture; return 0."""
    from posegen.data.generated import FORMATS
    from posegen.inference import PoseInput

    if parsed.out.suffix.lower() not in FORMATS:
        raise PosegenError(f"--out {parsed.out} must end in {', '.join(FORMATS)}")
    source = PoseInput(parsed.source, parsed.source_keypoints, parsed.source.stem)
    target = PoseInput(parsed.target_image, parsed.target_keypoints, parsed.target_keypoints.stem)
    transfer_pictures(
        find_model(parsed), [source], [target], [parsed.out], parsed, "_overlay" if parsed.overlay else ""
    )
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(Command("infer", "Move one picture into another pose.", __name__)))
