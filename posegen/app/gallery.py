"""What a config's test set gives the page: pictures with their structures, and clips that drive others."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from ..data import Keypoints, require_dataset
from ..data.images import to_uint8
from ..records import Clip, Pair
from ..registry import DATASETS
from .loading import Loaded

Structure = Any
"""Key points in pixels of their picture; numbers of an encoder's choices; a ready structure (tensor S H W); or
whatever else the encoder encodes."""


@dataclass(frozen=True)
class Subject:
    """A picture, uint8 H W 3, and its structure; None: it is not known."""

    picture: np.ndarray
    structure: Structure


@dataclass(frozen=True)
class Drive:
    """A clip of the data set that others are driven by: its number there, its length, and a drawing of a frame."""

    name: str
    number: int
    frames: int
    cover: np.ndarray


@dataclass(frozen=True)
class Gallery:
    """Pairs of subjects, a source and a target; clips; the data set; why there is nothing, or an empty text."""

    examples: list[tuple[Subject, Subject]] = field(default_factory=list)
    drives: list[Drive] = field(default_factory=list)
    dataset: Any = None
    note: str = ""

    def structures(self, drive: Drive, most: int) -> list[Tensor]:
        """The structures S H W of a clip's first *most* frames.

        Raises:
            PosegenError: its files cannot be read any more.
        """
        return list(self.dataset[drive.number].structures[:most])


def read_gallery(loaded: Loaded, most: int) -> Gallery:
    """At most so many records of the config's test set. Its files may not be there: a model is played with where it was
    not trained, and a note says why there are none."""
    options = (loaded.config.get("test_dataloader") or {}).get("dataset")
    if options is None:
        return Gallery(note="its config names no test set")
    try:
        dataset = require_dataset(DATASETS.build_part(options))
        examples, drives = [], []
        for number in range(min(most, len(dataset))):
            record = dataset[number]
            examples += _example(dataset, number, record, loaded.encoder)
            drives += _drive(number, record, loaded.encoder)
    except Exception as error:  # a page needs no examples, whatever they are made of
        return Gallery(note=" ".join(str(error).split("\n")[:2]))
    note = "" if examples else f"{type(dataset).__name__} cannot say the key points of its structures"
    return Gallery(examples, drives, dataset, note)


def _example(dataset: Any, number: int, record: Pair | Clip, encoder: Any) -> list[tuple[Subject, Subject]]:
    """Source and target of a pair; of a clip the reference and its middle frame."""
    if isinstance(record, Clip):
        middle = len(record.frames) // 2
        images = record.reference, record.frames[middle]
        encoded, place = (record.reference_structure, record.structures[middle]), middle + 1
    else:
        images, place = (record.source, record.target), 1
        encoded = record.source_structure, record.target_structure
    structures = _structures(dataset, number, place, encoded, encoder)
    if structures is None:
        return []
    source, target = (Subject(to_uint8(i), s) for i, s in zip(images, structures, strict=True))
    return [(source, target)]


def _structures(
    dataset: Any, number: int, place: int, encoded: tuple[Tensor, Tensor], encoder: Any
) -> tuple[Structure, Structure] | None:
    """The source's and the target's, as they are edited: as the data set says them, or decoded; where they are not
    edited, as they are. None: key points that neither says."""
    known = dataset.keypoints(number)
    if known is not None:
        said: list[Keypoints] = list(itertools.islice(known, place + 1))
        return said[0], said[place]
    decoded = encoder.decode(encoded[0]), encoder.decode(encoded[1])
    if decoded[0] is not None:
        return decoded
    return encoded if encoder.layout is None else None


def _drive(number: int, record: Pair | Clip, encoder: Any) -> list[Drive]:
    if not isinstance(record, Clip):
        return []
    cover = encoder.draw(record.structures[len(record.structures) // 2])
    return [Drive(record.name, number, len(record.structures), cover)]
