"""Weight files, read without executing anything in them."""

from __future__ import annotations

import hashlib
import os
import shutil
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file

from .errors import CheckpointError, MissingWeightsError
from .files import written_whole
from .untrusted import RefusedError, check_content, check_file, opened, size_of

SAFETENSORS = ".safetensors"
"""Suffix of a safetensors file."""
SECONDS_OF_SILENCE = 60
"""Timeout of a download that receives nothing."""
RANGE_REFUSED = 416
"""HTTP status: there is nothing after the bytes that were received."""
MOST_BYTES = 4 << 30
"""Maximum size of a weight file that is taken out of an archive."""


@dataclass(frozen=True)
class WeightsFile:
    """A published file of pretrained weights.

    Args:
        name: readable name: ``"VGG-19, ImageNet (torchvision)"``.
        file_name: name of the file on this machine.
        address: URL to download it from.
        sha256: checksum of the whole file, or its first digits if no more is published; empty if none is published.
        folder: folder of the file; None: the folder of torch (``$TORCH_HOME/hub/checkpoints``).
        used_by: names of the parts that read it.
        member: name of the file in the ZIP archive of *address*, without folders; empty if it is in no ZIP archive.
    """

    name: str
    file_name: str
    address: str
    sha256: str = ""
    folder: Path | None = None
    used_by: tuple[str, ...] = ()
    member: str = ""

    @property
    def path(self) -> Path:
        """Path of the file on this machine."""
        return (self.folder or Path(torch.hub.get_dir()) / "checkpoints") / self.file_name

    @property
    def is_archived(self) -> bool:
        """Return whether the address is that of an archive that holds the file."""
        return Path(self.address).suffix != Path(self.file_name).suffix

    def agrees(self, digest: str) -> bool | None:
        """Return whether a SHA-256 is the published one; None if none is published."""
        return digest.startswith(self.sha256) if self.sha256 else None


def find_weights(file: WeightsFile, given: str | Path | None = None) -> Path:
    """Return the path of a file of pretrained weights. Nothing is downloaded.

    Args:
        file: file to find.
        given: path that the user chose, whose checksum is not verified; None: the path of *file*.

    Raises:
        MissingWeightsError: the file is missing; says how to get it.
        CheckpointError: its checksum is not the published one.
    """
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise MissingWeightsError(
                f"{path}: no such file. It should be {file.name}: {file.file_name}, from {file.address}"
            )
        return path
    if not file.path.is_file():
        readers = f" (read by {', '.join(file.used_by)})" if file.used_by else ""
        raise MissingWeightsError(
            f"the weights {file.name!r}{readers} are not on this machine.\n"
            f"  file:    {file.file_name}\n"
            f"  address: {file.address}\n"
            f"  put in:  {file.path.parent}{os.sep}\n"
            f"`posegen weights --download {file.file_name}` fetches it; nothing is downloaded unasked.\n"
            "If torch's folder is elsewhere, set TORCH_HOME; a part that reads weights takes a path as its argument "
            "weights."
        )
    _verify(file, file.path)
    return file.path


def download_weights(file: WeightsFile, progress: Callable[[int, int], None] = lambda done, total: None) -> Path:
    """Download a file of pretrained weights to its path, and verify its checksum before it is kept.

    What was received stays beside the path if the download is interrupted; the next call goes on from there, if the
    server can.

    Args:
        file: file to download, or to take out of a ZIP archive that is downloaded.
        progress: called with the number of bytes received, and their total or 0 if the server does not tell.

    Raises:
        MissingWeightsError: it cannot be downloaded, or is in an archive that cannot be unpacked here.
        CheckpointError: its checksum is not the published one.
    """
    if file.is_archived and not file.member:
        raise MissingWeightsError(f"{file.address} is an archive: unpack {file.file_name} to {file.path.parent}")
    part = file.path.with_name(f".{file.file_name}.download")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(part.with_name(f"{part.name}.lock"), timeout=0):
            _receive(file, part, progress)
            _put_in_place(file, part)
    except Timeout as error:
        raise MissingWeightsError(f"{file.path} is being downloaded by another process") from error
    except (OSError, HTTPException) as error:
        raise MissingWeightsError(
            f"{file.file_name}: {file.address} cannot be downloaded: {error}\n"
            f"Try again, which goes on from what was received, or put the file in {file.path.parent}{os.sep}"
        ) from error
    return file.path


def _receive(file: WeightsFile, part: Path, progress: Callable[[int, int], None]) -> None:
    """Download to *part*, after what it holds. OSError: the connection ends before all is received."""
    if not file.sha256:  # nothing would tell if the file on the server changed meanwhile
        part.unlink(missing_ok=True)
    done = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(file.address, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        answer = urllib.request.urlopen(request, timeout=SECONDS_OF_SILENCE)
    except HTTPError as error:
        if error.code == RANGE_REFUSED and error.headers.get("Content-Range", "") == f"bytes */{done}":
            return  # all of it was received before
        if error.code != RANGE_REFUSED:
            raise
        part.unlink()
        done, answer = 0, urllib.request.urlopen(file.address, timeout=SECONDS_OF_SILENCE)
    with answer:
        if not answer.headers.get("Content-Range", "").startswith(f"bytes {done}-"):  # the server sends the whole file
            done = 0
        length = int(answer.headers.get("Content-Length") or 0)
        total = done + length if length else 0
        with part.open("ab" if done else "wb") as stream:
            while block := answer.read(1 << 20):
                stream.write(block)
                done += len(block)
                progress(done, total)
    if done < total:
        raise OSError(f"the connection ended after {done:,} of {total:,} bytes")


def _put_in_place(file: WeightsFile, part: Path) -> None:
    """Verify a complete download, or its member if it is an archive, and move it to the path of the file."""
    try:
        with written_whole(file.path) as temporary:
            if file.is_archived:
                _extract(file, part, temporary)
            else:
                shutil.copyfile(part, temporary)
            _verify(file, temporary)
    finally:  # damaged, it must not be gone on with
        part.unlink()


def _extract(file: WeightsFile, archive: Path, target: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened_archive:
            (name,) = (each for each in opened_archive.namelist() if each.rpartition("/")[2] == file.member)
            if (size := opened_archive.getinfo(name).file_size) > MOST_BYTES:
                raise ValueError(f"it would take {size:,} bytes")
            with opened_archive.open(name) as source, target.open("wb") as stream:
                shutil.copyfileobj(source, stream)
    except (zipfile.BadZipFile, ValueError) as error:
        raise CheckpointError(f"{file.address} is no ZIP archive with one {file.member}: {error}") from error


def _verify(file: WeightsFile, path: Path) -> None:
    digest = sha256(path)
    if file.agrees(digest) is False:
        raise CheckpointError(
            f"{path} is damaged, or another file: its SHA-256 starts {digest[: len(file.sha256)]}, "
            f"not {file.sha256}. Download it again: {file.address}"
        )


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file, 64 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_weights(path: str | Path) -> Any:
    """Read a file of ``torch.save`` or, by its suffix, of safetensors, to the CPU; execute nothing in it.

    Raises:
        CheckpointError: the file is damaged, holds more than tensors and plain values, or unpacks to more than its
            size.
    """
    path = Path(path)
    try:
        with opened(path) as stream:
            return load_file(path) if path.suffix == SAFETENSORS else read_stream(stream, path)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file makes safetensors raise many types
        raise CheckpointError(f"{path} cannot be loaded: {_reason(error)}") from error


def read_stream(stream: BinaryIO, path: str | Path) -> Any:
    """Read an open file of ``torch.save`` as :func:`read_weights` does; *path* is its name in errors."""
    try:
        check_file(stream)
        content = torch.load(stream, map_location="cpu", weights_only=True)
        check_content(content, size_of(stream))
        return content
    except Exception as error:  # a damaged file makes torch raise many types
        raise CheckpointError(f"{path} cannot be loaded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return why a file was not loaded, without torch's advice to load it unsafely."""
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, SafetensorError):
        return f"damaged, or no safetensors ({error})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"damaged, or no checkpoint ({type(error).__name__})"
