"""The list of weight files that ``posegen weights``, ``posegen doctor`` and the completion of a shell share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..weights import WeightsFile


def known_files() -> list[WeightsFile]:
    """Return the files that posegen and plugins read; entries of one file are merged, with all its readers."""
    from .. import catalogue
    from ..losses.features import ALL
    from ..weights import WeightsFile

    merged: dict[tuple[Path, str], WeightsFile] = {}
    for file in [*ALL, *catalogue.all(WeightsFile)]:
        known = merged.setdefault((file.path, file.sha256), file)
        readers = dict.fromkeys((*known.used_by, *file.used_by))
        merged[file.path, file.sha256] = replace(known, used_by=tuple(readers))
    return list(merged.values())
