"""Run a function on many items in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from ..errors import PosegenError


class _Results(Dataset):
    """The results of a function for each item, as a data set that torch's loader reads in workers."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self.function, self.items = function, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, number: int) -> Any:
        return self.function(self.items[number])


def in_processes(
    function: Callable[[Any], Any], items: Sequence[Any], what: str, workers: int = 0, show: bool = False
) -> Iterator[Any]:
    """Yield the result of *function* for each item, in order.

    Args:
        function: must be picklable if workers are spawned.
        items: its arguments.
        what: description beside the progress bar.
        workers: number of worker processes; 0: run in this process.
        show: show a progress bar on stderr.

    Raises:
        PosegenError: a worker died.
    """
    loader = DataLoader(
        _Results(function, items),
        batch_size=16,
        collate_fn=list,
        num_workers=min(workers, -(-len(items) // 16)),
        worker_init_fn=_start_worker,
    )
    results = (result for batch in loader for result in batch)
    console = Console(stderr=True)
    try:
        yield from track(results, what, total=len(items), console=console, disable=not show or not console.is_terminal)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise PosegenError(f"{what}: a worker process died: {error}\n--workers 0 runs without workers.") from error


def _start_worker(worker: int) -> None:
    """Leave Ctrl-C to the main process, and exit soon after it if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_exit_after, args=(parent.pid,), daemon=True).start()


def _exit_after(parent: int) -> None:
    """Exit when the parent is gone; otherwise a worker could wait forever for someone to read its results."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
