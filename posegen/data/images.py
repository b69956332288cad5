"""Read, resize, convert and write images. Arrays are uint8, H W 3, RGB."""

from __future__ import annotations

import io
from pathlib import Path

import mmcv
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import DataError, InputError
from ..files import read_bytes, written_whole

MOST_PIXELS = 64_000_000
"""The largest image that is decoded, in pixels: a small file can unfold to more memory than a machine has."""
MOST_BYTES = 4 * MOST_PIXELS + (1 << 20)
"""The largest file that is decoded, in bytes: the largest image, stored as it is with alpha, and what describes it."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Supported formats, by Pillow's names. Pillow has dozens of other decoders, which are less tested against attacks."""
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""Endings of their files, in lower case."""


def read_image(path: str | Path, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """Read an image: uint8, H W 3, RGB. Gray, palette and alpha images are converted; alpha is dropped.

    An EXIF orientation is ignored: coordinates of annotated data sets count pixels as they are stored, and the
    published loaders read them so, too. Format and size are taken from the header,
    and refused, before anything is decoded; the checksums of a PNG are compared. Pillow decodes, because it refuses
    a truncated JPEG where OpenCV fills the missing part with gray; gray images of 16 bits then go through OpenCV,
    because Pillow would clip them.

    Raises:
        DataError: no such file, no image, another format than JPEG, PNG, WebP and BMP, a truncated or damaged file,
            more than :data:`MOST_BYTES` or *most_pixels*.
    """
    content = read_bytes(path, MOST_BYTES)
    opened = _opened(path, content, most_pixels)
    try:
        if opened.mode.startswith("I"):
            opened.load()  # OpenCV makes up what is missing
            return mmcv.imfrombytes(content, "color_ignore_orientation", channel_order="rgb", backend="cv2")
        return np.array(opened if opened.mode == "RGB" else opened.convert("RGB"))  # a large one only once
    except Exception as error:  # a decoder may raise anything where a file is damaged
        raise DataError(path, f"truncated or damaged image: {error}") from error


def _opened(path: str | Path, content: bytes, most_pixels: int) -> Image.Image:
    """Open an image without decoding it. DataError: a bad header or a bad checksum of a PNG."""
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        width, height, kind = image.width, image.height, image.format
        if kind == "PNG" and width * height <= most_pixels:
            image.verify()  # the checksums; nothing can be decoded after it
            image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise DataError(path, "not an image, or of an unknown format", "Supported: JPEG, PNG, WebP, BMP.") from error
    except Image.DecompressionBombError as error:
        raise DataError(path, f"too large: {error}") from error
    except Exception as error:  # whatever a damaged header makes a decoder raise
        raise DataError(path, f"truncated or damaged image: {error}") from error
    if width * height > most_pixels:
        raise DataError(path, f"too large: {width}×{height} pixels, the limit is {most_pixels:,}", "Make it smaller.")
    if kind in ("JPEG", "MPO") and 8 * len(content) < width * height / 64:  # each block of 8×8 takes a bit or more
        raise DataError(path, f"truncated or damaged image: {width}×{height} pixels in {len(content):,} bytes")
    return image


def resize_image(image: np.ndarray, size: tuple[int, int], resample: str = "bicubic") -> np.ndarray:
    """Resize an image to *size* (H, W) with Pillow, which filters before it shrinks (no aliasing).

    Args:
        resample: nearest, bilinear, bicubic, box, lanczos or hamming.
    """
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(mmcv.imresize(image, (size[1], size[0]), interpolation=resample, backend="pillow"))


def to_tensor(image: np.ndarray) -> Tensor:
    """Convert an image, uint8 H W 3, to float32 3 H W in [-1, 1].

    Raises:
        ValueError: another type or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is uint8, H W 3; got {image.dtype}, {image.shape}")
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    return torch.from_numpy(planes).to(torch.float32).div_(127.5).sub_(1)


def to_uint8(tensor: Tensor) -> np.ndarray:
    """Convert an image, 3 H W in [-1, 1] on any device, to uint8 H W 3, rounded and clamped.

    Raises:
        ValueError: another shape.
    """
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise ValueError(f"an image is 3 H W; got {tuple(tensor.shape)}")
    levels = tensor.detach().to("cpu", torch.float32).add(1).mul(127.5).round().clamp(0, 255)
    return np.ascontiguousarray(levels.to(torch.uint8).permute(1, 2, 0).numpy())


def write_image(path: str | Path, image: np.ndarray, quality: int = 95) -> None:
    """Write an image, uint8 H W 3, in the format of the name's ending; parent folders are made.

    The write is atomic: a temporary file is renamed.

    Args:
        quality: of JPEG and WebP, 1 to 100; other formats ignore it.

    Raises:
        DataError: an ending that names no image format.
        InputError: no array, or of other numbers. Of a flow or a mask, :func:`posegen.visualization.flow_to_rgb` and
            ``mask_to_rgb`` make an image; of a tensor in [-1, 1], :func:`to_uint8`.
    """
    path = Path(path)
    if not isinstance(image, np.ndarray) or (image.dtype != np.uint8 and image.dtype.kind in "iuf"):
        given = f"{image.dtype}, {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(
            f"{path}: an image to write is an array uint8, H W 3; got {given}\n"
            "posegen.visualization.flow_to_rgb makes one of a flow, mask_to_rgb of a mask, "
            "posegen.data.images.to_uint8 of a tensor in [-1, 1]."
        )
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise DataError(path, f"cannot write images of type {path.suffix!r}", "Use .jpg or .png.")
    with written_whole(path, to_disk=False) as temporary:
        Image.fromarray(image).save(temporary, format=kind, quality=quality)
