"""Make a clip: one photograph, moved through a row of structures."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from rich.progress import track
from torch import Tensor

from ..api import from_pretrained, load_model
from ..data import Keypoints, StructureEncoder
from ..data.files import link_out, natural_order
from ..data.images import IMAGE_ENDINGS, read_image, resize_image, to_tensor, to_uint8
from ..errors import ConfigError, DataError, PosegenError
from ..inference import encode_subject, read_keypoints
from ..records import Frame
from ..visualization.flow import mask_to_rgb, to_picture, warp
from ..visualization.video import VideoWriter
from .common import add_config, refuse_to_overwrite
from .transfer import read_model_config

FASTEST = 1000  # frames a second


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen animate``."""
    add_config(parser)
    parser.add_argument(
        "checkpoint",
        type=Path,
        nargs="?",
        help="a checkpoint of a clip model; none where CONFIG is a shared model: its folder, or the name of one that a "
        "plugin ships",
    )
    parser.add_argument("--reference", type=Path, required=True, metavar="IMG", help="the photograph that is moved")
    parser.add_argument(
        "--structures",
        type=Path,
        required=True,
        metavar="DIR",
        help="a folder with one file of key points a frame, in pixels of the photograph (or of --structure-images)",
    )
    parser.add_argument(
        "--reference-structure",
        type=Path,
        metavar="FILE",
        help="the photograph's own key points; default: the file of its name in --structures",
    )
    parser.add_argument(
        "--structure-images",
        type=Path,
        metavar="DIR",
        help="the photographs that the structures belong to, of the same names: they give the size whose pixels the "
        "key points count, and what else a structure shows of an image",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="MP4", help="the clip to write")
    parser.add_argument("--fps", type=float, default=25, help="frames a second; default 25")
    parser.add_argument("--force", action="store_true", help="overwrite the clips if they exist")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, …")


def run(parsed: argparse.Namespace) -> int:
    """Write the clip, and a second one that shows how it was made; returns 0."""
    beside = parsed.out.with_name(f"{parsed.out.stem}_side_by_side.mp4")
    refuse_to_overwrite([parsed.out, beside], parsed.force)
    if not 0 < parsed.fps <= FASTEST:
        raise PosegenError(f"--fps must be more than 0 and at most {FASTEST}, got {parsed.fps:g}")
    if parsed.out.suffix.lower() != ".mp4":
        raise PosegenError(f"--out must end in .mp4, got {parsed.out}")
    config, encoder = read_model_config(parsed)
    picture = read_image(parsed.reference)
    files = structure_files(parsed.structures)
    own = parsed.reference_structure or _of_same_name(files, parsed.reference)
    points = _read_all({own: None, **dict.fromkeys(files)}, encoder)

    model = _load(parsed, config)
    if not hasattr(model, "frames"):
        raise ConfigError(f"{parsed.config} describes a model of single images, not of clips: use `posegen infer`")
    image, structure = encode_subject(config, encoder, picture, points[own], picture)
    reference = to_tensor(image)[None].to(parsed.device)

    def structures() -> Iterator[Tensor]:
        for file in files:
            own_image = _image_of(parsed.structure_images, file)
            frame = picture if own_image is None else own_image
            yield encode_subject(config, encoder, frame, points[file], own_image)[1].to(parsed.device)

    given, shown = itertools.tee(structures())  # read in step: one structure is kept at a time
    with VideoWriter(parsed.out, parsed.fps) as clip, VideoWriter(beside, parsed.fps) as comparison:
        frames = model.frames(reference, structure.to(parsed.device), given)
        for frame, target in track(zip(frames, shown, strict=True), description="frames", total=len(files)):
            clip.write(to_uint8(frame.image[0]))
            comparison.write(side_by_side(reference, target, frame, encoder.draw))
    print(f"{len(files)} frames: {parsed.out}")
    print(f"how it was made: {beside}")
    return 0


def _load(parsed: argparse.Namespace, config: Config) -> Any:
    if parsed.checkpoint is not None:
        return load_model(config, parsed.checkpoint, parsed.device)
    return from_pretrained(parsed.config, parsed.device)


def structure_files(folder: Path) -> list[Path]:
    """The files of a folder in natural order, hidden ones left out.

    Raises:
        DataError: there is no such folder, it is empty, or holds links that lead out of it.
    """
    if not folder.is_dir():
        raise DataError(folder, "there is no such folder")
    files = sorted((path for path in folder.iterdir() if path.is_file() and path.name[0] != "."), key=natural_order)
    if not files:
        raise DataError(folder, "holds no files", "It should hold one file of key points a frame.")
    outside = [f"{file.name}: {problem}" for file in files if (problem := link_out(file, folder))]
    if outside:
        raise DataError(folder, outside)
    return files


def side_by_side(
    reference: Tensor, structure: Tensor, frame: Frame, draw: Callable[[Tensor], np.ndarray]
) -> np.ndarray:
    """Reference, structure, the reference warped along its flow, its mask, and the result, uint8 H 5·W 3.

    Args:
        reference: 1 3 H W. structure: 1 S H W. frame: what the model made of them. draw: of a structure S H W.
    """
    size = (reference.shape[-2], reference.shape[-1])
    pictures = [
        to_picture(reference[0]),
        draw(structure[0].cpu()),
        to_picture(warp(reference, frame.flows.reference[-1])[0]),
        mask_to_rgb(frame.masks.reference[-1][0].cpu()),
        to_picture(frame.image[0]),
    ]
    return np.concatenate([resize_image(picture, size, "nearest") for picture in pictures], axis=1)


def _of_same_name(files: list[Path], reference: Path) -> Path:
    found = [path for path in files if path.stem == reference.stem]
    if not found:
        raise DataError(
            files[0].parent,
            f"holds no key points of the reference: no file is called {reference.stem}.*",
            "Give them with --reference-structure.",
        )
    return found[0]


def _image_of(folder: Path | None, file: Path) -> np.ndarray | None:
    if folder is None:
        return None
    names = [f"{file.stem}{ending}" for ending in IMAGE_ENDINGS]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise DataError(folder, f"holds no photograph of the structure {file.name}: {file.stem}.jpg, .png, …")
    if problem := link_out(found[0], folder):
        raise DataError(folder, f"{found[0].name}: {problem}")
    return read_image(found[0])


def _read_all(files: Iterable[Path], encoder: StructureEncoder) -> dict[Path, Keypoints]:
    """The key points by file; what is wrong with any of them is told at once, before any work."""
    found, problems = {}, []
    for file in files:
        try:
            found[file] = read_keypoints(file, encoder, None)
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise PosegenError("\n".join(problems))
    return found
