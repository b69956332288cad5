"""What made a checkpoint: versions, and the revision of the code."""

from __future__ import annotations

import functools
import platform
import subprocess
from pathlib import Path

import mmengine
import numpy as np
import torch

from ..version import __version__

_SECONDS = 5  # a repository on a network drive may not answer


def versions() -> dict[str, str]:
    """Versions of all that decides what a training step does."""
    return {
        "posegen": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "mmengine": mmengine.__version__,
    }


@functools.cache
def revision() -> str | None:
    """The git revision of posegen's code, ``-dirty`` where it was changed; None where it is in no repository."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # installed: the repository around it, if any, is somebody else's
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
