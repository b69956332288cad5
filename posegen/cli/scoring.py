"""Scoring of image files for ``posegen evaluate`` and ``posegen test``: from arguments to a report."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from .. import catalogue
from ..data.images import read_image, write_image
from ..data.keypoints import KeypointLayout, Keypoints, get_layout
from ..errors import ConfigError, DataError
from ..evaluation import Evaluation, ImagePair, Protocol, get_protocol, variations
from ..evaluation.evaluate import Options, evaluate
from ..evaluation.pairing import find_images
from ..evaluation.report import (
    check_report_folder,
    score_table,
    sensitivity_markdown,
    sensitivity_picture,
    sensitivity_table,
    write_report,
)
from ..inference import PoseChoice, PoseInput, read_keypoint_file
from ..inference.inputs import warn_of_choices
from ..registry import STRUCTURE_ENCODERS
from .common import refuse_to_overwrite
from .generation import plain_warnings, pose_choice

SENSITIVITY = ("sensitivity.png", "sensitivity.md")


def check_scoring(parsed: argparse.Namespace) -> Protocol:
    """Return the protocol that the arguments name; called before any work.

    Raises:
        ConfigError: no such protocol, no such metric in it, or key points of another layout than its mask's.
    """
    protocol = get_protocol(parsed.base if parsed.protocol == "all" else parsed.protocol)
    protocol.check_metrics(parsed.metrics or ())
    _layout(parsed, protocol)
    return protocol


def check_out(parsed: argparse.Namespace) -> None:
    """Raise if the report cannot be written to ``--out``, or would overwrite files that are no report."""
    if parsed.out is None:
        return
    for folder in (parsed.generated, parsed.target, parsed.real, parsed.source):
        if folder is not None and parsed.out.resolve() == folder.resolve():
            raise ConfigError(f"--out {parsed.out} is a folder of images; give the report a folder of its own")
    check_report_folder(parsed.out)
    if not (parsed.out / "results.json").exists():  # else the files are from an earlier report
        refuse_to_overwrite([parsed.out / name for name in SENSITIVITY], force=False)


@contextmanager
def remove_if_empty(folder: Path | None) -> Iterator[None]:
    """After an error, remove *folder* and the parents created for it if they are empty."""
    made = [each for each in (folder, *folder.parents) if not each.exists()] if folder is not None else []
    try:
        yield
    except BaseException:
        for each in made:
            with suppress(OSError):  # not empty, or removed by another process
                each.rmdir()
        raise


def score(
    parsed: argparse.Namespace,
    pairs: Sequence[ImagePair],
    out: Path | None,
    context: Mapping[str, Any],
    unmatched: Sequence[str] = (),
) -> int:
    """Score *pairs* as the arguments say, print the scores, write a report to *out*; returns the exit status."""
    protocol = check_scoring(parsed)
    if parsed.protocol == "all" and protocol.size is None:  # a size, so that ways of resizing can be compared
        height, width = read_image(pairs[0].generated).shape[:2]
        name = f"{protocol.name} at {width}×{height}"
        protocol = replace(protocol, name=name, size=(height, width), resize="pillow-bicubic")
    layout, choice = _layout(parsed, protocol), pose_choice(parsed)
    with _progress() as progress:
        options = Options(
            parsed.metrics,
            None if parsed.real is None else find_images(parsed.real),
            _keypoints(parsed.keypoints, layout, {pair.name: pair.target for pair in pairs}, choice),
            _keypoints(parsed.generated_keypoints, layout, {pair.name: pair.generated for pair in pairs}, choice),
            batch_size=parsed.batch_size,
            draws=parsed.draws,
            cache=parsed.cache,
            progress=progress,
        )
        result = evaluate(pairs, protocol, options)
        others = _sensitivity(pairs, protocol, options) if parsed.protocol == "all" else []
    result.unmatched = list(unmatched)
    result.context |= context
    written = [] if out is None else _write(result, others, out)
    _show(result, others)
    for path in written:
        print(f"written: {path}")
    if not result.not_computed or parsed.allow_missing:
        return 0
    print(
        f"exit status 1: {len(result.not_computed)} metrics not computed; --allow-missing accepts that, --metrics "
        "selects others"
    )
    return 1


def _write(result: Evaluation, others: list[tuple[str, Evaluation]], out: Path) -> list[Path]:
    written = write_report(result, out)
    if others:
        picture, table = (out / name for name in SENSITIVITY)
        write_image(picture, sensitivity_picture(result, others))
        table.write_text(sensitivity_markdown(result, others), encoding="utf-8")
        written += [picture, table]
    return written


def _show(result: Evaluation, others: list[tuple[str, Evaluation]]) -> None:
    console = Console()
    console.print(score_table(result))
    names_by_reason: dict[str, list[str]] = {}  # several metrics often lack the same weights
    for name, reason in result.not_computed.items():
        names_by_reason.setdefault(reason, []).append(name)
    for reason, names in names_by_reason.items():
        print(f"not computed: {', '.join(names)}: {reason}")
    for note in result.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    if others:
        console.print(sensitivity_table(result, others))


def _sensitivity(pairs: Sequence[ImagePair], base: Protocol, options: Options) -> list[tuple[str, Evaluation]]:
    """Score the same images under every variation of *base* and every other protocol.

    A variation of one metric computes that metric alone.
    """
    found = []
    for label, protocol in variations(base):
        field = label.split("=")[0]
        own = [field.split(".")[0]] if "." in field else options.metrics
        if own is None or options.metrics is None or set(own) <= set(options.metrics):
            found.append((label, _try(pairs, protocol, replace(options, metrics=own, draws=0))))
    for protocol in catalogue.all(Protocol):
        if protocol.name != base.name:
            metrics = None if options.metrics is None else [m for m in options.metrics if m in protocol.metrics]
            found.append((protocol.name, _try(pairs, protocol, replace(options, metrics=metrics, draws=0))))
    return found


def _try(pairs: Sequence[ImagePair], protocol: Protocol, options: Options) -> Evaluation:
    """Score under a protocol that may not fit the images: then nothing is computed, with the reason."""
    try:
        return evaluate(pairs, protocol, options)
    except DataError as error:
        reason = "; ".join(error.problems)
        return Evaluation(protocol, {}, dict.fromkeys(options.metrics or protocol.metrics, reason))


def _layout(parsed: argparse.Namespace, protocol: Protocol) -> KeypointLayout | None:
    """Return the layout of the key points; None if the arguments give none."""
    if parsed.keypoints is None and parsed.generated_keypoints is None:
        return None
    own = None if protocol.mask is None else STRUCTURE_ENCODERS.build_part(dict(protocol.mask)).layout
    given = None if parsed.layout is None else get_layout(parsed.layout)
    if own is not None and given is not None and given != own:
        raise ConfigError(f"the mask of protocol {protocol.name!r} is drawn from {own.name} points, not {given.name}")
    if own is None and given is None:
        raise ConfigError(f"protocol {protocol.name!r} has no mask: give the layout of the key points with --layout")
    return own or given


def _keypoints(
    place: Path | None, layout: KeypointLayout | None, images: Mapping[str, Path], choice: PoseChoice
) -> dict[str, Keypoints] | None:
    """Read the key points of each image, and tell which were left out. DataError lists all images without."""
    if place is None or layout is None:
        return None
    found: dict[str, Keypoints] = {}
    problems: dict[str, None] = {}
    inputs = []
    for name, image in images.items():
        try:
            file = _keypoint_file(place, image)
            found[name] = read_keypoint_file(file, layout, image, choice)
            inputs.append(PoseInput(image, file))
        except DataError as error:
            problems |= dict.fromkeys(error.problems or [str(error)])
    if problems:
        raise DataError(place, list(problems), "Every image that is scored needs its key points.")
    with plain_warnings():
        unnamed = [replace(points, chosen="") for points in found.values()]
        warn_of_choices(inputs, [PoseInput(None, points) for points in unnamed])
    return found


def _keypoint_file(place: Path, image: Path) -> Path:
    names = (f"{image.stem}.json", f"{image.stem}_keypoints.json", f"{image.name}.json")
    candidates = [place / name for name in names] if place.is_dir() else [place]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise DataError(place, f"no {candidates[0].name}")
    return path


@contextmanager
def _progress() -> Iterator[Any]:
    """Show a bar for each kind of work on standard error."""
    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def show(kind: str, done: int, total: int) -> None:
            if kind not in tasks:
                tasks[kind] = bars.add_task(kind, total=total)
            bars.update(tasks[kind], completed=done, total=total)

        yield show
