"""Weight files, read without executing anything in them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from .errors import CheckpointError, MissingWeightsError
from .untrusted import RefusedError, check_content, check_file, check_safetensors, opened, size_of

SAFETENSORS = ".safetensors"
"""What the name of such a file ends in."""


@dataclass(frozen=True)
class WeightsFile:
    """A file of pretrained weights that somebody else publishes.

    Args:
        name: what it is, as people say it: ``"VGG-19, ImageNet (torchvision)"``.
        file_name: under which it is kept.
        address: where it can be fetched.
        sha256: of the whole file, or its first digits where no more is published; empty: nobody publishes it.
        folder: where it is looked for; None: where torch keeps such files (``$TORCH_HOME/hub/checkpoints``).
        used_by: parts that read it.
    """

    name: str
    file_name: str
    address: str
    sha256: str = ""
    folder: Path | None = None
    used_by: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """Where it is looked for."""
        return (self.folder or Path(torch.hub.get_dir()) / "checkpoints") / self.file_name

    def agrees(self, digest: str) -> bool | None:
        """Whether a SHA-256 is that of this file; None: nobody publishes it."""
        return digest.startswith(self.sha256) if self.sha256 else None


def find_weights(file: WeightsFile, given: str | Path | None = None) -> Path:
    """The path of a file of pretrained weights. Nothing is downloaded.

    Args:
        file: what is looked for.
        given: a path the user chose, taken as it is: its checksum is not compared with the published one. None: where
            *file* belongs.

    Raises:
        MissingWeightsError: it is not there; says which file, its address, and where to put it.
        CheckpointError: it is there, and its checksum is not the published one.
    """
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise MissingWeightsError(
                f"{path}: there is no such file. It should be {file.name}: {file.file_name}, from {file.address}"
            )
        return path
    if not file.path.is_file():
        readers = f" (read by {', '.join(file.used_by)})" if file.used_by else ""
        raise MissingWeightsError(
            f"the weights {file.name!r}{readers} are not on this machine.\n"
            f"  file:    {file.file_name}\n"
            f"  address: {file.address}\n"
            f"  put in:  {file.path.parent}{os.sep}\n"
            "Nothing is downloaded unasked. Where torch's folder is elsewhere, set TORCH_HOME; a part that reads them "
            "takes a path as its argument weights."
        )
    digest = sha256(file.path)
    if file.agrees(digest) is False:
        raise CheckpointError(
            f"{file.path} is damaged, or another file: its SHA-256 starts {digest[: len(file.sha256)]}, "
            f"not {file.sha256}. Fetch it again: {file.address}"
        )
    return file.path


def sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_weights(path: str | Path) -> Any:
    """What a file of ``torch.save`` or safetensors holds, on the CPU; nothing in it is executed.

    A file whose name ends in ``.safetensors`` is read as such, any other as torch's. It is looked through first: what
    it asks for beside weights and plain values, and what takes more memory than the file is large, is refused.

    Raises:
        CheckpointError: the file cannot be read, is damaged, or asks for more than tensors and plain values; says what.
    """
    path = Path(path)
    try:
        if path.suffix == SAFETENSORS:
            check_safetensors(path)
            return load_file(path)  # which checks what it reads: a file put in this one's place, too
        with opened(path) as stream:
            return read_stream(stream, path)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged file makes safetensors raise many kinds
        raise CheckpointError(f"{path} cannot be loaded: {_reason(error)}") from error


def read_stream(stream: BinaryIO, path: str | Path) -> Any:
    """What an open file of ``torch.save`` holds; *path* is its name in errors. Else as :func:`read_weights`."""
    try:
        check_file(stream)
        content = torch.load(stream, map_location="cpu", weights_only=True)
        check_content(content, size_of(stream))
        return content
    except Exception as error:  # a damaged file makes torch raise many kinds
        raise CheckpointError(f"{path} cannot be loaded: {_reason(error)}") from error


def read_metadata(path: str | Path) -> dict[str, str]:
    """What a safetensors file says of itself, as text by name.

    Raises:
        CheckpointError: it cannot be read, or is damaged.
    """
    try:
        check_safetensors(Path(path))
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except Exception as error:
        raise CheckpointError(f"{path} cannot be loaded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Why a file was not loaded, without torch's advice to load it unsafely."""
    if isinstance(error, RefusedError):
        return str(error)
    if isinstance(error, SafetensorError):
        return f"damaged, or no safetensors ({error})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"damaged, or no checkpoint ({type(error).__name__})"
