"""Checkpoint files: written atomically, sealed with a checksum, and verified before use.

A ``.pth`` file is a zip archive. Its seal is the archive's comment, the last bytes of the file: the run that wrote it,
and the SHA-256 of everything before. So a checkpoint and its checksum are one file that can be renamed and moved, and
that any tool still reads with ``torch.load(path, weights_only=True)``.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
from safetensors.torch import save

from ..errors import CheckpointError
from ..files import flush_folder
from ..untrusted import RefusedError, check_content
from ..version import __version__

LAST = "last_checkpoint"
"""Name of the text file with the path of the newest checkpoint."""

NUMBERED = re.compile(r"iter_([0-9]+)\.pth")
SEAL = re.compile(rb"posegen run=([0-9a-f]{32}) sha256=([0-9a-f]{64})")
SEAL_LENGTH = len("posegen run= sha256=") + 32 + 64
_DIGEST_LENGTH = 64
_NO_COMMENT = b"\0\0"  # the last field of an archive: the length of its comment
_BLOCK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Seal(NamedTuple):
    """The last bytes of a checkpoint: the run that wrote it, and the SHA-256 of the bytes before."""

    run: str
    digest: str


def write_plain(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint without a seal atomically, for weights that are not of a run.

    Raises:
        CheckpointError: the file cannot be written.
    """
    stream = io.BytesIO()
    torch.save(dict(content), stream)
    write_whole(path, [stream.getbuffer()])


def write_checkpoint(path: str | Path, content: Mapping[str, Any], run: str) -> None:
    """Write a sealed checkpoint atomically, and read it back.

    Args:
        path: path of the checkpoint; its folder exists.
        content: tensors and plain values.
        run: identifier of the run, 32 hexadecimal digits, the same in all its checkpoints.

    Raises:
        CheckpointError: the disk is full or faulty, or *content* holds more than tensors and plain values.
    """
    path = Path(path)
    stream = io.BytesIO()  # torch's errors do not say that a disk is full
    torch.save(dict(content), stream)
    archive = stream.getbuffer()
    try:
        check_content(content, len(archive))
    except RefusedError as error:
        raise CheckpointError(f"{path} was not written, because it could not be loaded again: {error}") from error
    if archive[-2:] != _NO_COMMENT:
        raise CheckpointError(f"{path}: torch {torch.__version__} writes archives that cannot be sealed")
    archive[-2:] = struct.pack("<H", SEAL_LENGTH)
    start = f"posegen run={run} sha256=".encode()
    digest = hashlib.sha256(archive)
    digest.update(start)
    write_whole(path, [archive, start + digest.hexdigest().encode()])
    fault = fault_of(path, from_disk=True)
    if fault:
        raise CheckpointError(
            f"{path} was written, but reads back differently: {fault}. Do not trust this disk.\n{_remaining(path)}"
        )


def write_safetensors(path: str | Path, weights: Mapping[str, torch.Tensor], **provenance: str | None) -> None:
    """Write weights as safetensors, a format that cannot execute anything, atomically.

    Args:
        path: path of the file; its folder exists.
        weights: tensors by name.
        provenance: texts for the file's metadata, beside posegen's version; None is left out.

    Raises:
        CheckpointError: the file cannot be written.
    """
    metadata = {"format": "pt", "posegen": __version__, **{name: text for name, text in provenance.items() if text}}
    # copies, since safetensors refuses tensors that share memory
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    write_whole(path, [save(tensors, metadata=metadata)])


def write_whole(path: str | Path, blocks: Iterable[bytes | memoryview]) -> None:
    """Write a file atomically and durably: a temporary file is flushed to the disk, then renamed.

    Raises:
        CheckpointError: the file cannot be written; the temporary file is removed, and an earlier file is unchanged.
    """
    path = Path(path)
    part = path.with_name(f".{path.name}.part")
    try:
        try:
            with part.open("wb") as stream:
                for block in blocks:
                    stream.write(block)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        flush_folder(path.parent)
    except OSError as error:
        raise CheckpointError(_not_written(path, error)) from error


def _not_written(path: Path, error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        reason = f"the disk is full ({reason}; {shutil.disk_usage(path.parent).free / 2**20:.1f} MiB free)"
    return f"{path} was not written: {reason}\n{_remaining(path)}"


def _remaining(path: Path) -> str:
    earlier = [other for other in numbered(path.parent) if other != path]
    if not earlier:
        return "There is no earlier checkpoint. Make room or repair the disk, then start again."
    return f"Earlier checkpoints are unchanged, the newest is {earlier[0]}. Make room, then go on with --resume."


def remove_unfinished(folder: str | Path) -> None:
    """Remove partial checkpoints of a killed run."""
    for part in Path(folder).glob(".iter_*.pth.part"):
        part.unlink(missing_ok=True)


def seal_of(path: str | Path) -> Seal | None:
    """Return the seal of a file; None if it has none."""
    with Path(path).open("rb") as stream:
        return _seal(stream)


def _seal(stream: BinaryIO) -> Seal | None:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - SEAL_LENGTH, 0))
    match = SEAL.fullmatch(stream.read())
    return Seal(match[1].decode(), match[2].decode()) if match else None


def fault_of(path: str | Path, from_disk: bool = False) -> str | None:
    """Read a checkpoint that should be sealed; return what is wrong with it, or None.

    Args:
        path: path of the file.
        from_disk: ask the system to drop a file that was just written from its cache, so that the disk is read.
    """
    try:
        with Path(path).open("rb") as stream:
            if from_disk and hasattr(os, "posix_fadvise"):
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if _seal(stream) is None:
                return "it has no checksum at its end: truncated, or not written by a run of this version"
            return damage(stream)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


def damage(stream: BinaryIO) -> str | None:
    """Return what is wrong with an open file if it is sealed and its checksum differs; else None."""
    seal = _seal(stream)
    return "its checksum is wrong: damaged" if seal and _digest(stream) != seal.digest else None


def _digest(stream: BinaryIO) -> str:
    """Return the SHA-256 of the file without the digest at its end."""
    digest = hashlib.sha256()
    left = stream.seek(0, os.SEEK_END) - _DIGEST_LENGTH
    stream.seek(0)
    while left > 0 and (block := stream.read(min(_BLOCK, left))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


def iteration_of(path: Path) -> int:
    """Return N of ``iter_N.pth``; -1 for any other name."""
    match = NUMBERED.fullmatch(path.name)
    return int(match[1]) if match else -1


def numbered(folder: str | Path) -> list[Path]:
    """Return the files ``iter_N.pth`` of a folder, newest first."""
    found = [path for path in Path(folder).glob("iter_*.pth") if iteration_of(path) >= 0 and path.is_file()]
    return sorted(found, key=iteration_of, reverse=True)


def newest_sound(work_dir: str | Path) -> tuple[Path | None, list[str]]:
    """Find the checkpoint to resume from: the newest intact one.

    The files in *work_dir* decide, not ``last_checkpoint``: a run may be killed between writing the two, and a folder
    may be moved. ``last_checkpoint`` is followed only if *work_dir* has no checkpoints.

    Returns:
        The path, or None if there are no checkpoints; and what is wrong with newer ones.

    Raises:
        CheckpointError: there are checkpoints, but none is intact.
    """
    candidates = numbered(work_dir) or _elsewhere(Path(work_dir))
    faults: list[str] = []
    for path in candidates:
        fault = fault_of(path) if path.is_file() else "the file does not exist"
        if fault is None:
            return path, faults
        faults.append(f"{path}: {fault}")
    if not candidates:
        return None, []
    listed = "\n".join(f"  - {fault}" for fault in faults)
    raise CheckpointError(
        f"no checkpoint of {work_dir} can be resumed:\n{listed}\n"
        "To start a new run, give another --work-dir or remove these files. To start it from weights, set load_from."
    )


def _elsewhere(work_dir: Path) -> list[Path]:
    if not (work_dir / LAST).is_file():
        return []
    return [Path((work_dir / LAST).read_text(encoding="utf-8").strip())]


def prune(newest: Path, run: str, keep: int) -> list[Path]:
    """Remove all but the newest *keep* checkpoints of a run, after *newest* was verified; returns the removed ones.

    Only files ``iter_N.pth`` whose seal names *run* are counted and removed, up to the iteration of *newest*: no links,
    no truncated files, no files of others.
    """
    own = [path for path in numbered(newest.parent) if iteration_of(path) <= iteration_of(newest)]
    own = [path for path in own if not path.is_symlink() and (seal := seal_of(path)) and seal.run == run]
    for path in own[keep:]:
        path.unlink()
    return own[keep:]
