"""Copy images: checked, and cut and resized if wanted."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from ..data.findings import SIZE_BEFORE
from ..data.images import read_image
from ..data.keypoints import shown
from ..errors import DataError
from ..evaluation.images import prepare_source
from ..evaluation.protocol import Protocol


def copy_image(
    sources: Sequence[Path],
    targets: Sequence[Path],
    cut: tuple[int, int] | None = None,
    protocol: Protocol | None = None,
) -> None:
    """Copy an image after decoding it, or cut and resize it and store it as PNG.

    Args:
        sources: the image.
        targets: the copy.
        cut: (H, W) to whose proportions the image is cut first; None: it is not cut.
        protocol: resizes the image as it does the true images that it scores; None: it keeps its size.

    Raises:
        DataError: no image, a damaged one, or one whose size the protocol does not accept.
    """
    image = read_image(sources[0])
    if not changes_pixels(cut, protocol):
        if protocol is not None and protocol.size is not None and image.shape[:2] != tuple(protocol.size):
            size, wanted = shown((image.shape[0], image.shape[1])), shown(protocol.size)
            text = f"{size} pixels; protocol {protocol.name!r} has {wanted}, and does not resize"
            raise DataError("image", text)
        shutil.copyfile(sources[0], targets[0])
        return
    if cut is not None:
        image = cut_middle(image, cut)
        _save(image, targets[0])
    if protocol is not None and protocol.size is not None:
        path = sources[0] if cut is None else targets[0]
        resized = prepare_source(path, dataclasses.replace(protocol, padding="none"))
        _save(resized, targets[0], before=image.shape)


def changes_pixels(cut: tuple[int, int] | None, protocol: Protocol | None) -> bool:
    """Return whether :func:`copy_image` stores an image anew, as PNG."""
    return cut is not None or (protocol is not None and protocol.resize != "none")


def stored_name(name: str, changed: bool) -> str:
    """Return the name of the copy of an image, which ends in ``.png`` if its pixels were changed."""
    return f"{name.rpartition('.')[0]}.png" if changed else name


def cut_middle(image: np.ndarray, proportions: tuple[int, int]) -> np.ndarray:
    """Return the middle of an image H W 3, as large as possible with the *proportions* (H, W)."""
    height, width = image.shape[:2]
    new_width = min(width, round(height * proportions[1] / proportions[0]))
    new_height = min(height, round(width * proportions[0] / proportions[1]))
    left, top = (width - new_width) // 2, (height - new_height) // 2
    return image[top : top + new_height, left : left + new_width]


def _save(image: np.ndarray, path: Path, before: tuple[int, ...] | None = None) -> None:
    """Store an image as PNG, with the size it had *before*, so that the check knows it was resized on purpose."""
    text = PngImagePlugin.PngInfo()
    if before is not None and before != image.shape:
        text.add_text(SIZE_BEFORE, f"{before[1]}x{before[0]}")
    Image.fromarray(image).save(path, format="PNG", pnginfo=text)
