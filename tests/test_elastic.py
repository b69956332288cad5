"""torchrun restarts processes after one dies, and training resumes from the last checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .conftest import CONFIGS
from .forked import finish_two
from .test_engine import assert_same, stored

DIE = '''
"""Kills the second process in the third iteration, once."""
import os
import signal
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook

from posegen.registry import HOOKS


@HOOKS.register_module()
class DieOnce(Hook):
    """Like a machine that fails."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        first = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
        if first and get_rank() == 1 and runner.iter + 1 == 3:
            (Path(runner.work_dir) / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.mark.slow
def test_torchrun_restarts_a_killed_process_and_training_resumes(derived, tmp_path):
    plugin, folder, notes = tmp_path / "die_once.py", tmp_path / "run", tmp_path / "notes"
    plugin.write_text(DIE)
    config = derived(
        f"plugins = [{str(plugin)!r}]\nflow_iters = 2\nfull_iters = 2\ncustom_hooks = [dict(type='DieOnce')]"
    )
    finish_two(["train", config, "--work-dir", tmp_path / "whole"], notes)

    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    restart = ["--max-restarts", "1", "--monitor-interval", "0.1"]
    train = [CONFIGS.parent / "tools" / "train.py", config, "--work-dir", folder, "--resume", "--launcher", "pytorch"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*map(str, [*launch, *restart, *train])], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "died").exists()
    logs = sorted(path.read_text() for path in folder.glob("*/*.log"))
    assert len(logs) == 2
    assert any(f"loaded: {folder}/iter_2.pth" in log for log in logs)
    for part in ("state_dict", "optimizer"):
        assert_same(stored(folder, 4)[part], stored(tmp_path / "whole", 4)[part])
