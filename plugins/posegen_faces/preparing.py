"""Prepare talking faces: frames and landmarks become what :class:`FaceClips` reads."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from posegen.data.clips import FRAME_ENDINGS, SPLITS
from posegen.data.images import read_image
from posegen.errors import DataError
from posegen.evaluation.protocol import Protocol
from posegen.preparing import Preparation, SourceFile, Task, Workspace, changes_pixels, copy_image, stored_name

from .layouts import read_landmarks

Frame = tuple[str, str, str]
"""Split, video, and the frame's name without its ending."""


def prepare_faces(workspace: Workspace) -> None:
    """Prepare ``{train,test}_data/VIDEO/FRAME`` and ``{train,test}_keypoints/VIDEO/FRAME.txt``, at any depth."""
    images = _find(workspace, "data", FRAME_ENDINGS)
    landmarks = _find(workspace, "keypoints", (".txt",))
    missing = [] if images else ["there are no frames, SPLIT_data/VIDEO/FRAME.jpg (SPLIT: train or test)"]
    missing += [] if landmarks else ["there are no landmarks, SPLIT_keypoints/VIDEO/FRAME.txt (SPLIT: train or test)"]
    if missing:
        hint = "Landmarks that are elsewhere: --keypoints FOLDER. docs/faces.md describes the names of the files."
        raise DataError(workspace.sources, missing, hint)
    tasks, used = [], []
    protocol = workspace.options.protocol
    for frame, image in images.items():
        split, video, stem = frame
        if frame not in landmarks:
            workspace.problem(image, "has no landmarks, and is left out")
            workspace.leave_out(image, "a frame without landmarks")
            continue
        used.append(frame)
        name = stored_name(image.parts[-1], changes_pixels(None, protocol))
        targets = (f"{split}_data/{video}/{name}", f"{split}_keypoints/{video}/{stem}.txt")
        tasks.append(Task((image, landmarks[frame]), targets, partial(copy_frame, protocol=protocol)))
    workspace.make(tasks)
    for frame, file in landmarks.items():
        if frame not in images:
            workspace.leave_out(file, "landmarks without a frame")
    note_videos(workspace, used)
    structure = {"type": "FaceStructureEncoder"}
    splits = [split for split in SPLITS if any(frame[0] == split for frame in used)]
    common = {"type": "FaceClips", "length": 1, "structure": structure}
    workspace.checks.append({split: {"split": split, **common} for split in splits})


def _find(workspace: Workspace, kind: str, endings: Sequence[str]) -> dict[Frame, SourceFile]:
    found: dict[Frame, SourceFile] = {}
    for file in workspace.files:
        *_, folder, video, name = ["", "", *file.parts]
        split = folder.removesuffix(f"_{kind}")
        if file.ending in endings and folder == f"{split}_{kind}" and split in SPLITS:
            frame = split, video, name[: -len(file.ending)]
            if found.setdefault(frame, file) is not file:
                workspace.leave_out(file, "a second file of this name; the first is used")
    return found


def copy_frame(sources: Sequence[Path], targets: Sequence[Path], protocol: Protocol | None) -> None:
    """Copy a frame and its landmarks; if the frame is resized, scale the landmarks with it."""
    try:
        points = read_landmarks(sources[1]).points
    except DataError as error:
        raise DataError(sources[1], [f"landmarks, {problem}" for problem in error.problems]) from error
    copy_image(sources[:1], targets[:1], protocol=protocol)
    before, after = (read_image(path).shape[:2] for path in (sources[0], targets[0]))
    if before == after:
        shutil.copyfile(sources[1], targets[1])
    else:
        scaled = points * (after[1] / before[1], after[0] / before[0])
        np.savetxt(targets[1], scaled, fmt="%.3f", delimiter=",")


def note_videos(workspace: Workspace, frames: Sequence[Frame]) -> None:
    """Note the length of the shortest video of each split, which limits the length of clips."""
    for split in SPLITS:
        lengths = Counter(frame[1] for frame in frames if frame[0] == split)
        if not lengths:
            workspace.note(f"there is no {split} split")
            continue
        video, count = min(lengths.items(), key=lambda item: item[1])
        total = sum(lengths.values())
        workspace.note(
            f"{split}: {len(lengths):,} videos, {total:,} frames; the shortest video, {video}, has {count:,} frames"
        )


PREPARATIONS = (
    Preparation(
        "faces",
        "talking faces: train_data, test_data and their landmarks, train_keypoints, test_keypoints",
        prepare_faces,
        "downloads/faces.zip data/faces",
        frozenset({"protocol"}),
    ),
)
