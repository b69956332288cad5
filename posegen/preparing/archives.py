"""Unpack archives of unknown origin: names stay inside the folder, links are skipped, size and count are limited."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from ..errors import DataError, PosegenError
from ..files import check_name

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
"""Endings of the archives that are unpacked, in lower case."""
OTHER_ARCHIVES = (".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")

MOST_UNPACKED = 100
"""Largest ratio between unpacked and packed size. Images have a ratio of 1, text of 10."""
ALWAYS_UNPACKED = 16 << 20
"""Unpacked bytes that are always allowed: a small archive may hold mostly zeros."""
MOST_ENTRIES = 1_000_000
MOST_DIRECTORY = 512 << 20
"""Bytes of the directory of a ZIP, which zipfile reads into memory: about 100 an entry."""
MOST_READ = 1 << 20
"""Bytes that tarfile may read at once for a header: a long name has a few hundred."""

ENCRYPTED = (
    "Passwords are not supported: unpack the archive yourself, with the password from its owners (7z x FILE, or unzip "
    "FILE; both ask for it), and give the folder instead."
)
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    NotImplementedError,
    RuntimeError,
)


@dataclass
class Unpacked:
    """The entries of an archive.

    Args:
        files: names of the files.
        skipped: (name, reason) of links and special files.
        damaged: (name, reason) of files whose content is broken.
    """

    files: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)


def is_archive(path: Path) -> bool:
    """Return whether a file has the ending of an archive that can be unpacked.

    Raises:
        DataError: it is an archive of another kind.
    """
    if path.name.lower().endswith(ARCHIVES):
        return True
    if path.name.lower().endswith(OTHER_ARCHIVES):
        raise DataError(path, f"not a supported archive: {', '.join(ARCHIVES)}", "Unpack it and give the folder.")
    return False


def unpack(archive: Path, folder: Path, wanted: Callable[[str], bool] = lambda name: True) -> Unpacked:
    """Unpack an archive into a folder. Hidden files are ignored.

    Args:
        archive: ZIP or tar.
        folder: where the files go; removed if the archive is refused.
        wanted: which files to write; the others are only listed.

    Raises:
        DataError: the archive is damaged, encrypted or too large, or a name in it leads out of the folder.
        PosegenError: the disk is full.
    """
    found = Unpacked()
    try:
        if archive.name.lower().endswith(".zip"):
            _unpack_zip(archive, folder, wanted, found)
        else:
            _unpack_tar(archive, folder, wanted, found)
    except DataError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except _DAMAGED as error:
        shutil.rmtree(folder, ignore_errors=True)
        _raise_if_of_the_system(error)
        raise DataError(archive, f"damaged, or not an archive: {error or type(error).__name__}") from error
    return found


def _unpack_zip(path: Path, folder: Path, wanted: Callable[[str], bool], found: Unpacked) -> None:
    _check_directory(path)
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
        encrypted = sum(entry.flag_bits & 1 for entry in entries)
        if encrypted:
            text = f"is encrypted: {encrypted:,} of its {len(entries):,} files need a password"
            raise DataError(path, text, ENCRYPTED)
        _check_totals(path, len(entries), sum(entry.file_size for entry in entries))
        _check_names(path, [entry.filename for entry in entries])
        for entry in entries:
            if stat.S_ISLNK(entry.external_attr >> 16):
                found.skipped.append((entry.filename, "a link, which is not followed"))
            elif not _is_hidden(entry.filename):
                _write(entry.filename, lambda entry=entry: archive.open(entry), folder, wanted, found)


def _unpack_tar(path: Path, folder: Path, wanted: Callable[[str], bool], found: Unpacked) -> None:
    count = total = last = 0
    compressed = not path.name.lower().endswith(".tar")
    with gzip.open(path) if compressed else open(path, "rb") as stream:
        guarded = cast(BinaryIO, _GuardedReader(cast(BinaryIO, stream), path))
        with tarfile.open(fileobj=guarded, mode="r:") as archive:
            while (entry := archive.next()) is not None:
                if entry.size < 0 or entry.offset < last:  # tarfile would read the same header forever
                    raise DataError(path, "damaged, or not an archive: a header that points backwards")
                last = entry.offset + 1
                count, total = count + 1, total + entry.size
                _check_totals(path, count, total)
                if entry.isdir():
                    continue
                _check_names(path, [entry.name])
                if not entry.isreg() or entry.issparse():
                    found.skipped.append((entry.name, "a link or special file, which is not followed"))
                elif not _is_hidden(entry.name):
                    _write(
                        entry.name, lambda entry=entry: archive.extractfile(entry), folder, wanted, found, entry.size
                    )
                archive.members.clear()  # type: ignore[attr-defined]  # tarfile would keep them all


def _write(
    name: str,
    opened: Callable,
    folder: Path,
    wanted: Callable[[str], bool],
    found: Unpacked,
    size: int | None = None,
) -> None:
    """Write an entry; a broken one is removed and noted."""
    name = name.removeprefix("./")
    if not wanted(name):
        found.files.append(name)
        return
    target = folder / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with opened() as stream, open(target, "wb") as file:
            shutil.copyfileobj(stream, file, 1 << 16)
            if size is not None and file.tell() != size:
                raise EOFError(f"{file.tell():,} bytes of {size:,}")
    except _DAMAGED as error:
        target.unlink(missing_ok=True)
        _raise_if_of_the_system(error)
        if size is not None:  # the rest of a tar cannot be found
            raise
        found.damaged.append((name, f"cannot be unpacked: {error or type(error).__name__}"))
        return
    found.files.append(name)


class _GuardedReader:
    """A tar as tarfile may read it: no large read, and no position beyond the limit of the unpacked size."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self._stream, self._path, self._most = stream, path, _most_unpacked(path)

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= MOST_READ:
            raise DataError(self._path, f"a header of {count:,} bytes, the limit is {MOST_READ:,}")
        return self._stream.read(count)

    def seek(self, place: int, whence: int = 0) -> int:
        if place > self._most:
            raise DataError(self._path, f"unpacks to more than {self._most:,} bytes; it is refused")
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _raise_if_of_the_system(error: Exception) -> None:
    """Raise PosegenError for an error such as a full disk, which is no damage of the archive."""
    if isinstance(error, OSError) and error.errno is not None:
        raise PosegenError(f"{error.strerror}: {error.filename or 'writing'}") from error


def _check_directory(path: Path) -> None:
    """Raise DataError for a ZIP whose directory is too large for memory."""
    size = os.path.getsize(path)
    tail = min(size, (1 << 16) + 22 + 76)  # the longest comment, and the records before it
    with open(path, "rb") as file:
        file.seek(size - tail)
        end = file.read(tail)
    at = end.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > tail:
        raise DataError(path, "not a ZIP archive, or an incomplete download")
    (directory,) = struct.unpack_from("<I", end, at + 12)
    if directory == 0xFFFFFFFF and at >= 76:
        (directory,) = struct.unpack_from("<Q", end, at - 76 + 40)
    if directory > MOST_DIRECTORY:
        raise DataError(path, f"a directory of {directory:,} bytes, the limit is {MOST_DIRECTORY:,}")


def _check_totals(path: Path, entries: int, unpacked: int) -> None:
    if entries > MOST_ENTRIES:
        raise DataError(path, f"more than {MOST_ENTRIES:,} files; it is refused")
    if unpacked > _most_unpacked(path):
        raise DataError(
            path,
            f"unpacks to more than {_most_unpacked(path):,} bytes, {MOST_UNPACKED} times its size; it is refused",
            "If you trust it, unpack it yourself and give the folder.",
        )


def _most_unpacked(path: Path) -> int:
    return max(ALWAYS_UNPACKED, MOST_UNPACKED * os.path.getsize(path))


def _check_names(path: Path, names: list[str]) -> None:
    problems = []
    for name in names:
        try:
            check_name(name)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise DataError(path, problems, "Names that lead out of the archive are an attack: nothing of it is used.")


def _is_hidden(name: str) -> bool:
    return name.startswith("__MACOSX/") or any(part.startswith(".") for part in name.removeprefix("./").split("/"))
