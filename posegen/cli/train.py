"""Train a config through all its stages."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from ..engine import build_trainer
from .common import add_config, read_config, work_dir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen train``."""
    add_config(parser)
    parser.add_argument("--work-dir", type=Path, help="checkpoints, logs, sample sheets; default work_dirs/CONFIG")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint in the work dir")
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none", help="several processes")
    parser.add_argument("--amp", action="store_true", help="bfloat16 where that is safe: faster, slightly less exact")
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0, help=argparse.SUPPRESS)


def run(parsed: argparse.Namespace) -> int:
    """Train; returns 0."""
    os.environ.setdefault("LOCAL_RANK", str(parsed.local_rank))
    folder = work_dir(parsed)
    runner = build_trainer(read_config(parsed), folder, parsed.resume, parsed.launcher, parsed.amp)
    runner.train()
    newest = folder / "last_checkpoint"
    if newest.is_file():
        runner.logger.info(f"trained: {newest.read_text().strip()}")
    return 0
