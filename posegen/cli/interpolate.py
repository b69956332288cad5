"""Make a clip in which a picture moves from its own pose to another one."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PosegenError
from .animate import problems_of_clip, tell_of_single_images
from .common import refuse_to_overwrite
from .transfer import (
    PIXELS,
    add_common,
    add_model_source_target,
    load_inferencer,
    plain_warnings,
    read_model_config,
    tell_of_size,
)

if TYPE_CHECKING:
    import numpy as np

    from ..inference import Prepared
    from ..visualization.video import VideoWriter

EXAMPLES = f"""
examples:
  posegen interpolate shared_model/ me.jpg pose.json                   writes me_to_pose.mp4; me.json has its key points
  posegen interpolate config.py checkpoint.pth me.jpg pose.json --frames 48 --pause 1 --out moving.mp4

{PIXELS}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen interpolate``."""
    add_model_source_target(
        parser, EXAMPLES, "the picture that is moved", "the pose at the end: a file of key points, or a picture"
    )
    parser.add_argument("--out", type=Path, metavar="MP4", help="the clip to write; default: SOURCE_to_TARGET.mp4")
    parser.add_argument("--frames", type=int, default=24, help="from the one pose to the other; default 24")
    parser.add_argument("--fps", type=float, default=24, help="frames a second; default 24")
    parser.add_argument(
        "--pause", type=float, default=0.5, metavar="S", help="seconds to rest at each end; default 0.5"
    )
    add_common(parser)


@plain_warnings()
def run(parsed: argparse.Namespace) -> int:
    """Write the clip; returns 0."""
    from rich.progress import track

    from ..data.images import read_image, resize_image, to_tensor, to_uint8
    from ..data.interpolation import interpolate_keypoints
    from ..inference import Prepared, frame_of, prepare_checked
    from ..poses import check_in_sources, read_poses, source_subjects, target_subjects
    from ..visualization.video import VideoWriter

    _check(parsed)
    (source,) = source_subjects(parsed.source, parsed.source_keypoints)
    (target,) = target_subjects(parsed.target, parsed.target_keypoints)
    assert source.picture is not None  # a source has one
    out = parsed.out or Path(f"{source.name}_to_{target.name}.mp4")
    refuse_to_overwrite([out], parsed.force)
    config, encoder = read_model_config(parsed)
    source_pose, target_pose = read_poses([source, target], encoder, parsed.estimator)
    check_in_sources([target], [target_pose], [source_pose])
    tell_of_size(config, [source], [source_pose], parsed.resize_back)
    picture = read_image(source.picture)
    image, start = prepare_checked(config, picture, source_pose, f"{source.name}, source")
    # Between what the network sees: a data set that cuts out by key points would cut each pose out anew, and shake.
    beside = frame_of(target_pose, picture) if target.picture is None else read_image(target.picture)
    _, end = prepare_checked(config, beside, target_pose, f"{target.name}, target")

    inferencer = load_inferencer(parsed, config)
    prepared_image = to_tensor(image)
    own = encoder.encode(start, inferencer.size, image)
    rest = round(parsed.pause * parsed.fps)
    shares = [_eased(frame / (parsed.frames - 1)) for frame in range(parsed.frames)]

    def frames() -> Iterator[Prepared]:
        for share in shares:
            pose = interpolate_keypoints(start, end, encoder.layout, share)
            structure = encoder.encode(pose, inferencer.size)
            yield Prepared(prepared_image, own, structure, out.stem, picture.shape[:2])

    size = picture.shape[:2] if parsed.resize_back else inferencer.size
    with VideoWriter(out, parsed.fps) as clip:
        made = track(inferencer.frames(frames()), description="frames", total=len(shares))
        for number, (_, frame) in enumerate(made):
            at_an_end = number in (0, len(shares) - 1)
            _write(clip, resize_image(to_uint8(frame.image[0]), size), 1 + (rest if at_an_end else 0))
    print(f"{parsed.frames + 2 * rest} frames: {out}")
    tell_of_single_images(inferencer)
    return 0


def _check(parsed: argparse.Namespace) -> None:
    problems = []
    if parsed.frames < 2:
        problems.append(f"--frames must be 2 or more, got {parsed.frames}")
    if not 0 <= parsed.pause <= 60:
        problems.append(f"--pause is 0 to 60 seconds, got {parsed.pause:g}")
    problems += [
        f"{name} {path} is a folder; a clip has one source and one target"
        for name, path in (("SOURCE", parsed.source), ("TARGET", parsed.target))
        if path.is_dir()
    ]
    problems += problems_of_clip(parsed)
    if problems:
        raise PosegenError("\n".join(problems))


def _eased(share: float) -> float:
    """A share of the time as a share of the way: it starts and ends slowly."""
    return share * share * (3 - 2 * share)


def _write(clip: VideoWriter, frame: np.ndarray, times: int) -> None:
    for _ in range(times):
        clip.write(frame)
