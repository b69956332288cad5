"""Base classes of data sets. Everything a data set may offer beyond its samples has a documented default here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from torch.utils.data import Dataset

from ..errors import ConfigError
from ..records import Clip, Pair
from .images import resize_image
from .keypoints import Keypoints
from .structure import StructureEncoder

Record = TypeVar("Record", Pair, Clip)


class PoseDataset(Dataset[Record]):
    """Common base of :class:`PairDataset` and :class:`ClipDataset`, one of which a data set inherits from.

    A subclass sets :attr:`structure` and implements ``__len__`` and ``__getitem__(index)``, which gives the same record
    for the same index and raises IndexError beyond the end. Everything else has a default.

    Attributes:
        structure: the encoder that made the structures; it also draws them on sample sheets.
        augments: True if samples differ from draw to draw. Training then asks for ``(index, draw)`` instead of a bare
            index, so that augmentation is a function of both.
        prepare_options: names of the constructor's options that :meth:`prepare` reads. They go with a shared model.
        drawn_options: only for data sets that are drawn and read no files: names of the options that determine what is
            drawn. They go with a shared model, and ``posegen example`` draws its examples with them. None: the data
            set reads files.
    """

    structure: StructureEncoder
    augments: bool = False
    prepare_options: ClassVar[Sequence[str]] = ()
    drawn_options: ClassVar[Sequence[str] | None] = None

    def __len__(self) -> int:
        """Return the number of samples."""
        raise NotImplementedError(f"{type(self).__name__} does not implement __len__")

    def keypoints(self, index: int) -> Iterable[Keypoints] | None:
        """Return the key points of a sample in pixels of its images, or None if they are not known.

        They are those of source and target; for a clip, of the reference and then of each frame. ``posegen app`` edits
        examples of the test set by them, and otherwise by the encoder's ``decode``.
        """
        return None

    @classmethod
    def examine(cls, *arguments: Any, **options: Any) -> Iterable[Any] | None:
        """List the image files of a data set and what is wrong with its lists, for :mod:`posegen.checking`.

        Args:
            arguments, options: those of the constructor; a subclass names the ones it reads. Nothing is built.

        Returns:
            None if the class cannot list its files; ``posegen check`` then reads every sample.
        """
        return None

    @staticmethod
    def prepare(
        image: np.ndarray, keypoints: Keypoints, size: tuple[int, int], options: Mapping[str, Any]
    ) -> tuple[np.ndarray, Keypoints]:
        """Bring a photograph to the form in which the network saw images in training. Default: resize all of it.

        Args:
            image: uint8 H W 3, of any size.
            keypoints: in pixels of *image*.
            size: (H, W) of the result.
            options: arguments that the config gives the data set.

        Returns:
            The image, uint8, and the key points in pixels of it.
        """
        height, width = image.shape[:2]
        return resize_image(image, size), keypoints.scale(size[1] / width, size[0] / height)

    @staticmethod
    def proportions(size: tuple[int, int], options: Mapping[str, Any]) -> tuple[int, int] | None:
        """Return the proportions (H, W) of the photographs that :meth:`prepare` resizes as a whole.

        posegen crops or pads a user's photograph to them before it calls :meth:`prepare`. None: *prepare* cuts
        photographs out by their key points itself. Default: those of *size*.

        Args:
            size, options: as of :meth:`prepare`.
        """
        return size

    @classmethod
    def has_own_preparation(cls) -> bool:
        """Return whether :meth:`prepare` does more than resize the whole photograph."""
        return cls.prepare is not PoseDataset.prepare

    def files(self) -> Mapping[str, tuple[Path, Path]]:
        """Return the paths of source and target by name of the pair, where pairs show whole image files.

        ``posegen test --protocol`` scores against these originals. Pairs that are not listed are scored against the
        targets as the data set gives them.
        """
        return {}

    def motion(self, index: int, frames: int) -> Sequence[Keypoints]:
        """Return the key points of a motion that begins and ends with the pose of a drawn sample's source.

        They count pixels of the source. ``posegen example`` writes them. Default: no motion.
        """
        return ()


class PairDataset(PoseDataset[Pair]):
    """Base class of data sets whose samples are :class:`~posegen.records.Pair`."""


class ClipDataset(PoseDataset[Clip]):
    """Base class of data sets whose samples are :class:`~posegen.records.Clip`."""


def require_dataset(part: Any) -> Any:
    """Return a data set, or its class, if it inherits from :class:`PairDataset` or :class:`ClipDataset`.

    Raises:
        ConfigError: it does not.
    """
    kind = part if isinstance(part, type) else type(part)
    if not issubclass(kind, PoseDataset):
        raise ConfigError(
            f"the data set {kind.__name__} does not inherit from posegen.data.PairDataset or posegen.data.ClipDataset, "
            "which say what a data set has"
        )
    return part


def check_drawing(dataset: str, size: Sequence[int], smallest: int, seed: int, **counts: int) -> tuple[int, int]:
    """Check the options of a drawn data set, and return the (H, W) of its pictures.

    Args:
        dataset: name of its class.
        size: (H, W) in pixels.
        smallest: smallest allowed side.
        seed: 0 or more.
        counts: further options that are 1 or more, such as the number of samples.

    Raises:
        ConfigError: an option is out of range.
    """
    if len(size) != 2 or min(size) < smallest:
        raise ConfigError(f"{dataset}: size is (height, width), each {smallest} pixels or more; got {tuple(size)}")
    if min(counts.values()) < 1 or seed < 0:
        given = ", ".join(f"{name}={value}" for name, value in {**counts, "seed": seed}.items())
        raise ConfigError(f"{dataset}: {' and '.join(counts)} must be 1 or more and seed 0 or more; got {given}")
    return int(size[0]), int(size[1])


def jitter_color(rng: np.random.Generator, color: Sequence[float]) -> np.ndarray:
    """Draw a color near *color* for a drawn data set; values in [0, 1], float32."""
    return np.clip(np.array(color) + rng.uniform(-0.04, 0.04, 3), 0, 1).astype(np.float32)
