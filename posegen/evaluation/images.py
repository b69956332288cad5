"""Image files as a protocol scores them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path

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
COLOR_MODES = {"RGB", "RGBA", "YCbCr", "CMYK"}
WHITE = 255

Sizes = dict[tuple[int, int], list[Path]]
"""Files by size (H, W)."""


def check_images(
    pairs: Sequence[ImagePair], protocol: Protocol, threads: Executor, real: Sequence[Path] = ()
) -> tuple[tuple[int, int], list[str]]:
    """Decode every file once, before anything is scored.

    Returns:
        The size (H, W) of the generated images, and notes for the reader of the scores.

    Raises:
        DataError: lists all missing, truncated or unknown files, gray or alpha images, generated images of several
            sizes, and true or real images of another size if the protocol does not resize them.
    """
    files = {
        "generated": list(dict.fromkeys(pair.generated for pair in pairs)),
        "target": list(dict.fromkeys(pair.target for pair in pairs)),
        "real": list(real),
    }
    problems: list[str] = []
    sizes: dict[str, Sizes] = {}
    for kind, paths in files.items():
        sizes[kind] = {}
        for path, size in zip(paths, threads.map(_size_or_problem, paths), strict=True):
            if isinstance(size, str):
                problems.append(size)
            else:
                sizes[kind].setdefault(size, []).append(path)
    problems += _wrong_sizes(sizes["generated"], sizes["target"], sizes["real"], protocol)
    if problems:
        raise DataError("the images to score", problems, "Fix them, or choose another protocol; nothing was scored.")
    size = next(iter(sizes["generated"]))
    return size, _notes(files["generated"], [*files["target"], *real], protocol, size)


def _wrong_sizes(generated: Sizes, target: Sizes, real: Sizes, protocol: Protocol) -> list[str]:
    name = f"protocol {protocol.name!r}"
    problems = []
    if len(generated) > 1:
        problems.append(f"generated images have several sizes: {_count_sizes(generated)}")
    if protocol.size is None:
        if set(real) - set(generated):
            problems.append(f"real images have other sizes than the generated ones: {_count_sizes(real)}")
        if len(target) > 1:
            problems.append(f"true images have several sizes, and {name} does not resize them: {_count_sizes(target)}")
        if len(generated) == len(target) == 1 and set(generated) != set(target):
            made, true = (_size(next(iter(sizes))) for sizes in (generated, target))
            problems.append(f"generated images are {made}, true ones {true}, and {name} does not resize them")
    elif protocol.resize == "none":
        others = [size for size in {**generated, **target, **real} if size != tuple(protocol.size)]
        problems += [f"images of {_size(size)}: {_cannot_resize(protocol)}" for size in others]
    return problems


def prepare_target(path: Path, protocol: Protocol) -> np.ndarray:
    """Read a true image as it is scored: resized, stored and read again, padded. uint8 H W 3.

    A lossy file that keeps its size is not compressed again.
    """
    image = read_image(path, turned=True)
    resized = _resize(image, protocol)
    if resized is not image or path.suffix.lower() not in LOSSY:
        resized = store(resized, protocol.target_round_trip)
    return _pad(resized, protocol.padding)


def prepare_generated(path: Path, protocol: Protocol) -> np.ndarray:
    """Read a generated image as it is scored: stored and read again unless lossy, resized, padded. uint8 H W 3."""
    image = read_image(path, turned=True)
    if path.suffix.lower() not in LOSSY:
        image = store(image, protocol.generated_round_trip)
    return _pad(_resize(image, protocol), protocol.padding)


def prepare_source(path: Path, protocol: Protocol) -> np.ndarray:
    """Read a source image, resized and padded as a true one. uint8 H W 3."""
    return _pad(_resize(read_image(path, turned=True), protocol), protocol.padding)


def store(image: np.ndarray, round_trip: str) -> np.ndarray:
    """Return an image, uint8 H W 3, as it is after storage in one of :data:`~.protocol.ROUND_TRIPS`."""
    if not round_trip.startswith("jpeg-"):
        return image  # PNG is lossless
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=int(round_trip.removeprefix("jpeg-")))
    return np.asarray(Image.open(file).convert("RGB"))


def to_batch(images: Iterable[np.ndarray]) -> torch.Tensor:
    """Stack images uint8 H W 3 to a tensor uint8 B 3 H W."""
    return torch.from_numpy(np.stack([image.transpose(2, 0, 1) for image in images]))


def place_points(points: np.ndarray, size: tuple[int, int], protocol: Protocol) -> np.ndarray:
    """Convert points K 2, (x, y) in pixels of a file of *size* (H, W), to pixels of the scored image."""
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
    if library == "torchvision":  # the computation of its resize of a tensor
        tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        resized = F.interpolate(tensor, protocol.size, mode="bicubic", antialias=True)
        return resized.round().clamp(0, 255).to(torch.uint8)[0].permute(1, 2, 0).numpy()
    raise DataError("the images to score", f"one of {_size(image.shape[:2])}: {_cannot_resize(protocol)}")


def _cannot_resize(protocol: Protocol) -> str:
    assert protocol.size is not None
    return f"protocol {protocol.name!r} scores {_size(protocol.size)} and does not resize"


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
        size = read_image(path, turned=True).shape[:2]
    except DataError as error:
        return f"{path}: {'; '.join(error.problems)}"
    with Image.open(path) as image:
        mode = image.mode
        transparent = image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255)
    if transparent:
        return f"{path}: has an alpha channel with transparent parts; compose it with its background"
    if mode not in COLOR_MODES:
        return f"{path}: not a color image (mode {mode}); convert it to RGB"
    return size


def _notes(generated: Sequence[Path], true: Sequence[Path], protocol: Protocol, size: tuple[int, int]) -> list[str]:
    notes = []
    if protocol.size is not None and size != tuple(protocol.size):
        notes.append(
            f"generated images are {_size(size)} and were resized ({protocol.resize}) to {_size(protocol.size)}"
        )
    for kind, files, wanted in (
        ("generated", generated, protocol.generated_round_trip),
        ("true", true, protocol.target_round_trip),
    ):
        lossy = sum(path.suffix.lower() in LOSSY for path in files)
        if lossy:
            kept = "were not compressed again unless resized" if wanted.startswith("jpeg") else "stay lossy"
            notes.append(f"{lossy} of {len(files)} {kind} images are lossy files and {kept} (protocol: {wanted})")
    if protocol.unknown:
        notes.append(f"these fields of the protocol are not published, their values are guesses: "
                     f"{', '.join(protocol.unknown)}")  # fmt: skip
    return notes


def _count_sizes(sizes: Sizes) -> str:
    most_first = sorted(sizes.items(), key=lambda item: -len(item[1]))
    shown = ", ".join(f"{len(paths)} of {_size(size)} (such as {paths[0].name})" for size, paths in most_first[:5])
    return shown + (f", and {len(sizes) - 5} more sizes" if len(sizes) > 5 else "")


def _size(size: Sequence[int]) -> str:
    return f"{size[1]}×{size[0]}"
