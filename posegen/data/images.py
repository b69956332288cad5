"""Read, resize, convert and write images. Arrays are uint8, H W 3, RGB."""

from __future__ import annotations

import importlib
import io
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from PIL import ExifTags, Image, ImageCms, ImageColor, ImageOps, UnidentifiedImageError
from torch import Tensor

from ..errors import DataError, InputError
from ..files import read_bytes, written_whole

MOST_PIXELS = 64_000_000
"""The largest image that is decoded, in pixels: a small file can unfold to more memory than a machine has."""
MOST_BYTES = 4 * MOST_PIXELS + (1 << 20)
"""The largest file that is decoded, in bytes: the largest image, stored as it is with alpha, and what describes it."""

RESAMPLING = {filter.name.lower(): filter for filter in Image.Resampling}
"""Filters of Pillow by name."""
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Supported formats, by Pillow's names. Pillow has dozens of other decoders, which are less tested against attacks."""
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
"""Endings of their files, in lower case."""
PHOTOGRAPH_FORMATS = (*FORMATS, "GIF", "TIFF", "AVIF", "HEIF")
"""Formats of photographs that a user gives, by Pillow's names; HEIF is read if the package pillow-heif is installed."""
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1")
"""Brands in the first bytes of HEIF files; those of videos, which begin alike, are others."""
PHOTOGRAPH_ENDINGS = (*IMAGE_ENDINGS, ".jfif", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif")
"""Endings of their files, in lower case."""

Color: TypeAlias = tuple[int, int, int]
"""RGB, 0 to 255."""
Background: TypeAlias = Color | np.ndarray
"""Background of transparent parts: a color, or an image, uint8 H W 3, that is scaled and cropped to the photograph."""
WHITE: Color = (255, 255, 255)
UPRIGHT = 1
"""EXIF orientation of an image that is stored as it is to be seen; the others are 2 to 8."""
SIDEWAYS = 5
"""First of the EXIF orientations, 5 to 8, that exchange width and height."""


def read_image(path: str | Path, most_pixels: int = MOST_PIXELS, turned: bool = False) -> np.ndarray:
    """Read an image of a data set: uint8, H W 3, RGB. Gray, palette and alpha images are converted; alpha is dropped.

    By default an EXIF orientation is ignored: coordinates of annotated data sets count pixels as they are stored, and
    the published loaders read them so, too. For a photograph that a user gives: :func:`read_photograph`. Format and
    size are taken from the header, and refused, before anything is decoded; the checksums of a PNG are compared. Pillow
    decodes, because it refuses a truncated JPEG where OpenCV fills the missing part with gray.

    Args:
        path: the file.
        most_pixels: largest number of pixels.
        turned: apply the EXIF orientation.

    Raises:
        DataError: no such file, no image, another format than JPEG, PNG, WebP and BMP, a truncated or damaged file,
            more than :data:`MOST_BYTES` or *most_pixels*.
    """
    return decode_image(read_bytes(path, MOST_BYTES), path, most_pixels, turned)


def decode_image(content: bytes, path: str | Path, most_pixels: int = MOST_PIXELS, turned: bool = False) -> np.ndarray:
    """Decode the content of an image file, as :func:`read_image` does; *path* names it in errors."""
    opened = _opened(path, content, most_pixels, FORMATS)
    try:
        image = ImageOps.exif_transpose(opened) if turned else opened
        image = _eight_bits(image, path)
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))  # a large one only once
    except DataError:
        raise
    except Exception as error:  # a decoder may raise anything where a file is damaged
        raise DataError(path, f"truncated or damaged image: {error}") from error


def read_in_frame(path: str | Path, frame: tuple[int, int] | None) -> np.ndarray:
    """Read an image of a data set in the orientation whose size (H, W) its list gives: as it is stored, or as seen.

    The EXIF orientation is applied only if it makes the image agree with *frame*, and the stored size does not.
    """
    image = read_image(path)
    stored = (image.shape[0], image.shape[1])
    if frame is None or stored == frame or read_size(path) != frame:
        return image
    return read_image(path, turned=True)


def read_orientation(path: str | Path) -> int:
    """Return the EXIF orientation of an image file, 1 to 8; 1 if it has none or another value."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            value = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:  # a decoder may raise anything; reading the image says what is wrong
        return UPRIGHT
    return value if value in range(1, 9) else UPRIGHT


def read_size(picture: str | Path | Image.Image) -> tuple[int, int]:
    """Return the size (H, W) of an image file, or an image opened with Pillow, as it is seen: turned by EXIF."""
    image = picture if isinstance(picture, Image.Image) else Image.open(picture)
    sideways = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT) in range(SIDEWAYS, 9)
    return (image.width, image.height) if sideways else (image.height, image.width)


@dataclass(frozen=True)
class Photograph:
    """A photograph as it is seen.

    Args:
        image: uint8 H W 3, sRGB, upright, composed on its background.
        alpha: uint8 H W, 255 is opaque; None: opaque everywhere.
        background: shown where the photograph is transparent.
    """

    image: np.ndarray
    alpha: np.ndarray | None = None
    background: Background = WHITE

    @cached_property
    def is_gray(self) -> bool:
        """Return whether the image has no color: its three channels are the same."""
        return bool((self.image == self.image[..., :1]).all())


def read_photograph(
    picture: str | Path | Image.Image, background: Background = WHITE, most_pixels: int = MOST_PIXELS
) -> Photograph:
    """Read a photograph that a user gives, as an image viewer shows it.

    Applies the EXIF orientation; converts from its ICC profile to sRGB; converts 1 and 16 bits per channel to 8;
    composes transparent parts on a background, so that colors stored under them never show; takes the first frame of
    an animation. For images of annotated data sets: :func:`read_image`.

    Args:
        picture: a file, or an image opened with Pillow.
        background: shown where the photograph is transparent.
        most_pixels: largest number of pixels.

    Raises:
        DataError: no such file, no image, a format that cannot be read here, a truncated or damaged file, more than
            :data:`MOST_BYTES` or *most_pixels*, or pixels of a kind that is no photograph (floating point).

    Warns:
        UserWarning: the file is an animation, or transparent, or its color profile is damaged.
    """
    if isinstance(picture, Image.Image):
        where, opened = "the PIL image", picture
    else:
        where, opened = str(picture), _opened_photograph(picture, most_pixels)
    try:
        upright = ImageOps.exif_transpose(opened)
        levels = _eight_bits(upright, where)
        alpha = _alpha(levels)
        image = np.array(_in_srgb(levels, opened.info.get("icc_profile"), where))
        animated = opened.format not in ("JPEG", "MPO") and _has_more_frames(opened, picture)
    except DataError:
        raise
    except Exception as error:  # a decoder may raise anything where a file is damaged
        raise DataError(where, f"truncated or damaged image: {error}") from error
    if animated:
        warnings.warn(f"{where}: holds several images or frames; the first one is used", stacklevel=2)
    if alpha is None:
        return Photograph(image)
    shown = "the given image" if isinstance(background, np.ndarray) else _color_name(background)
    told = f"has transparent parts, which show the background: {shown} (--background chooses another)"
    warnings.warn(f"{where}: {told}", stacklevel=2)
    return Photograph(compose(image, alpha, background), alpha, background)


def read_background(text: str) -> Background:
    """Read a background: a color (``white``, ``#ffcc00``, ``rgb(255,204,0)``) or the path of an image.

    Raises:
        DataError: neither; or the image cannot be read.
    """
    path = Path(text).expanduser()
    if path.is_file():
        return read_photograph(path).image
    try:
        color = ImageColor.getrgb(text)
    except ValueError as error:
        raise DataError(text, "neither a color (white, #ffcc00, …) nor an image file") from error
    return color[0], color[1], color[2]


def compose(image: np.ndarray, alpha: np.ndarray, background: Background) -> np.ndarray:
    """Compose an image on a background.

    Args:
        image: uint8 H W 3.
        alpha: uint8 H W, 255 is opaque.
        background: a color, or an image, which is scaled to cover the image, and its middle used.
    """
    height, width = alpha.shape
    composed = np.empty((height, width, 3), np.uint8)
    composed[:] = cover(background, (height, width)) if isinstance(background, np.ndarray) else background
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    if not len(rows):
        return composed
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]  # elsewhere nothing of the image is seen
    share = alpha[box][..., None].astype(np.uint16)
    composed[box] = (image[box] * share + composed[box] * (255 - share) + 127) // 255  # at most 65,152
    return composed


def cover(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Scale an image, uint8 H W 3, with its proportions until it covers *size* (H, W), and return its middle."""
    scale = max(size[0] / image.shape[0], size[1] / image.shape[1])
    height, width = (max(wanted, round(side * scale)) for wanted, side in zip(size, image.shape[:2], strict=True))
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return resize_image(image, (height, width))[top : top + size[0], left : left + size[1]]


def _color_name(color: Color) -> str:
    return "white" if color == WHITE else f"rgb{color}"


def _eight_bits(image: Image.Image, where: str | Path) -> Image.Image:
    """Convert an image of 16 bits per pixel to 8; other modes are returned as they are.

    Raises:
        DataError: numbers beyond 16 bits, or floating point.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    levels = np.asarray(image)
    if image.mode == "F" or levels.min() < 0 or levels.max() > 0xFFFF:
        raise DataError(where, f"pixels of mode {image.mode} that are not levels of 8 or 16 bits", "Convert it.")
    few = image.mode == "I" and levels.max() <= 0xFF  # 8 bits, in Pillow's mode of 32
    gray = Image.fromarray((levels if few else (levels.astype(np.uint32) * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8))
    if "transparency" in image.info:  # the level of transparent pixels
        gray.putalpha(Image.fromarray(np.where(levels == image.info["transparency"], 0, 255).astype(np.uint8)))
    return gray


def _alpha(image: Image.Image) -> np.ndarray | None:
    """Return the alpha of an image of any mode, uint8 H W; None if it is opaque everywhere."""
    if not image.has_transparency_data:
        return None
    straight = {"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)
    alpha = np.array(image.convert(straight).convert("RGBA").getchannel("A"))
    return None if alpha.min() == 255 else alpha


def _in_srgb(image: Image.Image, profile: bytes | None, where: str) -> Image.Image:
    """Convert an image to RGB, without alpha, by its ICC profile if it has one."""
    straight = {"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)
    base = {"LA": "L", "1": "L"}.get(straight, straight if straight in ("L", "RGB", "CMYK", "LAB") else "RGB")
    colors = image.convert(straight).convert(base)
    if not profile and base != "LAB":
        return colors.convert("RGB")
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile)) if profile else ImageCms.createProfile("LAB")
        if "sRGB" in ImageCms.getProfileDescription(own):
            return colors.convert("RGB")
        converted = ImageCms.profileToProfile(colors, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        if base == "LAB":
            raise
        warnings.warn(f"{where}: its color profile does not fit and is ignored: {error}", stacklevel=3)
        return colors.convert("RGB")
    assert converted is not None  # it is only for inPlace=True
    return converted


def _has_more_frames(image: Image.Image, picture: object) -> bool:
    """Return whether a file has a second frame. An image that the user opened stays at its frame."""
    if image is picture:
        return False
    try:
        image.seek(1)
    except EOFError:
        return False
    return True


def _opened_photograph(path: str | Path, most_pixels: int) -> Image.Image:
    """Open a photograph without decoding it; name formats that cannot be read here."""
    content = read_bytes(path, MOST_BYTES)
    Image.init()
    brands = content[8:64] if content[4:8] == b"ftyp" else b""
    if b"avif" not in brands and any(brand in brands for brand in HEIF_BRANDS) and "HEIF" not in Image.OPEN:
        _register_heif(path)
    known = tuple(kind for kind in PHOTOGRAPH_FORMATS if kind in Image.OPEN)
    return _opened(path, content, most_pixels, known)


def _register_heif(path: str | Path) -> None:
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError as error:
        remedy = "Run `pip install pillow-heif`, or convert it to JPEG."
        raise DataError(path, "a HEIC photograph, which Pillow cannot read by itself", remedy) from error


def _opened(path: str | Path, content: bytes, most_pixels: int, formats: tuple[str, ...]) -> Image.Image:
    """Open an image without decoding it. DataError: a bad header or a bad checksum of a PNG."""
    try:
        image = Image.open(io.BytesIO(content), formats=formats)
        width, height, kind = image.width, image.height, image.format
        if kind == "PNG" and width * height <= most_pixels:
            image.verify()  # the checksums; nothing can be decoded after it
            image = Image.open(io.BytesIO(content), formats=formats)
    except UnidentifiedImageError as error:
        names = ", ".join({"WEBP": "WebP"}.get(kind, kind) for kind in formats)
        raise DataError(path, "not an image, or of an unknown format", f"Supported: {names}.") from error
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

    Raises:
        InputError: another name of *resample*.
    """
    if resample not in RESAMPLING:
        raise InputError(f"resample must be one of {', '.join(RESAMPLING)}, got {resample!r}")
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), RESAMPLING[resample]))


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


def to_gray(image: np.ndarray) -> np.ndarray:
    """Remove the colors of an image, uint8 H W 3, by its luma (ITU-R BT.601)."""
    luma = np.asarray(Image.fromarray(image).convert("L"))
    return np.repeat(luma[..., None], 3, axis=2)


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
