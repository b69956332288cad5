"""Make a clip in which a picture moves from its own pose to another."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import find_model, refuse_to_overwrite
from .generation import (
    PIXELS,
    add_model_source_target,
    add_output_options,
    check_clip_options,
    plain_warnings,
    print_if_single_images,
    read_checked,
    read_framing,
)

EXAMPLES = f"""
examples:
  posegen interpolate shared_model/ me.jpg pose.json                   writes me_to_pose.mp4; me.json has its key points
  posegen interpolate config.py checkpoint.pth me.jpg pose.json --frames 48 --pause 1 --out moving.mp4

{PIXELS}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen interpolate``."""
    add_model_source_target(parser, EXAMPLES, "image to move", "last pose: a key-point file or an image")
    parser.add_argument("--out", type=Path, metavar="MP4", help="clip to write (default: SOURCE_to_TARGET.mp4)")
    parser.add_argument("--frames", type=int, default=24, help="frames from pose to pose (default: 24)")
    parser.add_argument("--fps", type=float, default=24, help="frames per second (default: 24)")
    parser.add_argument("--pause", type=float, default=0.5, metavar="S", help="seconds at each end (default: 0.5)")
    add_output_options(parser)


@plain_warnings()
def run(parsed: argparse.Namespace) -> int:
    """Write the clip; return 0."""
    _check(parsed)
    model = find_model(parsed)

    from rich.progress import track

    from ..inference import Inferencer, find_sources, find_targets, generated_picture, mark_of
    from ..visualization.video import VideoWriter

    sources = find_sources(parsed.source, parsed.source_keypoints)
    targets = find_targets(parsed.target, parsed.target_keypoints)
    out = parsed.out or Path(f"{sources[0].name}_to_{targets[0].name}.mp4")
    refuse_to_overwrite([out], parsed.force)
    (source,), (target,) = read_checked(model, sources, targets, parsed)

    inferencer = Inferencer(model, device=parsed.device, precision=parsed.precision)
    last, rest = parsed.frames - 1, round(parsed.pause * parsed.fps)
    fractions = [_eased(frame / last) for frame in range(parsed.frames)]
    prepared = inferencer.prepare_between(source, target, fractions, read_framing(parsed))
    with VideoWriter(out, parsed.fps, mark=mark_of(source.cutout, parsed.resize_back)) as clip:
        made = track(inferencer.generate(prepared), "frames", total=parsed.frames)
        for frame, (one, transfer) in enumerate(made):
            picture = generated_picture(one, transfer, parsed.resize_back)
            for _ in range(1 + rest if frame in (0, last) else 1):
                clip.write(picture)
    print(f"{parsed.frames + 2 * rest} frames: {out}")
    print_if_single_images(inferencer)
    return 0


def _check(parsed: argparse.Namespace) -> None:
    problems = []
    if parsed.frames < 2:
        problems.append(f"--frames must be 2 or more, got {parsed.frames}")
    if not 0 <= parsed.pause <= 60:
        problems.append(f"--pause must be 0 to 60 seconds, got {parsed.pause:g}")
    problems += [
        f"{name} {path} is a folder; a clip has one source and one target"
        for name, path in (("SOURCE", parsed.source), ("TARGET", parsed.target))
        if path.is_dir()
    ]
    check_clip_options(parsed, problems)


def _eased(fraction: float) -> float:
    """Turn a fraction of the time into one of the way, slow at both ends."""
    return fraction * fraction * (3 - 2 * fraction)
