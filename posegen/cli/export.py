"""Export a model to ONNX or torch.export, to run without posegen."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import InputError
from .common import add_config, print_columns, read_config, refuse_to_overwrite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen export``."""
    add_config(parser)
    parser.add_argument("checkpoint", type=Path, help="a posegen checkpoint (from training or `posegen convert`)")
    parser.add_argument("--format", choices=("onnx", "torch-export"), required=True, help="file format")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write, .onnx or .pt2")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("H", "W"), help="image size in pixels (default: the config's)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE if it exists")


def run(parsed: argparse.Namespace) -> int:
    """Export the model; returns 0."""
    from ..api import load_model
    from ..config import require
    from ..export import BATCHES, TOLERANCE, check_format, export
    from ..sharing import check_no_paths

    check_format(parsed.format, parsed.out)
    refuse_to_overwrite([parsed.out], parsed.force)
    config = read_config(parsed)
    if parsed.size is None:
        require(config, "size")
    height, width = map(int, parsed.size or config["size"])
    if min(height, width) < 1:
        raise InputError(f"--size must be positive, got {height} {width}")
    model = load_model(config, parsed.checkpoint)
    described = {key: config._cfg_dict.to_dict().get(key) for key in ("model", "structure", "size")}
    check_no_paths(described)
    note = {"config": described, "checkpoint": parsed.checkpoint.name}
    made = export(model, (height, width), parsed.format, parsed.out, note)
    print(f"{made.path}: {made.path.stat().st_size / 1e6:.1f} MB, images of {width}×{height}, any batch size")
    batches = " and ".join(map(str, BATCHES))
    print(f"\nlargest difference from the model in batches of {batches}, for values from -1 to 1 (≤ {TOLERANCE:.0e}):")
    print_columns([(name, f"{value:.1e}") for name, value in made.differences.items()])
    return 0
