"""Train a model through all stages of its config."""

from __future__ import annotations

import argparse
import errno
import os
from pathlib import Path

from ..errors import PosegenError
from .common import add_config, read_config, work_dir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen train``."""
    add_config(parser)
    parser.add_argument(
        "--work-dir", type=Path, help="folder for checkpoints, logs and sample sheets (default: work_dirs/CONFIG)"
    )
    parser.add_argument("--resume", action="store_true", help="resume from the newest checkpoint in the work dir")
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        default="none",
        help="how several processes are started: pytorch for torchrun, slurm for srun (default: none, one process)",
    )
    parser.add_argument("--amp", action="store_true", help="run the networks in bfloat16: faster, slightly less exact")
    parser.add_argument("--local-rank", "--local_rank", type=int, default=0, help=argparse.SUPPRESS)


def run(parsed: argparse.Namespace) -> int:
    """Train; return 0, or :data:`posegen.engine.EXIT_SAVED` after an interruption that saved a checkpoint."""
    from ..engine import EXIT_SAVED, Interrupted, build_trainer
    from ..sharing import WEIGHTS, find_shared, is_shared

    os.environ.setdefault("LOCAL_RANK", str(parsed.local_rank))
    folder = work_dir(parsed)
    config = read_config(parsed)
    if config.get("load_from") and is_shared(config.load_from):
        config.load_from = str(find_shared(config.load_from) / WEIGHTS)
    runner = build_trainer(config, folder, parsed.resume, parsed.launcher, parsed.amp)
    try:
        runner.train()
    except Interrupted as interrupted:
        runner.logger.info(f"{interrupted} (exit status {EXIT_SAVED})")
        return EXIT_SAVED
    except OSError as error:  # of a log or a sheet; errors of checkpoints are complete
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise PosegenError(
            f"the disk is full: {error}\nCheckpoints are intact: make room, then go on with --resume"
        ) from error
    newest = folder / "last_checkpoint"
    if newest.is_file():
        runner.logger.info(f"trained: {newest.read_text().strip()}")
    return 0
