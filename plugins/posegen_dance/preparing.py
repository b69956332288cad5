"""Dancers: frames, key points and masks, from wherever they lie in folders and archives, to what :class:`DanceClips`
reads."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posegen_people.layouts import OPENPOSE_18
from posegen_people.preparing import write_estimate

from posegen.data.clips import FRAME_ENDINGS, SPLITS
from posegen.data.images import read_image
from posegen.errors import DataError
from posegen.preparing import Copy, LeftOut, Member, Plan, Preparation, Sources, Step, Wishes, check_estimator

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


@dataclass(frozen=True)
class DanceFrame(Step):
    """A frame with its key points and mask, copied as they are: all or none, for the loader takes no frame alone.

    Args:
        estimator: the name of what finds the key points of a frame that has none; they are one target more.
    """

    estimator: str | None = None

    def make(self, sources: Sequence[Path], targets: Sequence[Path]) -> None:
        """Look at each as the loader will, and copy it."""
        for source, name in zip(sources, self.targets, strict=False):  # beside the sources: what is estimated
            part = name.split("/")[1]
            try:
                READERS.get((part, source.suffix.lower()), read_image)(source)
            except DataError as error:
                raise DataError(name, [f"{part}: {problem}" for problem in error.problems]) from error
        for source, target in zip(sources, targets, strict=False):
            shutil.copyfile(source, target)
        if self.estimator is not None:
            write_estimate(read_image(sources[0]), self.estimator, targets[-1])


@dataclass
class Found:
    """What is in the sources: by folder and frame, and the arrays of whole videos by split and video."""

    files: dict[str, dict[Frame, Member]] = field(default_factory=lambda: defaultdict(dict))
    arrays: dict[tuple[str, str], Member] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


def plan_dance(sources: Sources, wishes: Wishes) -> Plan:
    """``{train,test}_256/`` with ``train_A``, ``train_alphapose``, ``train_video2d``, ``train_C``, at any depth."""
    found = _find(sources.members)
    plan = Plan(left_out=found.left_out)
    images = found.files[IMAGES]
    if not images:
        raise DataError(
            str(sources),
            f"there are no frames, train_256/{IMAGES}/VIDEO/FRAME.png or test_256/{IMAGES}/VIDEO/FRAME.png",
            "docs/dance.md says how the files are called. Key points that lie elsewhere: --keypoints FOLDER.",
        )
    used: list[Frame] = []
    estimated: list[Frame] = []
    for frame, image in images.items():
        beside = [found.files[part][frame] for part in (OPENPOSE, CLEANED, MASKS) if frame in found.files[part]]
        members = (image, *beside)
        targets = tuple(_target(frame, member) for member in members)
        if frame[:2] in found.arrays or frame in found.files[OPENPOSE] or frame in found.files[CLEANED]:
            used.append(frame)
            plan.steps.append(DanceFrame(members, targets))
        elif wishes.estimator is not None:
            used.append(frame)
            estimated.append(frame)
            split, video, stem = frame
            estimate = f"{split}_256/{OPENPOSE}/{video}/{stem}.json"
            plan.steps.append(DanceFrame(members, (*targets, estimate), wishes.estimator))
        else:
            plan.problems.append((str(image), f"has no key points in {OPENPOSE} or {CLEANED}, and is left out"))
            plan.left_out += [LeftOut(str(member), "a frame without key points") for member in members]
    if estimated and wishes.estimator is not None:
        check_estimator(wishes.estimator, OPENPOSE_18)
        plan.notes.append(f"the key points of {len(estimated):,} frames are those of {wishes.estimator!r}")
    for (split, video), member in found.arrays.items():
        plan.steps.append(Copy((member,), (f"{split}_256/{CLEANED}/{video}.npy",)))
    alone = {str(member) for files in found.files.values() for frame, member in files.items() if frame not in images}
    plan.left_out += [LeftOut(name, "belongs to no frame") for name in sorted(alone)]
    plan.checks.append({split: _check(split, used, found) for split in SPLITS if any(f[0] == split for f in used)})
    plan.notes += _shortest(used, found)
    return plan


def _find(members: Iterable[Member]) -> Found:
    found = Found()
    for member in members:
        *_, split, part, video, name = ["", "", "", *member.parts]
        if (video == CLEANED and part in ("train_256", "test_256")) and member.ending == ".npy":
            first: Member = found.arrays.setdefault((part.removesuffix("_256"), name[: -len(".npy")]), member)
        elif split in ("train_256", "test_256") and member.ending in ENDINGS.get(part, ()):
            stem = name[: -len(member.ending)]
            frame = split.removesuffix("_256"), video, stem.removesuffix("_keypoints") if part == OPENPOSE else stem
            first = found.files[part].setdefault(frame, member)
        else:
            continue
        if first is not member:
            found.left_out.append(LeftOut(str(member), "is there twice; the first is taken"))
    return found


def _target(frame: Frame, member: Member) -> str:
    split, video, stem = frame
    part = next(part for part in ENDINGS if part in member.parts[:-2][-1:])
    return f"{split}_256/{part}/{video}/{stem}{member.ending}"


def _check(split: str, used: Sequence[Frame], found: Found) -> dict[str, Any]:
    structure = {"type": "DanceStructureEncoder", "sigma": 6}
    masks = all(frame in found.files[MASKS] for frame in used if frame[0] == split)
    return {"type": "DanceClips", "split": split, "length": 1, "structure": structure, "masks": masks}


def _shortest(frames: Sequence[Frame], found: Found) -> list[str]:
    """How long the shortest video of each split is, and whether all frames have masks: what a config may ask for."""
    notes = []
    for split in SPLITS:
        there = [frame for frame in frames if frame[0] == split]
        if not there:
            notes.append(f"there is no {split} split")
            continue
        video, count = min(Counter(frame[1] for frame in there).items(), key=lambda item: item[1])
        masked = sum(frame in found.files[MASKS] for frame in there)
        videos = len({frame[1] for frame in there})
        notes.append(
            f"{split}: {videos:,} videos, {len(there):,} frames, {masked:,} of them with masks; the shortest video, "
            f"{video}, has {count:,} frames"
        )
    return notes


PREPARATIONS: Sequence[Preparation] = (
    Preparation(
        "dance",
        "dancers, as FashionVideo and iPER are shared: train_256 and test_256 with frames, key points, masks",
        plan_dance,
        "downloads/dance.tar.gz data/dance_fashion",
        frozenset({"estimator"}),
    ),
)
