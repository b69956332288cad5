"""Write a model as a folder to give away: safetensors, a JSON config that cannot execute, a model card."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import DataError
from .common import add_config, read_config

MAX_SCORES_BYTES = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen share``."""
    add_config(parser)
    parser.add_argument("checkpoint", type=Path, help="posegen checkpoint (from training or `posegen convert`)")
    parser.add_argument("folder", type=Path, help="folder to write")
    parser.add_argument("--name", default="", help="name of the model in its card (default: the folder's)")
    parser.add_argument("--description", default="", help="description in its card, a sentence or more")
    parser.add_argument("--scores", type=Path, metavar="JSON", help="metrics.json of `posegen test` or `evaluate`")
    parser.add_argument(
        "--half", action="store_true", help="store weights in 16 bits: half as many bytes, rounded to three digits"
    )
    parser.add_argument("--force", action="store_true", help="write into a folder that is not empty")


def run(parsed: argparse.Namespace) -> int:
    """Write the folder; return 0."""
    from ..inference import ModelSource
    from ..sharing import CARD, check_destination, save_pretrained
    from ..weights import sha256

    check_destination(parsed.folder, parsed.force)
    scores, scored_under = ({}, "") if parsed.scores is None else read_scores(parsed.scores)
    model = ModelSource(read_config(parsed), parsed.checkpoint)
    save_pretrained(
        model.load(),
        parsed.folder,
        model.config,
        name=parsed.name,
        description=parsed.description,
        scores=scores,
        scored_under=scored_under,
        checkpoint=f"{parsed.checkpoint.name}, SHA-256 {sha256(parsed.checkpoint)}",
        force=parsed.force,
        half=parsed.half,
    )
    print(f"{parsed.folder}: read {parsed.folder / CARD} and complete it before you share the model")
    return 0


def read_scores(path: Path) -> tuple[dict[str, float], str]:
    """Read the scores of a ``metrics.json``, and describe how they were computed.

    Raises:
        DataError: the file is missing or not of this format.
    """
    from ..files import read_json

    record: Any = read_json(path, MAX_SCORES_BYTES)
    metrics = record.get("metrics") if isinstance(record, dict) else None
    if not isinstance(metrics, dict) or not all(isinstance(value, (int, float)) for value in metrics.values()):
        raise DataError(
            path, "has no numbers under 'metrics'", "Give the metrics.json of `posegen test` or `evaluate`."
        )
    protocol = record.get("protocol")
    protocol = protocol if isinstance(protocol, (str, type(None))) else json.dumps(protocol)
    under = f"under the protocol {protocol}" if protocol else "under no protocol, on images as the model made them"
    return metrics, f"Of {record.get('images', 'an unknown number of')} images, {under}."
