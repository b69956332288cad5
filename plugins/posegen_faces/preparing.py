"""Prepare talking faces: frames and landmarks become what :class:`FaceClips` reads."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from posegen.data.clips import FRAME_ENDINGS, SPLITS
from posegen.data.estimators import fitting_estimators
from posegen.data.images import read_image
from posegen.errors import DataError
from posegen.evaluation.protocol import Protocol
from posegen.preparing import (
    Preparation,
    SourceFile,
    Task,
    Workspace,
    changes_pixels,
    check_estimator,
    copy_image,
    estimate_keypoints,
    split_of_video,
    stored_name,
)

from .layouts import IBUG_68, read_landmarks

Frame = tuple[str, str, str]
"""Split, video, and the frame's name without its ending."""


def prepare_faces(workspace: Workspace) -> None:
    """Prepare ``{train,test}_data/VIDEO/FRAME`` and ``{train,test}_keypoints/VIDEO/FRAME.txt``, at any depth, or
    videos."""
    videos = workspace.split_videos()
    images = _find(workspace, "data", FRAME_ENDINGS)
    for file in videos:
        *_, video, name = file.parts
        frame = split_of_video(file), video, name.removesuffix(file.ending)
        if images.setdefault(frame, file) is not file:
            workspace.leave_out(file, "a second video of this name; the first is used")
    landmarks = _find(workspace, "keypoints", (".txt",))
    estimator = workspace.options.estimator
    missing = [] if images else ["there are no videos, and no frames, SPLIT_data/VIDEO/FRAME.jpg (SPLIT: train, test)"]
    if not landmarks and estimator is None:
        missing.append("there are no landmarks, SPLIT_keypoints/VIDEO/FRAME.txt (SPLIT: train or test)")
    hint = (
        "Landmarks that are elsewhere: --keypoints FOLDER; to find them: --estimator NAME "
        f"({', '.join(fitting_estimators(IBUG_68))}). docs/faces.md describes the names of the files."
    )
    if missing:
        raise DataError(workspace.sources, missing, hint)
    tasks, used, estimated = [], [], 0
    protocol = workspace.options.protocol
    for frame, image in images.items():
        split, video, stem = frame
        known = [landmarks[frame]] if frame in landmarks else []
        if not known and estimator is None:
            workspace.problem(image, "has no landmarks, and is left out")
            workspace.leave_out(image, "a frame without landmarks")
            continue
        used.append(frame)
        name = stored_name(image.parts[-1], changes_pixels(None, protocol))
        targets = (f"{split}_data/{video}/{name}", f"{split}_keypoints/{video}/{stem}.txt")
        estimated += not known
        tasks.append(Task((image, *known), targets, partial(copy_frame, protocol=protocol, estimator=estimator)))
    if not used:
        raise DataError(workspace.sources, f"none of {len(images):,} frames has landmarks", hint)
    if estimated and estimator is not None:
        check_estimator(estimator, IBUG_68)
        workspace.note(f"the landmarks of {estimated:,} frames are from {estimator!r}")
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


def copy_frame(
    sources: Sequence[Path], targets: Sequence[Path], protocol: Protocol | None, estimator: str | None = None
) -> None:
    """Copy a frame and its landmarks, or estimate them; if the frame is resized, scale the landmarks with it."""
    image = read_image(sources[0])
    points = _landmarks(sources[1]) if len(sources) > 1 else _estimated(image, estimator or "")
    copy_image(sources[:1], targets[:1], protocol=protocol)
    before, after = image.shape[:2], read_image(targets[0]).shape[:2]
    if before == after and len(sources) > 1:
        shutil.copyfile(sources[1], targets[1])
    else:
        scaled = points * (after[1] / before[1], after[0] / before[0])
        np.savetxt(targets[1], scaled, fmt="%.3f", delimiter=",")


def _landmarks(path: Path) -> np.ndarray:
    try:
        return read_landmarks(path).points
    except DataError as error:
        raise DataError(path, [f"landmarks, {problem}" for problem in error.problems]) from error


def _estimated(image: np.ndarray, estimator: str) -> np.ndarray:
    found = estimate_keypoints(image, estimator, IBUG_68)
    if not found.present.all():
        raise DataError("image", "the estimator found no face in it, or not all landmarks; it is left out")
    return found.points


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
        "talking faces: train_data, test_data and their landmarks, train_keypoints, test_keypoints; or videos",
        prepare_faces,
        "downloads/faces.zip data/faces",
        frozenset({"protocol", "estimator"}),
    ),
)
