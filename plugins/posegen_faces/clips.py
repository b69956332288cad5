"""Clips of talking faces, read from folders of frames and landmark files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from posegen.data import StructureEncoder
from posegen.data.clips import Video, VideoClips, VideoFolder
from posegen.registry import DATASETS

from .layouts import IBUG_68, read_landmarks
from .matches import matches


@DATASETS.register_module()
class FaceClips(VideoClips):
    """Clips from videos of faces, with a file of 68 landmarks for each frame.

    ``ROOT/SPLIT_data/VIDEO/FRAME.{jpg,png}`` and ``ROOT/SPLIT_keypoints/VIDEO/FRAME.txt`` (68 rows ``x,y`` in pixels
    of the frame). Frames are ordered by their names, numbers by value. In training the reference is any frame of the
    video. The landmarks of two frames give the clip's ``matches``.

    Args:
        root: folder of the data set.
        split: ``train`` or ``test``.
        structure: structure encoder of the 68 landmarks, or its config.
        size: (H, W) of the images that the network sees.
        length: frames of a clip; required in training. None: the whole video.
        seed: seed of the random clips.
        resample: filter for resizing: bicubic, bilinear, ... (Pillow's names).
        limit: use only the first *limit* videos; None: all.

    Raises:
        DataError, ConfigError: see :class:`posegen.data.clips.VideoClips`.
    """

    layout = IBUG_68

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
        super().__init__(root, split, structure, size, length, seed, None, resample, limit)

    @classmethod
    def folder(cls, root: Path, split: str) -> VideoFolder:
        """Return the folders ``SPLIT_data`` and ``SPLIT_keypoints``."""
        folder = VideoFolder(root, root / f"{split}_data", root / f"{split}_keypoints")
        alone = folder.names(root / f"{split}_keypoints") - folder.names(folder.frames)
        folder.problems += [f"{split}_keypoints/{name}: no folder {split}_data/{name}" for name in sorted(alone)]
        return folder

    @classmethod
    def read_video(cls, folder: VideoFolder, name: str, frames: list[Path], **unused: Any) -> Video | None:
        """Read a video and its landmarks. Landmarks without a frame are a problem, too."""
        before = len(folder.problems)
        landmarks = folder.frames.with_name(folder.frames.name.replace("_data", "_keypoints"))
        paths = folder.beside(landmarks, name, frames, (".txt",))
        folder.problems += [f"{file}: no frame of this name" for file in folder.unused]
        folder.unused.clear()
        points = []
        for path in paths:
            with folder.noting(path):
                points.append(read_landmarks(path).points)
        if not frames or len(folder.problems) > before:
            return None
        return Video(name, frames, np.stack(points), np.ones((len(frames), len(IBUG_68)), bool), paths)

    def matches(self, targets: np.ndarray, sources: np.ndarray) -> Tensor:
        """Return points of the head in both frames, from their landmarks."""
        return matches(targets, sources)
