"""Data sets of videos that lie as folders of frames, with the key points of each frame in a file beside it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from ..errors import ConfigError, DataError
from ..files import link_out, natural_order
from ..records import Clip
from ..registry import STRUCTURE_ENCODERS
from .datasets import ClipDataset
from .findings import Annotation, Finding, ImageInfo, as_findings
from .images import read_image, resize_image, to_tensor
from .keypoints import KeypointLayout, Keypoints
from .structure import StructureEncoder

SPLITS = ("train", "test")
FRAME_ENDINGS = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Video:
    """One video: the files of its T frames in order, and their K key points.

    Args:
        name: name of its folder.
        images: paths of the frames.
        points: T K 2, (x, y) in pixels of the frames.
        present: T K bool; False where a point is missing.
        sources: for each frame, the path of the file its key points are from.
        masks: paths of the foreground masks, if the data set has them.
    """

    name: str
    images: list[Path]
    points: np.ndarray
    present: np.ndarray
    sources: list[Path]
    masks: list[Path] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def keypoints(self, frame: int) -> Keypoints:
        """Return the key points of a frame in pixels of its image."""
        return Keypoints(self.points[frame], self.present[frame])


class VideoFolder:
    """The files of a split: a folder of frames, ``FRAMES/VIDEO/FRAME.png``, and folders of files that go with them.

    Problems are collected in ``problems``, so that all are reported at once. Links that lead out of the data set are
    not followed.

    Args:
        root: folder of the data set.
        frames: folder of the frames.
        parts: folders of other files.

    Raises:
        DataError: there are no frames, or a folder is a link that leads out of the data set.
    """

    def __init__(self, root: Path, frames: Path, *parts: Path) -> None:
        self.root, self.frames = root, frames
        self.problems: list[str] = []
        self.unused: list[str] = []
        if not frames.is_dir():
            raise DataError(frames, "no such folder", "It holds a folder of frames for each video.")
        links = {part: link_out(part, root) for part in (frames, *parts)}
        if any(links.values()):
            raise DataError(root, [f"{self.named(part)}: {link}" for part, link in links.items() if link])

    def named(self, path: Path) -> str:
        """Return a path as errors name it: relative to the data set."""
        return path.relative_to(self.root).as_posix()

    def names(self, folder: Path) -> set[str]:
        """Return the names in a folder, except hidden ones; none if there is no such folder."""
        try:
            with os.scandir(folder) as entries:
                return {entry.name for entry in entries if not entry.name.startswith(".") and self._is_inside(entry)}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def _is_inside(self, entry: os.DirEntry[str]) -> bool:
        problem = link_out(entry.path, self.root) if entry.is_symlink() else ""
        if problem:
            self.problems.append(f"{self.named(Path(entry.path))}: {problem}")
        return not problem

    @contextmanager
    def noting(self, path: Path) -> Iterator[None]:
        """Turn a DataError about a file into problems that name the file."""
        try:
            yield
        except DataError as error:
            for problem in error.problems:
                self.problems.append(f"{self.named(path)}{', ' if problem.startswith('row ') else ': '}{problem}")

    def videos(self, limit: int | None = None) -> list[str]:
        """Return the names of the first *limit* videos (None: all), numbers in names ordered by value.

        Raises:
            DataError: there are none.
        """
        names = [name for name in self.names(self.frames) if (self.frames / name).is_dir()]
        if not names:
            raise DataError(self.frames, ["no folder of a video in it", *self.problems])
        return sorted(names, key=natural_order)[:limit]

    def frames_of(self, video: str) -> list[Path]:
        """Return the frames of a video in order. None at all, or two of one name, is a problem."""
        folder = self.frames / video
        files = sorted((n for n in self.names(folder) if n.lower().endswith(FRAME_ENDINGS)), key=natural_order)
        stems = [Path(file).stem for file in files]
        twice = sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []
        if twice:
            self.problems.append(f"{self.named(folder)}: several images of the frames {', '.join(twice[:5])}")
        if not files:
            self.problems.append(f"{self.named(folder)}: no frame in it")
        return [folder / file for file in files]

    def beside(self, part: Path, video: str, frames: Sequence[Path], endings: Sequence[str]) -> list[Path]:
        """Return the file of each frame in another folder: ``PART/VIDEO/FRAME.ENDING``. Missing ones are problems.

        Files that belong to no frame are added to ``unused``.
        """
        there = self.names(part / video) if video in self.names(part) else set()
        paths = []
        for frame in frames:
            found = next((frame.stem + ending for ending in endings if frame.stem + ending in there), None)
            if found is None:
                self.problems.append(f"no file {self.named(part)}/{video}/{frame.stem}{endings[0]}")
            else:
                paths.append(part / video / found)
        used = {path.name for path in paths}
        left = (name for name in there - used if name.endswith(tuple(endings)))
        self.unused += [f"{self.named(part)}/{video}/{name}" for name in sorted(left, key=natural_order)]
        return paths


class VideoClips(ClipDataset):
    """Base class of data sets of videos. A subclass sets ``layout`` and says where files lie and how they are read.

    In training (split ``train``) a sample is a random clip of a video: ``(number, draw)`` draws a reference frame and
    *length* consecutive frames, always the same ones for the same number, draw and seed; a bare number is draw 0.
    Otherwise a clip is the first *length* frames of the video, or all, and its reference is the first frame. A clip has
    the name of its video. All key points are read, and all problems reported, when the data set is built; an image is
    opened when its clip is asked for.

    Args:
        root: folder of the data set.
        split: ``train`` or ``test``.
        structure: structure encoder of the same layout, or its config.
        size: (H, W) of the images that the network sees; each is resized to it as a whole.
        length: frames of a clip; required in training. None: the whole video (then a batch holds one clip).
        seed: seed of the random clips.
        reference_among: in training, the reference is one of this many first frames; None: any frame.
        resample: filter for resizing: bicubic, bilinear, ... (Pillow's names).
        limit: use only the first *limit* videos; None: all.
        options: further options of :meth:`folder` and :meth:`read_video`.

    Raises:
        DataError: files are missing or broken, or videos are shorter than *length*; names all of them.
        ConfigError: an unknown split, no length in training, numbers below 1, an encoder of another layout.
    """

    layout: ClassVar[KeypointLayout]

    def __init__(
        self,
        root: str | Path,
        split: str,
        structure: StructureEncoder | dict[str, Any],
        size: Sequence[int],
        length: int | None,
        seed: int,
        reference_among: int | None,
        resample: str,
        limit: int | None,
        **options: Any,
    ) -> None:
        name = type(self).__name__
        if split not in SPLITS:
            raise ConfigError(f"{name}: split is 'train' or 'test', got {split!r}")
        if length is None and split == "train":
            raise ConfigError(f"{name}: training needs a length, the number of frames of a clip")
        counts = {"length": length, "reference_among": reference_among, "limit": limit}
        for key, count in counts.items():
            if count is not None and count < 1:
                raise ConfigError(f"{name}: {key} must be 1 or more, got {count}")
        self.structure: StructureEncoder = STRUCTURE_ENCODERS.build_part(structure)
        self.structure.require_layout(self.layout, name)
        self.size = (int(size[0]), int(size[1]))
        self.length, self.seed, self.reference_among, self.resample = length, seed, reference_among, resample
        self.augments = split == "train"
        self.videos = self._read(self.folder(Path(root), split), limit, options)

    @classmethod
    def folder(cls, root: Path, split: str) -> VideoFolder:
        """Return the folder of a split. Implemented by subclasses.

        Raises:
            DataError: it is not there.
        """
        raise NotImplementedError

    @classmethod
    def read_video(cls, folder: VideoFolder, name: str, frames: list[Path], **options: Any) -> Video | None:
        """Read a video; add what is missing or broken to the problems of *folder*. Implemented by subclasses."""
        raise NotImplementedError

    def matches(self, targets: np.ndarray, sources: np.ndarray) -> Tensor | None:
        """Return points that are known in pairs of frames, T M 4 as in :class:`~posegen.records.Clip`. Default: None.

        Args:
            targets, sources: key points of T frames, T K 2, in pixels of *size*.
        """
        return None

    def _read(self, folder: VideoFolder, limit: int | None, options: dict[str, Any]) -> list[Video]:
        videos = []
        for name in folder.videos(limit):
            video = self.read_video(folder, name, folder.frames_of(name), **options)
            if video is not None:
                videos.append(video)
                folder.problems += _too_short(folder, video, self.length)
        if folder.problems:
            raise DataError(folder.root, list(dict.fromkeys(folder.problems)))
        without = sum(int((~video.present.any(1)).sum()) for video in videos)
        message = f"{folder.frames}: {len(videos)} videos, {sum(map(len, videos))} frames"
        message += f"; {without} frames without key points" if without else ""
        message += f"; {len(folder.unused)} files belong to no frame" if folder.unused else ""
        print_log(message, logger="current")
        return videos

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int | tuple[int, int]) -> Clip:
        """Return the clip at a number, or at ``(number, draw)``.

        Raises:
            DataError: an image cannot be read.
            IndexError: there is no such video.
        """
        video, reference, frames = self._choose(index)
        image, structure, points = self._view(video, reference)
        images, structures, targets = zip(*(self._view(video, t) for t in frames), strict=True)
        masks = None if video.masks is None else torch.stack([self._mask(video.masks[t]) for t in frames])
        to_reference, to_previous = np.stack([points] * len(targets)), np.stack([points, *targets[:-1]])
        return Clip(
            reference=image,
            reference_structure=structure,
            frames=torch.stack(images),
            structures=torch.stack(structures),
            name=video.name,
            foreground=masks,
            matches=self.matches(np.stack(targets), to_reference),
            matches_previous=self.matches(np.stack(targets), to_previous),
        )

    def keypoints(self, index: int) -> Iterator[Keypoints]:
        """Yield the key points of the reference and of each frame, in pixels of *size*, one image read for each.

        Raises:
            DataError: an image cannot be read.
            IndexError: there is no such video.
        """
        video, reference, frames = self._choose(index)
        for frame in (reference, *frames):
            yield Keypoints(self._view(video, frame)[2], video.present[frame])

    @classmethod
    def examine(
        cls, root: str | Path, split: str, length: int | None = None, limit: int | None = None, **options: Any
    ) -> Iterator[Finding | ImageInfo]:
        """Yield what folders and key-point files show, and every frame and mask, for :mod:`posegen.checking`."""
        folder = cls.folder(Path(root), split)
        for name in folder.videos(limit):
            frames = folder.frames_of(name)
            video = cls.read_video(folder, name, frames, **options)
            if video is not None:
                yield from as_findings("short video", folder.root, _too_short(folder, video, length))
            yield from _image_infos(name, frames, video)
        yield from as_findings("missing or bad file", folder.root, dict.fromkeys(folder.problems))

    def _choose(self, index: int | tuple[int, int]) -> tuple[Video, int, range]:
        """Return the video at an index, the number of the reference frame, and those of the clip's frames."""
        number, draw = index if isinstance(index, tuple) else (index, 0)
        number = range(len(self))[number]
        video = self.videos[number]
        length = self.length or len(video)
        if not self.augments:
            return video, 0, range(length)
        rng = np.random.default_rng([self.seed, number, draw])
        reference = int(rng.integers(min(len(video), self.reference_among or len(video))))
        first = int(rng.integers(len(video) - length + 1))
        return video, reference, range(first, first + length)

    def _view(self, video: Video, frame: int) -> tuple[Tensor, Tensor, np.ndarray]:
        """Return image, structure and key points K 2 of a frame, resized together."""
        image = read_image(video.images[frame])
        keypoints = video.keypoints(frame).scale(self.size[1] / image.shape[1], self.size[0] / image.shape[0])
        image = resize_image(image, self.size, self.resample)
        return to_tensor(image), self.structure.encode(keypoints, self.size, image), keypoints.points

    def _mask(self, path: Path) -> Tensor:
        """Return a mask, 1 H W: 1 where most of a pixel is foreground."""
        covered = resize_image(read_image(path), self.size, "box")[..., 0] > 128  # half of 255, rounded
        return torch.from_numpy(covered[None].astype(np.float32))


def _too_short(folder: VideoFolder, video: Video, length: int | None) -> list[str]:
    if len(video) >= (length or 1):
        return []
    return [f"{folder.named(folder.frames / video.name)}: {len(video)} frames, clips have {length}"]


def _image_infos(name: str, frames: Sequence[Path], video: Video | None) -> Iterator[ImageInfo]:
    """Yield the frames and masks of a video; frames without key points if it could not be read."""
    for t, path in enumerate(frames):
        annotation = Annotation(identity=f"video {name}")
        if video is not None:
            annotation = Annotation(video.keypoints(t), f"video {name}", str(video.sources[t]))
        yield ImageInfo(path, f"{name}/{path.name}", (annotation,), sequence=name)
    for path in (video and video.masks) or ():
        yield ImageInfo(path, f"{name}/{path.name}, mask", sequence=name, is_mask=True)
