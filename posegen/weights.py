"""Weight files, read without executing anything in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

from .errors import CheckpointError


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
