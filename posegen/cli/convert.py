"""Convert a published weight file to a posegen checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import read_config, refuse_to_overwrite


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen convert``."""
    parser.add_argument("source", type=Path, help="published file: …net_G.pth (F and G) or …net_D.pth (discriminator)")
    parser.add_argument(
        "destination", type=Path, help="checkpoint to write; .safetensors for a file that cannot execute anything"
    )
    parser.add_argument("--config", type=Path, required=True, help="config of the same architecture")
    parser.set_defaults(cfg_options=None)
    parser.add_argument(
        "--discriminator",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="published …net_D….pth files to include; models of clips have two, which differ in their shapes",
    )
    parser.add_argument("--force", action="store_true", help="overwrite the destination if it exists")


def run(parsed: argparse.Namespace) -> int:
    """Convert; return 0."""
    from ..checkpoints.files import write_plain, write_safetensors
    from ..engine.convert import convert
    from ..weights import SAFETENSORS, sha256

    refuse_to_overwrite([parsed.destination], parsed.force)
    checkpoint = convert(read_config(parsed), parsed.source, parsed.discriminator)
    parsed.destination.parent.mkdir(parents=True, exist_ok=True)
    if parsed.destination.suffix == SAFETENSORS:
        write_safetensors(
            parsed.destination,
            checkpoint["state_dict"],
            converted_from=parsed.source.name,
            sha256_of_source=sha256(parsed.source),
        )
    else:
        write_plain(parsed.destination, checkpoint)
    print(f"{len(checkpoint['state_dict'])} weights: {parsed.destination}")
    return 0
