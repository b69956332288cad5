"""A run of weeks: its memory and open files do not grow."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from .conftest import CONFIGS
from .forked import start, status

ITERATIONS, CYCLE = 900, 100
"""Every cycle has a validation, a checkpoint and a sample sheet, so that cycles can be compared."""
WARM = 3 * CYCLE
"""By then allocators have their memory, and the log's histories have their full length."""
HISTORY = 150
"""Length of the histories, shortened so that they are full before the first compared cycle."""
MAX_GROWTH = 0.02

CONFIG = f'''
_base_ = r"{CONFIGS / "gfla_drawn_cars.py"}"
plugins = ["watch.py"]
batch_size = 1
flow_iters = 600
full_iters = 300
feature_weights = "random"
size = (32, 32)
levels = [2, 1]
kernel_sizes = [3, 3]
model = dict(
    flow_estimator=dict(base_width=4, max_width=8, depth=3, norm="instance"),
    renderer=dict(base_width=4, max_width=8, depth=2, norm="instance"),
)
_stages = _base_.trainer.stages
for _stage in _stages:
    _stage.losses.pop("points")  # files have none
trainer = dict(discriminator=dict(widths=(4, 4)), autocast=False, stages=_stages)
_data = dict(_delete_=True, type="ViewPairs", category="car", structure="${{structure}}", size="${{size}}")
_data.update(root="${{data_root}}")
train_dataloader = dict(num_workers=2, persistent_workers=True, dataset=dict(split="train", **_data))
val_dataloader = dict(num_workers=1, persistent_workers=False, dataset=dict(split="test", limit=2, **_data))
test_dataloader = dict(dataset=dict(split="test", **_data))
val_evaluator = [dict(type="PSNR"), dict(type="SSIM")]
train_cfg = dict(val_interval={CYCLE})
default_hooks = dict(checkpoint=dict(interval={CYCLE}, max_keep_ckpts=2), logger=dict(interval=10))
custom_hooks = [dict(type="SampleSheets", interval={CYCLE}), dict(type="Watch")]
'''

WATCH = '''
"""Writes the memory and open files of a run and its workers every 10 iterations."""
import json
import os
from pathlib import Path

from mmengine.hooks import Hook

from posegen.engine import loop
from posegen.registry import HOOKS

loop.HISTORY = 150


def tree(process):
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [process, *(other for child in children for other in tree(child))]


def open_files(process):
    """Without shared memory: it holds batches in flight, whose number depends on how busy the machine is."""
    count = 0
    for link in Path(f"/proc/{process}/fd").iterdir():
        try:
            count += not os.readlink(link).startswith("/dev/shm/")
        except FileNotFoundError:  # closed meanwhile
            pass
    return count


def resident(process):
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@HOOKS.register_module()
class Watch(Hook):
    """Resident memory in bytes and number of open files of all processes."""

    priority = "LOWEST"

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if (runner.iter + 1) % 10 == 0:
            processes = tree(str(os.getpid()))
            seen = {
                "iteration": runner.iter + 1,
                "memory": sum(map(resident, processes)),
                "files": sum(map(open_files, processes)),
                "processes": len(processes),
            }
            with open(Path(runner.work_dir) / "watch.json", "a") as stream:
                stream.write(json.dumps(seen) + "\\n")
'''


def write_views(folder: Path) -> None:
    """Write two models from three sides each, in the format of ShapeNet renders."""
    names = [f"{model}_{azimuth}_0" for model in ("first", "second") for azimuth in (0, 2, 4)]
    random = np.random.default_rng(0)
    with h5py.File(folder / "data_car.hdf5", "w") as file:
        for name in names:
            group = file.create_group(name)
            group["image"] = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            group["pose"] = np.array([int(name.split("_")[1]), 0])
    for split in ("train", "test"):
        (folder / f"id_car_{split}.txt").write_text("\n".join(names))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc of Linux")
def test_memory_and_open_files_do_not_grow(tmp_path):
    """With workers, HDF5, TensorBoard, sheets, validations and checkpoints."""
    folder, notes = tmp_path / "run", tmp_path / "notes"
    (tmp_path / "watch.py").write_text(WATCH)
    (tmp_path / "endurance.py").write_text(CONFIG)
    write_views(tmp_path)

    arguments = ["train", tmp_path / "endurance.py", "--work-dir", folder, "--cfg-options", f"data_root={tmp_path}"]
    assert status(start(arguments, notes), notes, seconds=900) == 0, notes.read_text()[-3000:]

    seen = [json.loads(line) for line in (folder / "watch.json").read_text().splitlines()]
    assert seen[-1]["iteration"] == ITERATIONS
    assert {one["processes"] for one in seen} == {3}, "the run and two workers; the worker of a validation has ended"
    early = [one for one in seen if WARM - CYCLE < one["iteration"] <= WARM]
    late = [one for one in seen if one["iteration"] > ITERATIONS - CYCLE]
    growth = max(one["memory"] for one in late) / max(one["memory"] for one in early) - 1
    assert growth < MAX_GROWTH
    # the minimum of each cycle, without files that are open for a moment, such as a checkpoint
    assert min(one["files"] for one in late) <= min(one["files"] for one in early)

    last = torch.load(folder / f"iter_{ITERATIONS}.pth", weights_only=True)["message_hub"]["log_scalars"]
    assert max(len(history["values"]) for history in last.values()) == HISTORY
    assert len(list(folder.glob("*/vis_data/events.out.tfevents*"))) == 1
    assert len(list((folder / "samples").iterdir())) == ITERATIONS // CYCLE
