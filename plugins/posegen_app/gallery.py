"""Examples from a config's test set: pictures with their structures, and clips that drive others."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from posegen.data import Keypoints, PoseDataset, StructureEncoder, require_dataset
from posegen.data.images import read_photograph, to_uint8
from posegen.errors import PosegenError
from posegen.files import natural_order
from posegen.inference import Inferencer, read_keypoints
from posegen.inference.cutout import Cutout
from posegen.inference.framing import Window
from posegen.records import Clip, Pair
from posegen.registry import DATASETS

Structure = Any
"""Key points in pixels of their picture; class numbers of an encoder with choices; a ready structure (tensor S H W); or
anything else the encoder encodes."""


OWN, FILLED, _, TRANSPARENT, PICTURE = BACKGROUNDS = (
    "as in the picture", "filled behind the figure", "white", "transparent", "your picture",
)  # fmt: skip
"""Names of backgrounds on the page."""


@dataclass(frozen=True)
class Backdrop:
    """Background that replaces that of a photograph.

    Args:
        name: one of :data:`BACKGROUNDS`.
        cutout: cuts the figure out of the photograph and of results, and puts it in front of the background.
    """

    name: str
    cutout: Cutout

    @property
    def is_transparent(self) -> bool:
        """Return whether results have an alpha channel."""
        return self.name == TRANSPARENT


@dataclass(frozen=True)
class Sample:
    """A picture with its structure.

    Args:
        picture: uint8 H W 3.
        structure: None: unknown.
        photograph: photograph from which the picture was cut, uint8 H W 3; None: it is the whole photograph.
        window: the part of the photograph that the picture shows.
        backdrop: background of results; None: that of the picture.
    """

    picture: np.ndarray
    structure: Structure
    photograph: np.ndarray | None = None
    window: Window | None = None
    backdrop: Backdrop | None = None

    @property
    def is_transparent(self) -> bool:
        """Return whether results have an alpha channel."""
        return self.backdrop is not None and self.backdrop.is_transparent

    @property
    def pose(self) -> Keypoints:
        """Return the key points, whose frame is the picture."""
        return replace(self.structure, frame=(self.picture.shape[0], self.picture.shape[1]))

    def points_in_photograph(self) -> Keypoints:
        """Return the key points in pixels of the photograph."""
        assert self.photograph is not None
        assert self.window is not None
        height, width = self.picture.shape[:2]
        points = self.structure.scale(self.window.width / width, self.window.height / height)
        return replace(points, points=points.points + np.array([self.window.left, self.window.top], np.float32))


@dataclass(frozen=True)
class DrivingClip:
    """A clip of the test set whose motion drives a source: its index, number of frames, and a drawing of one frame."""

    name: str
    index: int
    frames: int
    cover: np.ndarray


@dataclass(frozen=True)
class Gallery:
    """Examples of the page.

    Args:
        examples: pairs of source and target.
        clips: clips that drive a source.
        dataset: the test set.
        note: reason why there are no examples, or empty.
    """

    examples: list[tuple[Sample, Sample]] = field(default_factory=list)
    clips: list[DrivingClip] = field(default_factory=list)
    dataset: Any = None
    note: str = ""

    def structures(self, clip: DrivingClip, limit: int) -> list[Tensor]:
        """Read the structures S H W of a clip's first *limit* frames.

        Raises:
            PosegenError: its files cannot be read any more.
        """
        return list(self.dataset[clip.index].structures[:limit])


def read_gallery(model: Inferencer, numbers: Sequence[int]) -> Gallery:
    """Read samples of the config's test set by their *numbers*, from 0; its files may be missing, which is noted."""
    options = (model.config.get("test_dataloader") or {}).get("dataset")
    if options is None:
        return Gallery(note="the config has no test set")
    try:
        dataset = require_dataset(DATASETS.build_part(options))
        examples, clips = [], []
        for index in (number for number in numbers if number < len(dataset)):
            record = dataset[index]
            examples += _example(dataset, index, record, model.encoder)
            clips += _driving_clip(index, record, model.encoder)
    except Exception as error:  # third-party data sets raise anything, and the page works without examples
        return Gallery(note=" ".join(str(error).split("\n")[:2]))
    note = "" if examples else f"{type(dataset).__name__} does not know the key points of its structures"
    return Gallery(examples, clips, dataset, note)


def read_examples(model: Inferencer, folder: Path) -> Gallery:
    """Read examples from a folder as ``posegen example`` writes it; broken files are noted.

    Args:
        model: the model; without key points it has no such examples.
        folder: pictures ``sources/NAME.png`` with their key points beside them, and target poses ``poses/NAME.json``.
    """
    if model.encoder.layout is None:
        return Gallery(note=f"{folder}: examples in a folder require key points")
    examples = []
    try:
        for path in sorted((folder / "sources").glob("*.png"), key=natural_order):
            picture = read_photograph(path).image
            points = [read_keypoints(file, model.encoder.layout) for file in (
                path.with_suffix(".json"), folder / "poses" / path.with_suffix(".json").name)]  # fmt: skip
            height, width = picture.shape[:2]
            source = Sample(picture, points[0], picture, Window(0, 0, width, height))
            examples.append((source, Sample(np.zeros_like(picture), points[1])))
    except PosegenError as error:
        return Gallery(note=" ".join(str(error).split("\n")[:2]))
    return Gallery(examples, note="" if examples else f"{folder}: there are no pictures")


def _example(
    dataset: PoseDataset, index: int, record: Pair | Clip, encoder: StructureEncoder
) -> list[tuple[Sample, Sample]]:
    """Source and target of a pair; reference and middle frame of a clip."""
    if isinstance(record, Clip):
        middle = len(record.frames) // 2
        images = record.reference, record.frames[middle]
        encoded, place = (record.reference_structure, record.structures[middle]), middle + 1
    else:
        images, place = (record.source, record.target), 1
        encoded = record.source_structure, record.target_structure
    structures = _editable(dataset, index, place, encoded, encoder)
    if structures is None:
        return []
    source, target = (Sample(to_uint8(image), one) for image, one in zip(images, structures, strict=True))
    return [(source, target)]


def _editable(
    dataset: PoseDataset, index: int, place: int, encoded: tuple[Tensor, Tensor], encoder: StructureEncoder
) -> tuple[Structure, Structure] | None:
    """Structures of source and target as the page edits them: from the data set, or decoded.

    Without an editor, the encoded structures; None: key points that neither data set nor encoder knows.
    """
    known = dataset.keypoints(index)
    if known is not None:
        poses = list(itertools.islice(known, place + 1))
        return poses[0], poses[place]
    decoded = encoder.decode(encoded[0]), encoder.decode(encoded[1])
    if decoded[0] is not None:
        return decoded
    return encoded if encoder.layout is None else None


def _driving_clip(index: int, record: Pair | Clip, encoder: StructureEncoder) -> list[DrivingClip]:
    if not isinstance(record, Clip):
        return []
    cover = encoder.draw(record.structures[len(record.structures) // 2])
    return [DrivingClip(record.name, index, len(record.structures), cover)]
