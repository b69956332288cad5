"""Checkpoint files: atomic, sealed, verified; old ones are removed after a new one is verified."""

from __future__ import annotations

import errno
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch

from posegen.checkpoints import files as checkpoint_files
from posegen.checkpoints import read_checkpoint
from posegen.checkpoints.files import (
    fault_of,
    newest_sound,
    numbered,
    prune,
    remove_unfinished,
    seal_of,
    write_checkpoint,
    write_whole,
)
from posegen.engine import provenance
from posegen.errors import CheckpointError

RUN, OTHER_RUN = "0123456789abcdef" * 2, "f" * 32
CONTENT = {"state_dict": {"weight": torch.arange(1000.0)}, "meta": {"iter": 1}}


def write(folder: Path, *iterations: int, run: str = RUN) -> list[Path]:
    paths = [folder / f"iter_{iteration}.pth" for iteration in iterations]
    for path in paths:
        write_checkpoint(path, CONTENT, run)
    return paths


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip(path: Path, position: int) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


# Seals


def test_a_sealed_checkpoint_is_an_ordinary_weight_file(tmp_path):
    (path,) = write(tmp_path, 1)
    for mmap in (False, True):
        loaded = torch.load(path, weights_only=True, mmap=mmap)
        assert torch.equal(loaded["state_dict"]["weight"], CONTENT["state_dict"]["weight"])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.comment.decode().startswith(f"posegen run={RUN} sha256=")
    assert names(tmp_path) == ["iter_1.pth"]


def test_a_moved_checkpoint_keeps_its_seal(tmp_path):
    (path,) = write(tmp_path, 1)
    moved = path.rename(tmp_path / "mine.pth")
    assert seal_of(moved).run == RUN
    assert fault_of(moved) is None


@pytest.mark.parametrize("part", ["start", "middle", "directory", "run", "digest"])
def test_one_wrong_bit_anywhere_is_noticed(tmp_path, part):
    (path,) = write(tmp_path, 1)
    size = path.stat().st_size
    at = {"start": 0, "middle": size // 2, "directory": size - 130, "run": size - 90, "digest": size - 1}[part]
    flip(path, at)
    assert fault_of(path)


@pytest.mark.parametrize("left", [0, 1, 100, 0.5, -1, -116])
def test_a_truncated_file_is_noticed(tmp_path, left):
    (path,) = write(tmp_path, 1)
    size = path.stat().st_size
    os.truncate(path, int(size * left) if isinstance(left, float) else left % size)
    assert "no checksum at its end: truncated" in fault_of(path)


def test_a_damaged_checkpoint_is_not_loaded(tmp_path):
    """torch ignores the archive's own checksums and would load wrong weights."""
    (path,) = write(tmp_path, 1)
    flip(path, path.read_bytes().index(CONTENT["state_dict"]["weight"].numpy().tobytes()))
    assert not torch.equal(torch.load(path, weights_only=True)["state_dict"]["weight"], torch.arange(1000.0))
    with pytest.raises(CheckpointError, match=r"iter_1.pth: its checksum is wrong: damaged"):
        read_checkpoint(path)


# Writing


class FullDisk:
    """A file on a disk that takes *room* bytes more."""

    def __init__(self, stream, room: int) -> None:
        self.stream, self.room = stream, room

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.stream.close()

    def write(self, block) -> None:
        self.stream.write(bytes(block)[: self.room])
        self.room -= len(block)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def full_disk(monkeypatch):
    """Make the disk full after a number of bytes of the next temporary file."""
    opened = Path.open

    def fill(room: int) -> None:
        def opening(path, *args, **kwargs):
            stream = opened(path, *args, **kwargs)
            return FullDisk(stream, room) if path.name.endswith(".part") else stream

        monkeypatch.setattr(Path, "open", opening)

    return fill


@pytest.mark.parametrize("room", [0, 100, 4200])
def test_a_full_disk_is_named_and_earlier_checkpoints_stay(tmp_path, full_disk, room):
    write(tmp_path, 1, 2)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    full_disk(room)
    with pytest.raises(CheckpointError, match=r"iter_3.pth was not written: the disk is full") as raised:
        write(tmp_path, 3)
    assert f"the newest is {tmp_path / 'iter_2.pth'}" in str(raised.value)
    assert "--resume" in str(raised.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert newest_sound(tmp_path) == (tmp_path / "iter_2.pth", [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_dev_full_is_named_a_full_disk(tmp_path):
    (tmp_path / ".iter_1.pth.part").symlink_to("/dev/full")
    with pytest.raises(CheckpointError, match=r"the disk is full[^$]*There is no earlier checkpoint"):
        write(tmp_path, 1)
    assert names(tmp_path) == []


def test_a_disk_that_is_full_at_fsync_is_named(tmp_path, monkeypatch):
    """Network drives may report a full disk only at fsync."""

    def fsync(handle):
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    write(tmp_path, 1)
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(CheckpointError, match="the disk is full"):
        write(tmp_path, 1)
    assert fault_of(tmp_path / "iter_1.pth") is None


def test_a_file_is_flushed_before_it_is_renamed(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *args, name=name, real=real: (done.append(name), real(*args))[1])
    write_whole(tmp_path / "file", [b"content"])
    assert done == ["fsync", "replace", "fsync"]  # the file, its name, its folder


def test_a_file_that_reads_back_differently_is_an_error(tmp_path, monkeypatch):
    write(tmp_path, 1)
    replace = os.replace

    def losing(part, path):
        replace(part, path)
        flip(Path(path), 50)

    monkeypatch.setattr(os, "replace", losing)
    with pytest.raises(CheckpointError, match=r"iter_2.pth .*reads back differently[^$]*newest is .*iter_1"):
        write(tmp_path, 2)


def test_partial_checkpoints_are_removed(tmp_path):
    write(tmp_path, 1)
    for name in (".iter_2.pth.part", ".mine.part", "iter_3.pth.part"):
        (tmp_path / name).write_bytes(b"half")
    remove_unfinished(tmp_path)
    assert names(tmp_path) == [".mine.part", "iter_1.pth", "iter_3.pth.part"]


# Finding


def test_the_newest_checkpoint_is_found_by_its_number(tmp_path):
    write(tmp_path, 9, 10, 2)
    assert [path.name for path in numbered(tmp_path)] == ["iter_10.pth", "iter_9.pth", "iter_2.pth"]
    assert newest_sound(tmp_path) == (tmp_path / "iter_10.pth", [])


def test_damaged_checkpoints_are_named_and_skipped(tmp_path):
    write(tmp_path, 1, 2, 3, 4)
    os.truncate(tmp_path / "iter_4.pth", 900)
    flip(tmp_path / "iter_3.pth", 700)
    path, faults = newest_sound(tmp_path)
    assert path == tmp_path / "iter_2.pth"
    assert [fault.split(":")[0] for fault in faults] == [str(tmp_path / f"iter_{n}.pth") for n in (4, 3)]
    assert "truncated" in faults[0]
    assert "checksum is wrong" in faults[1]


def test_a_file_without_a_checksum_is_skipped(tmp_path):
    write(tmp_path, 1)
    torch.save(CONTENT, tmp_path / "iter_2.pth")
    path, (fault,) = newest_sound(tmp_path)
    assert path == tmp_path / "iter_1.pth"
    assert "iter_2.pth: it has no checksum" in fault


def test_if_no_checkpoint_is_intact_all_are_named(tmp_path):
    write(tmp_path, 1, 2)
    for iteration in (1, 2):
        flip(tmp_path / f"iter_{iteration}.pth", 60)
    with pytest.raises(CheckpointError, match=r"no checkpoint of [^$]*iter_2.pth: [^$]*iter_1.pth: [^$]*load_from"):
        newest_sound(tmp_path)


def test_a_folder_without_checkpoints_has_nothing_to_resume(tmp_path):
    (tmp_path / ".iter_1.pth.part").write_bytes(b"half")
    assert newest_sound(tmp_path) == (None, [])


def test_files_take_precedence_over_last_checkpoint(tmp_path):
    """A run may be killed between writing the two."""
    write(tmp_path, 1, 2)
    (tmp_path / "last_checkpoint").write_text(str(tmp_path / "iter_1.pth"))
    assert newest_sound(tmp_path)[0] == tmp_path / "iter_2.pth"


def test_last_checkpoint_may_name_a_file_elsewhere(tmp_path):
    (tmp_path / "run").mkdir()
    (path,) = write(tmp_path, 5)
    (tmp_path / "run" / "last_checkpoint").write_text(f"{path}\n")
    assert newest_sound(tmp_path / "run") == (path, [])
    path.unlink()
    with pytest.raises(CheckpointError, match=r"iter_5.pth: the file does not exist"):
        newest_sound(tmp_path / "run")


# Pruning


def test_the_newest_checkpoints_are_kept(tmp_path):
    write(tmp_path, 2, 4, 6, 8, 10)
    assert prune(tmp_path / "iter_10.pth", RUN, keep=2) == [tmp_path / f"iter_{n}.pth" for n in (6, 4, 2)]
    assert [path.name for path in numbered(tmp_path)] == ["iter_10.pth", "iter_8.pth"]


def test_files_of_others_are_neither_removed_nor_counted(tmp_path):
    write(tmp_path, 2, 3, 7, 9)
    write(tmp_path, 4, run=OTHER_RUN)
    torch.save(CONTENT, tmp_path / "iter_5.pth")  # somebody's, without a seal
    (tmp_path / "iter_6.pth").symlink_to(tmp_path / "iter_2.pth")
    for name in ("best_iter_1.pth", "iter_01x.pth", "notes.txt"):
        (tmp_path / name).write_bytes((tmp_path / "iter_2.pth").read_bytes())
    before = set(names(tmp_path))
    prune(tmp_path / "iter_7.pth", RUN, keep=2)
    assert before - set(names(tmp_path)) == {"iter_2.pth"}  # 7 and 3 are kept; 9 is not older than 7


# Provenance


def test_the_revision_is_that_of_the_code():
    if not (Path(provenance.__file__).parents[2] / ".git").exists():
        pytest.skip("not in a repository")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    provenance.revision.cache_clear()
    assert provenance.revision().removesuffix("-dirty") == head.stdout.strip()


@pytest.mark.parametrize("error", [subprocess.TimeoutExpired("git", 5), FileNotFoundError("git")], ids=["slow", "none"])
def test_git_may_be_missing_or_time_out(monkeypatch, error):
    def run(*command, timeout, **kwargs):
        assert timeout <= 10
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    provenance.revision.cache_clear()
    assert provenance.revision() is None
    provenance.revision.cache_clear()


def test_versions_are_those_of_all_libraries_of_a_step():
    assert provenance.versions().keys() == {"posegen", "python", "torch", "numpy", "mmengine"}
    assert checkpoint_files.SEAL_LENGTH == 116  # files of earlier versions are read by it
