"""Weight files, read without executing anything in them."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from .errors import CheckpointError, MissingWeightsError
from .files import written_whole
from .untrusted import RefusedError, check_content, check_file, opened, size_of

SAFETENSORS = ".safetensors"
"""Suffix of a safetensors file."""


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
    """

    name: str
    file_name: str
    address: str
    sha256: str = ""
    folder: Path | None = None
    used_by: tuple[str, ...] = ()

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

    Args:
        file: file to download.
        progress: called with the number of bytes received, and their total or 0 if the server does not tell.

    Raises:
        MissingWeightsError: it cannot be downloaded, or is in an archive.
        CheckpointError: its checksum is not the published one.
    """
    if file.is_archived:
        raise MissingWeightsError(f"{file.address} is an archive: unpack {file.file_name} to {file.path.parent}")
    with written_whole(file.path) as temporary:
        try:
            with urllib.request.urlopen(file.address, timeout=60) as answer, temporary.open("wb") as stream:
                total = int(answer.headers.get("Content-Length") or 0)
                while block := answer.read(1 << 20):
                    stream.write(block)
                    progress(stream.tell(), total)
        except OSError as error:
            raise MissingWeightsError(f"{file.address} cannot be downloaded: {error}") from error
        _verify(file, temporary)
    return file.path


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
