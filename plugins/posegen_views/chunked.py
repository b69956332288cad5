"""Read compressed images of HDF5 files in a separate process: libhdf5 aborts the process on some damaged files.

What is stored in chunks, as all that is compressed is, is found through an index, which libhdf5 believes. Run as a
program, this file reads one data set a line; so it imports nothing of posegen, and starts in a fraction of a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from threading import Timer
from typing import Any

import h5py
import numpy as np

SECONDS = 60
"""Time limit for one data set."""

_readers: dict[str, tuple[tuple[int, ...], subprocess.Popen[bytes]]] = {}  # by path: for what it was started


def values_of(dataset: h5py.Dataset) -> np.ndarray:
    """Return all values of an HDF5 data set.

    Raises:
        OSError: it is damaged.
    """
    if dataset.chunks is None:
        return np.asarray(dataset[()])
    path = os.path.abspath(dataset.file.filename)
    reader = _reader_of(path)
    timer = Timer(SECONDS, reader.kill)
    timer.start()
    try:
        return _ask(reader, dataset)
    except (OSError, ValueError):
        reader.kill()
        reader.wait()
        _readers.pop(path, None)
        raise
    finally:
        timer.cancel()


def _reader_of(path: str) -> subprocess.Popen[bytes]:
    found = os.stat(path)
    # neither a fork may use its parent's reader, nor any process that of a file that was replaced
    meant = (os.getpid(), found.st_ino, found.st_size, found.st_mtime_ns)
    known, reader = _readers.get(path, ((), None))
    if reader is not None and known == meant:
        return reader
    if reader is not None and known[0] == os.getpid():
        reader.kill()
        reader.wait()
    reader = subprocess.Popen(
        [sys.executable, "-I", __file__, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    _readers[path] = meant, reader
    return reader


def _ask(reader: subprocess.Popen[bytes], dataset: h5py.Dataset) -> np.ndarray:
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write(json.dumps(dataset.name).encode() + b"\n")
    reader.stdin.flush()
    answer: dict[str, Any] = json.loads(reader.stdout.readline() or '{"error": "libhdf5 does not survive it"}')
    if "error" in answer:
        raise OSError(answer["error"])
    content = reader.stdout.read(dataset.nbytes)
    if answer["bytes"] != dataset.nbytes or len(content) != dataset.nbytes:
        raise OSError(f"{answer['bytes']} bytes are stored, {dataset.nbytes} are declared")
    return np.frombuffer(content, dataset.dtype).reshape(dataset.shape).copy()


def main(path: str) -> None:
    """Read an HDF5 data set for each name (JSON, one a line) from standard input."""
    out = sys.stdout.buffer
    with h5py.File(path, "r") as file:
        for line in sys.stdin:
            try:
                content = np.ascontiguousarray(file[json.loads(line)][()]).tobytes()
                answer: dict[str, Any] = {"bytes": len(content)}
            except Exception as error:  # whatever damage makes h5py raise
                content, answer = b"", {"error": str(error)}
            out.write(json.dumps(answer).encode() + b"\n" + content)
            out.flush()


if __name__ == "__main__":
    main(sys.argv[1])
