"""Clips of dancers from the files that users have (``spec: dance``)."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.logging import print_log

from posegen.checking import Finding, Picture, Subject, as_findings
from posegen.data import ClipDataset, Keypoints, StructureEncoder
from posegen.data.images import read_image, resize_image, to_tensor
from posegen.errors import ConfigError, DataError
from posegen.files import link_out, natural_order
from posegen.records import Clip
from posegen.registry import DATASETS, STRUCTURE_ENCODERS

from .keypoints import read_array, read_cleaned_json, read_openpose_json, read_text
from .layouts import HUMAN36M

IMAGES, OPENPOSE, CLEANED, MASKS = "train_A", "train_alphapose", "train_video2d", "train_C"
"""The folders of a split; they are called so in the test split too."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
SOURCES = ("cleaned", "openpose", "auto")


class Video(NamedTuple):
    """A video's frames in order: paths of the images, their points T 17 2 in pixels of the image and which are
    present T 17, and the paths of the foreground masks, if they are wanted."""

    name: str
    images: list[str]
    points: np.ndarray
    present: np.ndarray
    masks: list[str] | None


@DATASETS.register_module()
class DanceClips(ClipDataset):
    """Clips of the videos of a folder: ``ROOT/{train,test}_256/train_A/VIDEO/FRAME.png`` and what stands beside it.

    Key points: OpenPose's in ``train_alphapose/VIDEO/FRAME.json`` (or ``FRAME_keypoints.json``, as OpenPose names
    them), converted; cleaned ones, 17 in Human3.6M's order, in ``train_video2d`` as ``VIDEO/FRAME.json``,
    ``VIDEO/FRAME.txt`` or one ``VIDEO.npy``. They count pixels of the image and are resized with it. A frame in
    whose file nobody was found has no point present; a message tells how many. Foreground masks:
    ``train_C/VIDEO/FRAME.png``, white on black. Frames stand in the order of the numbers in their names.

    The training split has a random clip a video: an index is a number, or ``(number, draw)``, and (seed, number, draw)
    picks the stretch of *length* frames and the reference among the first *reference_among* frames. The test split
    has each video from its first frame on, which is the reference.

    All files are looked for, and all key points read, when the data set is built; an image is opened when its
    clip is asked for.

    Args:
        root: the folder that holds ``train_256`` and ``test_256``.
        split: ``train`` or ``test``.
        structure: a structure encoder in Human3.6M's 17 points, or its config.
        size: (H, W) of what the net sees, in pixels.
        length: frames of a clip; None: the whole video.
        seed: of the random clips.
        keypoints: ``cleaned``, ``openpose``, or ``auto``: cleaned of the videos that have them, else OpenPose's.
        masks: whether clips have ``foreground``.
        reference_among: the reference is one of so many first frames.
        resample: how images are resized: bicubic, bilinear, ... (Pillow's filters).
        limit: at most so many videos; None: all.

    Raises:
        DataError: all missing and bad files, all videos shorter than *length*.
        ConfigError: a split, length, source of key points or layout that there is not.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        structure: StructureEncoder | dict[str, Any],
        size: Sequence[int] = (256, 256),
        length: int | None = None,
        seed: int = 0,
        keypoints: str = "auto",
        masks: bool = False,
        reference_among: int = 20,
        resample: str = "bicubic",
        limit: int | None = None,
    ) -> None:
        if split not in ("train", "test"):
            raise ConfigError(f"DanceClips: split is 'train' or 'test'; got {split!r}")
        if keypoints not in SOURCES:
            raise ConfigError(f"DanceClips: keypoints is {', '.join(map(repr, SOURCES))}; got {keypoints!r}")
        if length is None and split == "train":
            raise ConfigError("DanceClips: training needs a length, the number of frames of a clip")
        if (length is not None and length < 1) or reference_among < 1 or (limit is not None and limit < 1):
            raise ConfigError(
                "DanceClips: length, reference_among and limit are 1 or more; "
                f"got {length=}, {reference_among=}, {limit=}"
            )
        self.structure: StructureEncoder = STRUCTURE_ENCODERS.build_part(structure)
        self.structure.require_layout(HUMAN36M, type(self).__name__)
        self.size = (int(size[0]), int(size[1]))
        self.length = length
        self.seed = seed
        self.reference_among = reference_among
        self.resample = resample
        self.augments = split == "train"
        self.videos = find_videos(Path(root), split, length, keypoints, masks, limit)

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int | tuple[int, int]) -> Clip:
        """The clip at a number, or at ``(number, draw)``.

        Raises:
            DataError: an image that cannot be read.
            IndexError: no such clip.
        """
        number, draw = index if isinstance(index, tuple) else (index, 0)
        number = range(len(self))[number]
        video = self.videos[number]
        reference, frames = self._choose(len(video.images), number, draw)
        image, structure = self._frame(video, reference)
        views = [self._frame(video, t) for t in frames]
        name = f"{video.name}_{Path(video.images[frames[0]]).stem}" if self.augments else video.name
        masks = None if video.masks is None else torch.stack([self._mask(video.masks[t]) for t in frames])
        return Clip(
            reference=image,
            reference_structure=structure,
            frames=torch.stack([view[0] for view in views]),
            structures=torch.stack([view[1] for view in views]),
            name=name,
            foreground=masks,
        )

    @classmethod
    def examine(
        cls,
        root: str | Path,
        split: str,
        length: int | None = None,
        keypoints: str = "auto",
        masks: bool = False,
        limit: int | None = None,
        **unused: Any,
    ) -> Iterator[Finding | Picture]:
        """What the folders and key-point files show, and every frame and mask, for :mod:`posegen.checking`."""
        tree, names = _find_names(Path(root), split, limit)
        for name in names:
            video = _read_video(tree, name, keypoints, masks)
            if video is not None:
                yield from as_findings("short video", tree.folder, _too_short(video, length))
            yield from _pictures(tree, name, video)
        yield from as_findings("missing or bad file", tree.folder, dict.fromkeys(tree.problems))

    def _choose(self, count: int, number: int, draw: int) -> tuple[int, range]:
        """The reference and the stretch of frames, of a video of *count*."""
        length = self.length or count
        if not self.augments:
            return 0, range(length)
        rng = np.random.default_rng([self.seed, number, draw])
        first = int(rng.integers(count - length + 1))
        return int(rng.integers(min(count, self.reference_among))), range(first, first + length)

    def _frame(self, video: Video, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A frame's image and structure, resized together."""
        image = read_image(video.images[t])
        height, width = image.shape[:2]
        points = Keypoints(video.points[t], video.present[t]).scale(self.size[1] / width, self.size[0] / height)
        resized = resize_image(image, self.size, self.resample)
        return to_tensor(resized), self.structure.encode(points, self.size)

    def _mask(self, path: str) -> torch.Tensor:
        """A mask, 1 H W: 1 where most of a pixel is foreground."""
        covered = resize_image(read_image(path), self.size, "box")[..., 0] > 128  # half of 255, rounded
        return torch.from_numpy(covered[None].astype(np.float32))


def find_videos(
    root: Path, split: str, length: int | None, keypoints: str, masks: bool, limit: int | None
) -> list[Video]:
    """The videos of a split, in natural order; arguments as of :class:`DanceClips`.

    Raises:
        DataError: all that is missing or bad.
    """
    tree, names = _find_names(root, split, limit)
    videos, without = [], 0
    for name in names:
        if video := _read_video(tree, name, keypoints, masks):
            videos.append(video)
            without += int((~video.present.any(1)).sum())
            tree.problems += _too_short(video, length)
    if tree.problems:
        raise DataError(tree.folder, tree.problems)
    frames = sum(len(video.images) for video in videos)
    nobody = f"; nobody was found in {without} frames" if without else ""
    unused = f"; {tree.unused} files beside them belong to no frame" if tree.unused else ""
    told = f"{tree.folder.name}: {len(videos)} videos, {frames} frames{nobody}{unused}"
    print_log(told, logger="current", level=logging.INFO)
    return videos


def _too_short(video: Video, length: int | None) -> list[str]:
    count = len(video.images)
    short = length is not None and count < length
    return [f"{IMAGES}/{video.name}: {count} frames, clips have {length}"] if short else []


def _find_names(root: Path, split: str, limit: int | None) -> tuple[_Tree, list[str]]:
    """The folders of a split, and the names of its videos.

    Raises:
        DataError: there is no such split, or it lies elsewhere.
    """
    folder = root / f"{split}_256"
    if not (folder / IMAGES).is_dir():
        raise DataError(folder / IMAGES, "no such folder", "It holds a folder of frames for each video.")
    for part in (folder, *(folder / name for name in (IMAGES, OPENPOSE, CLEANED, MASKS))):
        if problem := link_out(part, root):
            raise DataError(part, problem)
    tree = _Tree(root, folder, [])
    names = sorted((n for n in tree.names(IMAGES) if (folder / IMAGES / n).is_dir()), key=natural_order)
    if not names:
        tree.problems.append(f"{IMAGES}: no folder of a video in it")
    return tree, names[:limit]


class _Tree:
    """The folders of a split, listed; links that lead out of the data set are a problem, and not followed."""

    def __init__(self, root: Path, folder: Path, problems: list[str]) -> None:
        self.root, self.folder, self.problems = root, folder, problems
        self.unused = 0  # files beside that belong to no frame

    def names(self, *parts: str) -> set[str]:
        """The names in a folder; none where it is not there."""
        try:
            with os.scandir(self.folder.joinpath(*parts)) as entries:
                return {entry.name for entry in entries if not entry.name.startswith(".") and self._inside(entry)}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def _inside(self, entry: os.DirEntry[str]) -> bool:
        problem = link_out(entry.path, self.root) if entry.is_symlink() else ""
        self.problems += [f"{Path(entry.path).relative_to(self.folder)}: {problem}"] if problem else []
        return not problem

    def beside(self, part: str, video: str, stems: Sequence[str], endings: Sequence[str]) -> list[str]:
        """The path of each frame's file in another folder of the split; one that is missing is a problem instead."""
        there = self.names(part, video) if video in self.names(part) else set()
        paths = []
        for stem in stems:
            found = next((stem + ending for ending in endings if stem + ending in there), None)
            if found is None:
                self.problems.append(f"no file {part}/{video}/{stem}{endings[0]}")
            else:
                paths.append(str(self.folder / part / video / found))
        self.unused += sum(name.endswith(tuple(endings)) for name in there) - len(paths)
        return paths


def _read_video(tree: _Tree, name: str, keypoints: str, masks: bool) -> Video | None:
    """A video; None where anything of it is missing or bad, which is then among the problems."""
    before = len(tree.problems)
    files = [f for f in tree.names(IMAGES, name) if f.lower().endswith(IMAGE_SUFFIXES)]
    files.sort(key=natural_order)
    stems = [Path(file).stem for file in files]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1}) if len(set(stems)) < len(stems) else []
    if twice:
        tree.problems.append(f"{IMAGES}/{name}: several images of the frames {', '.join(twice[:5])}")
        return None
    if not files:
        tree.problems.append(f"{IMAGES}/{name}: no frame in it")
        return None
    points = _read_points(tree, name, stems, keypoints)
    covers = tree.beside(MASKS, name, stems, IMAGE_SUFFIXES) if masks else None
    if len(tree.problems) > before:
        return None
    return Video(
        name,
        [str(tree.folder / IMAGES / name / file) for file in files],
        np.stack([each.points for each in points]),
        np.stack([each.present for each in points]),
        covers,
    )


def _pictures(tree: _Tree, name: str, video: Video | None) -> Iterator[Picture]:
    """The frames and masks of a video; of one that cannot be read whole the frames, without points."""
    if video is None:
        files = sorted((f for f in tree.names(IMAGES, name) if f.lower().endswith(IMAGE_SUFFIXES)), key=natural_order)
        video = Video(name, [str(tree.folder / IMAGES / name / file) for file in files], np.empty(0), np.empty(0), None)
    for t, path in enumerate(video.images):
        points = Keypoints(video.points[t], video.present[t]) if len(video.points) else None
        yield Picture(path, f"{name}/{Path(path).name}", (Subject(points, f"video {name}"),), sequence=name)
    for path in video.masks or ():
        yield Picture(path, f"{name}/{Path(path).name}, mask", sequence=name, is_mask=True)


def _read_points(tree: _Tree, name: str, stems: Sequence[str], keypoints: str) -> list[Keypoints]:
    """The points of each frame of a video; what is missing or bad goes to the problems."""
    cleaned = tree.names(CLEANED)
    if keypoints == "openpose" or (keypoints == "auto" and not {name, f"{name}.npy"} & cleaned):
        paths = tree.beside(OPENPOSE, name, stems, (".json", "_keypoints.json"))
        return _read_all(tree, paths, read_openpose_json)
    if f"{name}.npy" in cleaned:
        path = tree.folder / CLEANED / f"{name}.npy"
        return _tried(tree, partial(read_array, path, len(stems)), path) or []
    paths = tree.beside(CLEANED, name, stems, (".json", ".txt"))
    return _read_all(tree, paths, lambda path: read_text(path) if path.endswith(".txt") else read_cleaned_json(path))


def _read_all(tree: _Tree, paths: Sequence[str], read: Callable[[str], Keypoints]) -> list[Keypoints]:
    tried = [_tried(tree, partial(read, path), Path(path)) for path in paths]
    return [keypoints for keypoints in tried if keypoints is not None]


def _tried(tree: _Tree, read: Callable[[], Any], path: Path) -> Any:
    """What *read* gives, or None and a problem that names the file."""
    try:
        return read()
    except DataError as error:
        tree.problems += [f"{path.relative_to(tree.folder)}: {problem}" for problem in error.problems]
        return None
