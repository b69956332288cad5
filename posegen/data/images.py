"""Images between files, arrays and tensors: read, resized, written. Arrays are uint8, H W 3, RGB."""

from __future__ import annotations

from pathlib import Path

import mmcv
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from ..errors import DataError
from .files import written_whole

MOST_PIXELS = 64_000_000
"""The largest image that is decoded, in pixels: a small file can unfold to more memory than a machine has."""


def read_image(path: str | Path, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """The image in a file: uint8, H W 3, RGB. Grey, palette and alpha images are converted; alpha is dropped.

    An EXIF orientation is ignored: the pixels stand as they are stored, which is what the coordinates of the
    annotated data sets count (the published loaders read them so too). The size is taken from the header, and
    refused, before anything is decoded. Pillow decodes, because it refuses a truncated JPEG where OpenCV
    fills the missing part with grey; only grey images of 16 bits go through OpenCV, because Pillow would clip
    them.

    Raises:
        DataError: no such file, no image, a format that Pillow does not know, a truncated or damaged file,
            more than *most_pixels*.
    """
    mode = _check_header(path, most_pixels)
    backend = "cv2" if mode.startswith("I") else "pillow"
    try:
        image = mmcv.imread(str(path), "color_ignore_orientation", channel_order="rgb", backend=backend)
    except Exception as error:  # a decoder may raise anything where a file is damaged
        raise DataError(path, f"truncated or damaged image: {error}") from error
    if image is None:
        raise DataError(path, "truncated or damaged image")
    return np.ascontiguousarray(image)


def _check_header(path: str | Path, most_pixels: int) -> str:
    """Pillow's name of the colour mode. DataError: the header says that the file should not be decoded."""
    try:
        with Image.open(path) as image:
            width, height, mode = image.width, image.height, image.mode
    except FileNotFoundError as error:
        raise DataError(path, "no such file") from error
    except UnidentifiedImageError as error:
        raise DataError(path, "not an image, or of an unknown format", "JPEG, PNG, WebP, BMP serve.") from error
    except Image.DecompressionBombError as error:
        raise DataError(path, f"too large: {error}") from error
    except (IsADirectoryError, PermissionError) as error:
        raise DataError(path, f"cannot be read: {error.strerror}") from error
    except Exception as error:  # whatever a damaged header makes a decoder raise
        raise DataError(path, f"truncated or damaged image: {error}") from error
    if width * height > most_pixels:
        raise DataError(path, f"too large: {width}×{height} pixels, the limit is {most_pixels:,}", "Make it smaller.")
    return mode


def resize_image(image: np.ndarray, size: tuple[int, int], resample: str = "bicubic") -> np.ndarray:
    """*image* at *size* (H, W), by Pillow, which widens the filter where it shrinks (no aliasing).

    Args:
        resample: nearest, bilinear, bicubic, box, lanczos or hamming.
    """
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(mmcv.imresize(image, (size[1], size[0]), interpolation=resample, backend="pillow"))


def to_tensor(image: np.ndarray) -> Tensor:
    """An image, uint8 H W 3, as float32 3 H W in [-1, 1].

    Raises:
        ValueError: another type or shape.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"an image is uint8, H W 3; got {image.dtype}, {image.shape}")
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    return torch.from_numpy(planes).to(torch.float32).div_(127.5).sub_(1)


def to_uint8(tensor: Tensor) -> np.ndarray:
    """An image, 3 H W in [-1, 1] on any device, as uint8 H W 3: rounded; what lies outside is clamped.

    Raises:
        ValueError: another shape.
    """
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise ValueError(f"an image is 3 H W; got {tuple(tensor.shape)}")
    levels = tensor.detach().to("cpu", torch.float32).add(1).mul(127.5).round().clamp(0, 255)
    return np.ascontiguousarray(levels.to(torch.uint8).permute(1, 2, 0).numpy())


def write_image(path: str | Path, image: np.ndarray, quality: int = 95) -> None:
    """Write an image, uint8 H W 3, in the format of the name's ending; parent folders are made.

    It is written under a temporary name and renamed: whoever sees the file sees the whole of it.

    Args:
        quality: of JPEG and WebP, 1 to 100; other formats ignore it.

    Raises:
        DataError: an ending that names no image format.
    """
    path = Path(path)
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind not in Image.SAVE:
        raise DataError(path, f"cannot write images of type {path.suffix!r}", "Use .jpg or .png.")
    with written_whole(path) as temporary:
        Image.fromarray(image).save(temporary, format=kind, quality=quality)
