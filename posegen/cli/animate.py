"""Make a clip of one picture, moved through a sequence of structures or the motion of a video."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, PosegenError
from .common import find_model, refuse_to_overwrite
from .generation import (
    BATCH_SIZE,
    add_figure,
    add_min_score,
    add_model_and_examples,
    add_output_options,
    check_clip_options,
    plain_warnings,
    pose_choice,
    print_if_single_images,
    read_checked,
    read_framing,
)

if TYPE_CHECKING:
    import numpy as np

    from ..data import Keypoints
    from ..data.estimators import Estimate
    from ..data.generated import Mark
    from ..data.video import VideoReader
    from ..inference import Inferencer, ModelSource, PoseInput, Prepared
    from ..inference.driving import Follower, Motion
    from ..inference.unfinished import UnfinishedClip
    from ..records import Transfer

FPS = 25
MISSING = ("hold", "interpolate", "skip")
EXAMPLES = """
examples:
  posegen animate shared_model/ --reference me.jpg --video motion.mp4 --out moved.mp4
  posegen animate shared_model/ --reference me.jpg --structures motion/         writes me_to_motion.mp4
  posegen animate shared_model/ --reference me.jpg --structures motion.json     all frames in one file
  posegen animate config.py checkpoint.pth --reference me.jpg --structures motion/ --structure-images frames/ --fps 30

Requires a model of key points. A model of clips generates each frame from the frame before it and the reference. A
model of single images generates each frame by itself, like `posegen transfer`, so the clip may flicker. Key points
count pixels of --structure-images; without these, of an image of the size that their file says, or else of the
reference. With --video, a clip that was interrupted is gone on with by the same command.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen animate``."""
    add_model_and_examples(parser, EXAMPLES)
    parser.add_argument("--reference", type=Path, required=True, metavar="IMG", help="image to move")
    motion = parser.add_mutually_exclusive_group(required=True)
    motion.add_argument("--video", type=Path, metavar="FILE", help="video whose motion the reference follows")
    motion.add_argument(
        "--structures",
        type=Path,
        metavar="DIR|FILE",
        help="folder with a key-point file for each frame, or one file of all frames",
    )
    parser.add_argument(
        "--reference-structure",
        type=Path,
        metavar="FILE",
        help="key points of the reference (default: the file of its name beside it, else in --structures, else "
        "estimate them)",
    )
    parser.add_argument(
        "--structure-images",
        type=Path,
        metavar="DIR",
        help="folder with the images of --structures, of the same names",
    )
    parser.add_argument("--estimator", metavar="NAME", help="pose estimator to use if there are several")
    parser.add_argument(
        "--subject",
        type=int,
        default=1,
        metavar="N",
        help="figure to follow, 1: the largest, in the first frame that shows so many (default: 1)",
    )
    parser.add_argument(
        "--missing",
        choices=MISSING,
        default="hold",
        help="frames without the figure: hold the pose before, interpolate, or skip them (default: hold)",
    )
    parser.add_argument("--no-smoothing", action="store_true", help="keep the key points of the video as estimated")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="MP4",
        help="clip to write (default: REFERENCE_to_VIDEO.mp4, REFERENCE_to_STRUCTURES.mp4)",
    )
    parser.add_argument("--fps", type=float, help=f"frames per second (default: those of --video, else {FPS})")
    parser.add_argument(
        "--side-by-side",
        action="store_true",
        help="also write OUT_side_by_side.mp4: reference, structure, warped reference, mask and result",
    )
    parser.add_argument("--compare", type=Path, metavar="VIDEO", help="show this video first in OUT_side_by_side.mp4")
    add_figure(parser, "--reference-figure", "source")
    add_min_score(parser)
    add_output_options(
        parser, {"motion": "the source's pose changes as those of the clip do, and keeps its proportions"}
    )
    parser.set_defaults(target_frame=None, target_figure=None)


@plain_warnings()
def run(parsed: argparse.Namespace) -> int:
    """Write the clip, and a second one that shows how it was generated; return 0."""
    check_clip_options(parsed, _wrong_options(parsed))
    name = parsed.video.stem if parsed.video else _name(parsed.structures)
    out = parsed.out or Path(f"{parsed.reference.stem}_to_{name}.mp4")
    beside = out.with_name(f"{out.stem}_side_by_side.mp4") if parsed.side_by_side or parsed.compare else None
    inputs = [path for path in (parsed.reference, parsed.video, parsed.compare) if path is not None]
    refuse_to_overwrite([path for path in (out, beside) if path is not None], parsed.force, inputs)
    if parsed.compare:
        from ..data.video import VideoReader

        VideoReader(parsed.compare)  # which refuses what is no video
    model = find_model(parsed)
    animate = _animate_by_video if parsed.video else _animate_by_structures
    inferencer = animate(parsed, model, out, beside)
    if beside is not None:
        print(f"with structure, warped reference and mask: {beside}")
    print_if_single_images(inferencer)
    return 0


def _wrong_options(parsed: argparse.Namespace) -> list[str]:
    problems = []
    if parsed.video and parsed.structure_images:
        problems.append("--structure-images belong to --structures; a video has its own frames")
    if parsed.subject < 1:
        problems.append(f"--subject counts from 1, got {parsed.subject}")
    return problems


def _animate_by_structures(
    parsed: argparse.Namespace, model: ModelSource, out: Path, beside: Path | None
) -> Inferencer:
    from ..inference import Inferencer, find_poses, mark_of

    files = find_poses(parsed.structures)
    rate = parsed.fps or FPS
    frames = _follow(parsed, _read_frames(parsed, model, files), model, rate)
    (source,), targets = read_checked(model, [_reference(parsed, files)], frames, parsed)

    inferencer = Inferencer(model, device=parsed.device, precision=parsed.precision)
    mark = mark_of(source.cutout, parsed.resize_back)
    clips = Clips(out, beside, Fraction(rate), len(targets), None, parsed.compare, mark)
    motion = [target.structure for target in targets]
    prepared = inferencer.prepare_inputs(source, targets, read_framing(parsed), motion)
    clips.write(_generated(parsed, inferencer, prepared, beside is not None))
    return inferencer


def _name(structures: Path) -> str:
    return structures.resolve().name if structures.is_dir() else structures.stem


def _read_frames(
    parsed: argparse.Namespace, model: ModelSource, files: Sequence[Path]
) -> list[tuple[PoseInput, list[Keypoints]]]:
    """Read the figures in each frame, from a file of each or from one file of all of them."""
    from ..inference import PoseInput, matching_pictures, read_clip_figures, read_figures
    from ..inference.inputs import read_each

    layout = model.keypoint_encoder().layout
    assert layout is not None
    choice = pose_choice(parsed)
    if not parsed.structures.is_dir():
        if parsed.structure_images:
            raise PosegenError(f"--structure-images is for a folder --structures; {parsed.structures} is a file")
        clip = read_clip_figures(parsed.structures, layout, choice)
        return [(PoseInput(None, None, f"{parsed.structures}, frame {t}"), seen) for t, seen in enumerate(clip, 1)]
    pictures = matching_pictures(parsed.structure_images, files) if parsed.structure_images else [None] * len(files)
    frames = [PoseInput(picture, file, file.stem) for picture, file in zip(pictures, files, strict=True)]
    picture_of = dict(zip(files, pictures, strict=True))
    seen = read_each(frames, lambda one: read_figures(one.structure, layout, picture_of[one.structure], choice))
    return list(zip(frames, seen, strict=True))


def _follow(
    parsed: argparse.Namespace, frames: Sequence[tuple[PoseInput, list[Keypoints]]], model: ModelSource, fps: float
) -> list[PoseInput]:
    """Follow one figure through the frames, and fill those without it."""
    from ..inference.driving import Follower, fill

    several = sum(len(seen) > 1 for _, seen in frames)
    found: Motion = [next(iter(seen), None) for _, seen in frames]
    follower = Follower(fps, parsed.subject)
    if several or parsed.subject > 1:
        found = [follower(seen) for _, seen in frames]
    _say_what_was_followed(parsed, follower, found, fps)
    if several:
        print(f"{several} of {len(frames)} frames show several figures: number {parsed.subject}, 1 being the largest, "
              "is followed (--subject)")  # fmt: skip
    motion = fill(found, parsed.missing, model.keypoint_encoder().layout)
    kept = []
    for (one, _), before, points in zip(frames, found, motion, strict=True):
        if points is None:
            continue
        in_file = one.structure is not None and points is before and not several  # which is read again, with its notes
        kept.append(one if in_file else replace(one, structure=points))
    return kept


def _animate_by_video(parsed: argparse.Namespace, model: ModelSource, out: Path, beside: Path | None) -> Inferencer:
    from ..data.estimators import load_estimator
    from ..data.video import VideoReader
    from ..inference import Inferencer, mark_of
    from ..inference.driving import fill, smooth
    from ..inference.unfinished import UnfinishedClip

    video = VideoReader(parsed.video, parsed.fps)
    layout = model.keypoint_encoder().layout
    estimate = load_estimator(layout, parsed.estimator, clip=True)
    (source,), _ = read_checked(model, [_reference(parsed, [])], [], parsed)
    inferencer = Inferencer(model, device=parsed.device, precision=parsed.precision)

    unfinished = UnfinishedClip(out, _settings(parsed, model))
    with _telling_what_is_kept(unfinished):
        motion = fill(_find_poses(parsed, video, estimate, unfinished), parsed.missing, layout)
        if not parsed.no_smoothing:
            motion = smooth(motion, float(video.fps))
        first = unfinished.frames if inferencer.makes_single_images else 0
        frames = video if inferencer.encoder.sees_image else repeat(None)
        targets = islice(_targets(frames, motion), first, None)
        poses = [points for points in motion if points is not None]
        prepared = inferencer.prepare_inputs(source, targets, read_framing(parsed), poses)
        made = _generated(parsed, inferencer, prepared, beside is not None)
        count = sum(points is not None for points in motion)
        sound, mark = _sound(parsed, count, len(motion)), mark_of(source.cutout, parsed.resize_back)
        clips = Clips(out, beside, video.fps, count, sound, parsed.compare, mark)
        clips.write(unfinished.go_on(made, first))
    unfinished.remove()
    return inferencer


def _find_poses(
    parsed: argparse.Namespace, video: VideoReader, estimate: Estimate, unfinished: UnfinishedClip
) -> Motion:
    """Follow the figure through the video, and say in which frames it is missing or another one."""
    from rich.progress import track

    from ..inference.driving import Follower, drop_partial, in_frame

    follower = Follower(float(video.fps), parsed.subject, [*unfinished.poses])
    known = len(unfinished.poses)
    frames = islice(video, known, None)
    for frame in track(frames, "key points", total=max(video.count - known, 0) or None):
        unfinished.add_pose(follower(in_frame(estimate(frame), frame)))
    if not any(points is not None for points in unfinished.poses):
        unfinished.remove()
    found = drop_partial(unfinished.poses)
    _say_what_was_followed(parsed, follower, found, float(video.fps))
    return found


def _say_what_was_followed(parsed: argparse.Namespace, follower: Follower, found: Motion, fps: float) -> None:
    """Say in which frames the figure is missing, or another one. DataError: in none there is one."""
    for number in follower.switches:
        print(f"from frame {number} ({number / fps:.1f} s) on another figure is followed: the first one is gone")
    missing = sum(points is None for points in found)
    if missing == len(found):
        raise DataError(parsed.video or parsed.structures, "no figure was found in any frame")
    if missing:
        partly = ", or less than half of it" if parsed.video else ""
        what = {"hold": "the pose before is held", "interpolate": "poses are interpolated", "skip": "they are skipped"}
        print(f"{missing} of {len(found)} frames do not show the figure{partly}: {what[parsed.missing]} (--missing)")


def _targets(frames: Iterable[np.ndarray | None], motion: Motion) -> Iterator[PoseInput]:
    """Yield the poses with their frames, but those to skip."""
    from ..inference import PoseInput

    for number, (frame, points) in enumerate(zip(frames, motion, strict=False)):
        if points is not None:
            yield PoseInput(frame, points, f"frame {number}")


def _sound(parsed: argparse.Namespace, count: int, total: int) -> Path | None:
    """Return the video whose sound fits the clip; say so if none does."""
    if count == total:
        return parsed.video
    print("the clip has no sound: frames are skipped, so that of the video does not fit")
    return None


def _settings(parsed: argparse.Namespace, model: ModelSource) -> dict[str, Any]:
    """Return everything that determines the frames of a clip, as JSON values."""
    values = {name: value for name, value in vars(parsed).items() if name not in ("force", "traceback")}
    return {name: _described(value) for name, value in sorted({**values, "weights": model.weights}.items())}


def _described(value: Any) -> Any:
    if isinstance(value, Path) and value.exists():
        status = value.stat()
        return [str(value.resolve()), status.st_size, status.st_mtime_ns]
    return repr(value)


@contextmanager
def _telling_what_is_kept(unfinished: UnfinishedClip) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        done = f"{len(unfinished.poses)} poses and {unfinished.frames} frames"
        print(f"{done} are kept in {unfinished.folder}: the same command goes on with them", file=sys.stderr)
        raise


# Pictures and clips


@dataclass(frozen=True)
class Clips:
    """The clips that a command writes.

    Args:
        out: the clip.
        beside: the clip that shows how it was generated; None: none.
        fps: frames per second.
        count: number of frames.
        sound: video whose sound is copied; None: none.
        compare: video to show first in *beside*; None: none.
        mark: what the metadata of *out* say; None: that it is generated.
    """

    out: Path
    beside: Path | None
    fps: Fraction
    count: int
    sound: Path | None = None
    compare: Path | None = None
    mark: Mark | None = None

    def write(self, frames: Iterable[Sequence[Any]]) -> None:
        """Write frames: for each the pictures of *out* and *beside*, uint8 H W 3."""
        from rich.progress import track

        from ..data.generated import COMPOSITE, GENERATED
        from ..visualization.video import VideoWriter

        with ExitStack() as files:
            out = VideoWriter(self.out, self.fps, sound=self.sound, mark=self.mark or GENERATED)
            writers = [files.enter_context(out)]
            if self.beside is not None:
                writers.append(files.enter_context(VideoWriter(self.beside, self.fps, mark=COMPOSITE)))
            compared = self._compared()
            for pictures in track(frames, "frames", total=self.count):
                writers[0].write(pictures[0])
                for writer in writers[1:]:
                    writer.write(_joined(next(compared), pictures[1]))
        print(f"{self.count} frames: {self.out}")

    def _compared(self) -> Iterator[Any]:
        """Yield the frames of the video to compare with, the last one again and again; None without one."""
        from ..data.video import VideoReader

        frame = None
        for frame in VideoReader(self.compare, self.fps) if self.compare else ():
            yield frame
        yield from repeat(frame)


def _joined(first: Any, second: Any) -> Any:
    """Put a picture at the left of another, as high as this; None: nothing."""
    if first is None:
        return second
    import numpy as np

    from ..data.images import resize_image

    height = second.shape[0]
    width = max(1, round(first.shape[1] * height / first.shape[0]))
    return np.concatenate([resize_image(first, (height, width)), second], axis=1)


def _generated(
    parsed: argparse.Namespace, inferencer: Inferencer, prepared: Iterator[Prepared], beside: bool
) -> Iterator[list[Any]]:
    """Generate the pictures of each frame: the result, and how it was made."""
    from ..inference import generated_picture

    for one, made in inferencer.generate(prepared, BATCH_SIZE):
        result = generated_picture(one, made, parsed.resize_back)
        yield [result, side_by_side(one, made, inferencer.encoder.draw)] if beside else [result]


def side_by_side(one: Prepared, made: Transfer, draw: Callable[[Any], Any]) -> Any:
    """Return reference, structure, warped reference, mask and result side by side, uint8 H 5·W 3.

    Without a flow: reference, structure and result, H 3·W 3.

    Args:
        one: input of the frame.
        made: output of the model, B = 1.
        draw: draws a structure S H W.
    """
    import numpy as np

    from ..data.images import resize_image
    from ..visualization.flow import mask_to_rgb, to_picture, warp

    pictures = [to_picture(one.source), draw(one.target_structure)]
    if made.flows:
        reference = one.source[None].to(made.image.device)
        pictures += [to_picture(warp(reference, made.flows[-1])[0]), mask_to_rgb(made.masks[-1][0].cpu())]
    pictures.append(to_picture(made.image[0]))
    size = (one.source.shape[-2], one.source.shape[-1])
    return np.concatenate([resize_image(picture, size, "nearest") for picture in pictures], axis=1)


def _reference(parsed: argparse.Namespace, files: Sequence[Path]) -> PoseInput:
    """Return the reference with its key points: those given, those beside it, or those of its name in --structures.

    Without any, an estimator has to find them.
    """
    from ..inference import find_sources
    from ..inference.files import BESIDE

    if parsed.reference.is_dir():
        raise PosegenError(f"--reference {parsed.reference} is a folder; a clip is made of one picture")
    (reference,) = find_sources(parsed.reference, parsed.reference_structure, "--reference-structure")
    if reference.structure is not None:
        return reference
    names = (reference.name, f"{reference.name}{BESIDE}")
    match = next((file for file in files if file.stem in names), None)
    return reference if match is None else replace(reference, structure=match)
