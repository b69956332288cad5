"""Views of ShapeNet's cars and chairs: the HDF5 files and their id lists, from wherever they lie, in one folder."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from posegen.errors import DataError
from posegen.preparing import Copy, LeftOut, Member, Plan, Preparation, Sources, Wishes

from .views import SPLITS, open_hdf5, read_ids

FILE = re.compile(r"data_(?P<data>[\w-]+)\.hdf5|id_(?P<id>[\w-]+)_(train|test)\.txt|name_(?P<name>[\w-]+)_test\.txt")


@dataclass(frozen=True)
class CopyRenders(Copy):
    """A file of renders, copied as it is; it must be HDF5. What is in it the loader's check reads."""

    def make(self, sources: Sequence[Path], targets: Sequence[Path]) -> None:
        """Open it, and copy."""
        open_hdf5(sources[0]).close()
        super().make(sources, targets)


@dataclass(frozen=True)
class CopyIds(Copy):
    """An id list, copied as it is; it must be one."""

    def make(self, sources: Sequence[Path], targets: Sequence[Path]) -> None:
        """Read it, and copy."""
        read_ids(sources[0])
        super().make(sources, targets)


def plan_views(sources: Sources, wishes: Wishes) -> Plan:
    """``data_CATEGORY.hdf5``, ``id_CATEGORY_{train,test}.txt`` and ``name_CATEGORY_test.txt``, at any depth."""
    plan = Plan()
    found: dict[str, dict[str, Member]] = defaultdict(dict)
    for member in sources.members:
        name = member.parts[-1]
        match = FILE.fullmatch(name)
        if match is None:
            continue
        category = match["data"] or match["id"] or match["name"]
        if found[category].setdefault(name, member) is not member:
            plan.left_out.append(LeftOut(str(member), "is there twice; the first is taken"))
    _check_files(str(sources), found)
    for category, files in sorted(found.items()):
        for name, member in files.items():
            step = CopyRenders if name.endswith(".hdf5") else CopyIds
            plan.steps.append(step((member,), (name,)))
        splits = [split for split in SPLITS if f"id_{category}_{split}.txt" in files]
        plan.notes += [f"{category}: there is no {split} split" for split in SPLITS if split not in splits]
        structure = {"type": "ViewEncoder"}
        plan.checks.append(
            {s: {"type": "ViewPairs", "category": category, "split": s, "structure": structure} for s in splits}
        )
    return plan


def _check_files(where: str, found: dict[str, dict[str, Member]]) -> None:
    """DataError: there are no renders, or renders without a list, or a list without renders; all at once."""
    problems = [] if found else ["there is no data_CATEGORY.hdf5 (CATEGORY: car, chair, or another word)"]
    for category, files in found.items():
        if f"data_{category}.hdf5" not in files:
            problems.append(f"there is no data_{category}.hdf5, and there is {', '.join(files)}")
        if not any(f"id_{category}_{split}.txt" in files for split in SPLITS):
            problems.append(f"there is no id_{category}_train.txt and no id_{category}_test.txt, which name the split")
    if problems:
        raise DataError(where, problems, "Lists that lie elsewhere: --keypoints FILE ….")


PREPARATIONS: Sequence[Preparation] = (
    Preparation(
        "views",
        "views of ShapeNet's cars and chairs: data_CATEGORY.hdf5 and its id lists",
        plan_views,
        "downloads/views data/views",
    ),
)
