"""Pairs of images of one person: Market-1501, DeepFashion, and COCO key points."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import NoneType
from typing import Any, NamedTuple

import numpy as np
from mmengine.logging import print_log
from pycocotools.coco import COCO

from posegen.data import KeypointLayout, Keypoints, PairDataset, StructureEncoder
from posegen.data.findings import Annotation, Finding, ImageInfo, as_findings
from posegen.data.images import read_image, read_in_frame, resize_image, to_tensor
from posegen.data.keypoints import get_layout, select_keypoints
from posegen.errors import ConfigError, DataError
from posegen.files import check_name, find_file, link_out, read_json, read_text
from posegen.preparing import cut_middle
from posegen.records import Pair
from posegen.registry import AUGMENTATIONS, DATASETS, STRUCTURE_ENCODERS

from .annotations import (
    PairRow,
    category_names,
    check_points,
    coco_keypoints,
    flat_name,
    parse_annotations,
    parse_pairs,
    spaced,
)
from .augmentation import PublishedAugmentation
from .layouts import COCO_17

GRAY = 128
FASHION_PREFIXES = ("fasion", "fasion-resize", "fashion", "fashion-resize")
"""Prefixes of DeepFashion's lists in circulation; the first is the published spelling."""
IDENTITIES = (re.compile(r"(-?\d+)_c\d+s\d+_"), re.compile(r"(fashion.+?id\d{8})"))
"""Identity in the name of an image: Market-1501's person (0002_c1s1_000451_03.jpg), DeepFashion's person and item."""


ON_MISSING = ("raise", "later")
HINT = "`posegen check CONFIG` names all that is wrong. A run may start without some images: on_missing='later'."


class PosedImage(NamedTuple):
    """One image of a pair, uint8 H W 3, of the data set's size, and its key points in pixels of it."""

    image: np.ndarray
    keypoints: Keypoints


class PeoplePairs(PairDataset):
    """Base class of pairs of people. A subclass implements ``__len__`` and :meth:`views`.

    An index is a number, or ``(number, draw)``: ``draw`` picks the random numbers of the augmentation, so an
    endless sampler that counts its rounds gives every round other ones, and the same pair, draw and seed
    always give the same tensors, in whatever process. A bare number is draw 0.

    Args:
        structure: a structure encoder of key points of people, or its config. Lists and files have the points of its
            layout, or points that are converted to it.
        size: (H, W) of what the net sees, in pixels.
        augmentation: an augmentation, its config, or None.
        seed: of the augmentation.
        resample: how images are resized: bicubic, bilinear, ... (Pillow's filters).
        foreground: a structure encoder of one channel, or its config, that draws the mask of the subject, such as
            :class:`BodyMask`, from the target's key points: ``foreground`` of the pairs, for scores and losses inside
            of it. Its layout is that of *structure*. None: pairs have no foreground.

    Raises:
        ConfigError: a structure, or a foreground, without key points, or the two of different layouts.
    """

    def __init__(
        self,
        structure: StructureEncoder | dict[str, Any],
        size: Sequence[int],
        augmentation: PublishedAugmentation | dict[str, Any] | None = None,
        seed: int = 0,
        resample: str = "bicubic",
        foreground: StructureEncoder | dict[str, Any] | None = None,
    ) -> None:
        self.structure: StructureEncoder = STRUCTURE_ENCODERS.build_part(structure)
        self.layout = _layout_of(self.structure, type(self).__name__)
        self.size = (int(size[0]), int(size[1]))
        self.augmentation = None if augmentation is None else AUGMENTATIONS.build_part(augmentation)
        self.augments = self.augmentation is not None
        self.seed = seed
        self.resample = resample
        if isinstance(foreground, Mapping):
            foreground = {"layout": self.layout, **foreground}
        self.foreground = None if foreground is None else STRUCTURE_ENCODERS.build_part(foreground)
        if self.foreground is not None:
            self.foreground.require_layout(self.layout, type(self).__name__)

    def __len__(self) -> int:
        raise NotImplementedError

    def views(self, index: int) -> tuple[PosedImage, PosedImage, str]:
        """Return source, target and name of a pair, before augmentation."""
        raise NotImplementedError

    def __getitem__(self, index: int | tuple[int, int]) -> Pair:
        """Return the pair at a number, or at ``(number, draw)``.

        Raises:
            DataError: an image that cannot be read.
            IndexError: no such pair.
        """
        number, draw = index if isinstance(index, tuple) else (index, 0)
        number = range(len(self))[number]
        source, target, name = self.views(number)
        if self.augmentation is not None:
            rng = np.random.default_rng([self.seed, number, draw])
            source = PosedImage(*self.augmentation.source(*source, rng))
            target = PosedImage(*self.augmentation.target(*target, rng))
        return Pair(
            source=to_tensor(source.image),
            source_structure=self.structure.encode(source.keypoints, self.size),
            target=to_tensor(target.image),
            target_structure=self.structure.encode(target.keypoints, self.size),
            name=name,
            foreground=None if self.foreground is None else self.foreground.encode(target.keypoints, self.size),
        )


def _layout_of(structure: StructureEncoder | Mapping[str, Any], dataset: str) -> KeypointLayout:
    """Return the layout of a structure encoder, or of its config. ConfigError: it encodes no key points."""
    encoder = STRUCTURE_ENCODERS.build_part(structure)
    if encoder.layout is None:
        raise ConfigError(f"{dataset} has key points, and the structure encoder {type(encoder).__name__} takes none")
    return encoder.layout


# Market-1501 and DeepFashion


@DATASETS.register_module()
class AnnotatedPairs(PeoplePairs):
    """Pairs from the files of Market-1501 and DeepFashion, as published with PATN and GFLA.

    ``ROOT/PREFIX-pairs-SPLIT.csv``, ``ROOT/PREFIX-annotation-SPLIT.csv``, images in ``ROOT/SPLIT/``;
    missing images are searched in DeepFashion's own folders, ``ROOT/img_highres/`` or ``ROOT/img/``. All rows are
    checked, and all images looked up, when the data set is built; an image is opened when its pair is asked for.

    Key points count pixels of *keypoint_frame*, which is scaled to the image, each side by itself. This fits
    DeepFashion's high-resolution originals (750×1101 and similar), images cropped to 176×256, and such images resized
    to a square. In the 256×256 download the frame is the middle 176 columns: set ``crop_to_frame=True`` for it.

    Args:
        root: the data set's folder.
        split: ``train`` or ``test``.
        structure, augmentation, seed, resample, foreground: see :class:`PeoplePairs`.
        size: (H, W); published: (128, 64) for Market-1501, (256, 256) for DeepFashion.
        prefix: ``market`` or ``fasion``; for the latter all four spellings in use are tried, the given one first.
        keypoint_frame: (H, W) whose pixels the points count; None: the image's size. DeepFashion: (256, 176).
        crop_to_frame: first crop the middle of each image to the proportions of *keypoint_frame*.
        limit: use only the first *limit* pairs of the list; None: all.
        listed: the layout of the lists, where it is not that of *structure*: points are converted by their names, and
            points that the lists lack are missing. None: that of *structure*.
        on_missing: ``raise``: missing images are an error when the data set is built; ``later``: when their pairs
            are read, which ``train_cfg.on_error="skip"`` then leaves out.

    Raises:
        DataError: missing lists; all bad rows and missing images at once.
        ConfigError: a structure without key points; ``crop_to_frame`` without a frame; another *on_missing*.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        structure: StructureEncoder | dict[str, Any],
        size: Sequence[int] = (256, 256),
        prefix: str = "market",
        keypoint_frame: Sequence[int] | None = None,
        crop_to_frame: bool = False,
        augmentation: PublishedAugmentation | dict[str, Any] | None = None,
        seed: int = 0,
        limit: int | None = None,
        resample: str = "bicubic",
        on_missing: str = "raise",
        foreground: StructureEncoder | dict[str, Any] | None = None,
        listed: str | KeypointLayout | None = None,
    ) -> None:
        super().__init__(structure, size, augmentation, seed, resample, foreground)
        _check_on_missing(on_missing)
        if crop_to_frame and keypoint_frame is None:
            raise ConfigError("crop_to_frame needs a keypoint_frame; DeepFashion's is (256, 176)")
        self.keypoint_frame = keypoint_frame
        self.crop_to_frame = crop_to_frame
        pairs_file, annotation_file = find_lists(root, split, prefix)
        layout = self.layout if listed is None else get_layout(listed)
        annotations, annotation_problems = parse_annotations(annotation_file, layout)
        if listed is not None:
            annotations = {
                name: select_keypoints(keypoints, layout.names, self.layout) for name, keypoints in annotations.items()
            }
        self.annotations = annotations
        rows, pair_problems = parse_pairs(pairs_file, self.annotations)
        rows = rows[:limit]
        self.pairs = [(row.source, row.target) for row in rows]
        self.paths, missing = find_images(ImageFolder(root, split), rows, on_missing)
        problems = [f"{annotation_file.name}, {problem}" for problem in annotation_problems]
        problems += [f"{pairs_file.name}, {problem}" for problem in pair_problems + missing]
        if problems:
            raise DataError(root, problems, HINT)

    def __len__(self) -> int:
        return len(self.pairs)

    def views(self, index: int) -> tuple[PosedImage, PosedImage, str]:
        """Return source, target and name of a pair, before augmentation."""
        source, target = self.pairs[index]
        return self._view(source), self._view(target), _published_name(source, target)

    def files(self) -> dict[str, tuple[Path, Path]]:
        """Return the files of source and target by name of the pair.

        Empty if images are cropped, since the files show more than the pairs.
        """
        if self.crop_to_frame:
            return {}
        return {
            _published_name(source, target): (Path(self.paths[source]), Path(self.paths[target]))
            for source, target in self.pairs
        }

    @classmethod
    def examine(
        cls,
        root: str | Path,
        split: str,
        structure: StructureEncoder | dict[str, Any],
        prefix: str = "market",
        keypoint_frame: Sequence[int] | None = None,
        crop_to_frame: bool = False,
        limit: int | None = None,
        listed: str | KeypointLayout | None = None,
        **unused: Any,
    ) -> Iterator[Finding | ImageInfo]:
        """Yield findings in the lists, and every image of the pairs, for :mod:`posegen.checking`."""
        pairs_file, annotation_file = find_lists(root, split, prefix)
        layout = _layout_of(structure, cls.__name__) if listed is None else get_layout(listed)
        annotations, problems = parse_annotations(annotation_file, layout)
        yield from as_findings("bad row", annotation_file, problems)
        yield from _annotated_twice(annotation_file)
        rows, problems = parse_pairs(pairs_file)
        yield from as_findings("bad row", pairs_file, problems)
        yield from _without_annotation(pairs_file, rows, annotations)  # beyond the limit too: those are bad rows
        yield from _doubtful_pairs(pairs_file, rows[:limit])
        paths, problems = find_images(ImageFolder(root, split), rows[:limit])
        yield from as_findings("missing image", pairs_file, problems)
        frame = None if keypoint_frame is None else (int(keypoint_frame[0]), int(keypoint_frame[1]))
        for name, path in paths.items():
            annotation = Annotation(annotations.get(name), identity_of(name), str(annotation_file), layout=layout)
            proportions = None if crop_to_frame else frame
            yield ImageInfo(path, name, (annotation,), frame, proportions, one_size=frame is None)

    def _view(self, name: str) -> PosedImage:
        image, keypoints = read_image(self.paths[name]), self.annotations[name]
        return fit_frame(image, keypoints, self.size, self.keypoint_frame, self.crop_to_frame, self.resample)

    prepare_options = ("keypoint_frame", "crop_to_frame", "resample")

    @staticmethod
    def proportions(size: tuple[int, int], options: Mapping[str, Any]) -> tuple[int, int] | None:
        """Return the proportions of *keypoint_frame*, which are those of the data set's images before resizing."""
        height, width = options.get("keypoint_frame") or size
        return height, width

    @staticmethod
    def prepare(
        image: np.ndarray, keypoints: Keypoints, size: tuple[int, int], options: Mapping[str, Any]
    ) -> tuple[np.ndarray, Keypoints]:
        """Prepare an image and its points as this data set does: see :func:`fit_frame`.

        Points that are not from the data set's list count pixels of the image.
        """
        frame = ("keypoint_frame", "crop_to_frame") if keypoints.listed else ()
        return fit_frame(image, keypoints, size, **_chosen(options, *frame, "resample"))


def fit_frame(
    image: np.ndarray,  # uint8, H W 3
    keypoints: Keypoints,  # in pixels of keypoint_frame
    size: tuple[int, int],  # H, W of the result
    keypoint_frame: Sequence[int] | None = None,  # H, W; None: the image's own
    crop_to_frame: bool = False,  # cut the middle of the image to the frame's proportions first
    resample: str = "bicubic",
) -> PosedImage:
    """Resize an image to *size*, and scale the points from their frame to it."""
    frame = keypoint_frame or image.shape[:2]
    if crop_to_frame:
        image = cut_middle(image, (frame[0], frame[1]))
    scaled = keypoints.scale(size[1] / frame[1], size[0] / frame[0])
    return PosedImage(resize_image(image, size, resample), scaled)


def _chosen(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}


def find_lists(root: str | Path, split: str, prefix: str) -> tuple[Path, Path]:
    """Find the pair list and the annotation list of a split; both have the same prefix.

    Raises:
        DataError: no spelling was found (names the tried ones), or a list is a link that leads out.
    """
    spellings = [prefix, *(FASHION_PREFIXES if prefix in FASHION_PREFIXES else ())]
    if not Path(root).is_dir():
        raise DataError(root, "there is no such folder")
    tried = []
    for spelling in dict.fromkeys(spellings):
        files = [Path(root, f"{spelling}-{kind}-{split}.csv") for kind in ("pairs", "annotation")]
        missing = [file.name for file in files if not file.is_file()]
        outside = [f"{file.name}: {problem}" for file in files if (problem := link_out(file, root))]
        if outside:
            raise DataError(root, outside)
        if not missing:
            return files[0], files[1]
        tried += missing
    raise DataError(root, [f"no file {name}" for name in tried], "A pair list and its annotation list are needed.")


def _check_on_missing(value: str) -> None:
    if value not in ON_MISSING:
        raise ConfigError(f"on_missing is {' or '.join(map(repr, ON_MISSING))}, got {value!r}")


def find_images(
    folder: ImageFolder, rows: Sequence[PairRow], on_missing: str = "raise"
) -> tuple[dict[str, str], list[str]]:
    """Find each image the rows name; return the paths, and a problem for each that is missing or outside the data set.

    With *on_missing* ``later``, a missing image gets the path where it should be.
    """
    paths: dict[str, str] = {}
    problems: dict[str, str] = {}
    for row in rows:
        for name in (row.source, row.target):
            if name in paths or name in problems:
                continue
            path = folder.find(name)
            if path is None and on_missing == "later":
                path = str(folder.folder / name)
            if path is None:
                problems[name] = f"row {row.row}: no image {name!r} in {folder.described}"
            elif problem := link_out(path, folder.root):
                problems[name] = f"row {row.row}: image {name!r} is {problem}"
            else:
                paths[name] = path
    return paths, list(problems.values())


def identity_of(name: str) -> str | None:
    """Return the identity in an image, from its name in Market-1501 and DeepFashion; None for other names."""
    found = [match[1] for pattern in IDENTITIES if (match := pattern.match(PurePosixPath(name).name))]
    return f"person {found[0]}" if found else None


def _annotated_twice(annotation_file: Path) -> Iterator[Finding]:
    """Find rows that repeat a name. With different points they are bad rows already."""
    first: dict[str, int] = {}
    for row, line in enumerate(read_text(annotation_file).splitlines()[1:], 2):
        name = line.partition(":")[0].strip()
        if name and first.setdefault(name, row) != row:
            text = f"annotates the image of row {first[name]} again"
            yield Finding("duplicate row", text, str(annotation_file), str(row), name, "warning")


def _without_annotation(
    pairs_file: Path, rows: Sequence[PairRow], annotations: Mapping[str, Keypoints]
) -> Iterator[Finding]:
    """Find pairs without annotations."""
    for row, source, target in rows:
        for name in dict.fromkeys((source, target)):
            if name not in annotations:
                text = "has no key points in the annotation list"
                yield Finding("no annotation", text, str(pairs_file), str(row), name)


def _doubtful_pairs(pairs_file: Path, rows: Sequence[PairRow]) -> Iterator[Finding]:
    """Find pairs of an image with itself, repeated pairs, and pairs of two identities."""
    first: dict[tuple[str, str], int] = {}
    for row, source, target in rows:
        where = {"file": str(pairs_file), "row": str(row)}
        if first.setdefault((source, target), row) != row:
            text = f"is the pair of row {first[source, target]} again"
            yield Finding("duplicate row", text, sample=target, severity="warning", **where)
        if source == target:
            yield Finding("same image", "is paired with itself", sample=source, severity="warning", **where)
        people = {identity_of(source), identity_of(target)} - {None}
        if len(people) > 1:
            text = f"is paired with {source}, which shows another identity"
            yield Finding("two persons", text, sample=target, severity="warning", **where)


class ImageFolder:
    """Find the images of a split by their names in the lists."""

    DOWNLOADS = ("img_highres", "img")

    def __init__(self, root: str | Path, split: str) -> None:
        self.root = Path(root)
        self.folder = self.root / split

    @property
    def described(self) -> str:
        """Describe the folders that are searched, for an error."""
        downloads = [str(self.root / name) for name in self.DOWNLOADS if (self.root / name).is_dir()]
        return " or ".join([str(self.folder), *downloads])

    def find(self, name: str) -> str | None:
        """Return the path of the image *name*, or None."""
        if name in self._listed or ("/" in name and os.path.isfile(self.folder / name)):
            return str(self.folder / name)
        return self._downloaded.get(name)

    @cached_property
    def _listed(self) -> frozenset[str]:
        return frozenset(os.listdir(self.folder)) if self.folder.is_dir() else frozenset()

    @cached_property
    def _downloaded(self) -> dict[str, str]:
        """Map names of the lists to files of DeepFashion's own folders; they are walked once, if needed."""
        found: dict[str, str] = {}
        for download in self.DOWNLOADS:
            for folder, _, files in os.walk(self.root / download):
                paths = [os.path.join(folder, file) for file in files]
                for path in paths:
                    with contextlib.suppress(ValueError):
                        found.setdefault(flat_name(path), path)
        return found


def _published_name(source: str, target: str) -> str:
    return f"{_stem(source)}_2_{_stem(target)}_vis"


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


# COCO key points


class Person(NamedTuple):
    """One annotation: box (left, top, width, height) and points in pixels of the image, identity, size in the list."""

    id: int
    file_name: str
    box: tuple[float, float, float, float]
    keypoints: Keypoints
    identity: tuple[Any, ...] | None
    frame: tuple[int, int] | None = None


@DATASETS.register_module()
class CocoPairs(PeoplePairs):
    """Pairs from any data set with COCO key points.

    A pair is two annotations of one person, in both orders: the same ``person_id``, or the same ``track_id`` in one
    video (``vid_id`` of the image; PoseTrack). A file without either gives pairs of a person and its mirror image. A
    category may name other points than COCO's 17; points that the structure's layout lacks are dropped.

    The person's box is padded, extended to the proportions of *size*, cropped (gray outside of the image) and resized.
    ``skipped`` counts unused annotations by reason.

    Args:
        annotation_file: COCO JSON.
        image_root: folder that ``file_name`` is relative to.
        structure, augmentation, seed, resample, foreground: see :class:`PeoplePairs`.
        size: (H, W) in pixels.
        min_keypoints: annotations with fewer visible points are not used.
        padding: padding of the box on each side, as a fraction of its width and height.
        limit: use only the first *limit* pairs; None: all.
        on_missing: see :class:`AnnotatedPairs`.

    Raises:
        DataError: not COCO JSON; all bad annotations and missing images at once; or no pair at all.
        ConfigError: a structure without key points; another *on_missing*.
    """

    def __init__(
        self,
        annotation_file: str | Path,
        image_root: str | Path,
        structure: StructureEncoder | dict[str, Any],
        size: Sequence[int] = (256, 256),
        min_keypoints: int = 8,
        padding: float = 0.15,
        augmentation: PublishedAugmentation | dict[str, Any] | None = None,
        seed: int = 0,
        limit: int | None = None,
        resample: str = "bicubic",
        on_missing: str = "raise",
        foreground: StructureEncoder | dict[str, Any] | None = None,
    ) -> None:
        super().__init__(structure, size, augmentation, seed, resample, foreground)
        _check_on_missing(on_missing)
        self.image_root = Path(image_root)
        self.padding = padding
        self.people, self.skipped, problems = read_people(
            annotation_file, image_root, min_keypoints, self.layout, on_missing
        )
        if problems:
            raise DataError(annotation_file, problems, HINT)
        self.pairs = list(itertools.islice(self._pair_up(), limit))
        if not self.pairs:
            counts = [f"{count} annotations: {reason}" for reason, count in self.skipped.items()]
            raise DataError(annotation_file, ["no pair of pictures of one person", *counts])
        print_log(self._summary(annotation_file), logger="current", level=logging.INFO)

    def _summary(self, annotation_file: str | Path) -> str:
        """``coco.json: 12 pairs; left out: 2 annotations: a crowd``."""
        left_out = [f"{count} annotation{'s' * (count != 1)}: {why}" for why, count in self.skipped.items() if count]
        pairs = f"{Path(annotation_file).name}: {len(self)} pair{'s' * (len(self) != 1)}"
        return f"{pairs}; left out: {', '.join(left_out)}" if left_out else pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def views(self, index: int) -> tuple[PosedImage, PosedImage, str]:
        """Return source, target and name of a pair, before augmentation."""
        first, second = self.pairs[index]
        source = self._view(self.people[first])
        start = f"{_stem(self.people[first].file_name)}_{self.people[first].id}"
        if second is None:
            return source, self._mirror(source), f"{start}_2_{_stem(self.people[first].file_name)}_mirror_vis"
        person = self.people[second]
        return source, self._view(person), f"{start}_2_{_stem(person.file_name)}_{person.id}_vis"

    @classmethod
    def examine(
        cls,
        annotation_file: str | Path,
        image_root: str | Path,
        structure: StructureEncoder | dict[str, Any],
        min_keypoints: int = 8,
        **unused: Any,
    ) -> Iterator[Finding | ImageInfo]:
        """Yield findings in the file, and every image that is used, for :mod:`posegen.checking`."""
        layout = _layout_of(structure, cls.__name__)
        people, _, problems = read_people(annotation_file, image_root, min_keypoints, layout)
        yield from as_findings("bad annotation", annotation_file, problems)
        annotations: dict[str, list[Annotation]] = defaultdict(list)
        frames = {person.file_name: person.frame for person in people}
        for person in people:
            row = f"annotation {person.id}"
            annotation = Annotation(person.keypoints, _who(person), str(annotation_file), row, layout)
            annotations[person.file_name].append(annotation)
        for name, shown in annotations.items():
            with contextlib.suppress(ValueError):  # among the problems already
                file = find_file(image_root, name)
                yield ImageInfo(file, name, tuple(shown), one_size=False, listed_size=frames[name])

    def _view(self, person: Person) -> PosedImage:
        image = read_in_frame(self.image_root / person.file_name, person.frame)
        return cut_out(image, person.keypoints, person.box, self.size, self.padding, self.resample)

    prepare_options = ("padding", "resample")

    @staticmethod
    def proportions(size: tuple[int, int], options: Mapping[str, Any]) -> tuple[int, int] | None:
        """Return None: :meth:`prepare` cuts out by the key points."""
        return None

    @staticmethod
    def prepare(
        image: np.ndarray, keypoints: Keypoints, size: tuple[int, int], options: Mapping[str, Any]
    ) -> tuple[np.ndarray, Keypoints]:
        """Prepare a photograph and its points as this data set does: see :func:`cut_out`.

        The person's box is that of the points, as for an annotation without a box.
        """
        return cut_out(image, keypoints, points_box(keypoints), size, **_chosen(options, "padding", "resample"))

    def _mirror(self, view: PosedImage) -> PosedImage:
        return PosedImage(
            np.ascontiguousarray(view.image[:, ::-1]),
            view.keypoints.mirror(self.size[1], self.layout),
        )

    def _pair_up(self) -> Iterator[tuple[int, int | None]]:
        """Return pairs of indices into ``people``; (index, None) is a person and its mirror image."""
        groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for i, person in enumerate(self.people):
            if person.identity is not None:
                groups[person.identity].append(i)
        if not groups:
            yield from ((i, None) for i in range(len(self.people)))
            return
        self.skipped["no other picture of the person"] += len(self.people) - sum(
            len(group) for group in groups.values() if len(group) > 1
        )
        for group in groups.values():
            yield from itertools.permutations(group, 2)


def read_people(
    annotation_file: str | Path,
    image_root: str | Path,
    min_keypoints: int,
    layout: KeypointLayout,
    on_missing: str = "raise",
) -> tuple[list[Person], Counter[str], list[str]]:
    """Read the usable annotations; count the others by reason; list problems, missing images too unless *on_missing* is
    ``later``.

    Raises:
        DataError: the file is not in COCO's form.
    """
    coco: Any = read_coco(annotation_file)  # its stubs know fixed fields only; files have more and fewer
    try:
        names = category_names(list(coco.cats.values()))
    except ValueError as error:
        raise DataError(annotation_file, str(error)) from error
    for own in names.values():
        check_points(spaced(own), layout, annotation_file)
    people: list[Person] = []
    skipped: Counter[str] = Counter()
    problems: list[str] = []
    for entry in coco.anns.values():
        try:
            person = read_person(entry, coco.imgs, names, layout)
        except DataError as error:
            problems += error.problems
            continue
        if reason := _useless(entry, person, min_keypoints):
            skipped[reason] += 1
        else:
            people.append(person)
    for file in dict.fromkeys(person.file_name for person in people):
        try:
            find_file(image_root, file)
        except ValueError as error:
            path = Path(image_root, file)
            if on_missing == "raise" or os.path.lexists(path) or link_out(path, image_root):
                problems.append(str(error))
    return people, skipped, problems


def read_coco(path: str | Path) -> COCO:
    """Read a COCO annotation file with pycocotools, without its prints.

    Raises:
        DataError: not there, not JSON, or not in COCO's form.
    """
    coco = COCO()
    coco.dataset = read_json(path)
    if not isinstance(coco.dataset, dict) or not {"images", "annotations"} <= coco.dataset.keys():
        raise DataError(path, "not COCO's form: it needs 'images' and 'annotations'")
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(path, f"not COCO's form: {type(error).__name__}: {error}") from error
    twice = [
        f"{kind}: {len(coco.dataset.get(kind, [])) - len(known)} ids stand in the file twice"
        for kind, known in (("images", coco.imgs), ("annotations", coco.anns), ("categories", coco.cats))
        if len(known) < len(coco.dataset.get(kind, []))
    ]
    if twice:
        raise DataError(path, twice)
    return coco


def read_person(
    entry: dict[str, Any],
    images: dict[Any, dict[str, Any]],
    names: dict[Any, Sequence[str]],
    layout: KeypointLayout,
) -> Person:
    """Read one annotation, and convert its points to *layout*.

    An annotation without points becomes a person without points.

    Raises:
        DataError: no image, an unsafe file name, a wrong number of points, a box or an identity that is none.
    """
    what = f"annotation {entry['id']}"
    image = images.get(entry["image_id"])
    if image is None or not isinstance(image.get("file_name"), str):
        raise DataError("", f"{what}: image {entry['image_id']!r} is not among the images, or has no file_name")
    try:
        check_name(image["file_name"])
    except ValueError as error:
        raise DataError("", f"{what}: {error}") from error
    point_names = names.get(entry.get("category_id"), COCO_17.names)
    values = entry.get("keypoints") or [0] * (3 * len(point_names))
    keypoints = coco_keypoints(values, "", point_names, what, layout)
    identity = _identity(entry, image)
    if identity is not None and not all(isinstance(part, (str, int, float, NoneType)) for part in identity):
        raise DataError("", f"{what}: person_id, track_id and vid_id must be numbers or text, got {identity[1:]}")
    height, width = image.get("height"), image.get("width")
    frame = (height, width) if isinstance(height, int) and isinstance(width, int) else None
    return Person(entry["id"], image["file_name"], _box(entry, keypoints, what), keypoints, identity, frame)


def _box(entry: dict[str, Any], keypoints: Keypoints, what: str) -> tuple[float, float, float, float]:
    """Return the annotation's box, or the box of its points if it has none."""
    if entry.get("bbox"):
        try:
            left, top, width, height = (float(value) for value in entry["bbox"])
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError("", f"{what}: bbox {str(entry['bbox'])[:80]} is not four numbers") from error
        if not np.isfinite([left, top, width, height]).all():
            raise DataError("", f"{what}: bbox {entry['bbox']!r} is not finite")
        if width > 0 and height > 0:
            return left, top, width, height
    return points_box(keypoints)


def points_box(keypoints: Keypoints) -> tuple[float, float, float, float]:
    """Return left, top, width and height of the smallest box around the points that are present."""
    points = keypoints.points[keypoints.present] if keypoints.present.any() else np.zeros((1, 2))
    left, top = points.min(0).tolist()
    width, height = (points.max(0) - points.min(0) + 1).tolist()
    return left, top, width, height


def _identity(entry: dict[str, Any], image: dict[str, Any]) -> tuple[Any, ...] | None:
    """Return the identity, None if unknown. A track id is unique within its video only."""
    if entry.get("person_id") is not None:
        return ("person", entry["person_id"])
    if entry.get("track_id") is not None:
        return ("track", image.get("vid_id"), entry["track_id"])
    return None


def _who(person: Person) -> str | None:
    if person.identity is None:
        return None
    kind, *keys = person.identity
    return f"{kind} {' '.join(map(str, keys))}"


def _useless(entry: dict[str, Any], person: Person, min_keypoints: int) -> str:
    """Return why an annotation is not used, or an empty string."""
    if entry.get("iscrowd"):
        return "a crowd"
    visible = sum((value or 0) > 0 for value in (entry.get("keypoints") or [])[2::3])
    if visible < min_keypoints or not person.keypoints.present.any():
        return f"fewer than {min_keypoints} key points"
    return ""


def cut_out(
    image: np.ndarray,  # uint8, H W 3
    keypoints: Keypoints,  # in pixels of the image
    box: tuple[float, float, float, float],  # the person's, as crop_box takes it
    size: tuple[int, int],  # H, W of the result
    padding: float = 0.15,  # as crop_box takes it
    resample: str = "bicubic",
) -> PosedImage:
    """Crop a person to *size*, gray outside of the image; return the crop and the points in pixels of it."""
    left, top, right, bottom = crop_box(box, image.shape[:2], size, padding)
    crop = _crop(image, left, top, right, bottom)
    moved = Keypoints(keypoints.points - (left, top), keypoints.present)
    scaled = moved.scale(size[1] / (right - left), size[0] / (bottom - top))
    return PosedImage(resize_image(crop, size, resample), scaled)


def _crop(image: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Crop an image, gray outside of it."""
    crop = np.full((bottom - top, right - left, image.shape[2]), GRAY, image.dtype)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, image.shape[1]), min(bottom, image.shape[0])
    if x0 < x1 and y0 < y1:
        crop[y0 - top : y1 - top, x0 - left : x1 - left] = image[y0:y1, x0:x1]
    return crop


def crop_box(
    box: tuple[float, float, float, float],  # left, top, width, height, in pixels of the image
    image_size: tuple[int, int],  # H, W
    size: tuple[int, int],  # H, W whose proportions the crop gets
    padding: float,  # growth on each side, as a part of width and height
) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom (the last two exclusive) of a person's crop, which may exceed the image.

    The box is first cut to the image, so a wrong one cannot ask for more memory than the image is worth.
    """
    x0, x1 = np.clip([box[0], box[0] + box[2]], 0, image_size[1])
    y0, y1 = np.clip([box[1], box[1] + box[3]], 0, image_size[0])
    width, height = max(x1 - x0, 1) * (1 + 2 * padding), max(y1 - y0, 1) * (1 + 2 * padding)
    width, height = max(width, height * size[1] / size[0]), max(height, width * size[0] / size[1])
    left, top = round((x0 + x1 - width) / 2), round((y0 + y1 - height) / 2)
    return left, top, left + max(1, round(width)), top + max(1, round(height))
