"""Time training steps of several configs against each other in one process, a step of each in turn.

python tools/time_steps.py configs/ablations/*.py --steps 10
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from posegen.config import load_config
from posegen.engine import StageOptimizers
from posegen.records import collate
from posegen.registry import DATASETS, MODELS


def main() -> None:
    """Print the median seconds of a step of each config's last stage, their spread, and the ratio to the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=10, help="of each config, after two to warm up")
    parsed = parser.parse_args()
    runs = {path.stem: _prepared(path) for path in parsed.configs}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for step in range(parsed.steps + 2):
        for name, (trainer, batch, optimizers) in runs.items():
            start = time.perf_counter()
            trainer.train_step(batch, optimizers)
            if step >= 2:
                seconds[name].append(time.perf_counter() - start)
    first = statistics.median(next(iter(seconds.values())))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {parsed.steps} steps of each in turn")
    for name, times in seconds.items():
        median = statistics.median(times)
        low, high = min(times), max(times)
        print(f"{name:24} {median:.3f} s a step ({low:.3f} to {high:.3f}), {median / first:.2f} of the first")


def _prepared(path: Path):
    config = load_config(path)
    trainer = MODELS.build_part({**config.trainer, "model": config.model})
    optimizers = StageOptimizers()(trainer)
    trainer.enter(trainer.stages[-1])
    data = DATASETS.build_part(config.train_dataloader.dataset)
    return trainer.train(), collate([data[k] for k in range(config.batch_size)]), optimizers


if __name__ == "__main__":
    main()
