"""Talking faces: frames and landmarks, from wherever they lie in folders and archives, to what :class:`FaceClips`
reads."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from posegen.data.clips import FRAME_ENDINGS, SPLITS
from posegen.data.images import read_image
from posegen.errors import DataError
from posegen.preparing import (
    CopyImage,
    LeftOut,
    Member,
    Plan,
    Preparation,
    Sources,
    Wishes,
    changes_pixels,
    stored_name,
)

from .layouts import parse_landmarks

Frame = tuple[str, str, str]
"""Split, video, and the frame's name without its ending."""


@dataclass(frozen=True)
class FaceFrame(CopyImage):
    """A frame and its landmarks: both or neither, for the loader takes no frame without landmarks."""

    def make(self, sources: Sequence[Path], targets: Sequence[Path]) -> None:
        """Look at both; where the image is resized, the landmarks go with it."""
        points, problems = parse_landmarks(sources[1])
        if problems:
            raise DataError(sources[1], [f"landmarks, {problem}" for problem in problems])
        super().make(sources[:1], targets[:1])
        before, after = (read_image(path).shape[:2] for path in (sources[0], targets[0]))
        if before == after:
            shutil.copyfile(sources[1], targets[1])
        else:
            scaled = points * (after[1] / before[1], after[0] / before[0])
            np.savetxt(targets[1], scaled, fmt="%.3f", delimiter=",")


def plan_faces(sources: Sources, wishes: Wishes) -> Plan:
    """``{train,test}_data/VIDEO/FRAME`` with ``{train,test}_keypoints/VIDEO/FRAME.txt``, at any depth."""
    plan = Plan()
    images = _found(sources, "data", FRAME_ENDINGS, plan)
    landmarks = _found(sources, "keypoints", (".txt",), plan)
    if not images or not landmarks:
        missing = [
            ("frames, SPLIT_data/VIDEO/FRAME.jpg", images),
            ("landmarks, SPLIT_keypoints/VIDEO/FRAME.txt", landmarks),
        ]
        raise DataError(
            str(sources),
            [f"there are no {what} (SPLIT: train or test)" for what, found in missing if not found],
            "Landmarks that lie elsewhere: --keypoints FOLDER. docs/faces.md says how the files are called.",
        )
    for frame, image in images.items():
        if frame in landmarks:
            plan.steps.append(_step(frame, image, landmarks[frame], wishes))
        else:
            plan.problems.append((str(image), "has no landmarks, and is left out"))
            plan.left_out.append(LeftOut(str(image), "a frame without landmarks"))
    alone = [member for frame, member in landmarks.items() if frame not in images]
    plan.left_out += [LeftOut(str(member), "landmarks without a frame") for member in alone]
    used = [frame for frame in images if frame in landmarks]
    structure = {"type": "FaceStructureEncoder"}
    found_splits = {split for split, _, _ in used}
    plan.checks.append(
        {s: {"type": "FaceClips", "split": s, "length": 1, "structure": structure} for s in SPLITS if s in found_splits}
    )
    plan.notes += _shortest(used)
    return plan


def _found(sources: Sources, kind: str, endings: tuple[str, ...], plan: Plan) -> dict[Frame, Member]:
    found: dict[Frame, Member] = {}
    for member in sources.members:
        *_, folder, video, name = ["", "", *member.parts]
        split = folder.removesuffix(f"_{kind}")
        if member.ending in endings and folder == f"{split}_{kind}" and split in SPLITS:
            frame = split, video, name[: -len(member.ending)]
            if found.setdefault(frame, member) is not member:
                plan.left_out.append(LeftOut(str(member), "is there twice; the first is taken"))
    return found


def _step(frame: Frame, image: Member, landmarks: Member, wishes: Wishes) -> FaceFrame:
    split, video, stem = frame
    name = stored_name(image.parts[-1], changes_pixels(None, wishes.protocol))
    targets = f"{split}_data/{video}/{name}", f"{split}_keypoints/{video}/{stem}.txt"
    return FaceFrame((image, landmarks), targets, protocol=wishes.protocol)


def _shortest(frames: Sequence[Frame]) -> list[str]:
    """How long the shortest video of each split is: what a config may ask for."""
    notes = []
    for split in SPLITS:
        lengths = Counter(video for name, video, _ in frames if name == split)
        if not lengths:
            notes.append(f"there is no {split} split")
        else:
            video, count = min(lengths.items(), key=lambda item: item[1])
            notes.append(f"{split}: {len(lengths):,} videos; the shortest, {video}, has {count:,} frames")
    return notes


PREPARATIONS: Sequence[Preparation] = (
    Preparation(
        "faces",
        "talking faces: train_data, test_data and their landmarks, train_keypoints, test_keypoints",
        plan_faces,
        "downloads/faces.zip data/faces",
        frozenset({"protocol"}),
    ),
)
