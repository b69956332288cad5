"""The workspace of a preparation: source files, folder of the result, problems and notes."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..checking import in_processes
from ..data.images import write_image
from ..data.video import VIDEO_ENDINGS, VideoReader
from ..errors import DataError, PosegenError
from ..evaluation.protocol import Protocol
from ..files import check_file, check_name, link_out, written_whole
from .archives import ENCRYPTED, is_archive, unpack
from .report import Problem, Result

STATE = ".prepare"
"""Folder in the result for settings, the lock, and archives while they are unpacked."""
LISTS = (".csv", ".txt", ".lst", ".json")
"""Endings of the files of an archive that a dry run unpacks."""
_PART = re.compile(r"\.[0-9a-f]{32}\.part")


@dataclass(frozen=True)
class SourceFile:
    """A file of the source.

    Args:
        name: path below the source folder, or in its archive, with slashes.
        path: where it lies now.
        archive: file name of the archive it is from; empty: none.
    """

    name: str
    path: Path
    archive: str = ""

    def __str__(self) -> str:
        return f"{self.archive}: {self.name}" if self.archive else self.name

    @property
    def parts(self) -> list[str]:
        """Folders and file name."""
        return self.name.split("/")

    @property
    def ending(self) -> str:
        """Ending with the dot, in lower case."""
        return os.path.splitext(self.name)[1].lower()


@dataclass(frozen=True)
class Task:
    """Files of the result that are made together from some source files: all of them, or none.

    Args:
        sources: the files that are read.
        targets: paths below the folder of the result, with slashes.
        make: called with the paths of the sources and the paths to write to, in a worker process. It raises DataError
            for a source that cannot be used. A function of a module, or a partial of one.
    """

    sources: tuple[SourceFile, ...]
    targets: tuple[str, ...]
    make: Callable[[Sequence[Path], Sequence[Path]], None]

    def __str__(self) -> str:
        return " and ".join(map(str, self.sources)) or self.targets[0]


@dataclass(frozen=True)
class PrepareOptions:
    """Options of ``posegen prepare``.

    Args:
        protocol: resize images as this protocol does; None: they keep their size.
        make_pairs: make a list of pairs if there is none.
        estimator: name of the estimator that finds key points if there are none; None: none.
        pairs: number of pairs to draw; None: that of the preparation.
        size: (H, W) of the pictures to draw in pixels; None: that of the preparation.
    """

    protocol: Protocol | None = None
    make_pairs: bool = False
    estimator: str | None = None
    pairs: int | None = None
    size: tuple[int, int] | None = None

    def given(self) -> list[str]:
        """Return the names of the options that were given."""
        return [each.name for each in dataclasses.fields(self) if getattr(self, each.name)]


@dataclass
class Workspace:
    """The source files and the folder of the result.

    Files are written whole or not at all. A target that is there already, and not older than its sources, is kept, so
    that an interrupted run continues where it stopped.

    Args:
        folder: of the result.
        options: what the user asked for.
        result: gets problems, notes and counts.
        workers: processes besides this one; 0: none.
        remake: write files that are there already, too.
        dry_run: write nothing.
        show_progress: show progress bars on stderr.
        begin: called before the first file is written.

    Attributes:
        files: the source files; those in folders come before those in archives.
        checks: configs of data sets by split, without ``root``; each group is checked together at the end.
        archives: the archives that the user gave by name.
        scratch: folder for what is needed during the run only; it is removed at the end.
    """

    folder: Path
    options: PrepareOptions
    result: Result
    workers: int = 0
    remake: bool = False
    dry_run: bool = False
    show_progress: bool = False
    begin: Callable[[], None] = lambda: None
    files: list[SourceFile] = field(default_factory=list)
    checks: list[Mapping[str, Mapping[str, Any]]] = field(default_factory=list)
    scratch: Path = Path()
    writers: dict[str, str] = field(default_factory=dict)
    used: set[SourceFile] = field(default_factory=set)
    sources: str = ""
    archives: list[Path] = field(default_factory=list)

    # What the function of a data set calls

    def make(self, tasks: Iterable[Task]) -> None:
        """Carry out tasks in several processes. What goes wrong becomes a problem, and the rest is done.

        Two tasks that write one file are a problem; the first is done.
        """
        tasks = self._without_clashes(tasks)
        left = tasks if self.remake else [task for task in tasks if not self._is_made(task)]
        self.result.kept += sum(len(task.targets) for task in tasks) - sum(len(task.targets) for task in left)
        if self.dry_run or not left:
            return
        self._check_room(left)
        self.begin()
        run = partial(_make, folder=self.folder)
        what = self.folder.name
        for task, problem in zip(left, in_processes(run, left, what, self.workers, self.show_progress), strict=True):
            if problem:
                self.problem(task, problem)
            else:
                self.result.made += len(task.targets)

    def write(self, name: str, lines: Iterable[str], *sources: SourceFile) -> None:
        """Write a text file, UTF-8.

        Args:
            name: path below the folder of the result.
            lines: without line ends.
            sources: the files it was made from.
        """
        text = "".join(f"{line}\n" for line in lines).encode()
        target = self.folder / name
        tasks = self._without_clashes([Task(sources, (name,), _nothing)])
        if not tasks or self.dry_run:
            return
        if problem := link_out(target, self.folder):
            self.problem(name, problem)
        elif target.is_file() and target.read_bytes() == text:
            self.result.kept += 1
        else:
            self.begin()
            with written_whole(target) as temporary:
                temporary.write_bytes(text)
            self.result.made += 1

    def split_videos(self) -> list[SourceFile]:
        """Decode the videos among the files into frames, which are added to :attr:`files`.

        The frames of ``FOLDER/VIDEO.mp4`` are called ``FOLDER/VIDEO/000000.jpg`` and so on; a dry run does not decode
        them. A video that cannot be read is a problem.

        Returns:
            The frames of all videos, in order.
        """
        videos = [file for file in self.files if file.ending in VIDEO_ENDINGS]
        found = []
        for video in videos:
            self.used.add(video)
            folder = self.scratch / uuid.uuid4().hex
            try:
                reader = VideoReader(video.path)
                frames = range(reader.count) if self.dry_run else write_frames(reader, folder, video.path)
                name = video.name.removesuffix(Path(video.name).suffix)
                names = [f"{number:06d}.jpg" for number in frames]
                found += [SourceFile(f"{name}/{frame}", folder / frame, video.archive) for frame in names]
            except DataError as error:
                self.problem(video, "; ".join(error.problems) or str(error))
        self.files += found
        return found

    def problem(self, file: object, text: str) -> None:
        """Report that a file of the source is wrong or missing. The command then exits with 1."""
        self.result.problems.append(Problem(str(file), text))

    def leave_out(self, file: SourceFile, reason: str) -> None:
        """Report that a file is not used; the report counts files by reason."""
        self.used.add(file)
        self.result.leave_out(str(file), reason)

    def note(self, text: str) -> None:
        """Report something the user should know."""
        self.result.notes.append(text)

    # Reading the source

    def add_source(self, path: Path, scratch: Path) -> None:
        """Add the files of a folder, an archive, or a single file.

        Args:
            path: as the user gave it.
            scratch: folder to unpack archives into.

        Raises:
            DataError: there is no such file, or the archive is refused.
        """
        if not path.is_dir():
            check_file(path, 1 << 62)
            if is_archive(path):
                self._add_archive(path, scratch)
                self.archives.append(path)
            else:
                self.files.append(SourceFile(path.name, path))
            return
        archives = []
        for folder, folders, names in os.walk(path, onerror=lambda error: self.problem(error.filename, str(error))):
            folders[:] = sorted(name for name in folders if self._is_followed(Path(folder, name), path))
            for name in sorted(names):
                file = Path(folder, name)
                relative = file.relative_to(path).as_posix()
                if name.startswith(".") or not self._is_followed(file, path):
                    continue
                if not stat.S_ISREG(file.stat().st_mode):
                    self.result.leave_out(relative, "a pipe or a device, not a file")
                elif name.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz")):
                    archives.append(file)
                else:
                    self.files.append(SourceFile(relative, file))
        for archive in archives:
            try:
                self._add_archive(archive, scratch)
            except DataError as error:  # its content may also lie unpacked beside it
                text = "; ".join(filter(None, [*error.problems, error.hint]))
                if error.hint == ENCRYPTED:
                    self.result.leave_out(archive.relative_to(path).as_posix(), text)
                else:
                    self.problem(archive.relative_to(path).as_posix(), text)

    def add_beside(self, wanted: Callable[[SourceFile], bool]) -> None:
        """Add the wanted files among those that lie beside the given archives."""
        for folder in dict.fromkeys(path.parent for path in self.archives):
            known = {file.path.resolve() for file in self.files}
            found = [SourceFile(path.name, path) for path in sorted(folder.iterdir()) if path.is_file()]
            self.files += [file for file in found if file.path.resolve() not in known and wanted(file)]

    def _add_archive(self, path: Path, scratch: Path) -> None:
        folder = scratch / uuid.uuid4().hex
        wanted = (lambda name: name.lower().endswith(LISTS)) if self.dry_run else (lambda name: True)
        found = unpack(path, folder, wanted)
        for name, reason in found.skipped:
            self.result.leave_out(f"{path.name}: {name}", reason)
        for name, reason in found.damaged:
            self.problem(f"{path.name}: {name}", reason)
        changed = path.stat().st_mtime_ns
        for name in found.files:
            if (folder / name).exists():
                os.utime(folder / name, ns=(changed, changed))  # so that it is as old as its archive
            self.files.append(SourceFile(name, folder / name, path.name))

    def _is_followed(self, path: Path, root: Path) -> bool:
        if path.name.startswith("."):
            return False
        reason = link_out(path, root) if path.is_symlink() else ""
        if not reason and path.is_symlink() and path.is_dir():
            reason = "a link to another folder of the source, which is read itself"
        if not reason and not path.exists():
            reason = "a broken link"
        if reason:
            self.result.leave_out(path.relative_to(root).as_posix(), reason)
        return not reason

    # Writing the result

    def _without_clashes(self, tasks: Iterable[Task]) -> list[Task]:
        kept = []
        for task in tasks:
            self.used.update(task.sources)
            for name in task.targets:
                check_name(name)
                if name.split("/")[0] in (STATE, "report.json", "report.txt", "findings.csv"):
                    raise ValueError(f"{name!r} is reserved for posegen prepare")
            taken = next((name for name in task.targets if name in self.writers), None)
            if taken is None:
                kept.append(task)
                self.writers |= dict.fromkeys(task.targets, str(task))
            else:
                text = f"would become {taken}, as {self.writers[taken]} does, which is taken; give it another name"
                self.problem(task, text)
        return kept

    def _is_made(self, task: Task) -> bool:
        try:
            newest = max((file.path.stat().st_mtime_ns for file in task.sources), default=0)
            return all(os.lstat(self.folder / name).st_mtime_ns >= newest for name in task.targets)
        except OSError:
            return False

    def _check_room(self, tasks: Sequence[Task]) -> None:
        needed = sum(file.path.stat().st_size for task in tasks for file in task.sources)
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise DataError(self.folder, f"needs about {needed:,} bytes, but the disk has {free:,} left")


def split_of_video(frame: SourceFile) -> str:
    """Return the split of a frame of :meth:`Workspace.split_videos`: ``test`` below a folder test…, else ``train``."""
    return "test" if any(folder.lower().startswith("test") for folder in frame.parts[:-2]) else "train"


def write_frames(video: VideoReader, folder: Path, source: Path) -> range:
    """Write the frames of a video as JPEG files, as old as the video; return their numbers."""
    changed = source.stat().st_mtime_ns
    number = -1
    for number, frame in enumerate(video):
        path = folder / f"{number:06d}.jpg"
        write_image(path, frame)
        os.utime(path, ns=(changed, changed))
    return range(number + 1)


def remove_parts(folder: Path) -> None:
    """Remove temporary files that a killed run left."""
    for path in folder.rglob(".*.part"):
        if _PART.fullmatch(path.name):
            path.unlink()


def _make(task: Task, folder: Path) -> str:
    """Carry out a task in a worker; return what is wrong, or an empty string."""
    targets = [folder / name for name in task.targets]
    parts = [target.with_name(f".{uuid.uuid4().hex}.part") for target in targets]
    try:
        for target in targets:
            if problem := link_out(target, folder):
                return f"{target.relative_to(folder)}: {problem}"
            target.parent.mkdir(parents=True, exist_ok=True)
        task.make([file.path for file in task.sources], parts)
        for part, target in zip(parts, targets, strict=True):
            os.replace(part, target)
        return ""
    except DataError as error:
        return "; ".join(error.problems) or str(error)
    except OSError as error:
        raise PosegenError(f"{folder}: {error.strerror or error}, at {task}") from error
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def _nothing(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Make nothing: the text of the one target is written elsewhere."""
