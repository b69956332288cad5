"""Commands that are interrupted, whose output nobody reads, or that share a work dir."""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys

import pytest

from posegen.cli import COMMANDS, INTERRUPTED, main
from posegen.config import load_config
from posegen.console import CLOSED_PIPE
from posegen.engine import build_trainer
from posegen.engine.runner import TerminalLog, changes
from posegen.engine.work_dir_lock import HOLDER, WorkDirLock
from posegen.errors import PosegenError

from .conftest import LAST
from .test_survival import log

HOLD = """
import sys, time
from posegen.engine.work_dir_lock import WorkDirLock
lock = WorkDirLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(1000)
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


# Work dirs


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of the work dir ``run``."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_training_in_a_work_dir_is_refused_naming_the_first(holder, tmp_path, tiny_config, capsys):
    assert main(["train", str(tiny_config), "--work-dir", str(tmp_path / "run")]) == 1
    first = json.loads((tmp_path / "run" / HOLDER).read_text())
    assert first["process"] == holder.pid
    error = capsys.readouterr().err
    assert f"another training runs in {tmp_path}/run: process {holder.pid} on {first['host']} since 20" in error
    assert "--work-dir" in error
    assert not list((tmp_path / "run").glob("*/*.log"))  # nothing was written


def test_the_lock_of_a_killed_training_is_taken_over_and_told(holder, tmp_path):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock = WorkDirLock(tmp_path / "run")
    lock.check()  # leaves the note to the training
    assert f"was killed (process {holder.pid} on " in lock.acquire()
    lock.release()
    assert lock.acquire() == ""
    lock.release()


def test_a_work_dir_is_free_after_a_training_and_after_an_error(tmp_path, tiny_config, monkeypatch):
    runner = build_trainer(load_config(tiny_config), tmp_path / "run")
    monkeypatch.setattr("mmengine.runner.Runner.train", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runner.train()
    WorkDirLock(tmp_path / "run").check()
    assert not (tmp_path / "run" / HOLDER).exists()


# Resuming with other settings


def test_settings_that_changed_before_a_resume_are_told_with_both_values(trained, tiny_config, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copy(trained / f"iter_{LAST - 1}.pth", folder)
    (folder / "last_checkpoint").write_text(str(folder / f"iter_{LAST - 1}.pth"))
    batch = load_config(tiny_config).train_dataloader.batch_size
    options = [f"train_dataloader.batch_size={batch + 1}", "randomness.seed=77"]
    assert main(["train", str(tiny_config), "--work-dir", str(folder), "--resume", "--cfg-options", *options]) == 0
    assert f"resumed with another batch size: {batch} before, {batch + 1} now" in log(folder)
    assert "resumed with another seed: " in log(folder)
    assert log(folder).count("resumed with another") == 2


def test_changes_name_every_setting_and_old_checkpoints_have_none():
    before = {"number of processes": "2", "number of iterations": "flow 9, joint 20", "size": "64×128"}
    now = {**before, "number of processes": "1", "number of iterations": "flow 9, joint 30"}
    assert changes(before, now) == [
        "resumed with another number of processes: 2 before, 1 now",
        "resumed with another number of iterations: flow 9, joint 20 before, flow 9, joint 30 now",
    ]
    assert changes({}, now) == []


# Output that nobody reads


def closed_pipe():
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w", buffering=1)


@pytest.mark.parametrize("unbuffered", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("arguments", [["--help"], ["configs"]], ids=" ".join)
def test_a_closed_pipe_ends_a_command_without_a_word(arguments, unbuffered):
    variables = {name: value for name, value in environment().items() if name != "PYTHONUNBUFFERED"} | unbuffered
    command = [sys.executable, "-c", "import sys; from posegen.cli import main; sys.exit(main())", *arguments]
    with closed_pipe() as pipe:
        done = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, env=variables, check=False)
    assert done.stderr == ""
    assert done.returncode in (
        {0, CLOSED_PIPE} if unbuffered else {CLOSED_PIPE}
    )  # argparse ignores what it cannot print


def test_the_encoding_of_the_console_ends_no_command(monkeypatch):
    """Characters that it lacks are replaced, in what a command prints and in errors."""

    def run(parsed):
        print("64×128 → 1…")
        raise PosegenError("no such file: Zürich.png")

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setattr("posegen.cli.plugins.run", run)
    assert main(["plugins"]) == 1
    err.flush()
    assert out.buffer.getvalue() == b"64?128 ? 1?\n"
    assert err.buffer.getvalue() == b"error: no such file: Z?rich.png\n"


def test_a_pipe_of_a_commands_own_is_not_taken_for_its_output(monkeypatch):
    def run(parsed):
        raise BrokenPipeError

    monkeypatch.setattr("posegen.cli.plugins.run", run)
    with pytest.raises(BrokenPipeError):
        main(["plugins"])


def test_a_log_that_nobody_reads_goes_on_in_its_file(tmp_path, capfd):
    logger = logging.Logger("run")
    pipe = closed_pipe()
    logger.addHandler(TerminalLog(logger, logging.StreamHandler(pipe)))
    logger.addHandler(logging.FileHandler(tmp_path / "run.log"))
    for iteration in range(3):
        logger.info("iteration %d", iteration)
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert [line for line in lines if "iteration" in line] == ["iteration 0", "iteration 1", "iteration 2"]
    assert sum("nobody reads the output" in line for line in lines) == 1
    assert capfd.readouterr().err == ""


def test_other_errors_of_a_log_are_shown(capsys):
    logger = logging.Logger("run")
    logger.addHandler(TerminalLog(logger, logging.StreamHandler(sys.stdout)))
    logger.info("%d", "no number")
    assert "Logging error" in capsys.readouterr().err


# Ctrl-C


@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_is_one_line_also_while_arguments_are_read(name, monkeypatch, capsys):
    def interrupted(command, prog=None):
        raise KeyboardInterrupt

    monkeypatch.setattr("posegen.cli.build_parser", interrupted)
    assert main([name]) == INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"


def test_the_lock_says_what_to_do_if_its_holder_is_unknown(tmp_path):
    first, second = WorkDirLock(tmp_path), WorkDirLock(tmp_path)
    first.acquire()
    (tmp_path / HOLDER).write_text("{")
    with pytest.raises(PosegenError, match="process unknown"):
        second.check()
    first.release()
