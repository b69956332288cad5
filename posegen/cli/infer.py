"""Move one photograph into another pose."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import PosegenError
from .common import add_config, add_model, build_encoder, build_inferencer, refuse_to_overwrite
from .transfer import plain_warnings, tell_of_size

KEYPOINTS_HELP = (
    "its key points, in pixels of the photograph; those of a data set's own list, in pixels of that list's frame"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen infer``."""
    add_config(parser)
    add_model(parser)
    parser.add_argument("--source", type=Path, required=True, metavar="IMG", help="the photograph")
    parser.add_argument("--source-keypoints", type=Path, required=True, metavar="FILE", help=KEYPOINTS_HELP)
    parser.add_argument(
        "--target-keypoints",
        type=Path,
        required=True,
        metavar="FILE",
        help="the pose to move to, counted likewise in the target image, or, without one, in a picture of the size "
        "that the file says, or else of the source's",
    )
    parser.add_argument(
        "--target-image",
        type=Path,
        metavar="IMG",
        help="the photograph the target key points belong to: gives the frame they count pixels of, and says which "
        "entry is meant in a file of many images",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="the picture to write")
    parser.add_argument("--overlay", action="store_true", help="also write OUT_overlay.png: flow, mask, warped source")
    parser.add_argument("--force", action="store_true", help="overwrite OUT if it exists")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, …")


@plain_warnings()
def run(parsed: argparse.Namespace) -> int:
    """Render one picture; returns 0."""
    from ..data.generated import FORMATS, write_generated
    from ..data.images import to_uint8
    from ..poses import Subject, check_in_sources, read_poses
    from ..visualization import overlay

    if parsed.out.suffix.lower() not in FORMATS:
        raise PosegenError(f"--out {parsed.out}: its name ends in {', '.join(FORMATS)}")
    overlay_path = parsed.out.with_name(f"{parsed.out.stem}_overlay.png")
    refuse_to_overwrite([parsed.out, *([overlay_path] if parsed.overlay else [])], parsed.force)
    inferencer = build_inferencer(parsed)
    encoder = build_encoder(inferencer.config)
    source = Subject(parsed.source.name, parsed.source, parsed.source_keypoints)
    target = Subject(parsed.source.name, parsed.target_image, parsed.target_keypoints)
    own, pose = read_poses([source, target], encoder)
    check_in_sources([target], [pose], [own])
    tell_of_size(inferencer.config, [source], [own], resized_back=True)
    prepared = inferencer.prepare(parsed.source, pose, own, parsed.target_image, name=parsed.source.name)
    batch, out = inferencer.transfer([prepared])
    write_generated(parsed.out, to_uint8(out.image[0]))
    print(parsed.out)
    if parsed.overlay:
        sheet = overlay(batch.source, batch.source_structure, batch.target_structure, out, encoder.draw)
        write_generated(overlay_path, sheet)
        print(overlay_path)
    return 0
