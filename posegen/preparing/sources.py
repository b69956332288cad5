"""What a user has: folders, ZIP and tar archives and single files, listed without unpacking, and read one at a time.

An archive is a stranger's: no name in it leads out, no link is followed, and what it unfolds to is bounded before it is
unfolded. Nothing is read from an archive but by the lists made here.
"""

from __future__ import annotations

import functools
import gzip
import os
import shutil
import stat
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

from ..errors import DataError, PosegenError
from ..files import check_file, check_name, link_out, written_whole

ZIP, TAR, TAR_GZ = (".zip",), (".tar",), (".tar.gz", ".tgz")
ARCHIVES = (*ZIP, *TAR, *TAR_GZ)
"""Endings of the archives that are read, in small letters."""
OTHER_ARCHIVES = (".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")

MOST_UNFOLDED = 100
"""How many times its own size an archive may unfold to. Images unfold to once theirs, text to ten times."""
ALWAYS_UNFOLDED = 16 << 20
"""Bytes that any archive may unfold to: a small one may hold little but zeros."""
MOST_ENTRIES = 1_000_000
MOST_DIRECTORY = 512 << 20
"""Bytes of a ZIP's directory, which is read into memory: some 100 an entry."""
MOST_HEADER = 1 << 20
"""Bytes that are read at once where a tar's headers are: a long name has some hundred."""
PIECE = 1 << 20

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
ENCRYPTED = (
    "Passwords are not taken here: unpack it yourself, with the password its owners gave you "
    "(7z x FILE, or unzip FILE; both ask for it), and name the folder instead."
)


@dataclass(frozen=True)
class Member:
    """One file of a source.

    Args:
        name: its path within its folder or archive, with slashes.
        size: bytes.
        stamp: what tells that it is another one now: the checksum that a ZIP keeps, or the time it was changed.
        archive: the file name of the archive that it is in; empty: it lies in no archive.
        container: path of the archive, or of the file itself.
        index: of a ZIP, its number in the directory; of a tar, the byte at which it begins.
    """

    name: str
    size: int
    stamp: str
    archive: str = ""
    container: str = field(default="", repr=False)  # a source that was moved holds the same
    index: int = field(default=0, repr=False)

    def __str__(self) -> str:
        """For people: where it is."""
        return f"{self.archive}: {self.name}" if self.archive else self.name

    @property
    def parts(self) -> list[str]:
        """Folders and file name."""
        return self.name.split("/")

    @property
    def ending(self) -> str:
        """With the dot, in small letters."""
        return os.path.splitext(self.name)[1].lower()


class Sources:
    """All files of what a user gave, as one list: those in folders before those in archives.

    Args:
        paths: folders, archives (:data:`ARCHIVES`), or single files. Archives in a folder are looked into; those
            in archives are not.
        spool: a folder where a compressed tar may be unpacked to a tar, which can be read anywhere; None: it is
            decompressed anew for what is read of it.

    ``members`` lists the files, ``unread`` names what was not listed and why, ``broken`` what would have been, were it
    not damaged or out of reach for now. Close it, or use it as a context.

    Raises:
        DataError: a path is not there, or an archive that was named itself cannot be read, is encrypted, or hostile.
    """

    def __init__(self, paths: Sequence[Path], spool: Path | None = None) -> None:
        self._paths = paths
        self.members: list[Member] = []
        self.unread: list[tuple[str, str]] = []
        self.broken: list[tuple[str, str]] = []
        self._spool = spool
        self._scratch = tempfile.TemporaryDirectory(prefix="posegen-")
        self._extracted: dict[Member, Path] = {}
        try:
            for path in paths:
                self._add(path)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Sources:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __str__(self) -> str:
        """For errors: what was given."""
        return ", ".join(map(str, self._paths))

    def close(self) -> None:
        """Remove what :meth:`file` has extracted."""
        self._scratch.cleanup()

    def file(self, member: Member, most: int) -> Path:
        """A file on disk with what a member holds, for the readers of lists; gone when the sources are closed.

        Raises:
            DataError: it is damaged, or has more than *most* bytes.
        """
        if not member.archive:
            return Path(member.container)
        if member.size > most:
            raise DataError(str(member), f"too large: {member.size:,} bytes, the limit is {most:,}")
        if member not in self._extracted:
            folder = Path(self._scratch.name, str(len(self._extracted)))  # the name is kept: messages say it
            folder.mkdir()
            extract(member, folder / member.parts[-1])
            self._extracted[member] = folder / member.parts[-1]
        return self._extracted[member]

    def _add(self, path: Path) -> None:
        if path.is_dir():
            self._add_folder(path)
            return
        check_file(path, sys.maxsize)
        if path.name.lower().endswith(ARCHIVES):
            self.members += self._listed(path)
        elif path.name.lower().endswith(OTHER_ARCHIVES):
            raise DataError(path, f"no archive that is read here: {', '.join(ARCHIVES)}", "Unpack it, give the folder.")
        else:
            self.members.append(_plain(path, path.name))

    def _add_folder(self, root: Path) -> None:
        archives = []

        def failed(error: OSError) -> None:
            self.broken.append((str(error.filename), f"cannot be looked into: {error.strerror}"))

        for folder, folders, files in os.walk(root, onerror=failed):
            folders[:] = sorted(name for name in folders if self._followed(Path(folder, name), root))
            for name in sorted(files):
                path = Path(folder, name)
                if name.startswith(".") or not self._followed(path, root):
                    continue
                if not stat.S_ISREG(path.stat().st_mode):
                    self.unread.append((path.relative_to(root).as_posix(), "a pipe or a device, not a file"))
                elif name.lower().endswith(ARCHIVES):
                    archives.append(path)
                else:
                    self.members.append(_plain(path, path.relative_to(root).as_posix()))
        for path in archives:
            try:
                self.members += self._listed(path)
            except DataError as error:  # what it holds may lie unpacked beside it
                told = path.relative_to(root).as_posix(), "; ".join(filter(None, [*error.problems, error.hint]))
                (self.unread if error.hint == ENCRYPTED else self.broken).append(told)

    def _followed(self, path: Path, root: Path) -> bool:
        if path.name.startswith("."):
            return False
        problem = link_out(path, root) if path.is_symlink() else ""
        if not problem and path.is_symlink() and path.is_dir():
            problem = "a link to another folder of the source, which is read where it lies"
        if not problem and not path.exists():
            problem = "a link that leads nowhere"
        if problem:
            self.unread.append((path.relative_to(root).as_posix(), problem))
        return not problem

    def _listed(self, path: Path) -> list[Member]:
        """The files of an archive."""
        try:
            if path.name.lower().endswith(ZIP):
                found = list(self._in_zip(path))
            else:
                container = path
                if path.name.lower().endswith(TAR_GZ) and self._spool is not None:
                    container = _decompressed(path, self._spool)
                found = list(self._in_tar(path, container))
        except _DAMAGED as error:
            _raise_if_of_the_system(error)
            raise DataError(path, f"damaged, or no archive: {error or type(error).__name__}") from error
        outside = [problem for member in found if (problem := _leads_out(member.name))]
        if outside:
            raise DataError(path, outside, "An honest archive has no such names: nothing of it is used.")
        return [member for member in found if not _is_hidden(member.name)]

    def _in_zip(self, path: Path) -> Iterator[Member]:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        files = [entry for entry in entries if not entry.is_dir()]
        encrypted = sum(entry.flag_bits & 1 for entry in files)
        if encrypted:
            text = f"is encrypted: {encrypted:,} of its {len(files):,} files need a password"
            raise DataError(path, text, ENCRYPTED)
        _check_unfolded(path, len(entries), sum(entry.file_size for entry in files))
        for index, entry in enumerate(entries):
            if entry.is_dir():
                continue
            if entry.external_attr and stat.S_ISLNK(entry.external_attr >> 16):
                self.unread.append((f"{path.name}: {entry.filename}", "a link, which is not followed"))
                continue
            name = entry.filename.removeprefix("./")
            yield Member(name, entry.file_size, f"{entry.CRC:08x}", path.name, str(path), index)

    def _in_tar(self, path: Path, container: Path) -> Iterator[Member]:
        """The files of a tar, *container*, which is *path* or what it was decompressed to."""
        most = _most_unfolded(path)
        entries = unfolded = last = 0
        with _opened(container) as stream, tarfile.open(fileobj=_headers_of(stream, path, most), mode="r:") as archive:
            while (entry := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if entry.size < 0 or entry.offset < last:  # tarfile would step back, and read the same for ever
                    raise DataError(path, "damaged, or no archive: a header that leads back")
                last = entry.offset + 1
                entries, unfolded = entries + 1, unfolded + entry.size
                _check_unfolded(path, entries, unfolded)
                if entry.isdir():
                    continue
                if not entry.isreg() or entry.issparse():
                    self.unread.append(
                        (f"{path.name}: {entry.name}", "a link or a special file, which is not followed")
                    )
                    continue
                name = entry.name.removeprefix("./")
                stamp = f"{entry.mtime}@{entry.offset_data}"
                yield Member(name, entry.size, stamp, path.name, str(container), entry.offset_data)


def extract(member: Member, path: Path) -> None:
    """Write what a member holds to a file; no more than it was listed with.

    Raises:
        DataError: it is damaged, or not what was listed.
    """
    try:
        with open(path, "wb") as file:
            written = sum(file.write(piece) for piece in _pieces(member))
    except _DAMAGED as error:
        _raise_if_of_the_system(error)
        raise DataError(str(member), f"cannot be unpacked: {error or type(error).__name__}") from error
    if written != member.size:
        raise DataError(str(member), f"cannot be unpacked: {written:,} bytes of {member.size:,} are there")


def _pieces(member: Member) -> Iterator[bytes]:
    if member.container.lower().endswith(ZIP):
        status = os.stat(member.container)
        archive = _zip_of(member.container, os.getpid(), status.st_size, status.st_mtime_ns)
        with archive.open(archive.infolist()[member.index]) as stream:  # ends at the declared size; compares checksums
            while piece := stream.read(PIECE):
                yield piece
        return
    with _opened(Path(member.container)) as stream:
        stream.seek(member.index)
        left = member.size
        while piece := stream.read(min(left, PIECE)):
            yield piece
            left -= len(piece)


def _raise_if_of_the_system(error: Exception) -> None:
    """A full disk is no damage of the archive."""
    if isinstance(error, OSError) and error.errno is not None:
        raise PosegenError(f"{error.strerror}: {error.filename or 'writing'}") from error


@functools.lru_cache(maxsize=4)
def _zip_of(path: str, process: int, size: int, changed: int) -> zipfile.ZipFile:
    """An archive as it is now, opened by this process: a fork shares the place in the file with its parent."""
    return zipfile.ZipFile(path)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """A tar, decompressed where it is compressed."""
    with gzip.open(path) if path.name.lower().endswith(TAR_GZ) else open(path, "rb") as stream:
        yield cast(BinaryIO, stream)


def _decompressed(path: Path, spool: Path) -> Path:
    """A compressed tar as a tar in a folder; one that was decompressed before is taken as it is."""
    status = path.stat()
    tar = spool / f"{path.name}.{status.st_size}.{status.st_mtime_ns}.tar"
    if tar.is_file():
        return tar
    with written_whole(tar) as temporary, gzip.open(path) as stream, open(temporary, "wb") as file:
        unfolded = 0
        while piece := stream.read(PIECE):
            unfolded += file.write(piece)
            _check_unfolded(path, 0, unfolded)
    return tar


class _Headers:
    """A tar as its reader may see it: no header that fills the memory, nothing beyond what an archive may unfold to."""

    def __init__(self, stream: BinaryIO, path: Path, most: int) -> None:
        self._stream, self._path, self._most = stream, path, most

    def read(self, count: int = -1) -> bytes:
        if not 0 <= count <= MOST_HEADER:
            raise DataError(self._path, f"a header of {count:,} bytes, the limit is {MOST_HEADER:,}")
        return self._stream.read(count)

    def seek(self, place: int, whence: int = 0) -> int:
        if place > self._most:
            raise DataError(self._path, f"unfolds to more than {self._most:,} bytes; it is not read")
        return self._stream.seek(place, whence)

    def tell(self) -> int:
        return self._stream.tell()


def _headers_of(stream: BinaryIO, path: Path, most: int) -> BinaryIO:
    return cast(BinaryIO, _Headers(stream, path, most))


def _check_directory(path: Path) -> None:
    """Raise DataError where a ZIP's directory is larger than memory should hold; the reader takes it whole."""
    size = os.path.getsize(path)
    tail = min(size, (1 << 16) + 22 + 76)  # the longest comment, and the records before it
    with open(path, "rb") as file:
        file.seek(size - tail)
        end = file.read(tail)
    at = end.rfind(b"PK\x05\x06")
    if at < 0 or at + 22 > tail:
        raise DataError(path, "no ZIP archive, or cut off: a download that was not finished?")
    (directory,) = struct.unpack_from("<I", end, at + 12)
    if directory == 0xFFFFFFFF and at >= 76:
        (directory,) = struct.unpack_from("<Q", end, at - 76 + 40)
    if directory > MOST_DIRECTORY:
        raise DataError(path, f"a directory of {directory:,} bytes, the limit is {MOST_DIRECTORY:,}")


def _check_unfolded(path: Path, entries: int, unfolded: int) -> None:
    if entries > MOST_ENTRIES:
        raise DataError(path, f"more than {MOST_ENTRIES:,} files; it is not read")
    if unfolded > _most_unfolded(path):
        raise DataError(
            path,
            f"unfolds to more than {_most_unfolded(path):,} bytes, {MOST_UNFOLDED} times its size; it is not read",
            "Where you trust it, unpack it yourself, and name the folder.",
        )


def _most_unfolded(path: Path) -> int:
    return max(ALWAYS_UNFOLDED, MOST_UNFOLDED * os.path.getsize(path))


def _leads_out(name: str) -> str:
    try:
        check_name(name)
    except ValueError as error:
        return str(error)
    return ""


def _is_hidden(name: str) -> bool:
    return name.startswith("__MACOSX/") or any(part.startswith(".") for part in name.split("/"))


def _plain(path: Path, name: str) -> Member:
    status = path.stat()
    return Member(name, status.st_size, str(status.st_mtime_ns), "", str(path))


def free_bytes(folder: Path) -> int:
    """Bytes that the disk of a folder, or of what it will be made in, has left."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def total(members: Iterable[Member]) -> int:
    """Bytes of all members."""
    return sum(member.size for member in members)
