"""Prepare dancers: frames, key points and masks become what :class:`DanceClips` reads."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from posegen_people.layouts import OPENPOSE_18
from posegen_people.preparing import estimate_image

from posegen.data.clips import FRAME_ENDINGS, SPLITS
from posegen.data.estimators import fitting_estimators
from posegen.data.images import read_image
from posegen.errors import DataError
from posegen.preparing import Preparation, SourceFile, Task, Workspace, check_estimator, split_of_video

from .clips import CLEANED, IMAGES, MASKS, OPENPOSE
from .keypoints import read_cleaned_json, read_openpose_json, read_text

ENDINGS = {IMAGES: FRAME_ENDINGS, OPENPOSE: (".json",), CLEANED: (".json", ".txt"), MASKS: FRAME_ENDINGS}
READERS: dict[tuple[str, str], Callable[[Path], Any]] = {
    (OPENPOSE, ".json"): read_openpose_json,
    (CLEANED, ".json"): read_cleaned_json,
    (CLEANED, ".txt"): read_text,
}

Frame = tuple[str, str, str]
"""Split, video, and the frame's name without its ending."""


def prepare_dance(workspace: Workspace) -> None:
    """Prepare ``{train,test}_256/`` with frames, key points and masks, at any depth, or videos."""
    videos = workspace.split_videos()
    files, arrays = _find(workspace)
    for file in videos:
        *_, video, name = file.parts
        frame = split_of_video(file), video, name.removesuffix(file.ending)
        if files[IMAGES].setdefault(frame, file) is not file:
            workspace.leave_out(file, "a second video of this name; the first is used")
    images, estimator = files[IMAGES], workspace.options.estimator
    if not images:
        raise DataError(
            workspace.sources,
            f"there are no videos, and no frames, train_256/{IMAGES}/VIDEO/FRAME.png or "
            f"test_256/{IMAGES}/VIDEO/FRAME.png",
            "docs/dance.md describes the names of the files. Key points that are elsewhere: --keypoints FOLDER.",
        )
    tasks, used, estimated = [], [], 0
    for frame, image in images.items():
        split, video, stem = frame
        parts = [part for part in ENDINGS if frame in files[part]]
        sources = tuple(files[part][frame] for part in parts)
        targets = [
            f"{split}_256/{part}/{video}/{stem}{source.ending}" for part, source in zip(parts, sources, strict=True)
        ]
        if frame[:2] in arrays or OPENPOSE in parts or CLEANED in parts:
            tasks.append(Task(sources, tuple(targets), partial(copy_frame, parts=parts)))
        elif estimator is not None:
            estimated += 1
            targets.append(f"{split}_256/{OPENPOSE}/{video}/{stem}.json")
            tasks.append(Task(sources, tuple(targets), partial(copy_frame, parts=parts, estimator=estimator)))
        else:
            workspace.problem(image, f"has no key points in {OPENPOSE} or {CLEANED}, and is left out")
            for source in sources:
                workspace.leave_out(source, "a frame without key points")
            continue
        used.append(frame)
    if not used:
        raise DataError(
            workspace.sources,
            f"none of {len(images):,} frames has key points",
            "Key points that are elsewhere: --keypoints FOLDER; to find them: --estimator NAME "
            f"({', '.join(fitting_estimators(OPENPOSE_18))}). docs/dance.md describes the names of the files.",
        )
    if estimated and estimator is not None:
        check_estimator(estimator, OPENPOSE_18)
        workspace.note(f"the key points of {estimated:,} frames are from {estimator!r}")
    for (split, video), array in arrays.items():
        tasks.append(Task((array,), (f"{split}_256/{CLEANED}/{video}.npy",), copy_file))
    workspace.make(tasks)
    for part in ENDINGS:
        for frame, file in files[part].items():
            if frame not in images:
                workspace.leave_out(file, "belongs to no frame")
    _note_videos(workspace, used, files[MASKS])
    common = {"type": "DanceClips", "length": 1, "structure": {"type": "DanceStructureEncoder", "sigma": 6}}
    group = {}
    for split in SPLITS:
        frames = [frame for frame in used if frame[0] == split]
        if frames:
            group[split] = {"split": split, "masks": all(frame in files[MASKS] for frame in frames), **common}
    workspace.checks.append(group)


def _find(workspace: Workspace) -> tuple[dict[str, dict[Frame, SourceFile]], dict[tuple[str, str], SourceFile]]:
    """Return the files by folder and frame, and the arrays of whole videos by split and video."""
    files: dict[str, dict[Frame, SourceFile]] = defaultdict(dict)
    arrays: dict[tuple[str, str], SourceFile] = {}
    for file in workspace.files:
        *_, split, part, video, name = ["", "", "", *file.parts]
        if video == CLEANED and part in ("train_256", "test_256") and file.ending == ".npy":
            first = arrays.setdefault((part.removesuffix("_256"), name[: -len(".npy")]), file)
        elif split in ("train_256", "test_256") and file.ending in ENDINGS.get(part, ()):
            stem = name[: -len(file.ending)]
            stem = stem.removesuffix("_keypoints") if part == OPENPOSE else stem
            first = files[part].setdefault((split.removesuffix("_256"), video, stem), file)
        else:
            continue
        if first is not file:
            workspace.leave_out(file, "a second file of this name; the first is used")
    return files, arrays


def copy_frame(
    sources: Sequence[Path], targets: Sequence[Path], parts: Sequence[str], estimator: str | None = None
) -> None:
    """Copy a frame with its key points and mask after reading each as the loader does; estimate missing key points."""
    for source, part in zip(sources, parts, strict=True):
        try:
            READERS.get((part, source.suffix.lower()), read_image)(source)
        except DataError as error:
            raise DataError(source, [f"{part}: {problem}" for problem in error.problems]) from error
    for source, target in zip(sources, targets, strict=False):
        shutil.copyfile(source, target)
    if estimator is not None:
        estimate_image(sources[:1], targets[-1:], estimator)


def copy_file(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Copy a file as it is."""
    shutil.copyfile(sources[0], targets[0])


def _note_videos(workspace: Workspace, used: Sequence[Frame], masks: dict[Frame, SourceFile]) -> None:
    """Note the shortest video of each split, which limits the length of clips, and the number of masks."""
    for split in SPLITS:
        frames = [frame for frame in used if frame[0] == split]
        if not frames:
            workspace.note(f"there is no {split} split")
            continue
        lengths = Counter(frame[1] for frame in frames)
        video, count = min(lengths.items(), key=lambda item: item[1])
        masked = sum(frame in masks for frame in frames)
        workspace.note(
            f"{split}: {len(lengths):,} videos, {len(frames):,} frames, {masked:,} of them with masks; the shortest "
            f"video, {video}, has {count:,} frames"
        )


PREPARATIONS = (
    Preparation(
        "dance",
        "dancers: train_256 and test_256 with frames, key points, masks (FashionVideo, iPER); or videos",
        prepare_dance,
        "downloads/dance.tar.gz data/dance_fashion",
        frozenset({"estimator"}),
    ),
)
