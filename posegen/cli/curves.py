"""Plot the validation curves of a run."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import refuse_to_overwrite

PANELS = (
    ("epe_ratio", "within_2px"),
    ("psnr_foreground", "psnr_foreground_warp", "psnr_foreground_copy"),
    ("ssim",),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen curves``."""
    parser.add_argument("work_dir", type=Path, help="work dir of a run")
    parser.add_argument(
        "out", type=Path, nargs="?", metavar="PNG", help="image file to write (default: WORK_DIR/curves.png)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing image")


def run(parsed: argparse.Namespace) -> int:
    """Plot; return 0."""
    from ..visualization.curves import draw_curves, read_scalars

    out = parsed.out or parsed.work_dir / "curves.png"
    refuse_to_overwrite([out], parsed.force)
    draw_curves(read_scalars(parsed.work_dir), PANELS, out)
    print(out)
    return 0
