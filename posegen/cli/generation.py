"""Arguments and steps that the commands share that generate pictures and clips."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import show_step
from ..errors import PosegenError, RetargetWarning
from .common import add_model, refuse_to_overwrite
from .completion import ESTIMATORS, complete_with

if TYPE_CHECKING:
    from ..inference import Framing, Inferencer, ModelSource, PoseChoice, PoseInput

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
    estimator = parser.add_argument("--estimator", metavar="NAME", help="pose estimator to use if there are several")
    complete_with(estimator, ESTIMATORS)
    parser.add_argument(
        "--target-frame", type=int, metavar="N", help="number of the frame, from 1, in a TARGET file of several frames"
    )
    for name in ("source", "target"):
        add_figure(parser, f"--{name}-figure", name)
    add_min_score(parser)


def add_figure(parser: argparse.ArgumentParser, option: str, name: str) -> None:
    """Add an option that chooses one of several figures in *name*, ``source`` or ``target``."""
    parser.add_argument(
        option,
        dest=f"{name}_figure",
        type=read_figure,
        metavar="N|X,Y",
        help=f"which of several figures of the {name} is taken: its number, from 1, or a place in pixels (default: the "
        "largest)",
    )


def read_figure(text: str) -> int | tuple[float, float]:
    """Read the number of a figure, or a place (x, y)."""
    numbers = text.split(",")
    try:
        if len(numbers) == 1:
            return int(text)
        x, y = map(float, numbers)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number, from 1, nor a place X,Y") from error
    return x, y


def add_min_score(parser: argparse._ActionsContainer) -> None:
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


def add_output_options(parser: argparse.ArgumentParser, retarget_more: Mapping[str, str] | None = None) -> None:
    """Add options of framing, ``--resize-back``, ``--background``, ``--force``, ``--device`` and ``--precision``.

    Args:
        parser: parser of the command.
        retarget_more: values of ``--retarget`` that only this command has, with their help; None: there are none.
    """
    more = retarget_more or {}
    parser.add_argument(
        "--crop",
        choices=("auto", "figure", "none"),
        default="auto",
        help="what the model sees of the source: a crop around the figure, or all of it, padded; auto: all of it if it "
        "has the model's proportions and the figure fills a good part of it (default: %(default)s)",
    )
    parser.add_argument(
        "--retarget",
        choices=("auto", "none", "scale", "bones", *more),
        default="auto",
        help="fit target poses to the source: scale them to its size and place, or give each bone its length; auto: "
        "scale if sizes differ by more than a quarter, the pictures have other proportions, or a single pose was "
        "found in another photograph"
        + ("; motion for a clip of other pictures, of a layout without parts" if "motion" in more else "")
        + "".join(f"; {name}: {text}" for name, text in more.items())
        + " (default: %(default)s)",
    )
    parser.add_argument(
        "--resize-back",
        action=argparse.BooleanOptionalAction,
        help="give results the source's size: what the model saw of it is replaced, with a soft edge; with "
        "--no-resize-back they have the model's size (default: --resize-back)",
    )
    parser.set_defaults(resize_back=True)  # argparse would print a default of the option a second time
    parser.add_argument(
        "--background",
        metavar="COLOR|IMAGE|fill",
        help="background of the source, a color (white, #ffcc00, …) or an image: of its transparent parts (default: "
        "white); if it has none, the figure is cut out of the source and of results (requires an estimator with "
        "masks); fill: the source's own, smoothly filled where the figure stood",
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


def read_framing(parsed: argparse.Namespace) -> Framing:
    """Return what ``--crop`` and ``--retarget`` say."""
    from ..inference import Framing

    return Framing(parsed.crop, parsed.retarget)


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Print warnings in one line each, without their place in the code; of poses that are fitted, a note at the end."""
    format_before, show_before = warnings.formatwarning, warnings.showwarning
    fitted: dict[str, RetargetWarning] = {}

    def show(message: Warning | str, *place: Any, **options: Any) -> None:
        if isinstance(message, RetargetWarning):
            fitted.setdefault(message.name, message)
        else:
            show_before(message, *place, **options)

    def line(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> str:
        return f"{'note' if issubclass(category, RetargetWarning) else 'warning'}: {message}\n"

    warnings.formatwarning = line
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = show_before
        if fitted:
            first, *others = fitted.values()
            more = f"; so are {len(others)} other poses" if others else ""
            warnings.warn(RetargetWarning(first.name, f"{first.what}{more}"), stacklevel=2)
        warnings.formatwarning = format_before


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
        parsed: arguments of :func:`add_output_options`, ``estimator``, ``skip_existing`` and ``keep_alpha``.
        explain: suffix of the file name of a second picture with flow, mask and warped source; empty: none.

    Raises:
        PosegenError: what is wrong with the files, before the model is loaded.
    """
    explained = [path.with_name(f"{path.stem}{explain}.png") for path in paths] if explain else []
    written = list(zip(paths, explained, strict=True)) if explain else [(path,) for path in paths]
    missing = [not (parsed.skip_existing and all(map(os.path.lexists, files))) for files in written]
    new = [file for files, wanted in zip(written, missing, strict=True) for file in files if wanted]
    if len(new) < len(paths) + len(explained):
        print(f"{missing.count(False)} of {len(paths)} pictures exist and are kept", file=sys.stderr)
    refuse_to_overwrite(new, parsed.force or parsed.skip_existing, input_files([*sources, *targets]))
    _check_alpha(new, parsed)
    if not new:
        return

    import numpy as np
    from rich.progress import track

    from ..data.generated import COMPOSITE, write_generated
    from ..inference import Inferencer, generated_picture, mark_of
    from ..visualization import overlay

    wanted = np.array(missing).reshape(len(sources), len(targets))
    rows, columns = np.flatnonzero(wanted.any(1)).tolist(), np.flatnonzero(wanted.any(0)).tolist()
    sources, targets = [sources[row] for row in rows], [targets[column] for column in columns]
    sources, targets = read_checked(model, sources, targets, parsed)
    wanted = wanted[rows][:, columns]

    show_step(f"generating {wanted.sum()} pictures" if wanted.sum() > 1 else "generating the picture")
    inferencer = Inferencer(model, device=parsed.device, precision=parsed.precision)
    inferencer.require_single_images()
    framing = read_framing(parsed)
    prepared = (
        one
        for source, row in zip(sources, wanted, strict=True)
        for one in inferencer.prepare_inputs(source, [targets[column] for column in np.flatnonzero(row)], framing)
    )
    places = [files for files, is_wanted in zip(written, missing, strict=True) if is_wanted]
    shown = track(inferencer.generate(prepared, BATCH_SIZE), "pictures", len(places), disable=len(places) <= BATCH_SIZE)
    for (one, transfer), files in zip(shown, places, strict=True):
        picture = generated_picture(one, transfer, parsed.resize_back, parsed.keep_alpha)
        write_generated(files[0], picture, mark=mark_of(one.cutout, parsed.resize_back))
        if explain:
            seen = one.source[None], one.source_structure[None], one.target_structure[None]
            write_generated(files[1], overlay(*seen, transfer, inferencer.encoder.draw), mark=COMPOSITE)
    for file in [*(files[0] for files in places), *(files[1] for files in places if explain)]:
        print(file)


def input_files(inputs: Sequence[PoseInput]) -> list[Path]:
    """List the files of pictures and key points."""
    return [Path(file) for one in inputs for file in (one.picture, one.structure) if isinstance(file, (str, Path))]


def _check_alpha(paths: Sequence[Path], parsed: argparse.Namespace) -> None:
    """Raise PosegenError if ``--keep-alpha`` is given for a format without alpha."""
    wrong = [path for path in paths if path.suffix.lower() not in (".png", ".webp")] if parsed.keep_alpha else []
    if wrong:
        raise PosegenError(f"--keep-alpha: {wrong[0]} cannot hold transparency; use .png or .webp")


def read_checked(
    model: ModelSource, sources: Sequence[PoseInput], targets: Sequence[PoseInput], parsed: argparse.Namespace
) -> tuple[list[PoseInput], list[PoseInput]]:
    """Read and check the key points of sources and targets, and say at what size the model works."""
    from ..inference import as_background, cut_out_opaque, describe_size, read_inputs

    choice = pose_choice(parsed)
    wanted = replace(choice, frame=parsed.target_frame, figure=parsed.target_figure)
    background, fills = as_background(parsed.background)
    own = replace(choice, figure=parsed.source_figure)
    sources = [replace(one, choice=own, background=background) for one in sources]
    targets = [replace(one, choice=wanted) for one in targets]
    encoder = model.keypoint_encoder()
    assert encoder.layout is not None
    sources, targets = read_inputs(sources, targets, encoder, parsed.estimator)
    if parsed.background is not None:
        sources = cut_out_opaque(sources, encoder.layout, parsed.estimator, fills)
    if size := describe_size(model.config, encoder.layout, sources, parsed.crop):
        print(f"{size}; results have the size of the source" if parsed.resize_back else size, file=sys.stderr)
    without = sum(one.picture is None for one in targets)
    if encoder.sees_image and without:
        print(
            f"{without} of {len(targets)} poses come without their picture, and the structure of this model looks at "
            "it, too; give pictures as TARGET, or with --structure-images",
            file=sys.stderr,
        )
    return sources, targets


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
