"""Pairs of views of one object, from the HDF5 files of ShapeNet's cars and chairs."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from mmengine.logging import print_log

from posegen.data import PairDataset
from posegen.data.findings import Annotation, Finding, ImageInfo, as_findings
from posegen.data.images import MOST_PIXELS, resize_image, to_tensor
from posegen.errors import ConfigError, DataError
from posegen.files import link_out, read_text
from posegen.records import Pair
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

from .chunked import values_of
from .structure import View, ViewEncoder

AZIMUTH_STEPS = 2
"""``pose`` counts azimuths in steps of 10°, an azimuth class is 20° wide."""
ELEVATION_DEGREES = 10
"""``pose`` has the elevation in degrees, an elevation class is 10° wide."""
RENDER = re.compile(r"(?P<model>.+)_\d+_\d+", re.DOTALL)
"""MODEL_AZIMUTH_ELEVATION."""
SPLITS = ("train", "test")


class IdRow(NamedTuple):
    """A line of an id list: its number, from 1, and its ids."""

    line: int
    ids: list[str]


@DATASETS.register_module()
class ViewPairs(PairDataset):
    """Pairs of renders of one object, from ``ROOT/data_CATEGORY.hdf5`` and its id lists.

    The file has a group for each render, named MODEL_AZIMUTH_ELEVATION, with ``image`` (H W 3 uint8) and ``pose``
    (azimuth in steps of 10°, elevation in degrees); azimuth class = azimuth // 2, elevation class = elevation // 10.
    ``id_CATEGORY_SPLIT.txt`` lists the split's ids, one a line: renders, or models, which stand for all their renders.

    A pair is two listed renders of one model. In training the target is drawn at random for each ``(index, draw)``; in
    the test split it is drawn once for each index, from the seed. A bare index is draw 0. Models with one render are
    left out. ``name_CATEGORY_test.txt``, if it exists, lists the test pairs: a line of two ids is source and target; a
    line of one id is a source (or a model: all its renders), whose target is drawn.

    Ids are checked against the file when the data set is built; a render is read when its pair is asked for. Each
    process opens the file itself.

    Args:
        root: folder of the files.
        category: ``car``, ``chair``, or another name in the names of the files.
        split: ``train`` or ``test``.
        structure: a :class:`ViewEncoder`, or its config.
        size: (H, W) of the images that the network sees; published: (256, 256).
        seed: seed of the targets.
        limit: use only the first *limit* pairs; None: all.

    Raises:
        DataError: missing files, not HDF5, ids without a render (all at once), or no pair. On reading a pair: a render
            that is damaged, of another form, too large, or a link out of the file.
        ConfigError: an unknown split, or a category that is not a plain name.
    """

    def __init__(
        self,
        root: str | Path,
        category: str,
        split: str,
        structure: ViewEncoder | dict[str, Any],
        size: Sequence[int] = (256, 256),
        seed: int = 0,
        limit: int | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ConfigError(f"ViewPairs: split is 'train' or 'test', got {split!r}")
        if not re.fullmatch(r"[\w-]+", category):
            raise ConfigError(f"ViewPairs: category is a plain name, as in data_NAME.hdf5; got {category!r}")
        self.structure: ViewEncoder = STRUCTURE_ENCODERS.build_part(structure)
        self.size = (int(size[0]), int(size[1]))
        self.seed, self.augments = seed, split == "train"
        self.path, *lists = _files(root, category, split)
        self._open: tuple[int, h5py.File] | None = None  # the process that opened it, and the file
        self.pairs, self.partners = self._read(*lists)
        self.pairs = self.pairs[:limit]
        if not self.pairs:
            raise DataError(lists[0], "no model has two renders in the list, so there is no pair")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int | tuple[int, int]) -> Pair:
        """Return the pair at a number, or at ``(number, draw)``.

        Raises:
            DataError: a render that cannot be used.
            IndexError: no such pair.
        """
        number, draw = index if isinstance(index, tuple) else (index, 0)
        number = range(len(self))[number]
        source, target = self.pairs[number]
        target = target or self._draw_partner(source, number, draw)
        source_image, source_view = self.read(source)
        target_image, target_view = self.read(target)
        return Pair(
            source=to_tensor(source_image),
            source_structure=self.structure.encode(source_view, self.size),
            target=to_tensor(target_image),
            target_structure=self.structure.encode(target_view, self.size),
            name=f"{source}_2_{target}_vis",
        )

    def _draw_partner(self, source: str, number: int, draw: int) -> str:
        others = [render for render in self.partners[model_of(source)] if render != source]
        rng = np.random.default_rng([self.seed, number, draw if self.augments else 0])
        return others[rng.integers(len(others))]

    def read(self, name: str) -> tuple[np.ndarray, View]:
        """Read a render at the data set's size: image, uint8 H W 3, and view.

        Raises:
            DataError: it is damaged, of another form, too large, or leads out of the file.
        """
        image, view = read_render(self._file, name, self.structure)
        return resize_image(image, self.size), view

    @property
    def _file(self) -> h5py.File:
        """Open the file in this process; a handle inherited by a fork shares its state with the parent's."""
        if self._open is None or self._open[0] != os.getpid():
            self._open = os.getpid(), open_hdf5(self.path)
        return self._open[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}

    @classmethod
    def examine(
        cls, root: str | Path, category: str, split: str, structure: ViewEncoder | dict[str, Any], **unused: Any
    ) -> Iterator[Finding | ImageInfo]:
        """Yield findings in the lists, and every render they name, for :mod:`posegen.checking`."""
        path, *lists = _files(root, category, split)
        hard, models, rows, problems = _read_lists(path, lists)
        yield from as_findings("bad row", path, problems)
        for file in lists:
            yield from _listed_twice(file, rows[file])
        encoder = STRUCTURE_ENCODERS.build_part(structure)
        known = [id for file in lists for row in rows[file] for id in row.ids if id in hard or id in models]
        for name in dict.fromkeys(render for render in _renders(known, hard, models) if hard[render]):
            yield Render(path, name, (Annotation(identity=f"model {model_of(name)}"),), encoder=encoder)

    # The lists

    def _read(
        self, ids_file: Path, names_file: Path | None = None
    ) -> tuple[list[tuple[str, str | None]], dict[str, list[str]]]:
        """Return pairs, with None for targets that are drawn at random; and the listed renders of each model."""
        lists = [file for file in (ids_file, names_file) if file is not None]
        hard, models, rows, problems = _read_lists(self.path, lists)
        if problems:
            raise DataError(self.path, problems, "The lists must name renders (MODEL_AZIMUTH_ELEVATION) of this file.")
        listed = dict.fromkeys(_renders((id for row in rows[ids_file] for id in row.ids), hard, models))
        partners: dict[str, list[str]] = defaultdict(list)
        for render in listed:
            partners[model_of(render)].append(render)
        chosen = rows[names_file] if names_file is not None else [IdRow(0, [render]) for render in listed]
        return self._pairs(chosen, hard, models, partners), dict(partners)

    def _pairs(
        self,
        rows: Sequence[IdRow],
        hard: dict[str, bool],
        models: dict[str, list[str]],
        partners: dict[str, list[str]],
    ) -> list[tuple[str, str | None]]:
        pairs: list[tuple[str, str | None]] = []
        alone = 0
        for row in rows:
            if len(row.ids) == 2:
                pairs.append((row.ids[0], row.ids[1]))
                continue
            for source in _renders(row.ids, hard, models):
                others = set(partners.get(model_of(source), ())) - {source}
                alone += not others
                pairs += [(source, None)] if others else []
        if alone:
            left_out = f"{self.path.name}: {alone} of the list's renders left out: no other view of the model is in it"
            print_log(left_out, logger="current", level=logging.INFO)
        return pairs


@dataclass(frozen=True)
class Render(ImageInfo):
    """A render whose image and view the check reads."""

    encoder: ViewEncoder | None = None

    def read(self) -> tuple[np.ndarray, str]:
        """Return the image, uint8 H W 3, and the SHA-256 of its pixels."""
        assert self.encoder is not None
        with open_hdf5(Path(self.file)) as file:
            image, _ = read_render(file, self.name, self.encoder)
        return image, hashlib.sha256(image.tobytes()).hexdigest()


def read_render(file: h5py.File, name: str, encoder: ViewEncoder) -> tuple[np.ndarray, View]:
    """Read a render as it is stored: image, uint8 H W 3, and view.

    Raises:
        DataError: it is damaged, of another form, too large, or leads out of the file.
    """
    try:
        group = _inside(file, name, h5py.Group)
        image, pose = (_inside(group, part, h5py.Dataset) for part in ("image", "pose"))
        _check_image(image)
        view = _view(pose, encoder)
        return np.ascontiguousarray(values_of(image)), view
    except (ValueError, OSError, RuntimeError, KeyError) as error:  # HDF5 raises any of them for a damaged file
        problem = str(error) if isinstance(error, ValueError) else f"truncated or damaged: {error}"
        raise DataError(file.filename, f"render {name!r}: {problem}") from error


def _files(root: str | Path, category: str, split: str) -> list[Path]:
    """Find the file of the renders, the id list, and the list of test pairs, if there is one."""
    files = [Path(root, f"data_{category}.hdf5"), Path(root, f"id_{category}_{split}.txt")]
    names = Path(root, f"name_{category}_test.txt")
    return [*files, names] if split == "test" and names.is_file() else files


def _read_lists(
    path: Path, lists: Sequence[Path]
) -> tuple[dict[str, bool], dict[str, list[str]], dict[Path, list[IdRow]], list[str]]:
    """Return whether each render is stored in the file or a link, the renders of each model, the rows of the lists (ids
    first), and the problems."""
    for file in (path, *lists):
        if problem := link_out(file, path.parent):
            raise DataError(file, problem)
    with open_hdf5(path) as opened:
        hard = _hard_links(opened)
    models: dict[str, list[str]] = defaultdict(list)
    for name in hard:
        models[model_of(name)].append(name)
    rows = {file: read_ids(file) for file in lists}
    problems = [
        f"{file.name}, {problem}"
        for file in lists
        for problem in _problems(rows[file], hard, models, most_ids=1 if file == lists[0] else 2)
    ]
    return hard, models, rows, problems


def _listed_twice(file: Path, rows: Sequence[IdRow]) -> Iterator[Finding]:
    first: dict[tuple[str, ...], int] = {}
    for line, ids in rows:
        if first.setdefault(tuple(ids), line) != line:
            text = f"is row {first[tuple(ids)]} again"
            yield Finding("duplicate row", text, str(file), str(line), " ".join(ids), "warning")


def model_of(render: str) -> str:
    """Return MODEL of a render's name MODEL_AZIMUTH_ELEVATION; another name is returned whole."""
    match = RENDER.fullmatch(render)
    return match["model"] if match else render


def read_ids(path: str | Path) -> list[IdRow]:
    """Return the non-empty lines of an id list.

    Raises:
        DataError: no such file, too large, no text, or an empty list.
    """
    lines = read_text(path).splitlines()
    rows = [IdRow(number, line.split()) for number, line in enumerate(lines, 1) if line.strip()]
    if not rows:
        raise DataError(path, "row 1: the list is empty")
    return rows


def open_hdf5(path: Path) -> h5py.File:
    """Open an HDF5 file for reading, without a lock, so that read-only and network folders work.

    Raises:
        DataError: no such file, or not HDF5.
    """
    if not path.is_file():
        raise DataError(path, "no such file")
    try:
        return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise DataError(path, f"cannot be read as HDF5: {error}") from error


def _hard_links(file: h5py.File) -> dict[str, bool]:
    """Return, for each name of the file's top level, whether it is stored in the file and not a link.

    Raises:
        DataError: the file's table of contents is damaged.
    """
    found: dict[str, bool] = {}

    def note(name: bytes, info: Any) -> None:
        found[name.decode("utf-8", "surrogateescape")] = info.type == h5py.h5l.TYPE_HARD

    try:
        file.id.links.iterate(note, info=True)
    except (OSError, RuntimeError) as error:  # HDF5's words for a damaged table
        raise DataError(file.filename, f"its table of contents is damaged: {error}") from error
    return found


def _renders(ids: Iterable[str], names: dict[str, bool], models: dict[str, list[str]]) -> Iterable[str]:
    """Return the renders of ids that name renders or models."""
    return itertools.chain.from_iterable([id] if id in names else models[id] for id in ids)


def _problems(rows: Sequence[IdRow], names: dict[str, bool], models: dict[str, list[str]], most_ids: int) -> list[str]:
    """Return the problems of the rows of a list."""
    problems = []
    for line, ids in rows:
        if len(ids) > most_ids:
            problems.append(f"row {line}: {len(ids)} ids, at most {most_ids} expected")
            continue
        for id in ids:
            if id not in names and (id not in models or len(ids) == 2):
                problems.append(f"row {line}: no render {id!r} in the file")
            elif not all(names[render] for render in _renders([id], names, models)):
                problems.append(f"row {line}: {id!r} is a link, not a group of the file")
            elif id in names and not RENDER.fullmatch(id):
                problems.append(f"row {line}: {id!r} is not called MODEL_AZIMUTH_ELEVATION")
        if len(ids) == 2 and model_of(ids[0]) != model_of(ids[1]):
            problems.append(f"row {line}: {ids[0]!r} and {ids[1]!r} are not of one model")
    return problems


def _inside(group: h5py.Group, name: str, kind: type) -> Any:
    """Return the entry of *group* under *name*. ValueError: none, a link, or not a *kind*."""
    link = group.get(name, getlink=True)
    if link is None:
        raise ValueError(f"no {name!r} in the file")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{name!r} is a link ({type(link).__name__}); only what stands in the file itself is read")
    found = group.get(name)
    if not isinstance(found, kind):
        raise ValueError(f"{name!r} is no {kind.__name__.lower()}")
    if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
        raise ValueError(f"{name!r} is stored in other files; only what stands in the file itself is read")
    return found


def _check_image(image: h5py.Dataset) -> None:
    """Raise ValueError, before anything is read, if it is no image, or unpacks to more than memory should hold."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(f"'image' must be uint8, H W 3; it is {image.dtype}, {image.shape}")
    most = max(math.prod(image.shape), math.prod(image.chunks or ()))  # a chunk is read whole, and may be larger
    if most > 3 * MOST_PIXELS:
        raise ValueError(f"'image' is too large: {most // 3:,} pixels, the limit is {MOST_PIXELS:,}")


def _view(pose: h5py.Dataset, encoder: ViewEncoder) -> View:
    """Return the classes of a ``pose``. ValueError: not two whole numbers, or a view the encoder does not have."""
    if pose.dtype.kind not in "iuf" or pose.shape != (2,) or math.prod(pose.chunks or ()) > MOST_PIXELS:
        raise ValueError(f"'pose' must be two whole numbers; it is {pose.dtype}, {pose.shape}")
    azimuth, elevation = values_of(pose).tolist()
    if not (math.isfinite(azimuth) and math.isfinite(elevation) and azimuth % 1 == elevation % 1 == 0):
        raise ValueError(f"'pose' must be two whole numbers, got {azimuth} and {elevation}")
    view = View(int(azimuth) // AZIMUTH_STEPS, int(elevation) // ELEVATION_DEGREES)
    if not (0 <= view.azimuth < encoder.azimuths and 0 <= view.elevation < encoder.elevations):
        raise ValueError(
            f"'pose' is out of range: azimuth {azimuth} (0..{encoder.azimuths * AZIMUTH_STEPS - 1}), "
            f"elevation {elevation} (0..{encoder.elevations * ELEVATION_DEGREES - 1})"
        )
    return view
