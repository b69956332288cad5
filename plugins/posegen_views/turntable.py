"""Pairs of views of objects on a turntable, from photographs named ``objN__K.png`` (COIL-20 and COIL-100)."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from posegen.data import PairDataset
from posegen.data.findings import Finding, ImageInfo
from posegen.data.images import MOST_BYTES, decode_image, read_image, resize_image, to_tensor
from posegen.errors import ConfigError, DataError
from posegen.files import check_file, link_out
from posegen.records import Pair
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

from .structure import AngleEncoder, View
from .views import SPLITS

PHOTOGRAPH = re.compile(r"obj(?P<object>\d+)__(?P<number>\d+)\.png", re.IGNORECASE)
NUMBERS = ("index", "degrees")
INDEX_STEP = 5
"""Degrees between two views of COIL-20, whose files are numbered 0 … 71."""
MOST_KEPT = 256 << 20
"""Bytes of resized photographs that are kept in memory: decoding one takes as long as a small network needs for it."""
_DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError, ValueError)
"""Errors of :mod:`zipfile` for archives that are damaged, encrypted, or compressed in an unknown way."""


class Photograph(NamedTuple):
    """A file of a turntable: its name in the folder or archive, its object, and the table's angle in degrees."""

    name: str
    object: int
    degrees: int


@DATASETS.register_module()
class Turntable(PairDataset):
    """Pairs of photographs of one object on a turntable, from a folder or a ZIP archive of ``objN__K.png``.

    N is the object. K counts views from 0 in steps of 5° (COIL-20: 0 … 71), or is the angle in degrees (COIL-100: 0, 5
    … 355). Gray photographs become RGB. Files of other names are passed over.

    Training views are those at a multiple of *every* degrees; the others are held out.

    - ``train``: all pairs of two training views of one object that are at most *largest_turn* apart.
    - ``test``: all pairs whose target is a held-out view. The source is its nearest training view, of which there may
      be two, or the view at *source* degrees.

    Args:
        root: folder, searched at any depth, or ZIP archive.
        split: ``train`` or ``test``.
        structure: an :class:`AngleEncoder`, or its config; every angle must be one of its azimuths.
        size: (H, W) of the images that the network sees.
        every: degrees between training views.
        largest_turn: degrees between source and target in training.
        source: ``"nearest"``, or degrees: the source of the test pairs.
        numbers: meaning of K, ``"index"`` or ``"degrees"``; None: by the largest K, above 71 it is degrees.
        limit: use only that many pairs, spread evenly over all; None: all.

    Raises:
        DataError: no such file or folder, no photographs, not a ZIP archive, or numbers that are no angles of the
            encoder; on reading a pair: an image that cannot be read.
        ConfigError: an option out of range, or no pair.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        structure: AngleEncoder | dict[str, Any],
        size: Sequence[int] = (64, 64),
        every: int = 10,
        largest_turn: int = 20,
        source: str | int = "nearest",
        numbers: str | None = None,
        limit: int | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ConfigError(f"Turntable: split is 'train' or 'test', got {split!r}")
        if every < 1 or largest_turn < every:
            raise ConfigError(f"Turntable: 1 <= every <= largest_turn, got {every} and {largest_turn}")
        if source != "nearest" and not isinstance(source, int):
            raise ConfigError(f"Turntable: source is 'nearest' or degrees, got {source!r}")
        self.structure: AngleEncoder = STRUCTURE_ENCODERS.build_part(structure)
        self.size = (int(size[0]), int(size[1]))
        self._images: dict[str, np.ndarray] = {}  # resized, by name
        self.photographs = Photographs(root)
        views = self.photographs.find(numbers)
        self._check_angles(views)
        pairs = _training_pairs(views, every, largest_turn) if split == "train" else _test_pairs(views, every, source)
        self.pairs = _spread(pairs, limit)
        if not self.pairs:
            raise ConfigError(f"Turntable: {root} has no pair with every={every}, largest_turn={largest_turn}")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Pair:
        """Return the pair at a number. DataError: an image cannot be read. IndexError: no such pair."""
        source, target = self.pairs[range(len(self))[index]]
        return Pair(
            source=self._image(source),
            source_structure=self._structure(source),
            target=self._image(target),
            target_structure=self._structure(target),
            name=f"{PurePosixPath(source.name).stem}_2_{PurePosixPath(target.name).stem}_vis",
        )

    def _check_angles(self, views: Sequence[Photograph]) -> None:
        azimuths = self.structure.azimuths
        problems = [
            f"{view.name}: {view.degrees}° is none of the encoder's {azimuths} azimuths"
            for view in views
            if view.degrees >= 360 or view.degrees * azimuths % 360
        ]
        if problems:
            raise DataError(self.photographs.root, problems, "Set numbers='index' or 'degrees', or azimuths.")

    def _image(self, photograph: Photograph) -> Any:
        image = self._images.get(photograph.name)
        if image is None:
            image = resize_image(self.photographs.read(photograph.name), self.size)
            if (len(self._images) + 1) * image.nbytes <= MOST_KEPT:
                self._images[photograph.name] = image
        return to_tensor(image)

    def _structure(self, photograph: Photograph) -> Any:
        return self.structure.encode(View(photograph.degrees * self.structure.azimuths // 360, 0))

    @classmethod
    def examine(
        cls, root: str | Path, split: str, every: int = 10, numbers: str | None = None, **unused: Any
    ) -> Iterator[Finding | ImageInfo]:
        """Yield the training views, or the held-out ones, for :mod:`posegen.checking`."""
        files = Photographs(root)
        for each in files.find(numbers):
            if (each.degrees % every == 0) == (split == "train"):
                yield StoredImage(files.root / each.name, each.name, files=files)


class Photographs:
    """The photographs of a turntable in a folder or a ZIP archive. Each process opens the archive itself.

    Args:
        root: the folder, or the archive.

    Raises:
        DataError: no such file or folder, or not a ZIP archive.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self._open: tuple[int, zipfile.ZipFile] | None = None  # the process that opened it, and the archive
        if not self.root.is_dir():
            check_file(self.root, 1 << 62)
        self.names: tuple[str, ...] = tuple(sorted(self._names()))

    def find(self, numbers: str | None = None) -> list[Photograph]:
        """List the photographs by object and angle.

        Args:
            numbers: meaning of the files' numbers, see :class:`Turntable`.

        Raises:
            DataError: there are none, or two of one object and angle.
            ConfigError: *numbers* is neither ``"index"`` nor ``"degrees"``.
        """
        if numbers not in (*NUMBERS, None):
            raise ConfigError(f"Turntable: numbers is 'index', 'degrees' or None, got {numbers!r}")
        matches = {name: PHOTOGRAPH.fullmatch(PurePosixPath(name).name) for name in self.names}
        found = {name: (int(match["object"]), int(match["number"])) for name, match in matches.items() if match}
        if not found:
            raise DataError(self.root, "has no photographs named objN__K.png", "Give COIL-20 or COIL-100.")
        largest = max(number for _, number in found.values())
        step = INDEX_STEP if (numbers or ("degrees" if largest >= 360 // INDEX_STEP else "index")) == "index" else 1
        photographs = sorted((Photograph(name, o, k * step) for name, (o, k) in found.items()), key=lambda p: p[1:])
        neighbors = itertools.pairwise(photographs)
        same = [f"{second.name} is the view of {first.name}" for first, second in neighbors if first[1:] == second[1:]]
        if same:
            raise DataError(self.root, same, "Each object has one photograph an angle.")
        return photographs

    def read(self, name: str) -> np.ndarray:
        """Read a photograph: uint8 H W 3, RGB.

        Raises:
            DataError: it is damaged, encrypted, too large, or a link out of the folder.
        """
        path = self.root / name
        if not self.root.is_dir():
            return decode_image(self._content(name), path)
        if problem := link_out(path, self.root):
            raise DataError(path, problem)
        return read_image(path)

    def _content(self, name: str) -> bytes:
        try:
            entry = self._archive.getinfo(name)
            if entry.file_size > MOST_BYTES:
                raise DataError(self.root / name, f"too large: {entry.file_size:,} bytes, the limit is {MOST_BYTES:,}")
            return self._archive.read(entry)
        except _DAMAGED as error:
            raise DataError(self.root / name, f"cannot be read from the archive: {error}") from error

    def _names(self) -> list[str]:
        if self.root.is_dir():
            return [path.relative_to(self.root).as_posix() for path in self.root.rglob("*.png")]
        try:
            return self._archive.namelist()
        except _DAMAGED as error:
            raise DataError(self.root, f"is neither a folder nor a ZIP archive: {error}") from error

    @property
    def _archive(self) -> zipfile.ZipFile:
        """Open the archive in this process; a handle inherited by a fork shares its position with the parent's."""
        if self._open is None or self._open[0] != os.getpid():
            self._open = os.getpid(), zipfile.ZipFile(self.root)
        return self._open[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}


@dataclass(frozen=True)
class StoredImage(ImageInfo):
    """A photograph of a folder or an archive, for the check."""

    files: Photographs | None = None

    def read(self) -> tuple[np.ndarray, str]:
        """Return the image, uint8 H W 3, and the SHA-256 of its pixels."""
        assert self.files is not None
        image = self.files.read(self.name)
        return image, hashlib.sha256(image.tobytes()).hexdigest()


def turn_between(first: Photograph, second: Photograph) -> int:
    """Return the smaller angle between two views, 0 to 180 degrees."""
    turn = abs(first.degrees - second.degrees) % 360
    return min(turn, 360 - turn)


def _by_object(views: Sequence[Photograph], every: int) -> Iterator[tuple[list[Photograph], list[Photograph]]]:
    """Yield training views and held-out views of each object; *views* are sorted by object."""
    for _, group in itertools.groupby(views, key=lambda view: view.object):
        known: list[Photograph] = []
        held_out: list[Photograph] = []
        for view in group:
            (held_out if view.degrees % every else known).append(view)
        yield known, held_out


def _training_pairs(views: Sequence[Photograph], every: int, largest_turn: int) -> list[tuple[Photograph, Photograph]]:
    return [
        (source, target)
        for known, _ in _by_object(views, every)
        for source, target in itertools.permutations(known, 2)
        if turn_between(source, target) <= largest_turn
    ]


def _test_pairs(views: Sequence[Photograph], every: int, source: str | int) -> list[tuple[Photograph, Photograph]]:
    pairs = []
    for known, held_out in _by_object(views, every):
        given = known if source == "nearest" else [view for view in known if view.degrees == source]
        for target in held_out:
            nearest = min((turn_between(view, target) for view in given), default=0)
            pairs += [(view, target) for view in given if turn_between(view, target) == nearest]
    return pairs


def _spread(pairs: list[tuple[Photograph, Photograph]], limit: int | None) -> list[tuple[Photograph, Photograph]]:
    """Return *limit* pairs, spread evenly over all."""
    if limit is None or limit >= len(pairs):
        return pairs
    return [pairs[k * len(pairs) // limit] for k in range(limit)]
