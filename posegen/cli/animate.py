"""Make a clip of one picture, moved through a sequence of structures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, PosegenError
from .common import find_model, refuse_to_overwrite
from .generation import (
    add_model_and_examples,
    add_output_options,
    check_clip_options,
    plain_warnings,
    print_if_single_images,
    read_checked,
)

if TYPE_CHECKING:
    from ..inference import PoseInput, Prepared
    from ..records import Transfer

EXAMPLES = """
examples:
  posegen animate shared_model/ --reference me.jpg --structures motion/         writes me_to_motion.mp4
  posegen animate config.py checkpoint.pth --reference me.jpg --structures motion/ --structure-images frames/ --fps 30

Requires a model of key points. A model of clips generates each frame from the frame before it and the reference. A
model of single images generates each frame by itself, like `posegen transfer`, so the clip may flicker. Key points
count pixels of --structure-images; without these, of an image of the size that their file says, or else of the
reference.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen animate``."""
    add_model_and_examples(parser, EXAMPLES)
    parser.add_argument("--reference", type=Path, required=True, metavar="IMG", help="image to move")
    parser.add_argument(
        "--structures", type=Path, required=True, metavar="DIR", help="folder with a key-point file for each frame"
    )
    parser.add_argument(
        "--reference-structure",
        type=Path,
        metavar="FILE",
        help="key points of the reference (default: the file of its name beside it, else in --structures)",
    )
    parser.add_argument(
        "--structure-images",
        type=Path,
        metavar="DIR",
        help="folder with the images of the structures, of the same names",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="MP4",
        help="clip to write, beside …_side_by_side.mp4 (default: REFERENCE_to_STRUCTURES.mp4)",
    )
    parser.add_argument("--fps", type=float, default=25, help="frames per second (default: 25)")
    add_output_options(parser)
    parser.set_defaults(estimator=None)


@plain_warnings()
def run(parsed: argparse.Namespace) -> int:
    """Write the clip, and a second one that shows how it was generated; return 0."""
    check_clip_options(parsed)
    out = parsed.out or Path(f"{parsed.reference.stem}_to_{parsed.structures.resolve().name}.mp4")
    beside = out.with_name(f"{out.stem}_side_by_side.mp4")
    refuse_to_overwrite([out, beside], parsed.force)

    from rich.progress import track

    from ..inference import Inferencer, PoseInput, generated_picture, list_files, matching_pictures
    from ..visualization.video import VideoWriter

    model = find_model(parsed)
    files = list_files(parsed.structures)
    pictures = matching_pictures(parsed.structure_images, files) if parsed.structure_images else [None] * len(files)
    frames = [PoseInput(picture, file, file.stem) for picture, file in zip(pictures, files, strict=True)]
    (source,), targets = read_checked(model, [_reference(parsed, files)], frames, parsed)

    inferencer = Inferencer(model, device=parsed.device, precision=parsed.precision)
    made = inferencer.generate(inferencer.prepare_inputs(source, targets))
    with VideoWriter(out, parsed.fps) as clip, VideoWriter(beside, parsed.fps) as comparison:
        for one, transfer in track(made, "frames", total=len(targets)):
            clip.write(generated_picture(one, transfer, parsed.resize_back))
            comparison.write(side_by_side(one, transfer, inferencer.encoder.draw))
    print(f"{len(targets)} frames: {out}")
    print(f"with structure, warped reference and mask: {beside}")
    print_if_single_images(inferencer)
    return 0


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
    """Return the reference with its key points: those given, those beside it, or those of its name in --structures."""
    from ..inference import find_sources
    from ..inference.files import BESIDE

    if parsed.reference.is_dir():
        raise PosegenError(f"--reference {parsed.reference} is a folder; a clip is made of one picture")
    (reference,) = find_sources(parsed.reference, parsed.reference_structure, "--reference-structure")
    if reference.structure is not None:
        return reference
    names = (reference.name, f"{reference.name}{BESIDE}")
    match = next((file for file in files if file.stem in names), None)
    if match is None:
        raise DataError(
            parsed.reference,
            f"has no key points: no file {names[0]}.* or {names[1]}.* beside it or in {parsed.structures}",
            "Give them with --reference-structure.",
        )
    return replace(reference, structure=match)
