"""Statistics of a set of real images, computed once and cached on disk."""

from __future__ import annotations

import hashlib
import os
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from ..errors import DataError
from ..files import written_whole
from ..version import __version__
from ..weights import sha256
from .images import to_batch
from .metric import SetMetric


def real_statistics(
    metric: SetMetric,
    files: Sequence[Path],
    prepare: Callable[[Path], np.ndarray],
    key: str,
    cache: Path | None = None,
    batch_size: int = 16,
    progress: Callable[[int], None] | None = None,
    known: dict[object, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """Compute the statistics of a set of real images, or read them from the cache.

    The cache key is the metric and its extractor, *key*, and the bytes of every file: files may be renamed and
    reordered, and a changed, added or missing file is noticed. If several processes need the same statistics, one
    computes them and the others wait. Memory grows by one row of features per image.

    Args:
        metric: computes the statistics.
        files: of the images.
        prepare: reads one file as it is scored, uint8 H W 3; all of one size.
        key: hash of what *prepare* does.
        cache: cache folder; None: :func:`default_cache`.
        batch_size: images given to the metric at a time.
        progress: called with the number of images done, if they are computed.
        known: features of these files by their source, shared by metrics: read and extended.

    Returns:
        Arrays by name.

    Raises:
        DataError: the cache folder cannot be created, or a file cannot be read.
        NotComputable: too few images.
    """
    folder = default_cache() if cache is None else cache
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(folder, f"cannot be created: {error.strerror}", "Choose another cache folder.") from error
    path = folder / f"real-{_key(metric, files, key)}.npz"
    with FileLock(path.with_suffix(".lock")):
        statistics = _read(path)
        if statistics is None:
            known = {} if known is None else known
            source = metric.source_of_features
            if source not in known:
                known[source] = _features(metric, files, prepare, batch_size, progress)
            statistics = metric.statistics(known[source])
            with written_whole(path) as temporary, temporary.open("wb") as stream:  # savez adds an ending to a name
                np.savez(stream, **statistics)  # type: ignore[arg-type]
    return statistics


def default_cache() -> Path:
    """Return ``$XDG_CACHE_HOME/posegen``, or ``~/.cache/posegen``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "posegen"


def _key(metric: SetMetric, files: Sequence[Path], key: str) -> str:
    kind = type(metric)
    parts = [__version__, f"{kind.__module__}.{kind.__qualname__}", metric.extractor, key]
    parts += sorted(f"{path.stat().st_size} {sha256(path)}" for path in files)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _features(
    metric: SetMetric,
    files: Sequence[Path],
    prepare: Callable[[Path], np.ndarray],
    batch_size: int,
    progress: Callable[[int], None] | None,
) -> np.ndarray:
    rows = []
    for start in range(0, len(files), batch_size):
        batch = files[start : start + batch_size]
        rows.append(metric.extract(to_batch(prepare(path) for path in batch)))
        if progress is not None:
            progress(start + len(batch))
    return np.concatenate(rows)


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """Read the arrays of a file; None if it does not exist or is damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        warnings.warn(f"{path} is damaged ({error}) and is computed again", stacklevel=3)
        return None
