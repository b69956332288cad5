"""Score the images of any method against true images under a named protocol."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import some_names
from .common import add_plugin, load_plugins
from .completion import FILES, LAYOUTS, PROTOCOLS, complete_with, parts_of
from .generation import add_min_score

if TYPE_CHECKING:
    from ..evaluation.pairing import Pairing

BASE = "posegen-clean"
MOST_LISTED = 20
"""Maximum number of images that are listed with a reason."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen evaluate``."""
    parser.add_argument("--generated", type=Path, required=True, metavar="DIR", help="folder of generated images")
    parser.add_argument("--target", type=Path, required=True, metavar="DIR", help="folder of true images")
    parser.add_argument("--pairs", type=Path, metavar="CSV", help="list of pairs (default: match images by file name)")
    parser.add_argument("--source", type=Path, metavar="DIR", help="folder of source images, shown in the report")
    add_scoring(parser, required=True)
    parser.add_argument("--out", type=Path, metavar="DIR", help="write results.json and a report to this folder")
    add_plugin(parser)


def add_scoring(parser: argparse._ActionsContainer, required: bool) -> None:
    """Add the arguments that ``posegen evaluate`` and ``posegen test`` share."""
    protocol = parser.add_argument(
        "--protocol",
        required=required,
        metavar="NAME",
        help="protocol to score under: a name (`posegen list protocol`), a .json file, or 'all' for a sensitivity "
        "study: every protocol, and --base with each of its choices changed",
    )
    complete_with(protocol, PROTOCOLS, FILES)
    base = parser.add_argument(
        "--base", default=BASE, metavar="NAME", help=f"protocol that '--protocol all' starts from (default: {BASE})"
    )
    complete_with(base, PROTOCOLS)
    metrics = parser.add_argument(
        "--metrics", nargs="+", metavar="NAME", help="subset of the protocol's metrics to compute (default: all)"
    )
    complete_with(metrics, parts_of("metrics"))
    parser.add_argument("--real", type=Path, metavar="DIR", help="folder of real images, for metrics of sets")
    forms = "a list or JSON file of many images, or a folder of IMAGE.json or IMAGE_keypoints.json"
    parser.add_argument("--keypoints", type=Path, metavar="PATH", help=f"key points of the true images: {forms}")
    parser.add_argument(
        "--generated-keypoints", type=Path, metavar="PATH", help=f"key points found in the generated images: {forms}"
    )
    add_min_score(parser)
    layout = parser.add_argument("--layout", help="layout of the key points (default: that of the protocol's mask)")
    complete_with(layout, LAYOUTS)
    parser.add_argument("--allow-missing", action="store_true", help="exit with 0 even if a metric was not computed")
    parser.add_argument(
        "--draws", type=_at_least(0), default=1000, help="bootstrap draws of an interval, 0 for none (default: 1000)"
    )
    parser.add_argument("--batch-size", type=_at_least(1), default=16, help="images to score at a time (default: 16)")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder for statistics of real images (default: ~/.cache/posegen)"
    )


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more, got {value}")
        return value

    return number


def run(parsed: argparse.Namespace) -> int:
    """Evaluate; returns 1 if a metric was not computed or an image has no partner."""
    from ..evaluation.pairing import pair_images
    from .scoring import check_out, check_scoring, remove_if_empty, score

    load_plugins(parsed)
    check_scoring(parsed)
    with remove_if_empty(parsed.out):
        check_out(parsed)
        pairing = pair_images(parsed.generated, parsed.target, parsed.pairs, source=parsed.source)
        context = {
            "generated": str(parsed.generated),
            "target": str(parsed.target),
            "naming": pairing.convention,
            "targets_without_a_result": len(pairing.unused),
        }
        status = score(parsed, pairing.pairs, parsed.out, context, pairing.unmatched)
    _say_what_was_paired(pairing, parsed)
    return 1 if pairing.unmatched else status


def _say_what_was_paired(pairing: Pairing, parsed: argparse.Namespace) -> None:
    """Say by which rule images were paired, and what was left out."""
    from .. import catalogue
    from ..evaluation.pairing import LIST, NamingConvention

    rule = parsed.pairs
    if pairing.convention != LIST:
        rule = catalogue.get(NamingConvention, pairing.convention).template
    lines = [f"{len(pairing.pairs)} images were paired by {rule}"]
    if pairing.unused:
        names = some_names(pairing.unused)
        lines.append(f"{len(pairing.unused)} images of {parsed.target} are the target of no result: {names}")
    if pairing.lost_sources:
        place = parsed.source or parsed.target
        names = some_names(pairing.lost_sources)
        lines.append(
            f"{len(pairing.lost_sources)} sources are not in {place}: {names}; the report shows these results without "
            "(--source DIR)"
        )
    lines += [f"not scored: {name}" for name in pairing.unmatched[:MOST_LISTED]]
    if pairing.unmatched:
        lines.append(f"{len(pairing.unmatched)} images were not scored")
    print("\n".join(lines), file=sys.stderr)
