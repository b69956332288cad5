"""One training at a time in a work dir."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import DataError, PosegenError
from ..files import read_json, written_whole

LOCK, HOLDER = "training.lock", "training.json"
"""Files in a work dir: the lock, which the system releases when its process ends, and the process that holds it."""
ORPHANS = 20.0
"""Seconds that workers of a data loader may hold the lock after their process was killed; torch ends them after 5."""


class WorkDirLock:
    """Lock of a work dir, held by the first process of a training.

    Args:
        work_dir: the work dir. It is created.
    """

    def __init__(self, work_dir: str | Path) -> None:
        self.work_dir = Path(work_dir)
        self._lock = FileLock(self.work_dir / LOCK)

    def check(self) -> None:
        """Raise PosegenError if another training runs in the work dir."""
        self._take()
        self._lock.release()

    def acquire(self) -> str:
        """Take the lock.

        Returns:
            A note about a training that held the lock when its process was killed; empty if there was none.

        Raises:
            PosegenError: another training runs in the work dir.
        """
        self._take()
        killed = self._holder()
        mine = {"process": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with contextlib.suppress(OSError), written_whole(self.work_dir / HOLDER, to_disk=False) as temporary:
            temporary.write_bytes(json.dumps(mine).encode())  # a full disk is reported where something is lost
        if not killed:
            return ""
        return f"the last training in this work dir was killed ({_described(killed)}); its lock is taken over"

    def _take(self) -> None:
        self.work_dir.mkdir(parents=True, exist_ok=True)
        holder = self._holder()
        try:
            self._lock.acquire(timeout=ORPHANS if _is_dead(holder) else 0)
        except Timeout as error:
            raise PosegenError(
                f"another training runs in {self.work_dir}: {_described(holder)}.\n"
                "Wait until it ends, stop it, or give another --work-dir."
            ) from error

    def release(self) -> None:
        """Release the lock; do nothing if it is not held."""
        if self._lock.is_locked:
            (self.work_dir / HOLDER).unlink(missing_ok=True)
            self._lock.release()

    def _holder(self) -> dict[str, Any]:
        """Return who holds the lock, or held it when it was killed; empty: nobody, or it cannot be read."""
        with contextlib.suppress(DataError):
            holder = read_json(self.work_dir / HOLDER)
            return holder if isinstance(holder, dict) else {}
        return {}


def _described(holder: dict[str, Any]) -> str:
    keys = ("process", "host", "since")
    if not all(key in holder for key in keys):
        return "process unknown"
    return "process {} on {} since {}".format(*(holder[key] for key in keys))


def _is_dead(holder: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this machine that runs no more."""
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("process"), int):
        return False
    if os.name == "nt":  # where a signal of 0 is Ctrl-C
        return False
    try:
        os.kill(holder["process"], 0)
    except ProcessLookupError:
        return True
    except OSError:  # a process of another user
        return False
    return False
