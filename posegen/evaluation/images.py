"""Image files as a protocol scores them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from ..data.images import read_image, resize_image
from ..errors import DataError
from .protocol import Protocol
from .results import ImagePair

LOSSY = {".jpg", ".jpeg", ".webp"}
COLOR_MODES = {"RGB", "YCbCr", "CMYK"}
WHITE = 255


class Checked(NamedTuple):
    """What a look at all files found: the size (H, W) of the generated images, and notes."""

    size: tuple[int, int]
    notes: list[str]


def check_images(
    pairs: Sequence[ImagePair], protocol: Protocol, threads: Executor, real: Sequence[Path] = ()
) -> Checked:
    """Decode every file once, those of *real* too, and say all that is wrong at once.

    Raises:
        DataError: missing, truncated or unknown files, gray or alpha images, generated images of several sizes, true
            or real images of another size where the protocol does not resize them.
    """
    problems: list[str] = []
    sizes: dict[str, dict[tuple[int, int], list[Path]]] = {"generated": {}, "target": {}, "real": {}}
    kinds = {kind: list(dict.fromkeys(getattr(pair, kind) for pair in pairs)) for kind in ("generated", "target")}
    for kind, files in {**kinds, "real": list(real)}.items():
        known = sizes[kind]
        for path, size in zip(files, threads.map(_size_or_problem, files), strict=True):
            if isinstance(size, str):
                problems.append(size)
            else:
                known.setdefault(size, []).append(path)
    generated, target = sizes["generated"], sizes["target"]
    if len(generated) > 1:
        problems.append(f"generated images are of several sizes: {_count_sizes(generated)}")
    if protocol.size is None and set(sizes["real"]) - set(generated):
        problems.append(f"real images are of other sizes than the generated ones: {_count_sizes(sizes['real'])}")
    if protocol.size is None and len(target) > 1:
        problems.append(
            f"true images are of several sizes, and protocol {protocol.name!r} does not resize them: "
            f"{_count_sizes(target)}"
        )
    if protocol.size is None and len(generated) == len(target) == 1 and set(generated) != set(target):
        problems.append(
            f"generated images are {_size(next(iter(generated)))}, true ones {_size(next(iter(target)))}, and protocol "
            f"{protocol.name!r} does not resize them"
        )
    if protocol.size is not None and protocol.resize == "none":
        others = [size for size in {**generated, **target, **sizes["real"]} if size != tuple(protocol.size)]
        problems += [
            f"images of {_size(size)}: protocol {protocol.name!r} scores {_size(protocol.size)}, and does not resize"
            for size in others
        ]
    if problems:
        raise DataError("the images to score", problems, "Mend them, or choose another protocol; nothing was scored.")
    size = next(iter(generated))
    return Checked(size, _notes(kinds["generated"], [*kinds["target"], *real], protocol, size))


def prepare_target(path: Path, protocol: Protocol) -> np.ndarray:
    """A true image as it is scored: resized, stored and read again, padded. uint8 H W 3."""
    image = read_image(path)
    resized = _resize(image, protocol)
    if resized is not image or path.suffix.lower() not in LOSSY:
        resized = store(resized, protocol.target_round_trip)
    return _pad(resized, protocol.padding)


def prepare_generated(path: Path, protocol: Protocol) -> np.ndarray:
    """A generated image as it is scored: stored and read again, unless the file is lossy already; resized where it has
    another size than is scored; padded. uint8 H W 3."""
    image = read_image(path)
    if path.suffix.lower() not in LOSSY:
        image = store(image, protocol.generated_round_trip)
    return _pad(_resize(image, protocol), protocol.padding)


def prepare_source(path: Path, protocol: Protocol) -> np.ndarray:
    """The image a result was made from, resized and padded as a true one; metrics only look at it."""
    return _pad(_resize(read_image(path), protocol), protocol.padding)


def store(image: np.ndarray, round_trip: str) -> np.ndarray:
    """What is read again after an image, uint8 H W 3, was stored: one of :data:`~.protocol.ROUND_TRIPS`."""
    if not round_trip.startswith("jpeg-"):
        return image  # PNG gives back what it was given
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(round_trip.removeprefix("jpeg-")))
    return np.asarray(Image.open(file).convert("RGB"))


def to_batch(images: Iterable[np.ndarray]) -> torch.Tensor:
    """Images uint8 H W 3 as one tensor uint8 B 3 H W."""
    return torch.from_numpy(np.stack([image.transpose(2, 0, 1) for image in images]))


def place_points(points: np.ndarray, size: tuple[int, int], protocol: Protocol) -> np.ndarray:
    """Points K 2, (x, y) in pixels of an image of *size* (H, W) as it is on disk, in pixels of the scored image."""
    height, width = protocol.size or size
    scaled = points * np.array([width / size[1], height / size[0]])
    if protocol.padding == "none":
        return scaled
    side = max(height, width)
    return scaled + np.array([(side - width) // 2, (side - height) // 2])


def _resize(image: np.ndarray, protocol: Protocol) -> np.ndarray:
    if protocol.size is None or image.shape[:2] == tuple(protocol.size):
        return image
    library, _, resample = protocol.resize.partition("-")
    height, width = protocol.size
    if library == "pillow":
        return resize_image(image, protocol.size, resample)
    if library == "opencv":
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    if library == "torchvision":  # what its resize of a tensor does
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        resized = F.interpolate(tensor, protocol.size, mode="bicubic", antialias=True)
        return resized.round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).numpy()
    wanted = f"protocol {protocol.name!r} scores {_size(protocol.size)}, and does not resize"
    raise DataError("the images to score", f"one of {_size(image.shape[:2])}: {wanted}")


def _pad(image: np.ndarray, padding: str) -> np.ndarray:
    height, width = image.shape[:2]
    if padding == "none" or height == width:
        return image
    side = max(height, width)
    padded = np.full((side, side, 3), WHITE, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    padded[top : top + height, left : left + width] = image
    return padded


def _size_or_problem(path: Path) -> tuple[int, int] | str:
    try:
        size = read_image(path).shape[:2]
    except DataError as error:
        return f"{path}: {'; '.join(error.problems)}"
    with Image.open(path) as image:
        mode, has_alpha = image.mode, "A" in image.getbands() or "transparency" in image.info
    if has_alpha:
        return f"{path}: has an alpha channel; lay it over the background it is meant for"
    if mode not in COLOR_MODES:
        return f"{path}: not a color image (mode {mode}); convert it to RGB"
    return size


def _notes(generated: Sequence[Path], true: Sequence[Path], protocol: Protocol, size: tuple[int, int]) -> list[str]:
    notes = []
    if protocol.size is not None and size != tuple(protocol.size):
        notes.append(
            f"generated images are {_size(size)}, and were resized ({protocol.resize}) to the {_size(protocol.size)} "
            "that are scored"
        )
    for what, files, asked in (
        ("generated", generated, protocol.generated_round_trip),
        ("true", true, protocol.target_round_trip),
    ):
        lossy = sum(path.suffix.lower() in LOSSY for path in files)
        if lossy:
            again = "were not compressed again where they keep their size" if asked.startswith("jpeg") else "stay so"
            notes.append(f"{lossy} of {len(files)} {what} images are lossy files, and {again} ({asked} is asked)")
    if protocol.unknown:
        notes.append(
            f"nobody has published these fields of the protocol, they are guesses: {', '.join(protocol.unknown)}"
        )
    return notes


def _count_sizes(sizes: dict[tuple[int, int], list[Path]]) -> str:
    most_first = sorted(sizes.items(), key=lambda item: -len(item[1]))
    shown = ", ".join(f"{len(paths)} of {_size(size)} (such as {paths[0].name})" for size, paths in most_first[:5])
    return shown + (f", and {len(sizes) - 5} more sizes" if len(sizes) > 5 else "")


def _size(size: Sequence[int]) -> str:
    return f"{size[0]}×{size[1]}"
