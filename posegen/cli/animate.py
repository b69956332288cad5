"""Make a clip: one picture, moved through a row of structures."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DataError, PosegenError
from .common import refuse_to_overwrite
from .transfer import (
    add_common,
    add_model_and_examples,
    load_inferencer,
    plain_warnings,
    read_model_config,
    tell_of_size,
)

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ..inference import Inferencer, Prepared
    from ..poses import Subject
    from ..records import Transfer

EXAMPLES = """
examples:
  posegen animate shared_model/ --reference me.jpg --structures motion/         writes me_to_motion.mp4
  posegen animate config.py checkpoint.pth --reference me.jpg --structures motion/ --structure-images frames/ --fps 30

Any model of key points will do. One of clips makes each frame from the frame before it and the reference. One of single
images makes each frame by itself, as `posegen transfer` would: it knows nothing of the frame before, so the clip may
flicker. Key points count pixels of the reference, of a picture of the size that their file says, or of those in
--structure-images.
"""
FASTEST = 1000  # frames a second


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen animate``."""
    add_model_and_examples(parser, EXAMPLES)
    parser.add_argument("--reference", type=Path, required=True, metavar="IMG", help="the picture that is moved")
    parser.add_argument(
        "--structures",
        type=Path,
        required=True,
        metavar="DIR",
        help="a folder with one file of key points a frame",
    )
    parser.add_argument(
        "--reference-structure",
        type=Path,
        metavar="FILE",
        help="the reference's own key points; default: the file of its name beside it, else that in --structures",
    )
    parser.add_argument(
        "--structure-images",
        type=Path,
        metavar="DIR",
        help="the pictures that the structures belong to, of the same names: they give the size whose pixels the key "
        "points count, and what else a structure shows of an image",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="MP4",
        help="the clip to write, and beside it …_side_by_side.mp4; default: REFERENCE_to_STRUCTURES.mp4",
    )
    parser.add_argument("--fps", type=float, default=25, help="frames a second; default 25")
    add_common(parser)


@plain_warnings()
def run(parsed: argparse.Namespace) -> int:
    """Write the clip, and a second one that shows how it was made; returns 0."""
    from rich.progress import track

    from ..data.images import resize_image, to_uint8
    from ..poses import Subject, check_in_sources, read_poses
    from ..visualization.video import VideoWriter

    out = parsed.out or Path(f"{parsed.reference.stem}_to_{parsed.structures.resolve().name}.mp4")
    beside = out.with_name(f"{out.stem}_side_by_side.mp4")
    if problems := problems_of_clip(parsed):
        raise PosegenError("\n".join(problems))
    refuse_to_overwrite([out, beside], parsed.force)
    files = structure_files(parsed.structures)
    images = _images_of(parsed.structure_images, files)
    frames = [Subject(file.stem, image, file) for file, image in zip(files, images, strict=True)]
    config, encoder = read_model_config(parsed)
    reference = _reference(parsed, files)
    own, *points = read_poses([reference, *frames], encoder)
    check_in_sources(frames, points, [own])
    tell_of_size(config, [reference], [own], parsed.resize_back)

    inferencer = load_inferencer(parsed, config)
    prepared = inferencer.prepare_clip(parsed.reference, points, own, images)
    with VideoWriter(out, parsed.fps) as clip, VideoWriter(beside, parsed.fps) as comparison:
        for one, made in track(inferencer.frames(prepared), description="frames", total=len(files)):
            size = one.size if parsed.resize_back else inferencer.size
            clip.write(resize_image(to_uint8(made.image[0]), size))
            comparison.write(side_by_side(one, made, encoder.draw))
    print(f"{len(files)} frames: {out}")
    print(f"how it was made: {beside}")
    tell_of_single_images(inferencer)
    return 0


def problems_of_clip(parsed: argparse.Namespace) -> list[str]:
    """What is wrong with ``--fps`` and ``--out``."""
    problems = []
    if not 0 < parsed.fps <= FASTEST:
        problems.append(f"--fps must be more than 0 and at most {FASTEST}, got {parsed.fps:g}")
    if parsed.out is not None and parsed.out.suffix.lower() != ".mp4":
        problems.append(f"--out must end in .mp4, got {parsed.out}")
    return problems


def tell_of_single_images(inferencer: Inferencer) -> None:
    """Print what a clip by a model of single images is; of one of clips nothing."""
    if inferencer.makes_single_images:
        print("each frame was made by itself, by a model of single images: the clip may flicker")


def structure_files(folder: Path) -> list[Path]:
    """The files of a folder in natural order, hidden ones left out.

    Raises:
        DataError: there is no such folder, it is empty, or holds links that lead out of it.
    """
    from ..files import link_out, natural_order

    if not folder.is_dir():
        raise DataError(folder, "there is no such folder")
    files = sorted((path for path in folder.iterdir() if path.is_file() and path.name[0] != "."), key=natural_order)
    if not files:
        raise DataError(folder, "holds no files", "It should hold one file of key points a frame.")
    outside = [f"{file.name}: {problem}" for file in files if (problem := link_out(file, folder))]
    if outside:
        raise DataError(folder, outside)
    return files


def side_by_side(one: Prepared, made: Transfer, draw: Callable[[Tensor], np.ndarray]) -> np.ndarray:
    """Reference, structure, the reference warped along its flow, its mask, and the result, uint8 H 5·W 3.

    Of a model that has no flow, reference, structure and result, H 3·W 3.

    Args:
        one: what the frame was made from. made: what the model made of it, B = 1. draw: of a structure S H W.
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


def _reference(parsed: argparse.Namespace, files: Sequence[Path]) -> Subject:
    """The reference with its own key points: those given, those beside it, those of its name among the frames'."""
    from ..poses import BESIDE, Subject, source_subjects

    if parsed.reference.is_dir():
        raise PosegenError(f"--reference {parsed.reference} is a folder; a clip is made of one picture")
    (reference,) = source_subjects(parsed.reference, parsed.reference_structure, "--reference-structure")
    if reference.keypoints is not None:
        return reference
    names = (reference.name, f"{reference.name}{BESIDE}")
    of_its_name = next((file for file in files if file.stem in names), None)
    if of_its_name is None:
        raise DataError(
            parsed.reference,
            f"no key points of it: neither beside it nor in {parsed.structures} is a file called {names[0]}.* or "
            f"{names[1]}.*",
            "Give them with --reference-structure.",
        )
    return Subject(reference.name, reference.picture, of_its_name)


def _images_of(folder: Path | None, files: Sequence[Path]) -> list[Path | None]:
    """The picture of each file, all None without a folder."""
    from ..data.images import IMAGE_ENDINGS
    from ..files import link_out

    if folder is None:
        return [None] * len(files)
    found, problems = [], []
    for file in files:
        pictures = [folder / f"{file.stem}{ending}" for ending in IMAGE_ENDINGS]
        picture = next((path for path in pictures if path.is_file()), None)
        if picture is None:
            problems.append(f"no picture of the structure {file.name}: {file.stem}.jpg, .png, …")
        elif problem := link_out(picture, folder):
            problems.append(f"{picture.name}: {problem}")
        found.append(picture)
    if problems:
        raise DataError(folder, problems)
    return found
