"""Commands in processes of their own, which can be killed at a given moment.

They are forked from a server that has imported everything and has no threads, so that a start takes a second.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import matplotlib.figure  # noqa: F401  what mmengine imports only when a run starts
import torch
import torch.distributed as dist
import torch.utils.tensorboard
from mmengine.config import Config
from mmengine.runner import Runner

from posegen import plugins
from posegen.checkpoints.files import NUMBERED
from posegen.cli import main
from posegen.engine import PairTrainer
from posegen.engine.checkpoint import VerifiedCheckpoints
from posegen.engine.distributed import leave_process_group
from posegen.engine.loop import StagedTrainLoop

torch.set_num_threads(1)
plugins.load()

SPANS = {
    "in a step": (PairTrainer, "train_step"),
    "in a checkpoint": (VerifiedCheckpoints, "_save_checkpoint_with_step"),
    "in a validation": (StagedTrainLoop, "_validate"),
}
"""Methods during which a process can die at any call of a Python or C function."""

FILES = ("half written", "before the renaming", "after the renaming", "before an old one is removed")
"""Moments of writing a checkpoint."""

TIMEOUT = 240  # seconds for a run of some steps on a busy machine


@dataclass
class Moment:
    """When a process dies.

    Args:
        place: one of :data:`SPANS` or :data:`FILES`.
        iteration: the current or last iteration, counted from 1.
        call: for a span, the number of the call; at the end of the span if it makes fewer.
        part: for a file, the written fraction, from 0 to 1.
    """

    place: str
    iteration: int
    call: int = 1
    part: float = 0.5


def start(
    arguments: Sequence[object], notes: Path, moment: Moment | None = None, count: bool = False, **environment: str
) -> Any:
    """Start a command of posegen in a process and process group of its own.

    Args:
        arguments: the command line.
        notes: file for the output of the process; the same name with ``.json`` is read by :func:`noted`.
        moment: when it dies; None: it does not.
        count: note the number of calls of each span; slower.
        environment: additional environment variables.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process: ForkServerProcess = context.Process(
        target=_run, args=([*map(str, arguments)], notes, moment, count, {**os.environ, **environment})
    )
    process.start()
    return process


def status(process: Any, notes: Path, seconds: float = TIMEOUT) -> int:
    """Wait for a process; return its exit status, negative if a signal ended it."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        raise AssertionError(f"the run takes too long:\n{notes.read_text()[-3000:]}")
    return process.exitcode


def noted(notes: Path) -> list[dict[str, Any]]:
    """Return notes: ``{"died", "iteration", "where"}`` of a death, ``{"place", "iteration", "calls"}`` of a span."""
    path = notes.with_suffix(".json")
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def group_of_two() -> list[dict[str, str]]:
    """Return the environment variables that torchrun sets for each of two processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [{**group, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in (0, 1)]


def two(
    arguments: Sequence[object], notes: Path, moments: dict[int, Moment] | None = None, count: bool = False
) -> list[Any]:
    """Start a command in two processes that train together.

    Args:
        arguments, count: see :func:`start`.
        notes: :func:`of_rank` gives the notes of each process.
        moments: when processes die, by rank.
    """
    return [
        start(
            [*arguments, "--launcher", "pytorch"], of_rank(notes, rank), (moments or {}).get(rank), count, **environment
        )
        for rank, environment in enumerate(group_of_two())
    ]


def finish_two(arguments: Sequence[object], notes: Path, expected: int = 0) -> None:
    """Run a command in two processes that train together, and check the exit status of both."""
    for rank, process in enumerate(two(arguments, notes)):
        own = of_rank(notes, rank)
        assert status(process, own) == expected, own.read_text()[-3000:]


def in_both(function: Callable[..., Any], folder: Path, *arguments: object) -> list[Any]:
    """Return ``function(*arguments, rank)``, tensors and plain values, of each of two processes over gloo."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    processes = [
        context.Process(target=_one_of_both, args=(function, folder, arguments, environment))
        for environment in group_of_two()
    ]
    for process in processes:
        process.start()
    for rank, process in enumerate(processes):
        assert status(process, folder / f"both{rank}") == 0, (folder / f"both{rank}").read_text()[-3000:]
    return [torch.load(folder / f"both{rank}.pth", weights_only=True) for rank in (0, 1)]


def _one_of_both(function: Callable[..., Any], folder: Path, arguments: Any, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    rank = int(environment["RANK"])
    _print_to(folder / f"both{rank}")
    dist.init_process_group("gloo")
    torch.save(function(*arguments, rank), folder / f"both{rank}.pth")
    leave_process_group()


def of_rank(notes: Path, rank: int) -> Path:
    """Return the notes file of one of two processes."""
    return notes.with_name(f"{notes.name}-rank{rank}")


def _run(arguments: list[str], notes: Path, moment: Moment | None, count: bool, environment: dict[str, str]) -> None:
    assert threading.active_count() == 1, "forked from a process with threads"
    os.setsid()  # a signal to its group reaches it and its workers alone
    _print_to(notes)
    os.environ.update(environment)
    _skip_texts()
    if moment or count:
        _Death(moment, notes.with_suffix(".json")).await_it()
    sys.exit(main(arguments))


def _print_to(notes: Path) -> None:
    output = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _skip_texts() -> None:
    """Skip the formatting of the config and the versions of compilers in the log, most of the time of a start."""
    Config.pretty_text = property(lambda config: str(config._cfg_dict))
    Runner._log_env = lambda runner, configured: None


class _Death:
    """Ends this process by SIGKILL at a moment, and notes it; without a moment, counts the calls of spans."""

    def __init__(self, moment: Moment | None, notes: Path) -> None:
        self.moment, self.notes = moment, notes
        self.iteration = 0

    def await_it(self) -> None:
        run_iter = StagedTrainLoop.run_iter

        def known_iteration(loop: Any, batch: Any) -> None:
            self.iteration = loop._iter + 1
            run_iter(loop, batch)

        StagedTrainLoop.run_iter = known_iteration
        for place, (owner, name) in SPANS.items():
            setattr(owner, name, self._counting(getattr(owner, name), place))
        if self.moment and self.moment.place in FILES:
            self._await_file(self.moment)

    def _counting(self, method: Callable[..., Any], place: str) -> Callable[..., Any]:
        def counting(*arguments: Any, **named: Any) -> Any:
            due = self.moment is not None and (self.moment.place, self.moment.iteration) == (place, self.iteration)
            if self.moment is not None and not due:
                return method(*arguments, **named)
            calls = 0

            def count(frame: Any, event: str, argument: Any) -> None:
                nonlocal calls
                calls += event in ("call", "c_call")
                if due and calls == self.moment.call:
                    sys.setprofile(None)
                    self._die(frame.f_code.co_name)

            sys.setprofile(count)
            try:
                result = method(*arguments, **named)
            finally:
                sys.setprofile(None)
            if due:
                self._die("its end")
            self._note(place=place, iteration=self.iteration, calls=calls)
            return result

        return counting

    def _await_file(self, moment: Moment) -> None:
        target = f"iter_{moment.iteration}.pth"
        opened, replace, unlink = Path.open, os.replace, Path.unlink

        def opening(path: Path, *arguments: Any, **named: Any) -> Any:
            stream = opened(path, *arguments, **named)
            return _Breaking(stream, moment.part, self._die) if path.name == f".{target}.part" else stream

        def replacing(part: Any, path: Any) -> None:
            named = Path(path).name == target
            if named and moment.place == "before the renaming":
                self._die(target)
            replace(part, path)
            if named and moment.place == "after the renaming":
                self._die(target)

        def removing(path: Path, **named: Any) -> None:
            if NUMBERED.fullmatch(path.name) and self.iteration == moment.iteration:
                self._die(path.name)
            unlink(path, **named)

        os.replace = replacing
        if moment.place == "half written":
            Path.open = opening
        if moment.place == "before an old one is removed":
            Path.unlink = removing

    def _die(self, where: str) -> None:
        self._note(died=self.moment.place, iteration=self.iteration, where=where)
        os.kill(os.getpid(), signal.SIGKILL)

    def _note(self, **what: Any) -> None:
        stream = os.open(self.notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(stream, json.dumps(what).encode() + b"\n")
        os.close(stream)


class _Breaking:
    """A file of whose first block a part is written when the process dies."""

    def __init__(self, stream: Any, part: float, die: Callable[[str], None]) -> None:
        self.stream, self.part, self.die = stream, part, die

    def __enter__(self) -> _Breaking:
        return self

    def __exit__(self, *error: object) -> None:
        self.stream.close()

    def write(self, block: Any) -> None:
        self.stream.write(block[: int(self.part * len(block))])
        self.stream.flush()
        self.die("a block")
