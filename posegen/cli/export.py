"""Write a model as a file that runs without posegen: ONNX, or a program of torch.export."""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .common import add_config, print_columns, read_config, refuse_to_overwrite

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..export import Exported


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen export``."""
    add_config(parser)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of ours, trained or converted")
    parser.add_argument(
        "--format", choices=("onnx", "torch-export"), required=True, help="torch-export: for torch alone"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="what to write: ….onnx, or ….pt2")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), help="of its images, in pixels; default the config's"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="of model and file, when timed; default torch's own")
    parser.add_argument("--force", action="store_true", help="overwrite FILE if it exists")


def run(parsed: argparse.Namespace) -> int:
    """Export; returns 0."""
    import torch

    from ..api import load_model
    from ..export import check_format, export
    from ..sharing import check_no_paths

    check_format(parsed.format, parsed.out)
    refuse_to_overwrite([parsed.out], parsed.force)
    if parsed.threads is not None and parsed.threads < 1:
        raise InputError(f"--threads is 1 or more, got {parsed.threads}")
    config = read_config(parsed)
    height, width = parsed.size or _size(config)
    model = load_model(config, parsed.checkpoint)
    if parsed.threads:
        torch.set_num_threads(parsed.threads)
    described = {key: config._cfg_dict.to_dict().get(key) for key in ("model", "structure", "size")}
    check_no_paths(described)
    note = {
        "config": described,  # no more of it: the rest is about training, and has the paths of this machine
        "checkpoint": parsed.checkpoint.name,
    }
    _print(export(model, (height, width), parsed.format, parsed.out, note), (height, width))
    return 0


def _size(config: Config) -> tuple[int, int]:
    from ..config import require

    require(config, "size")
    height, width = config["size"]
    return int(height), int(width)


def _print(made: Exported, size: tuple[int, int]) -> None:
    from ..export import BATCHES, TOLERANCE

    print(f"{made.path}: {made.path.stat().st_size / 1e6:.1f} MB, images of {size[0]}×{size[1]}, batches of any size")
    batches = " and ".join(map(str, BATCHES))
    print(f"\nlargest difference from the model, batches of {batches}, values from -1 to 1; allowed: {TOLERANCE:.0e}")
    print_columns([(name, f"{value:.1e}") for name, value in made.differences.items()])
    own, exported = (statistics.median(made.seconds[name]) for name in ("model", "exported"))
    busy = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"\nseconds of a batch of 1, median of {len(made.seconds['model'])}, threads: {made.threads}{busy}")
    print_columns([("model", f"{own:.4f}"), ("exported", f"{exported:.4f}"), ("ratio", f"{exported / own:.2f}")])
