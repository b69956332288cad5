"""Arguments and steps that the commands share that generate pictures and clips."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import PosegenError
from .common import add_model, refuse_to_overwrite

if TYPE_CHECKING:
    from ..inference import Inferencer, ModelSource, PoseChoice, PoseInput

PIXELS = (
    "Key points count pixels of their own image. Those of a target without an image count pixels of an image of\n"
    "the size that their file says, or else of the source."
)
MAX_FPS = 1000
BATCH_SIZE = 8


def add_model_source_target(parser: argparse.ArgumentParser, examples: str, source: str, target: str) -> None:
    """Add MODEL, SOURCE and TARGET, where their key points come from, and examples below the help."""
    add_model_and_examples(parser, examples)
    parser.add_argument("source", type=Path, metavar="SOURCE", help=source)
    parser.add_argument("target", type=Path, metavar="TARGET", help=target)
    for name in ("source", "target"):
        parser.add_argument(
            f"--{name}-keypoints",
            type=Path,
            metavar="FILE",
            help=f"key points of {name.upper()} (default: the file of its name beside it; without one, estimate them)",
        )
    parser.add_argument("--estimator", metavar="NAME", help="pose estimator to use if there are several")
    parser.add_argument(
        "--target-frame", type=int, metavar="N", help="number of the frame, from 1, in a TARGET file of several frames"
    )
    add_min_score(parser)


def add_min_score(parser: argparse.ArgumentParser) -> None:
    """Add ``--min-score``."""
    parser.add_argument(
        "--min-score",
        type=float,
        metavar="SCORE",
        help="leave out points of key-point files with a lower score (default: 0.3, as MMPose does)",
    )


def add_model_and_examples(parser: argparse.ArgumentParser, examples: str) -> None:
    """Add MODEL and its options, and examples below the help."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = examples.strip("\n")
    add_model(parser)


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--resize-back``, ``--force``, ``--device`` and ``--precision``."""
    parser.add_argument(
        "--resize-back",
        action="store_true",
        help="resize results to the source's size; stretches them if the data set cuts sources out",
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    add_device(parser)


def add_device(parser: argparse.ArgumentParser, default: str = "auto") -> None:
    """Add ``--device`` and ``--precision``."""
    parser.add_argument(
        "--device",
        default=default,
        help="auto (a GPU if there is one), cpu, cuda, cuda:1, … (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="number format of the networks; auto: bf16 on a CPU that computes in it natively, else fp32 "
        "(default: %(default)s)",
    )


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print warnings in one line each, without their place in the code."""
    before, warnings.formatwarning = warnings.formatwarning, lambda message, *_, **__: f"warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def transfer_pictures(
    model: ModelSource,
    sources: Sequence[PoseInput],
    targets: Sequence[PoseInput],
    paths: Sequence[Path],
    parsed: argparse.Namespace,
    explain: str = "",
) -> None:
    """Move every source into every target, write the pictures, and print their paths.

    Args:
        model: the model.
        sources, targets: pictures and key-point files.
        paths: file of each picture, target by target for each source.
        parsed: arguments of :func:`add_output_options`, and ``estimator``.
        explain: suffix of the file name of a second picture with flow, mask and warped source; empty: none.

    Raises:
        PosegenError: what is wrong with the files, before the model is loaded.
    """
    explained = [path.with_name(f"{path.stem}{explain}.png") for path in paths] if explain else []
    refuse_to_overwrite([*paths, *explained], parsed.force)
    sources, targets = read_checked(model, sources, targets, parsed)

    from rich.progress import track

    from ..data.generated import write_generated
    from ..inference import Inferencer, generated_picture
    from ..visualization import overlay

    inferencer = Inferencer(model, device=parsed.device, precision=parsed.precision)
    inferencer.require_single_images()
    prepared = (one for source in sources for one in inferencer.prepare_inputs(source, targets))
    made = inferencer.generate(prepared, BATCH_SIZE)
    shown = track(made, "pictures", total=len(paths), disable=len(paths) <= BATCH_SIZE)
    for index, (one, transfer) in enumerate(shown):
        write_generated(paths[index], generated_picture(one, transfer, parsed.resize_back))
        if explain:
            seen = one.source[None], one.source_structure[None], one.target_structure[None]
            write_generated(explained[index], overlay(*seen, transfer, inferencer.encoder.draw))
    for path in [*paths, *explained]:
        print(path)


def read_checked(
    model: ModelSource, sources: Sequence[PoseInput], targets: Sequence[PoseInput], parsed: argparse.Namespace
) -> tuple[list[PoseInput], list[PoseInput]]:
    """Read and check the key points of sources and targets, and say at what size the model works."""
    from ..inference import describe_size, read_inputs

    choice = pose_choice(parsed)
    sources = [replace(one, choice=choice) for one in sources]
    targets = [replace(one, choice=replace(choice, frame=parsed.target_frame)) for one in targets]
    read = read_inputs(sources, targets, model.keypoint_encoder(), parsed.estimator)
    if size := describe_size(model.config, read[0], parsed.resize_back):
        print(size, file=sys.stderr)
    return read


def pose_choice(parsed: argparse.Namespace) -> PoseChoice:
    """Return the threshold of ``--min-score``.

    Raises:
        PosegenError: it is not a number from 0 to 1.
    """
    from ..inference import PoseChoice

    if parsed.min_score is None:
        return PoseChoice()
    if not 0 <= parsed.min_score <= 1:
        raise PosegenError(f"--min-score must be 0 to 1, got {parsed.min_score:g}")
    return PoseChoice(parsed.min_score)


# Clips


def check_clip_options(parsed: argparse.Namespace, problems: Sequence[str] = ()) -> None:
    """Raise PosegenError if there are problems, or ``--fps`` or ``--out`` is invalid; names all of them."""
    problems = list(problems)
    if parsed.fps is not None and not 0 < parsed.fps <= MAX_FPS:
        problems.append(f"--fps must be more than 0 and at most {MAX_FPS}, got {parsed.fps:g}")
    if parsed.out is not None and parsed.out.suffix.lower() != ".mp4":
        problems.append(f"--out must end in .mp4, got {parsed.out}")
    if problems:
        raise PosegenError("\n".join(problems))


def print_if_single_images(inferencer: Inferencer) -> None:
    """Say that a clip may flicker, if its frames were generated one by one."""
    if inferencer.makes_single_images:
        print("each frame was generated by itself, by a model of single images: the clip may flicker")
