"""Files of checkpoints: written whole or not at all, sealed with a checksum, and verified before they are relied on.

A ``.pth`` file is a zip archive, and its seal is the archive's comment, the last bytes of the file: the run that wrote
it, and the SHA-256 of everything before. So a checkpoint and its checksum are one file that one rename puts in place,
that can be moved and renamed, and that any tool still reads with ``torch.load(path, weights_only=True)``.
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
"""Beside the checkpoints: the newest one's path, as text."""

NUMBERED = re.compile(r"iter_([0-9]+)\.pth")
SEAL = re.compile(rb"posegen run=([0-9a-f]{32}) sha256=([0-9a-f]{64})")
SEAL_LENGTH = len("posegen run= sha256=") + 32 + 64
_DIGEST_LENGTH = 64
_NO_COMMENT = b"\0\0"  # the last field of an archive is its comment's length
_BLOCK = 1 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Seal(NamedTuple):
    """What a checkpoint's last bytes say: the run that wrote it, and the SHA-256 of the bytes before."""

    run: str
    digest: str


def write_plain(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a checkpoint without a seal, for weights that no run wrote. Whole or not at all.

    Raises:
        CheckpointError: it cannot be written.
    """
    stream = io.BytesIO()
    torch.save(dict(content), stream)
    write_whole(path, [stream.getbuffer()])


def write_checkpoint(path: str | Path, content: Mapping[str, Any], run: str) -> None:
    """Write a sealed checkpoint and read it back. Whatever happens, *path* is the old file or the whole new one.

    Args:
        path: of the checkpoint; its folder is there.
        content: tensors and plain values.
        run: 32 hexadecimal digits that all checkpoints of a run have in common.

    Raises:
        CheckpointError: the disk is full, or does not return what was written to it; *content* holds more than tensors
            and plain values.
    """
    path = Path(path)
    stream = io.BytesIO()  # torch's own errors do not say that a disk is full
    torch.save(dict(content), stream)
    archive = stream.getbuffer()
    try:
        check_content(content, len(archive))
    except RefusedError as error:
        raise CheckpointError(f"{path} was not written, since it would not be loaded again: {error}") from error
    if archive[-2:] != _NO_COMMENT:
        raise CheckpointError(f"{path}: torch {torch.__version__} does not write the archive that a seal goes on")
    archive[-2:] = struct.pack("<H", SEAL_LENGTH)
    start = f"posegen run={run} sha256=".encode()
    digest = hashlib.sha256(archive)
    digest.update(start)
    write_whole(path, [archive, start + digest.hexdigest().encode()])
    fault = fault_of(path, from_disk=True)
    if fault:
        raise CheckpointError(
            f"{path} was written, and is not read back as it was written: {fault}. Do not trust this disk.\n"
            f"{_what_is_left(path)}"
        )


def write_safetensors(path: str | Path, weights: Mapping[str, torch.Tensor], **provenance: str | None) -> None:
    """Write weights, and nothing else, as safetensors: a format that cannot execute. Whole or not at all.

    Args:
        path: of the file; its folder is there.
        weights: tensors by name.
        provenance: what the file says of itself (:func:`posegen.weights.read_metadata`), beside the version that wrote
            it; None is left out.

    Raises:
        CheckpointError: it cannot be written.
    """
    said = {"format": "pt", "posegen": __version__, **{name: text for name, text in provenance.items() if text}}
    # its own copy of each: safetensors refuses tensors that share memory
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in weights.items()}
    write_whole(path, [save(tensors, metadata=said)])


def write_whole(path: str | Path, blocks: Iterable[bytes | memoryview]) -> None:
    """Write a file so that it survives a crash whole, and until then is not there: to a temporary file beside it, to
    the disk, renamed, and the renaming to the disk.

    Raises:
        CheckpointError: it cannot be written; the temporary file is removed, and what was there before is untouched.
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
    return f"{path} was not written: {reason}\n{_what_is_left(path)}"


def _what_is_left(path: Path) -> str:
    earlier = [other for other in numbered(path.parent) if other != path]
    if not earlier:
        return "There is no earlier checkpoint. Mend this, then start again."
    return f"Earlier checkpoints are untouched, the newest is {earlier[0]}. Mend this, then go on with --resume."


def remove_unfinished(folder: str | Path) -> None:
    """Remove what a killed run left of checkpoints that it was writing."""
    for part in Path(folder).glob(".iter_*.pth.part"):
        part.unlink(missing_ok=True)


def seal_of(path: str | Path) -> Seal | None:
    """The seal at the end of a file, None where there is none."""
    with Path(path).open("rb") as stream:
        return _seal(stream)


def _seal(stream: BinaryIO) -> Seal | None:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - SEAL_LENGTH, 0))
    match = SEAL.fullmatch(stream.read())
    return Seal(match[1].decode(), match[2].decode()) if match else None


def fault_of(path: str | Path, from_disk: bool = False) -> str | None:
    """What is wrong with a checkpoint that should be sealed; None if nothing is. Reads the whole file.

    Args:
        path: of the file.
        from_disk: what was just written would be read from memory; ask the system, where it can be asked, to forget it.
    """
    try:
        with Path(path).open("rb") as stream:
            if from_disk and hasattr(os, "posix_fadvise"):
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if _seal(stream) is None:
                return "it has no checksum at its end: cut off, or not written by a run of this version"
            return damage(stream)
    except OSError as error:
        return f"it cannot be read: {error.strerror}"


def damage(stream: BinaryIO) -> str | None:
    """What is wrong with an open file: it is sealed, and its bytes are not those that were. None: nothing."""
    seal = _seal(stream)
    return "its checksum is wrong: damaged" if seal and _digest(stream) != seal.digest else None


def _digest(stream: BinaryIO) -> str:
    """SHA-256 of all but the digest at the end."""
    digest = hashlib.sha256()
    left = stream.seek(0, os.SEEK_END) - _DIGEST_LENGTH
    stream.seek(0)
    while left > 0 and (block := stream.read(min(_BLOCK, left))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest()


def iteration_of(path: Path) -> int:
    """N of ``iter_N.pth``; -1 for any other name."""
    match = NUMBERED.fullmatch(path.name)
    return int(match[1]) if match else -1


def numbered(folder: str | Path) -> list[Path]:
    """The files ``iter_N.pth`` of a folder, newest first."""
    found = [path for path in Path(folder).glob("iter_*.pth") if iteration_of(path) >= 0 and path.is_file()]
    return sorted(found, key=iteration_of, reverse=True)


def newest_sound(work_dir: str | Path) -> tuple[Path | None, list[str]]:
    """The checkpoint to resume from: the newest one that is whole.

    The files in *work_dir* count, not what ``last_checkpoint`` says: a run may be killed between writing the two, and a
    folder may be moved. Only where it has none is ``last_checkpoint`` followed elsewhere.

    Returns:
        The path, None where there is nothing to resume; and what is wrong with those that are newer.

    Raises:
        CheckpointError: there are checkpoints, and none is whole.
    """
    candidates = numbered(work_dir) or _elsewhere(Path(work_dir))
    faults: list[str] = []
    for path in candidates:
        fault = fault_of(path) if path.is_file() else "there is no such file"
        if fault is None:
            return path, faults
        faults.append(f"{path}: {fault}")
    if not candidates:
        return None, []
    listed = "\n".join(f"  - {fault}" for fault in faults)
    raise CheckpointError(
        f"no checkpoint of {work_dir} can be resumed:\n{listed}\n"
        "To start anew, give another --work-dir or remove these files; from the weights of one of them, set load_from."
    )


def _elsewhere(work_dir: Path) -> list[Path]:
    if not (work_dir / LAST).is_file():
        return []
    return [Path((work_dir / LAST).read_text(encoding="utf-8").strip())]


def prune(newest: Path, run: str, keep: int) -> list[Path]:
    """Remove old checkpoints of a run, once *newest* is verified; returns those removed.

    Counted and removed are files ``iter_N.pth`` beside it whose seals name *run*, up to its own iteration: nothing that
    somebody else put there, no link, nothing that is cut off.
    """
    own = [path for path in numbered(newest.parent) if iteration_of(path) <= iteration_of(newest)]
    own = [path for path in own if not path.is_symlink() and (seal := seal_of(path)) and seal.run == run]
    for path in own[keep:]:
        path.unlink()
    return own[keep:]
