"""Models on the Hugging Face Hub, fetched with their checksums compared. Requires huggingface_hub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, MissingWeightsError, PosegenError
from ..weights import sha256

HUB = "hf://"
_ON_HUB = re.compile(r"hf:/{1,2}(.*)", re.DOTALL)  # pathlib removes one of two slashes
_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def hub_name(name: str | Path) -> str | None:
    """Return OWNER/NAME of ``hf://OWNER/NAME``; None for anything else."""
    match = _ON_HUB.match(name.as_posix() if isinstance(name, Path) else name)
    return match[1] if match else None


def is_hub_name(name: str) -> bool:
    """Return whether a name has the form OWNER/NAME."""
    return _NAME.fullmatch(name) is not None


def fetch(name: str, files: Mapping[str, int], revision: str | None) -> Path:
    """Fetch files of a model into a folder, and compare each with the size and checksum that the Hub gives.

    Args:
        name: OWNER/NAME.
        files: largest size in bytes by file name.
        revision: branch, tag or commit; None: the newest.

    Raises:
        CheckpointError: a file is missing, too large, without a checksum or damaged.
        MissingWeightsError: no such model, no connection, or huggingface_hub is not installed.
    """
    if not is_hub_name(name):
        raise MissingWeightsError(f"{name!r} is not a model on the Hub: use {HUB}OWNER/NAME")
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingWeightsError(f"to fetch {name} from huggingface.co: pip install huggingface_hub") from error
    try:
        info = huggingface_hub.HfApi().model_info(name, revision=revision, files_metadata=True)
        expected = {file.rfilename: file for file in info.siblings or ()}
        _check_expected(expected, files, name)
        fetched = [Path(huggingface_hub.hf_hub_download(name, file, revision=info.sha)) for file in files]
    except PosegenError:
        raise
    except Exception as error:  # the network and the Hub raise many kinds
        raise MissingWeightsError(f"{name} cannot be fetched from the Hub: {type(error).__name__}: {error}") from error
    for path in fetched:
        _verify(path, expected[path.name])
    return fetched[0].parent


def _check_expected(expected: Mapping[str, Any], files: Mapping[str, int], name: str) -> None:
    """Raise CheckpointError, before anything is fetched, if files are missing, too large or without a checksum."""
    missing = [file for file in files if file not in expected]
    if missing:
        raise CheckpointError(f"{name} on the Hub is not a shared model: it has no {' and no '.join(missing)}")
    problems = []
    for file, limit in files.items():
        size = expected[file].size
        if not isinstance(size, int) or not any(_checksums(expected[file])):
            problems.append(f"the Hub gives no size or no checksum of {file}, so it cannot be verified")
        elif size > limit:
            problems.append(f"{file} has {size:,} bytes; the limit is {limit:,}")
    if problems:
        raise CheckpointError(f"{name} on the Hub is not fetched: {'; '.join(problems)}")


def _checksums(expected: Any) -> tuple[str, str]:
    """Return the SHA-256, which the Hub gives for large files, and the git checksum, for small ones; else empty."""
    lfs = getattr(expected, "lfs", None)
    large = lfs.get("sha256") if isinstance(lfs, Mapping) else getattr(lfs, "sha256", None)
    return large or "", "" if lfs else getattr(expected, "blob_id", None) or ""


def _verify(path: Path, expected: Any) -> None:
    size = path.stat().st_size
    if size != expected.size:
        raise CheckpointError(
            f"{path} has {size:,} bytes, but {expected.size:,} on the Hub: remove it, and fetch it again"
        )
    large, small = _checksums(expected)
    kind, checksum, digest = ("SHA-256", large, sha256) if large else ("git checksum", small, _git_checksum)
    if digest(path) != checksum:
        raise CheckpointError(f"{path} has another {kind} than on the Hub, {checksum}: remove it, and fetch it again")


def _git_checksum(path: Path) -> str:
    """Return git's name of a file: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
