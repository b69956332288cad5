"""Versions and code revision that made a checkpoint."""

from __future__ import annotations

import functools
import platform
import subprocess
from pathlib import Path

import mmengine
import numpy as np
import torch

from ..version import __version__

TIMEOUT = 5
"""Seconds that git may take: a repository on a network drive may not answer."""


def versions() -> dict[str, str]:
    """Return the versions of everything that determines the result of a training step."""
    return {
        "posegen": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "mmengine": mmengine.__version__,
    }


@functools.cache
def revision() -> str | None:
    """Return the git revision of posegen's code, with ``-dirty`` if it was changed; None outside a repository."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():  # posegen is installed: a repository around it is not posegen's
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
