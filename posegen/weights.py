"""Weight files, read without executing anything in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .errors import CheckpointError


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
