"""Clips of talking faces from the files that users have."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posegen.checking import Finding, Picture, Subject, as_findings
from posegen.data import ClipDataset, Keypoints, StructureEncoder
from posegen.data.images import read_image, resize_image, to_tensor
from posegen.errors import ConfigError, DataError
from posegen.files import link_out, natural_order
from posegen.records import Clip
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

from .layouts import IBUG_68, parse_landmarks
from .matches import matches

IMAGES = (".jpg", ".jpeg", ".png")
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Video:
    """One video: ``images``, the paths of its frames in order; ``points`` T 68 2, in pixels of the images."""

    name: str
    images: list[str]
    points: np.ndarray


@DATASETS.register_module()
class FaceClips(ClipDataset):
    """Clips from videos of faces: a frame an image, a file of 68 landmarks a frame.

    ``ROOT/SPLIT_data/VIDEO/FRAME.{jpg,png}`` and ``ROOT/SPLIT_keypoints/VIDEO/FRAME.txt`` (68 rows ``x,y``). Frames
    follow each other in the order of their names, numbers by value. Everything is checked at once when the data set
    is built, landmark files whole; an image is opened when its clip is asked for. Landmarks of two images say where
    points of the face went: the clip's ``matches``.

    In training (split ``train``) an item is a video, and ``(number, draw)`` draws a stretch of *length* consecutive
    frames of it and a reference frame anywhere in it: the same number, draw and seed always give the same clip. A
    bare number is draw 0. Otherwise the frames are the video's first *length* ones, or all, and the reference is its
    first frame. A clip is called as its video.

    Args:
        root: the data set's folder.
        split: ``train`` or ``test``.
        structure: a structure encoder in the 68 landmarks, or its config; it sees images too, if it looks at any.
        size: (H, W) of what the net sees; image and points are resized together, each side by itself.
        length: frames of a clip; needed in training. None: the whole video (then a batch holds one clip).
        seed: of what training draws.
        resample: how images are resized: bicubic, bilinear, ... (Pillow's filters).
        limit: at most so many videos, in order of their names; None: all.

    Raises:
        DataError: folders that are not there; all missing frames and landmark files, bad landmark rows, links that lead
            out of the data set, and videos shorter than *length*, at once.
        ConfigError: an unknown split, a length below 1 or none in training, a structure in another layout.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        structure: StructureEncoder | dict[str, Any],
        size: Sequence[int] = (256, 256),
        length: int | None = None,
        seed: int = 0,
        resample: str = "bicubic",
        limit: int | None = None,
    ) -> None:
        self.structure: StructureEncoder = STRUCTURE_ENCODERS.build_part(structure)
        self.size = (int(size[0]), int(size[1]))
        self.augments = split == "train"
        self.length = length
        self.seed = seed
        self.resample = resample
        self.structure.require_layout(IBUG_68, type(self).__name__)
        if split not in SPLITS:
            raise ConfigError(f"FaceClips: split is 'train' or 'test', got {split!r}")
        if length is None and split == "train":
            raise ConfigError("FaceClips: training needs a length, the number of frames of a clip")
        if length is not None and length < 1:
            raise ConfigError(f"FaceClips: length must be 1 or more, got {length}")
        self.videos = read_videos(root, split, limit, length or 1)

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int | tuple[int, int]) -> Clip:
        """The clip at a number, or at ``(number, draw)``.

        Raises:
            DataError: an image that cannot be read.
            IndexError: no such video.
        """
        number, draw = index if isinstance(index, tuple) else (index, 0)
        number = range(len(self))[number]
        video = self.videos[number]
        reference, first = self._draw(video, np.random.default_rng([self.seed, number, draw]))
        last = len(video.images) if self.length is None else first + self.length
        image, structure, points = self._frame(video, reference)
        frames, structures, targets = zip(*(self._frame(video, i) for i in range(first, last)), strict=True)
        return Clip(
            reference=image,
            reference_structure=structure,
            frames=torch.stack(frames),
            structures=torch.stack(structures),
            name=video.name,
            matches=matches(np.stack(targets), np.stack([points] * len(targets))),
            matches_previous=matches(np.stack(targets), np.stack([points, *targets[:-1]])),
        )

    def keypoints(self, index: int) -> Iterator[Keypoints]:
        """The landmarks of clip *index*, in pixels of the data set's size: the reference's, then the frames', each
        when it is asked for.

        Raises:
            DataError: an image that cannot be read.
            IndexError: no such video.
        """
        number = range(len(self))[index]
        video = self.videos[number]
        reference, first = self._draw(video, np.random.default_rng([self.seed, number, 0]))
        last = len(video.images) if self.length is None else first + self.length
        for frame in (reference, *range(first, last)):
            yield Keypoints(self._frame(video, frame)[2], np.ones(len(IBUG_68)))

    @classmethod
    def examine(
        cls, root: str | Path, split: str, length: int | None = None, limit: int | None = None, **unused: Any
    ) -> Iterator[Finding | Picture]:
        """What the folders and landmark files show, and every frame, for :mod:`posegen.checking`."""
        images, landmarks, names = _find_videos(root, split, limit)
        for name in names:
            problems: list[str] = []
            video = _read_video(images, landmarks, name, problems)
            yield from as_findings("missing or bad file", root, problems)
            if problem := _too_short(video, length or 1):
                yield Finding("short video", problem, str(images / name), sample=name)
            points = [None] * len(video.images) if problems else video.points  # with problems they are not in step
            for path, of_frame in zip(video.images, points, strict=True):
                keypoints = None if of_frame is None else Keypoints(of_frame, np.ones(len(IBUG_68)))
                frame = Path(path)
                subject = Subject(keypoints, f"video {name}", str(landmarks / name / f"{frame.stem}.txt"))
                yield Picture(path, f"{name}/{frame.name}", (subject,), sequence=name)

    def _draw(self, video: Video, rng: np.random.Generator) -> tuple[int, int]:
        """The numbers of the reference and of the first frame."""
        if not self.augments or self.length is None:
            return 0, 0
        count = len(video.images)
        return int(rng.integers(count)), int(rng.integers(count - self.length + 1))

    def _frame(self, video: Video, number: int) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
        """Image, structure and landmarks 68 2 of a frame, at the data set's size."""
        image = read_image(video.images[number])
        keypoints = Keypoints(video.points[number], np.ones(len(IBUG_68)))
        keypoints = keypoints.scale(self.size[1] / image.shape[1], self.size[0] / image.shape[0])
        image = resize_image(image, self.size, self.resample)
        return to_tensor(image), self.structure.encode(keypoints, self.size, image), keypoints.points


def read_videos(root: str | Path, split: str, limit: int | None = None, least: int = 1) -> list[Video]:
    """The videos of a split, their landmarks read.

    Args:
        limit: at most so many, in order of their names.
        least: a video of fewer frames is a problem.

    Raises:
        DataError: everything that is wrong, at once.
    """
    images, landmarks, names = _find_videos(root, split, limit)
    problems: list[str] = []
    videos = [_read_video(images, landmarks, name, problems) for name in names]
    short = [problem for video in videos if (problem := _too_short(video, least))]
    if problems or short:
        raise DataError(root, problems + short, "Lower 'length', or take the short videos away." if short else "")
    return videos


def _too_short(video: Video, least: int) -> str:
    count = len(video.images)
    return f"video {video.name} has {count} frames, a clip {least}" if count < least else ""


def _find_videos(root: str | Path, split: str, limit: int | None) -> tuple[Path, Path, list[str]]:
    """The folders of frames and of landmarks of a split, and the names of its videos.

    Raises:
        DataError: a folder is not there, or lies elsewhere; there are no videos.
    """
    images, landmarks = Path(root, f"{split}_data"), Path(root, f"{split}_keypoints")
    missing = [f"no folder {folder.name}" for folder in (images, landmarks) if not folder.is_dir()]
    if missing:
        raise DataError(root, missing, "Frames stand in SPLIT_data/VIDEO, landmarks in SPLIT_keypoints/VIDEO.")
    outside = [f"{folder.name}: {problem}" for folder in (images, landmarks) if (problem := link_out(folder, root))]
    if outside:
        raise DataError(root, outside)
    names = sorted({*_folders(images), *_folders(landmarks)}, key=natural_order)[:limit]
    if not names:
        raise DataError(images, "there are no videos: no folder in it")
    return images, landmarks, names


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]


def _read_video(images: Path, landmarks: Path, name: str, problems: list[str]) -> Video:
    """One video; what is wrong with it is added to *problems*."""
    frames = _files(images, name, IMAGES, problems)
    files = _files(landmarks, name, (".txt",), problems)
    stems = sorted({*frames, *files}, key=natural_order)
    if not stems:
        problems.append(f"video {name}: no frames")
    points = []
    for stem in stems:
        if stem not in frames:
            problems.append(f"{landmarks.name}/{name}/{files[stem]}: no image {images.name}/{name}/{stem}.jpg or .png")
        elif stem not in files:
            problems.append(f"{images.name}/{name}/{frames[stem]}: no landmarks {landmarks.name}/{name}/{stem}.txt")
        else:
            found, wrong = parse_landmarks(landmarks / name / files[stem])
            problems += [f"{landmarks.name}/{name}/{files[stem]}, {problem}" for problem in wrong]
            points.append(found)
    paths = [str(images / name / frames[stem]) for stem in stems if stem in frames]
    return Video(name, paths, np.array(points, np.float32).reshape(-1, len(IBUG_68), 2))


def _files(folder: Path, video: str, endings: tuple[str, ...], problems: list[str]) -> dict[str, str]:
    """The files of a video with one of *endings*, by their stems."""
    if not (folder / video).is_dir():
        return {}
    if problem := link_out(folder / video, folder.parent):
        problems.append(f"{folder.name}/{video}: {problem}")
        return {}
    found: dict[str, str] = {}
    for entry in os.scandir(folder / video):
        stem, ending = os.path.splitext(entry.name)
        if ending.lower() not in endings or entry.name.startswith("."):
            continue
        if entry.is_symlink() and (problem := link_out(entry.path, folder.parent)):
            problems.append(f"{folder.name}/{video}/{entry.name}: {problem}")
        elif stem in found:
            problems.append(f"{folder.name}/{video}: both {found[stem]} and {entry.name} are frame {stem}")
        found[stem] = entry.name
    return found
