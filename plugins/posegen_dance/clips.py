"""Clips of dancers, read from folders of frames, key points and masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posegen.data import Keypoints, StructureEncoder
from posegen.data.clips import FRAME_ENDINGS, Video, VideoClips, VideoFolder
from posegen.errors import ConfigError
from posegen.registry import DATASETS

from .keypoints import read_array, read_cleaned_json, read_openpose_json, read_text
from .layouts import HUMAN36M

IMAGES, OPENPOSE, CLEANED, MASKS = "train_A", "train_alphapose", "train_video2d", "train_C"
"""Folders of a split; the test split uses the same names."""
SOURCES = ("cleaned", "openpose", "auto")
READERS = {".json": read_cleaned_json, ".txt": read_text}


@DATASETS.register_module()
class DanceClips(VideoClips):
    """Clips from videos of dancers: ``ROOT/{train,test}_256/train_A/VIDEO/FRAME.png`` and what belongs to them.

    Key points: OpenPose's in ``train_alphapose/VIDEO/FRAME.json`` (or ``FRAME_keypoints.json``, as OpenPose names
    them), converted; cleaned ones, 17 in Human3.6M's order, in ``train_video2d`` as ``VIDEO/FRAME.json``,
    ``VIDEO/FRAME.txt`` or one ``VIDEO.npy``. They count pixels of the image. A frame in which nobody was found has no
    points; a message says how many there are. Foreground masks: ``train_C/VIDEO/FRAME.png``, white on black.

    Args:
        root: folder that holds ``train_256`` and ``test_256``.
        split: ``train`` or ``test``.
        structure: structure encoder of Human3.6M's 17 points, or its config.
        size: (H, W) of the images that the network sees.
        length: frames of a clip; required in training. None: the whole video.
        seed: seed of the random clips.
        keypoints: ``cleaned``, ``openpose``, or ``auto``: cleaned for the videos that have them, OpenPose's otherwise.
        masks: whether clips have ``foreground``.
        reference_among: in training, the reference is one of this many first frames.
        resample: filter for resizing: bicubic, bilinear, ... (Pillow's names).
        limit: use only the first *limit* videos; None: all.

    Raises:
        DataError, ConfigError: see :class:`posegen.data.clips.VideoClips`.
    """

    layout = HUMAN36M

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
        if keypoints not in SOURCES:
            raise ConfigError(f"DanceClips: keypoints is {', '.join(map(repr, SOURCES))}; got {keypoints!r}")
        files = {"keypoints": keypoints, "masks": masks}
        super().__init__(root, split, structure, size, length, seed, reference_among, resample, limit, **files)

    @classmethod
    def folder(cls, root: Path, split: str) -> VideoFolder:
        """Return ``SPLIT_256/train_A`` and the folders beside it."""
        folder = root / f"{split}_256"
        return VideoFolder(root, *(folder / part for part in (IMAGES, OPENPOSE, CLEANED, MASKS)))

    @classmethod
    def read_video(
        cls,
        folder: VideoFolder,
        name: str,
        frames: list[Path],
        keypoints: str = "auto",
        masks: bool = False,
        **unused: Any,
    ) -> Video | None:
        """Read a video, its key points and, if wanted, its masks."""
        if not frames:
            return None
        before = len(folder.problems)
        paths, found = _read_keypoints(folder, name, frames, keypoints)
        covers = folder.beside(folder.frames.with_name(MASKS), name, frames, FRAME_ENDINGS) if masks else None
        if len(folder.problems) > before:
            return None
        points, present = np.stack([each.points for each in found]), np.stack([each.present for each in found])
        return Video(name, frames, points, present, paths, covers)


def _read_keypoints(
    folder: VideoFolder, name: str, frames: list[Path], keypoints: str
) -> tuple[list[Path], list[Keypoints]]:
    """Read the key points of each frame; return their files and the points. Missing and broken files are problems."""
    cleaned = folder.frames.with_name(CLEANED)
    there = {name, f"{name}.npy"} & folder.names(cleaned)
    if keypoints == "auto":
        keypoints = "cleaned" if there else "openpose"
    found: list[Keypoints] = []
    if keypoints == "cleaned" and f"{name}.npy" in there:
        paths = [cleaned / f"{name}.npy"] * len(frames)
        with folder.noting(paths[0]):
            found = read_array(paths[0], len(frames))
        return paths, found
    if keypoints == "cleaned":
        paths = folder.beside(cleaned, name, frames, (".json", ".txt"))
    else:
        paths = folder.beside(folder.frames.with_name(OPENPOSE), name, frames, (".json", "_keypoints.json"))
    for path in paths:
        with folder.noting(path):
            found.append(READERS[path.suffix](path) if keypoints == "cleaned" else read_openpose_json(path))
    return paths, found
