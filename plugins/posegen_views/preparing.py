"""Prepare views of ShapeNet's cars and chairs: the HDF5 files and their id lists, in one folder."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from posegen.errors import DataError
from posegen.preparing import Preparation, SourceFile, Task, Workspace

from .views import SPLITS, open_hdf5, read_ids

FILE = re.compile(r"data_(?P<data>[\w-]+)\.hdf5|id_(?P<id>[\w-]+)_(train|test)\.txt|name_(?P<name>[\w-]+)_test\.txt")


def prepare_views(workspace: Workspace) -> None:
    """Prepare ``data_CATEGORY.hdf5``, ``id_CATEGORY_{train,test}.txt``, ``name_CATEGORY_test.txt``, at any depth."""
    found: dict[str, dict[str, SourceFile]] = defaultdict(dict)
    for file in workspace.files:
        name = file.parts[-1]
        match = FILE.fullmatch(name)
        if match is None:
            continue
        category = match["data"] or match["id"] or match["name"]
        if found[category].setdefault(name, file) is not file:
            workspace.leave_out(file, "a second file of this name; the first is used")
    problems = [] if found else ["there is no data_CATEGORY.hdf5 (CATEGORY: car, chair, or another word)"]
    for category, files in found.items():
        if f"data_{category}.hdf5" not in files:
            problems.append(f"there is no data_{category}.hdf5, and there is {', '.join(files)}")
        if not any(f"id_{category}_{split}.txt" in files for split in SPLITS):
            problems.append(f"there is no id_{category}_train.txt and no id_{category}_test.txt, which name the split")
    if problems:
        raise DataError(workspace.sources, problems, "Lists that are elsewhere: --keypoints FILE ….")
    for category, files in sorted(found.items()):
        workspace.make(
            Task((file,), (name,), copy_renders if name.endswith(".hdf5") else copy_ids) for name, file in files.items()
        )
        splits = [split for split in SPLITS if f"id_{category}_{split}.txt" in files]
        for split in SPLITS:
            if split not in splits:
                workspace.note(f"{category}: there is no {split} split")
        common = {"type": "ViewPairs", "category": category, "structure": {"type": "ViewEncoder"}}
        workspace.checks.append({split: {"split": split, **common} for split in splits})


def copy_renders(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Copy a file of renders, which must be HDF5; the check of the result reads its content."""
    open_hdf5(sources[0]).close()
    shutil.copyfile(sources[0], targets[0])


def copy_ids(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Copy an id list, which must be one."""
    read_ids(sources[0])
    shutil.copyfile(sources[0], targets[0])


PREPARATIONS = (
    Preparation(
        "views",
        "views of ShapeNet's cars and chairs: data_CATEGORY.hdf5 and its id lists",
        prepare_views,
        "downloads/views data/views",
    ),
)
