"""Write a model as a folder to give away: safetensors, a JSON config that cannot execute, a card."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import DataError
from .common import add_config, read_config

MOST_OF_SCORES = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen share``."""
    add_config(parser)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of ours, trained or converted")
    parser.add_argument("folder", type=Path, help="the folder to write")
    parser.add_argument("--name", default="", help="of the model, for its card; default: the folder's")
    parser.add_argument("--description", default="", help="what it is, a sentence or more, for its card")
    parser.add_argument("--scores", type=Path, metavar="JSON", help="a metrics.json of `posegen test` or `evaluate`")
    parser.add_argument(
        "--half", action="store_true", help="keep the weights in 16 bits: half as many bytes, rounded to three digits"
    )
    parser.add_argument("--force", action="store_true", help="write into a folder that has files")


def run(parsed: argparse.Namespace) -> int:
    """Write the folder; returns 0."""
    from ..api import load_model
    from ..sharing import CARD, check_destination, save_pretrained
    from ..weights import sha256

    check_destination(parsed.folder, parsed.force)
    scores, scored_under = ({}, "") if parsed.scores is None else read_scores(parsed.scores)
    config = read_config(parsed)
    save_pretrained(
        load_model(config, parsed.checkpoint),
        parsed.folder,
        config,
        name=parsed.name,
        description=parsed.description,
        scores=scores,
        scored_under=scored_under,
        checkpoint=f"{parsed.checkpoint.name}, SHA-256 {sha256(parsed.checkpoint)}",
        force=parsed.force,
        half=parsed.half,
    )
    print(f"{parsed.folder}: read {parsed.folder / CARD}, and say in it what only you know, before you give it away")
    return 0


def read_scores(path: Path) -> tuple[dict[str, float], str]:
    """The numbers of a ``metrics.json``, and in words what they were computed under.

    Raises:
        DataError: it is missing, or no such file.
    """
    from ..files import read_json

    record: Any = read_json(path, MOST_OF_SCORES)
    metrics = record.get("metrics") if isinstance(record, dict) else None
    if not isinstance(metrics, dict) or not all(isinstance(value, (int, float)) for value in metrics.values()):
        raise DataError(
            path, "has no numbers under 'metrics'", "Give the metrics.json of `posegen test` or `evaluate`."
        )
    protocol = record.get("protocol")
    protocol = protocol if isinstance(protocol, (str, type(None))) else json.dumps(protocol)
    under = f"under the protocol {protocol}" if protocol else "under no protocol, on images as the model made them"
    return metrics, f"Of {record.get('images', 'an unknown number of')} images, {under}."
