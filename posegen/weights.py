"""Weight files, read without executing anything in them."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .errors import CheckpointError, MissingWeightsError


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
    """What a file of ``torch.save`` holds, on the CPU; nothing in it is executed.

    Raises:
        CheckpointError: the file is damaged, or holds more than tensors and plain values.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds
        raise CheckpointError(f"{path} cannot be loaded: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Why torch did not load a file, without its advice to load it unsafely."""
    code = re.search(r"GLOBAL (\S+)", str(error))
    if code:
        return f"it holds more than tensors and plain values ({code[1]}), and nothing in a checkpoint is executed"
    return f"damaged, or no checkpoint ({type(error).__name__})"
