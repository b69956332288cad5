"""Records by which a data set describes its files to ``posegen check``, and problems with them.

:meth:`posegen.data.PoseDataset.examine` yields an :class:`ImageInfo` for every image file, once, and a :class:`Finding`
for every problem that lists and folders show. It opens no image: the check does that, in several processes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from .images import FORMATS, read_in_frame
from .keypoints import KeypointLayout, Keypoints

_ROW = re.compile(r"(?:(?P<file>[^:,]+), )?row (?P<row>\d+): (?P<text>.*)", re.DOTALL)
"""Problems as readers of lists word them: ``row 3: ...``, or ``pairs.csv, row 3: ...``."""

SIZE_BEFORE = "posegen-size-before"
"""PNG text key of the size, ``WIDTHxHEIGHT``, that an image had before ``posegen prepare`` resized it."""


@dataclass(frozen=True)
class Finding:
    """A problem, or a possible problem, of a data set.

    Args:
        kind: category in a few words, by which findings are counted: ``missing image``.
        text: description.
        file: path of the file; empty if no file is meant.
        row: row number or key in the file.
        sample: name of the image or sample, as the data set calls it.
        severity: ``error``: training would stop there, or its result would be meaningless; ``warning``: worth a look.
        split: split of the config; filled in by the check.
    """

    kind: str
    text: str
    file: str = ""
    row: str = ""
    sample: str = ""
    severity: str = "error"
    split: str = ""


@dataclass(frozen=True)
class Annotation:
    """Annotation of one subject in an image.

    Args:
        keypoints: in pixels of :attr:`ImageInfo.frame`; None if unknown.
        identity: name of the subject, the same in all its images: ``person 0002``; None if unknown.
        file, row: where the key points are written, if not beside the image.
        layout: layout of the key points; None: the proportions of the subject are not checked.
    """

    keypoints: Keypoints | None = None
    identity: str | None = None
    file: str = ""
    row: str = ""
    layout: KeypointLayout | None = None


@dataclass(frozen=True)
class ImageInfo:
    """An image file of a data set. A subclass for images that are not files of their own overrides :meth:`read`.

    Args:
        file: path.
        name: name of the image in the data set.
        annotations: its subjects.
        frame: (H, W) whose pixels the key points count; None: the image's own size.
        proportions: (H, W) whose aspect ratio the image should have; None: any.
        sequence: name of the video it is a frame of. Frames of a video should have one size, and may repeat.
        one_size: whether the images of the split that belong to no video should all have one size.
        is_mask: whether it is a mask. Masks may repeat.
        listed_size: (H, W) that the list gives, if the data set reads the image with
            :func:`~posegen.data.images.read_in_frame`.
    """

    file: str | Path
    name: str
    annotations: tuple[Annotation, ...] = ()
    frame: tuple[int, int] | None = None
    proportions: tuple[int, int] | None = None
    sequence: str | None = None
    one_size: bool = True
    is_mask: bool = False
    listed_size: tuple[int, int] | None = None

    def read(self) -> tuple[np.ndarray, str]:
        """Return the image, uint8 H W 3, and the SHA-256 of its stored form.

        Raises:
            DataError: it cannot be read.
        """
        image = read_in_frame(self.file, self.listed_size)
        with open(self.file, "rb") as file:
            return image, hashlib.file_digest(file, "sha256").hexdigest()


def size_before(file: str | Path) -> tuple[int, int] | None:
    """Return the (H, W) that an image had before ``posegen prepare`` resized it; None if the file does not say."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", str(image.info.get(SIZE_BEFORE)))
    except Exception:  # a decoder may raise anything; the check reports unreadable images elsewhere
        return None
    return (int(match[2]), int(match[1])) if match and int(match[1]) and int(match[2]) else None


def as_findings(kind: str, file: str | Path, problems: Iterable[str], severity: str = "error") -> list[Finding]:
    """Turn problems, worded as in a DataError, into findings; a leading row number becomes :attr:`Finding.row`.

    Args:
        kind, severity: of all findings.
        file: the file they are in; or a folder, if problems begin with the name of a file in it.
        problems: one text each.
    """
    folder = Path(file) if Path(file).is_dir() else Path(file).parent
    findings = []
    for problem in problems:
        match = _ROW.fullmatch(problem)
        if match is None:
            findings.append(Finding(kind, problem, str(file), severity=severity))
        else:
            path = str(folder / match["file"]) if match["file"] else str(file)
            findings.append(Finding(kind, match["text"], path, match["row"], severity=severity))
    return findings
