"""From pictures and key points to pictures, in Python: what ``posegen infer`` does, for one or thousands."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from mmengine.config import Config
from PIL import Image
from rich.progress import track
from torch import Tensor

from . import plugin_access
from .api import load_model
from .config import is_config, load_config, require
from .data import KeypointLayout, Keypoints, PoseDataset, StructureEncoder, require_dataset
from .data.images import read_image, resize_image, to_tensor, to_uint8
from .data.keypoints import shown
from .errors import ConfigError, DataError, InputError, PosegenError
from .files import read_json
from .ops import resize_flow, warp
from .records import PairBatch, Transfer
from .registry import DATASETS, STRUCTURE_ENCODERS
from .sharing import find_shared, is_shared, load_shared

CORNER = 2.0
"""Pixels about the upper left; key points that all lie there are shares of the picture, which may leave it a little."""

Picture = str | Path | Image.Image | np.ndarray
"""A path, a PIL image, or an array uint8 H W 3, RGB."""
Structure = Any
"""A path of a key-point file, points K 2 or K 3 (x, y, score: 0 is missing), :class:`posegen.data.Keypoints`, a ready
structure (tensor S H W), or whatever else the config's encoder encodes, for example a view."""


@dataclass(frozen=True)
class Result:
    """What a model made of one source, at the model's size (H, W), or the source's where ``resize_back`` was asked for.

    Args:
        image: uint8 H W 3, RGB.
        flow: the finest, float32 2 H W in pixels of the image: target pixel l shows source position ``l + flow[:, l]``;
            None: the model has none.
        mask: the finest, float32 H W in [0, 1]: 1 is warped, 0 made up; None: the model has none.
        warped: the source as the model saw it, moved along the flow, uint8 H W 3; None: there is no flow.
        name: of the source's file, without its ending; of an image in memory its number, five digits.
    """

    image: np.ndarray
    flow: np.ndarray | None
    mask: np.ndarray | None
    warped: np.ndarray | None
    name: str


@dataclass(frozen=True)
class Prepared:
    """One source as the network sees it: ``source`` 3 H W, structures S H W (or S 1 1); ``size``: (H, W) it had."""

    source: Tensor
    source_structure: Tensor
    target_structure: Tensor
    name: str
    size: tuple[int, int]


class Inferencer:
    """A model that takes pictures and key points as people have them, and prepares them as its data set does.

    Args:
        config_or_folder: a shared folder, the name of one that a plugin ships, or ``hf://OWNER/NAME``, one on the
            Hugging Face Hub (:mod:`posegen.sharing`); or a config, with *checkpoint*. A ``.py`` config is code and
            runs.
        checkpoint: of the config's model, trained or converted.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …; ``"auto"``: CUDA where there is a GPU, else the CPU.
        revision: of a model on the Hub: a branch, tag or commit; None: the newest.

    Attributes:
        config: of the model.
        encoder: of its structures; it draws them, too.
        model: of single images, with its ``transfer``, or of clips, with its ``frames``; in eval mode.
        size: (H, W) of the images it takes and makes, in pixels.

    Raises:
        ConfigError: broken, or of a model that makes neither single images nor clips.
        CheckpointError: the weights are unreadable, or of another architecture.
        MissingWeightsError: there is no such folder.
    """

    def __init__(
        self,
        config_or_folder: str | Path | Config,
        checkpoint: str | Path | None = None,
        device: str | torch.device = "auto",
        revision: str | None = None,
    ) -> None:
        self.device = torch.device(_available() if device == "auto" else device)
        self.model, self.config = _load(config_or_folder, checkpoint, revision)
        require(self.config, "structure", "size")
        if not (self.makes_single_images or hasattr(self.model, "frames")):
            raise ConfigError(f"{self.config.filename}: {type(self.model).__name__} makes neither images nor clips")
        self.model.to(self.device)
        self.encoder: StructureEncoder = STRUCTURE_ENCODERS.build_part(self.config.structure)
        self.size = (int(self.config["size"][0]), int(self.config["size"][1]))

    @property
    def makes_single_images(self) -> bool:
        """Whether the model makes each image by itself; one of clips makes each frame from the one before."""
        return hasattr(self.model, "transfer")

    def infer(
        self,
        sources: Picture | list[Picture],
        target_structures: Structure | list[Structure],
        source_structures: Structure | list[Structure],
        batch_size: int = 8,
        progress: bool = True,
        target_images: Picture | list[Picture] | None = None,
        subject: int | None = None,
        resize_back: bool = False,
    ) -> list[Result]:
        """Move sources into target structures. A list is many, anything else is one; one goes with each of many.

        Of a model of single images; what one of clips makes, :meth:`animate` gives.

        Args:
            sources: the pictures.
            target_structures: where to, in pixels of *target_images*; without them, of the picture whose size the
                structure's file says, or else of the source.
            source_structures: the sources' own, in pixels of the source.
            batch_size: pictures at once.
            progress: show a bar where there is more than one batch.
            target_images: the pictures that the target structures belong to: for their size, for encoders that look at
                pictures, and to find the entry in a key-point file of many images.
            subject: which one is meant where points are those of several, N K 2 or N K 3.
            resize_back: results of the source's size, not of the model's. Where the data set cuts sources out, this
                stretches the cut-out.

        Returns:
            One result a source, in order.

        Raises:
            ConfigError: the model is one of clips.
            DataError: a file is missing or broken; key-point files are all read, and all told of, before any work.
            InputError: what does not fit together.

        Warns:
            UserWarning: some key points lie outside of their picture. All of them: an InputError.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be 1 or more, got {batch_size}")
        self._check_single_images()
        columns = [sources, target_structures, source_structures, target_images]
        rows = _rows(columns, ("sources", "target_structures", "source_structures", "target_images"))
        wanted = [[target, image] for _, target, _, image in rows]
        points = self._read_structures(wanted + [[own, source] for source, _, own, _ in rows], subject)
        names = [_name(row[0], number) for number, row in enumerate(rows)]
        starts = range(0, len(rows), batch_size)
        results = []
        for start in track(starts, description="inference", disable=not progress or len(starts) < 2):
            chosen = range(start, min(start + batch_size, len(rows)))
            prepared = []
            for number in chosen:
                source, _, _, target_image = rows[number]
                target, own = points[number], points[len(rows) + number]
                prepared.append(self.prepare(source, target, own, target_image, names[number]))
            batch, out = self.transfer(prepared)
            results += _results(prepared, batch.source, out, resize_back)
        return results

    def animate(
        self,
        reference: Picture,
        structures: Iterable[Structure],
        reference_structure: Structure,
        batch_size: int = 8,
        structure_images: Picture | list[Any] | None = None,
        subject: int | None = None,
        resize_back: bool = False,
    ) -> Iterator[Result]:
        """A clip: one picture moved through a row of structures, of whichever kind the model is.

        A model of clips makes each frame from the one before it and the reference. One of single images makes each by
        itself, and knows nothing of the frame before: what it makes up may flicker. Of a clip no more than *batch_size*
        frames are in memory.

        Args:
            reference: the picture.
            structures: one a frame, in pixels of *structure_images*; without them, of the reference. The files of a
                list or tuple are all read before any work; anything else is asked for one when its turn comes.
            reference_structure: the reference's own, in pixels of it.
            batch_size: frames at once, of a model of single images.
            structure_images: the pictures that the structures belong to, a list beside a list (None: the structure
                counts pixels of the reference), or one for all; they are read one at a time.
            subject, resize_back: as of :meth:`infer`.

        Returns:
            The results in order, each when it is asked for; called after the reference.

        Raises:
            DataError, InputError: as :meth:`infer`.

        Warns:
            UserWarning: key points lie outside of their picture.
        """
        prepared = self.prepare_clip(reference, structures, reference_structure, structure_images, subject)
        frames = self.frames(prepared, batch_size)
        return (_results([one], one.source[None].to(self.device), made, resize_back)[0] for one, made in frames)

    def prepare(
        self,
        source: Picture,
        target_structure: Structure,
        source_structure: Structure,
        target_image: Picture | None = None,
        name: str = "",
        subject: int | None = None,
    ) -> Prepared:
        """One source as the network sees it. Arguments and errors as of :meth:`infer`."""
        rows = [(target_structure, target_image)]
        return next(self._prepare(source, rows, source_structure, name or _name(source, 0), subject))

    def prepare_clip(
        self,
        reference: Picture,
        structures: Iterable[Structure],
        reference_structure: Structure,
        structure_images: Picture | list[Any] | None = None,
        subject: int | None = None,
    ) -> Iterator[Prepared]:
        """The frames of a clip, each as the network sees it. Arguments and errors as of :meth:`animate`."""
        if isinstance(structures, (str, Path, Keypoints)):
            raise InputError("structures are those of all frames: give a list, of one where there is one frame")
        if isinstance(structures, Sequence):
            structures = list(structures)
        if isinstance(structure_images, tuple):
            structure_images = list(structure_images)
        rows: Iterable[Sequence[Any]] = ((structure, structure_images) for structure in structures)
        if isinstance(structures, list):
            given = _rows([structures, structure_images], ("structures", "structure_images"))
            reference_structure, *points = self._read_structures([[reference_structure, reference], *given], subject)
            rows = [(structure, image) for structure, (_, image) in zip(points, given, strict=True)]
        elif isinstance(structure_images, list):
            raise InputError("structure_images is a list: structures must be one, too, as long as it")
        return self._prepare(reference, rows, reference_structure, _name(reference, 0), subject)

    def _prepare(
        self, source: Picture, rows: Iterable[Sequence[Any]], own: Structure, name: str, subject: int | None
    ) -> Iterator[Prepared]:
        """A source with each of *rows*: a target structure, and the picture that it belongs to or None."""
        picture = as_array(source)
        own = self._points(own, source, subject)
        prepared, source_encoded = self._encode(own, picture, picture, f"{name}, source")
        source_image = to_tensor(prepared)
        for structure, image in rows:
            target = self._points(structure, image, subject)
            frame = frame_of(target, picture) if image is None else as_array(image)
            _, target_encoded = self._encode(target, frame, None if image is None else frame, f"{name}, target")
            yield Prepared(source_image, source_encoded, target_encoded, name, picture.shape[:2])

    def frames(self, prepared: Iterable[Prepared], batch_size: int = 8) -> Iterator[tuple[Prepared, Transfer]]:
        """The frames of a clip, one after the other, each as a pair with its reference.

        Args:
            prepared: one a frame, all of one reference, as :meth:`prepare_clip` gives them.
            batch_size: frames at once, of a model of single images.

        Returns:
            What each frame was made from, and what the model made: the image, and of flows and masks those from the
            reference; B = 1.

        Raises:
            InputError: as :meth:`infer`.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be 1 or more, got {batch_size}")
        return self._single_frames(iter(prepared), batch_size) if self.makes_single_images else self._clip(prepared)

    def _single_frames(self, prepared: Iterator[Prepared], batch_size: int) -> Iterator[tuple[Prepared, Transfer]]:
        while batch := list(islice(prepared, batch_size)):
            _, made = self.transfer(batch)
            for row, one in enumerate(batch):
                yield one, row_of(made, row)

    def _clip(self, prepared: Iterable[Prepared]) -> Iterator[tuple[Prepared, Transfer]]:
        rows = iter(prepared)
        first = next(rows, None)
        if first is None:
            return
        asked_for: deque[Prepared] = deque()  # one at a time; itertools.tee would keep 57

        def structures() -> Iterator[Tensor]:
            for one in chain([first], rows):
                asked_for.append(one)
                yield one.target_structure[None].to(self.device)

        reference, own = (tensor[None].to(self.device) for tensor in (first.source, first.source_structure))
        for frame in self.model.frames(reference, own, structures()):
            if not asked_for:
                raise PosegenError(f"{type(self.model).__name__} gave more frames than structures")
            yield asked_for.popleft(), Transfer(frame.image, frame.flows.reference, frame.masks.reference)
        if asked_for:
            raise PosegenError(f"{type(self.model).__name__} gave {len(asked_for)} frames fewer than structures")

    def transfer(self, prepared: Sequence[Prepared]) -> tuple[PairBatch, Transfer]:
        """What the model makes of prepared sources, and the batch it saw; its targets, unknown, are the sources.

        Raises:
            ConfigError: the model is one of clips.
        """
        self._check_single_images()
        source = torch.stack([one.source for one in prepared])
        batch = PairBatch(
            source,
            torch.stack([one.source_structure for one in prepared]),
            source,
            torch.stack([one.target_structure for one in prepared]),
            [one.name for one in prepared],
        ).to(self.device)
        return batch, self.model.transfer(batch.source, batch.source_structure, batch.target_structure)

    def _check_single_images(self) -> None:
        if not self.makes_single_images:
            raise ConfigError(
                f"{self.config.filename} describes a model of clips, not of single images: use `posegen animate`, or "
                "Inferencer.animate"
            )

    def _read_structures(self, given: Iterable[Sequence[Any]], subject: int | None) -> list[Any]:
        """Structures, each with its picture or None, read from their files; all that is wrong is told at once."""
        read, problems = [], []
        for structure, image in given:
            try:
                read.append(self._points(structure, image, subject))
            except DataError as error:
                problems += [f"{error.where}: {problem}" for problem in error.problems] or [str(error)]
        if problems:
            raise DataError("key points", list(dict.fromkeys(problems)))
        return read

    def _points(self, structure: Structure, image: Picture | None, subject: int | None) -> Any:
        """Key points as such; anything else that the encoder may take as it is."""
        layout = self.encoder.layout
        if isinstance(structure, (Keypoints, Tensor)):
            return structure
        if isinstance(structure, (str, Path)):
            if layout is None:
                raise ConfigError(
                    f"{structure} is a file, and {type(self.encoder).__name__} makes no structure of key points: give "
                    "what its method encode takes"
                )
            return read_keypoints(Path(structure), self.encoder, Path(image) if _is_path(image) else None)
        return structure if layout is None else as_keypoints(structure, layout, subject)

    def _encode(
        self, structure: Any, frame: np.ndarray, image: np.ndarray | None, name: str
    ) -> tuple[np.ndarray, Tensor]:
        """The frame as the network sees it, and the structure; *image*: the frame where it shows the structure's
        subject."""
        if isinstance(structure, Keypoints):
            prepared, encoded = encode_subject(self.config, self.encoder, frame, structure, image, name)
            return prepared, encoded[0]
        return self._fitted(frame, name), self._encoded(structure, name)

    def _encoded(self, structure: Any, name: str) -> Tensor:
        if isinstance(structure, Tensor):
            shapes = [(self.encoder.channels, *size) for size in (self.size, (1, 1))]
            if tuple(structure.shape) not in shapes:
                raise InputError(f"{name}: a ready structure is S H W, {shapes[0]}; got {tuple(structure.shape)}")
            return structure.float()
        try:
            return self.encoder.encode(structure, self.size)
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{name}: {type(self.encoder).__name__} cannot encode {structure!r}: {error}") from error

    def _fitted(self, frame: np.ndarray, name: str) -> np.ndarray:
        """A picture without key points: resized as a whole, unless its data set would look at them."""
        if frame.shape[:2] != self.size and _test_dataset(self.config)[0].has_own_preparation():
            raise InputError(
                f"{name}: has {frame.shape[0]}×{frame.shape[1]} pixels; beside a ready structure it must be as the "
                f"model takes it, {self.size[0]}×{self.size[1]}: its data set prepares pictures by their key points"
            )
        return resize_image(frame, self.size)


def as_array(picture: Picture) -> np.ndarray:
    """A picture as uint8 H W 3, RGB; of a file, as :func:`posegen.data.images.read_image` reads it.

    Raises:
        DataError: the file cannot be read.
        InputError: neither a path, nor an image, nor such an array.
    """
    if isinstance(picture, (str, Path)):
        return read_image(picture)
    if isinstance(picture, Image.Image):
        return np.asarray(picture.convert("RGB"))
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        return picture
    given = f"{picture.dtype}, {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
    raise InputError(f"a picture is a path, a PIL image, or an array uint8 H W 3; got {given}")


def as_keypoints(points: Any, layout: KeypointLayout, subject: int | None = None) -> Keypoints:
    """Points K 2 (x, y) or K 3 (x, y, score; a score of 0 or less is a missing point) of a layout's K points.

    Args:
        points: the numbers; what is not finite is missing. Of several subjects N K 2 or N K 3.
        layout: how many there must be.
        subject: which of several is meant, from 0.

    Raises:
        InputError: another shape, or several subjects and none chosen.
    """
    try:
        values = np.asarray(points, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"key points are numbers, K 2 or K 3; got {type(points).__name__}: {error}") from error
    if values.ndim == 3:
        values = _of_subject(values, subject)
    if values.ndim != 2 or len(values) != len(layout) or values.shape[1] not in (2, 3):
        raise InputError(f"key points of {layout.name} are {len(layout)}×2 or {len(layout)}×3, got {values.shape}")
    present = np.isfinite(values).all(axis=1) & np.asarray((values[:, 2:] > 0).all(axis=1))
    if not present.any():
        raise InputError("every key point is missing")
    return Keypoints(np.where(present[:, None], values[:, :2], 0), present)


def _of_subject(values: np.ndarray, subject: int | None) -> np.ndarray:
    if subject is None and len(values) != 1:
        raise InputError(
            f"these are key points of {len(values)} subjects: say which is meant, subject=0…{len(values) - 1}"
        )
    if not 0 <= (subject or 0) < len(values):
        raise InputError(f"there is no subject {subject}: these are key points of {len(values)}")
    return values[subject or 0]


def encode_subject(
    config: Mapping[str, Any],
    encoder: StructureEncoder,
    frame: np.ndarray,
    keypoints: Keypoints,
    image: np.ndarray | None,
    name: str = "",
) -> tuple[np.ndarray, Tensor]:
    """A photograph as the network sees it, and the structure, 1 S H W, of key points in it.

    Args:
        config: the config.
        encoder: of its structures.
        frame: uint8 H W 3, whose pixels the points count.
        keypoints: the points.
        image: *frame* where it shows the points' subject, None where only its size counts.
        name: what a warning calls it.

    Raises:
        InputError: as of :func:`prepare_checked`.

    Warns:
        UserWarning: points lie outside of the picture.
    """
    prepared, points = prepare_checked(config, frame, keypoints, name)
    size = (prepared.shape[0], prepared.shape[1])
    return prepared, encoder.encode(points, size, None if image is None else prepared)[None]


def prepare_checked(
    config: Mapping[str, Any], image: np.ndarray, keypoints: Keypoints, name: str
) -> tuple[np.ndarray, Keypoints]:
    """As :func:`prepare_subject`, of points that are looked at.

    Raises:
        InputError: all points lie outside of the picture, or in its corner; their frame has other proportions.

    Warns:
        UserWarning: some lie outside.
    """
    prepared, points = prepare_subject(config, image, keypoints)
    looked_at, frame = (points, prepared) if keypoints.listed else (keypoints, image)
    if odd := oddity_of(looked_at, (frame.shape[0], frame.shape[1])):
        warnings.warn(f"{name}: {odd}", stacklevel=2)
    return prepared, points


def oddity_of(keypoints: Keypoints, size: tuple[int, int]) -> str:
    """What is odd about where points lie in a picture of *size* (H, W); empty: nothing.

    Raises:
        InputError: all lie outside of the picture, or in its corner; their frame has other proportions.
    """
    count = int(keypoints.present.sum())
    if count > 2 and np.abs(keypoints.points[keypoints.present]).max() < CORNER:
        own = shown(keypoints.frame or size)
        raise InputError(
            f"all {count} key points lie within {CORNER:g} pixels of the upper left; they must count pixels: where "
            f"they are shares of the picture, 0 to 1, multiply x by its width and y by its height ({own})"
        )
    keypoints = keypoints.within(size)
    places = keypoints.points[keypoints.present]
    outside, exchanged = _count_outside(places, size), _count_outside(places[:, ::-1], size)
    if not outside:
        return ""
    question = "do they count pixels of it?" + (" Are x and y exchanged?" if exchanged < outside else "")
    odd = f"{outside} of {count} key points lie outside of the picture, which has {shown(size)} pixels; {question}"
    if outside == count:
        raise InputError(odd)
    return odd


def _count_outside(places: np.ndarray, size: tuple[int, int]) -> int:
    return int(((places < -0.5) | (places > np.array([size[1], size[0]]) - 0.5)).any(1).sum())


def frame_of(structure: Structure, picture: np.ndarray) -> np.ndarray:
    """What a structure without a picture of its own counts pixels of: a blank picture, uint8 H W 3.

    Args:
        structure: key points that know their frame: it has the frame's proportions. Anything else: that of *picture*.
        picture: the source, uint8 H W 3; the blank one is no longer than it.
    """
    if not (isinstance(structure, Keypoints) and structure.frame):
        return picture
    share = max(picture.shape[:2]) / max(structure.frame)
    height, width = (max(1, round(side * share)) for side in structure.frame)
    return np.zeros((height, width, 3), np.uint8)


def prepare_subject(config: Mapping[str, Any], image: np.ndarray, keypoints: Keypoints) -> tuple[np.ndarray, Keypoints]:
    """A photograph and its key points as the config's test data set would give them to the network.

    The data set's class says how (:meth:`posegen.data.PoseDataset.prepare`). By default all of the image is resized.

    Args:
        config: the config; its ``size`` (H, W) is that of the result.
        image: uint8, H W 3, of any size.
        keypoints: in pixels of *image*, or of the frame that they know; those of a data set's own list (``listed``), of
            the frame its options give.

    Returns:
        The image, uint8 of ``size``, and the points in pixels of it.

    Raises:
        InputError: the points' frame has other proportions than *image*.
    """
    keypoints = keypoints.within((image.shape[0], image.shape[1]))
    size = (int(config["size"][0]), int(config["size"][1]))
    kind, options = _test_dataset(config)
    return kind.prepare(image, keypoints, size, options)


def _test_dataset(config: Mapping[str, Any]) -> tuple[type[PoseDataset], dict[str, Any]]:
    """The class of the test data set and its options; without one, the base class, which resizes whole images."""
    options = dict((config.get("test_dataloader") or {}).get("dataset") or {})
    kind = options.pop("type", PoseDataset)
    return require_dataset(DATASETS.get(kind) if isinstance(kind, str) else kind), options


def read_keypoints(path: Path, encoder: StructureEncoder, image: Path | None) -> Keypoints:
    """The key points of *image* in a file of any format that a plugin reads.

    Args:
        path: the file.
        encoder: whose layout the points are wanted in.
        image: says which entry of a file of many is meant; None: the file must hold one subject.

    Raises:
        DataError: the file is missing, broken, holds many subjects and *image* is None, or no plugin reads it.
    """
    if not path.is_file():
        raise DataError(path, "there is no such file")
    found = keypoints_in(path, encoder.layout, image)
    if not found.present.any():
        raise DataError(path, "every key point is missing")
    return found


def keypoints_in(path: Path, layout: KeypointLayout, image: Path | None) -> Keypoints:
    """What the first plugin reads that knows the format of a file; arguments as of :func:`read_keypoints`.

    Raises:
        DataError: no plugin reads it; says what it holds.
    """
    found = plugin_access.first("posegen_read_keypoints", path=path, layout=layout, image=image)
    if found is None:
        raise DataError(
            path,
            f"no plugin reads {layout.name} key points from this file{_content(path)}",
            hint="docs/formats.md shows what is read, with a file to copy; `posegen plugins` lists the plugins.",
        )
    return found


def _content(path: Path) -> str:
    """What a JSON file holds, for whoever thinks that it holds key points."""
    if path.suffix.lower() != ".json":
        return ""
    content = read_json(path)
    if isinstance(content, dict):
        return f", an object with {', '.join(map(repr, list(content)[:8])) or 'nothing in it'}"[:200]
    return f", a list of {len(content)}" if isinstance(content, list) else f", {type(content).__name__}"


def stretch_of(config: Mapping[str, Any], keypoints: Keypoints) -> float:
    """How many times as wide, for its height, a picture becomes as the network sees it; 1: its proportions are kept.

    Args:
        config: of the model, whose test data set prepares pictures.
        keypoints: in pixels of their frame, that of the picture. Where they know none, or lie on a line, it is 1.
    """
    before = keypoints.points[keypoints.present]
    if keypoints.frame is None or np.ptp(before, axis=0).min() < 1:
        return 1.0
    _, prepared = prepare_subject(config, np.zeros((*keypoints.frame, 3), np.uint8), keypoints)
    wider, higher = np.ptp(prepared.points[prepared.present], axis=0) / np.ptp(before, axis=0)
    return float(wider / higher)


def _available() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _load(
    config_or_folder: str | Path | Config, checkpoint: str | Path | None, revision: str | None
) -> tuple[Any, Config]:
    if checkpoint is not None:
        if revision is not None:
            raise ConfigError("a checkpoint of this machine has no revision: that is of a model on the Hub")
        config = load_config(config_or_folder) if isinstance(config_or_folder, (str, Path)) else config_or_folder
        return load_model(config, checkpoint), config
    if isinstance(config_or_folder, Config) or (is_config(config_or_folder) and not is_shared(config_or_folder)):
        raise ConfigError("a config needs the checkpoint of its model beside it: Inferencer(config, checkpoint)")
    return load_shared(find_shared(config_or_folder, revision))


def _rows(columns: Sequence[Any], names: Sequence[str]) -> list[list[Any]]:
    """What is given for each source: lists item by item, anything else each time."""
    lengths = {name: len(column) for name, column in zip(names, columns, strict=True) if isinstance(column, list)}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise InputError(f"lists must be as long as one another; got {told}")
    count = next(iter(lengths.values()), 1)
    return [[column[row] if isinstance(column, list) else column for column in columns] for row in range(count)]


def _name(source: Picture, number: int) -> str:
    return Path(source).stem if _is_path(source) else f"{number:05d}"


def _is_path(value: Any) -> TypeGuard[str | Path]:
    return isinstance(value, (str, Path))


def row_of(out: Transfer, row: int) -> Transfer:
    """One of several, B = 1."""
    one = slice(row, row + 1)
    return Transfer(out.image[one], [flow[one] for flow in out.flows], [mask[one] for mask in out.masks])


def _results(prepared: Sequence[Prepared], source: Tensor, out: Transfer, resize_back: bool) -> list[Result]:
    shape = (source.shape[-2], source.shape[-1])
    flows = resize_flow(out.flows[-1], shape) if out.flows else None
    masks = torch.nn.functional.interpolate(out.masks[-1], size=shape, mode="nearest") if out.masks else None
    warped = warp(source, out.flows[-1]) if out.flows else None
    results = []
    for row, one in enumerate(prepared):
        size = one.size if resize_back else shape
        results.append(
            Result(
                image=resize_image(to_uint8(out.image[row]), size),
                flow=None if flows is None else resize_flow(flows[row : row + 1], size)[0].float().cpu().numpy(),
                mask=None if masks is None else _resized_mask(masks[row : row + 1], size),
                warped=None if warped is None else resize_image(to_uint8(warped[row]), size),
                name=one.name,
            )
        )
    return results


def _resized_mask(mask: Tensor, size: tuple[int, int]) -> np.ndarray:
    return torch.nn.functional.interpolate(mask.float(), size=size, mode="nearest")[0, 0].cpu().numpy()
