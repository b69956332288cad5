"""What a data set says of itself, and what is found out about it.

A data set that has files offers a class method, which takes the arguments of its constructor and needs no data set that
could be built:

    @classmethod
    def examine(cls, root, ..., **unused) -> Iterator[Finding | Picture]: ...

It yields a :class:`Finding` for all that its lists and folders show, and a :class:`Picture` for every image, once. What
it raises as a DataError becomes findings too. It opens no image: the check does that, in several processes.
A data set without it is read sample by sample; of one that names no files, and so draws its samples, a few.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..data import Keypoints
from ..data.images import FORMATS, read_image

_PROBLEM = re.compile(r"(?:(?P<file>[^:,]+), )?row (?P<row>\d+): (?P<text>.*)", re.DOTALL)
"""How the readers of lists word a problem: ``pairs.csv, row 3: ...``, the file where there are several."""

SIZE_BEFORE = "posegen-size-before"
"""Under which a PNG's text has the size, ``WIDTHxHEIGHT``, that an image had before ``posegen prepare`` resized it."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be.

    Args:
        kind: what it is counted as, in a few words: ``missing image``.
        text: what it is, for the person who reads it.
        file: where it is; empty where no file is meant.
        row: the row or key in the file, as text.
        sample: the image or sample that it concerns, as the data set calls it.
        severity: ``error``: training would end there, or its result would mean nothing; ``warning``: look at it.
        split: which data set of the config; the check fills it in.
    """

    kind: str
    text: str
    file: str = ""
    row: str = ""
    sample: str = ""
    severity: str = "error"
    split: str = ""


@dataclass(frozen=True)
class Subject:
    """What is on a picture.

    Args:
        keypoints: in pixels of the picture's ``frame``; None: the data set knows none.
        identity: who or what it is, the same in all pictures of it: ``person 0002``. None: not known.
        file, row: where its points stand, if not with the picture.
    """

    keypoints: Keypoints | None = None
    identity: str | None = None
    file: str = ""
    row: str = ""


@dataclass(frozen=True)
class Picture:
    """An image of a data set, to be opened. One that lies in no file of its own overrides :meth:`read`.

    Args:
        file: its path.
        name: as the data set calls it.
        subjects: what is on it.
        frame: (H, W) that the points count; None: the image's own.
        proportions: (H, W) whose proportions it should have; None: any.
        sequence: the sequence that it is a frame of. Its frames should have one size, and may repeat each other.
        one_size: whether all pictures of the split that are in no sequence should have one size.
        is_mask: a mask; two may well be the same.
    """

    file: str | Path
    name: str
    subjects: tuple[Subject, ...] = ()
    frame: tuple[int, int] | None = None
    proportions: tuple[int, int] | None = None
    sequence: str | None = None
    one_size: bool = True
    is_mask: bool = False

    def read(self) -> tuple[np.ndarray, str]:
        """The image, uint8 H W 3, and the SHA-256 of what is stored.

        Raises:
            DataError: it cannot be read.
        """
        image = read_image(self.file)
        with open(self.file, "rb") as file:
            return image, hashlib.file_digest(file, "sha256").hexdigest()


def size_before(file: str | Path) -> tuple[int, int] | None:
    """The (H, W) that an image had before ``posegen prepare`` resized it; None where the file says nothing of that."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            said = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", str(image.info.get(SIZE_BEFORE)))
    except Exception:  # a decoder may raise anything; whoever looks at the image itself tells of it
        return None
    return (int(said[2]), int(said[1])) if said and int(said[1]) and int(said[2]) else None


def as_findings(kind: str, file: str | Path, problems: Iterable[str], severity: str = "error") -> list[Finding]:
    """Problems in the words of the readers and of a DataError, a finding each; the row that one begins with is taken
    from it.

    Args:
        file: where they are; a folder, where problems begin with the name of a file in it.
    """
    folder = Path(file) if Path(file).is_dir() else Path(file).parent
    findings = []
    for problem in problems:
        found = _PROBLEM.fullmatch(problem)
        if found is None:
            findings.append(Finding(kind, problem, str(file), severity=severity))
        else:
            where = str(folder / found["file"]) if found["file"] else str(file)
            findings.append(Finding(kind, found["text"], where, found["row"], severity=severity))
    return findings
