"""Score the images of any method against true ones, under a named protocol."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, DataError
from .common import add_plugin, load_plugins, refuse_to_overwrite

if TYPE_CHECKING:
    from ..data.keypoints import KeypointLayout, Keypoints
    from ..evaluation import Evaluation, ImagePair, Protocol
    from ..evaluation.evaluate import Options

BASE = "posegen-clean"
SENSITIVITY = ("sensitivity.png", "sensitivity.md")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen evaluate``."""
    parser.add_argument("--generated", type=Path, required=True, metavar="DIR", help="images of any method")
    parser.add_argument("--target", type=Path, required=True, metavar="DIR", help="the true images")
    parser.add_argument("--pairs", type=Path, metavar="CSV", help="which belong together; default: by their names")
    parser.add_argument(
        "--source", type=Path, metavar="DIR", help="what they were made from, for the report's pictures"
    )
    add_scoring(parser, required=True)
    parser.add_argument("--out", type=Path, metavar="DIR", help="write results.json and a report there")
    add_plugin(parser)


def add_scoring(parser: argparse._ActionsContainer, required: bool) -> None:
    """Arguments that ``posegen test`` and ``posegen evaluate`` share."""
    parser.add_argument(
        "--protocol",
        required=required,
        metavar="NAME",
        help="everything besides the images that decides a score: a name (`posegen list protocol`), a .json file, or "
        "'all': every protocol, and every single choice of --base changed, as a table and a picture",
    )
    parser.add_argument("--base", default=BASE, metavar="NAME", help=f"of --protocol all; default {BASE}")
    parser.add_argument("--metrics", nargs="+", metavar="NAME", help="of the protocol's; default: all")
    parser.add_argument("--real", type=Path, metavar="DIR", help="real images that FID and KID compare with")
    for which in ("keypoints", "generated-keypoints"):
        of = "the true images" if which == "keypoints" else "the generated images, by any estimator"
        parser.add_argument(
            f"--{which}",
            type=Path,
            metavar="PATH",
            help=f"key points of {of}: a list or JSON file of many, or a folder of IMAGE.json or IMAGE_keypoints.json",
        )
    parser.add_argument("--layout", help="of the key points; default: the one of the protocol's mask")
    parser.add_argument("--allow-missing", action="store_true", help="exit with 0 though a metric was not computed")
    parser.add_argument("--draws", type=_at_least(0), default=1000, help="of the bootstrap; 0: no intervals")
    parser.add_argument("--batch-size", type=_at_least(1), default=16, help="images scored at a time")
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", help="of statistics of real images; default ~/.cache/posegen"
    )


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more, got {value}")
        return value

    return number


def run(parsed: argparse.Namespace) -> int:
    """Evaluate; 1 where a metric was not computed or an image had no partner."""
    from ..evaluation.pairing import pair_images

    load_plugins(parsed)
    check_scoring(parsed)
    with no_empty_folder(parsed.out):
        _check_out(parsed)
        pairing = pair_images(parsed.generated, parsed.target, parsed.pairs)
        pairs = _with_sources(pairing.pairs, parsed.source)
        folders: dict[str, Any] = {"generated": str(parsed.generated), "target": str(parsed.target)}
        folders |= {"naming": pairing.convention, "targets_without_a_result": len(pairing.unused)}
        status = score(parsed, pairs, parsed.out, folders, pairing.unmatched)
    for name in pairing.unmatched[:20]:
        print(f"not scored: {name}", file=sys.stderr)
    if pairing.unmatched:
        print(f"{len(pairing.unmatched)} images were not scored", file=sys.stderr)
    return 1 if pairing.unmatched else status


def _check_out(parsed: argparse.Namespace) -> None:
    """Raise where the report would overwrite what is no report, or could not be written."""
    from ..evaluation.report import check_report_folder

    if parsed.out is None:
        return
    for folder in (parsed.generated, parsed.target, parsed.real, parsed.source):
        if folder is not None and parsed.out.resolve() == folder.resolve():
            raise ConfigError(f"--out {parsed.out} is a folder of images; the report needs one of its own")
    check_report_folder(parsed.out)
    if not (parsed.out / "results.json").exists():  # else these are ours, from an earlier report
        refuse_to_overwrite([parsed.out / name for name in SENSITIVITY], force=False)


def check_scoring(parsed: argparse.Namespace) -> Protocol:
    """The protocol that the arguments of :func:`add_scoring` name; for the start of a command.

    Raises:
        ConfigError: no such protocol, or it has no such metric; or key points of another layout than its mask's.
    """
    protocol = _protocol(parsed)
    protocol.check_metrics(parsed.metrics or ())
    _layout(parsed, protocol)
    return protocol


def _protocol(parsed: argparse.Namespace) -> Protocol:
    from ..evaluation import get_protocol

    return get_protocol(parsed.base if parsed.protocol == "all" else parsed.protocol)


@contextmanager
def no_empty_folder(folder: Path | None) -> Iterator[None]:
    """Where what is done inside raises, take away *folder*, and the parents made for it, if they are empty."""
    made = [each for each in (folder, *folder.parents) if not each.exists()] if folder is not None else []
    try:
        yield
    except BaseException:
        for each in made:
            with suppress(OSError):  # something lies in it, or another process was first
                each.rmdir()
        raise


def score(
    parsed: argparse.Namespace,
    pairs: Sequence[ImagePair],
    out: Path | None,
    context: Mapping[str, Any],
    unmatched: Sequence[str] = (),
) -> int:
    """Score *pairs* as the command line says, show it, and write it to *out*; returns the exit status."""
    from ..data.images import read_image
    from ..evaluation.evaluate import Options, evaluate
    from ..evaluation.pairing import find_images

    protocol = _protocol(parsed)
    if parsed.protocol == "all" and protocol.size is None:  # a size, so that ways of resizing can be compared
        height, width = read_image(pairs[0].generated).shape[:2]
        name = f"{protocol.name} at {height}×{width}"
        protocol = replace(protocol, name=name, size=(height, width), resize="pillow-bicubic")
    layout = _layout(parsed, protocol)
    with _progress() as progress:
        options = Options(
            parsed.metrics,
            None if parsed.real is None else find_images(parsed.real),
            _keypoints(parsed.keypoints, layout, {pair.name: pair.target for pair in pairs}),
            _keypoints(parsed.generated_keypoints, layout, {pair.name: pair.generated for pair in pairs}),
            batch_size=parsed.batch_size,
            draws=parsed.draws,
            cache=parsed.cache,
            progress=progress,
        )
        result = evaluate(pairs, protocol, options)
        others = _sensitivity(pairs, protocol, options) if parsed.protocol == "all" else []
    result.unmatched = list(unmatched)
    result.context |= context
    _show(result, others, out)
    missing = result.not_computed and not parsed.allow_missing
    return 1 if missing else 0


def _show(result: Evaluation, others: list[tuple[str, Evaluation]], out: Path | None) -> None:
    from rich.console import Console

    from ..data.images import write_image
    from ..evaluation.report import (
        score_table,
        sensitivity_markdown,
        sensitivity_picture,
        sensitivity_table,
        write_report,
    )

    console = Console()
    console.print(score_table(result))
    for reason, names in _by_reason(result.not_computed).items():
        print(f"not computed: {', '.join(names)}: {reason}")
    for note in result.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    if others:
        console.print(sensitivity_table(result, others))
    if out is None:
        return
    for path in write_report(result, out):
        print(f"written: {path}")
    if others:
        picture, table = (out / name for name in SENSITIVITY)
        write_image(picture, sensitivity_picture(result, others))
        table.write_text(sensitivity_markdown(result, others), encoding="utf-8")
        print(f"written: {picture}\nwritten: {table}")


def _by_reason(not_computed: Mapping[str, str]) -> dict[str, list[str]]:
    """The metrics that were not computed, by why: several often lack the same weights."""
    found: dict[str, list[str]] = {}
    for name, reason in not_computed.items():
        found.setdefault(reason, []).append(name)
    return found


def _sensitivity(pairs: Sequence[ImagePair], base: Protocol, options: Options) -> list[tuple[str, Evaluation]]:
    """The same images under every other protocol, and under every protocol one choice away from *base*.

    Where a choice concerns one metric alone, only that one is computed.
    """
    from ..evaluation import protocols, variations

    found = []
    for label, protocol in variations(base):
        name = label.split(".")[0] if "." in label.split("=")[0] else None
        wanted = options.metrics if name is None else [name]
        if name is not None and options.metrics is not None and name not in options.metrics:
            continue
        found.append((label, _try(pairs, protocol, replace(options, metrics=wanted, draws=0))))
    for name, protocol in protocols().items():
        if name != base.name:
            metrics = None if options.metrics is None else [m for m in options.metrics if m in protocol.metrics]
            found.append((name, _try(pairs, protocol, replace(options, metrics=metrics, draws=0))))
    return found


def _try(pairs: Sequence[ImagePair], protocol: Protocol, options: Options) -> Evaluation:
    """Scores under a protocol that these images may not fit: then none, with the reason."""
    from ..evaluation import Evaluation
    from ..evaluation.evaluate import evaluate

    try:
        return evaluate(pairs, protocol, options)
    except DataError as error:
        reason = "; ".join(error.problems)
        return Evaluation(protocol, {}, dict.fromkeys(options.metrics or protocol.metrics, reason))


def _with_sources(pairs: Sequence[ImagePair], folder: Path | None) -> list[ImagePair]:
    """The pairs with their sources, where *folder* has a file that the generated image's name begins with."""
    from ..evaluation.pairing import find_images

    if folder is None:
        return list(pairs)
    by_stem = {path.stem: path for path in find_images(folder)}
    return [
        replace(pair, source=pair.source or by_stem.get(pair.name) or by_stem.get(pair.name.split("_2_")[0]))
        for pair in pairs
    ]


def _layout(parsed: argparse.Namespace, protocol: Protocol) -> KeypointLayout | None:
    """The layout that key points are read in; None where none are given."""
    from ..data.keypoints import get_layout
    from ..registry import STRUCTURE_ENCODERS

    if parsed.keypoints is None and parsed.generated_keypoints is None:
        return None
    own = None if protocol.mask is None else STRUCTURE_ENCODERS.build_part(dict(protocol.mask)).layout
    given = None if parsed.layout is None else get_layout(parsed.layout)
    if own is not None and given is not None and given != own:
        raise ConfigError(f"the mask of protocol {protocol.name!r} is drawn from {own.name} points, not {given.name}")
    if own is None and given is None:
        raise ConfigError(f"protocol {protocol.name!r} has no mask: say with --layout what key points these are")
    return own or given


def _keypoints(
    place: Path | None, layout: KeypointLayout | None, images: Mapping[str, Path]
) -> dict[str, Keypoints] | None:
    """The key points of each image, by name of its pair. DataError: all images that have none, at once."""
    if place is None or layout is None:
        return None
    found: dict[str, Keypoints] = {}
    problems: dict[str, None] = {}
    for name, image in images.items():
        try:
            found[name] = _read_keypoints(place, layout, image)
        except DataError as error:
            problems |= dict.fromkeys(error.problems or [str(error)])
    if problems:
        raise DataError(place, list(problems), "Every image that is scored needs its key points.")
    return found


def _read_keypoints(place: Path, layout: KeypointLayout, image: Path) -> Keypoints:
    from ..inference import read_keypoint_file

    path = place
    if place.is_dir():
        names = (f"{image.stem}.json", f"{image.stem}_keypoints.json", f"{image.name}.json")
        path = next((place / name for name in names if (place / name).is_file()), place / names[0])
    if not path.is_file():
        raise DataError(place, f"no {path.name}")
    return read_keypoint_file(path, layout, image)


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar a kind of work, on standard error."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield show
