"""Move pictures into other poses: pictures in, pictures out."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConfigError, PosegenError
from .common import ConfigOptions, add_plugin, build_encoder, load_plugins, read_config, refuse_to_overwrite

if TYPE_CHECKING:
    import numpy as np
    from mmengine.config import Config

    from ..data import Keypoints, StructureEncoder
    from ..inference import Inferencer
    from ..poses import Subject
    from ..records import PairBatch, Transfer

PIXELS = (
    "Key points count pixels of their own picture; those of a target without a picture, of one of the size that their\n"
    "file says, or else of the source."
)
EXAMPLES = f"""
examples:
  posegen transfer shared_model/ me.jpg pose.json                      writes me_to_pose.png; me.json has its key points
  posegen transfer config.py checkpoint.pth me.jpg pose.json --out moved.png --explain
  posegen transfer shared_model/ me.jpg somebody.jpg                   where an estimator is installed
  posegen transfer shared_model/ photographs/ poses/ --out moved/      every photograph into every pose
  posegen transfer shared_model/ test/ target.jpg --source-keypoints list.csv --target-keypoints list.csv

TARGET's picture says which row of a list of many pictures is meant: a list alone is no TARGET.
{PIXELS}
"""
FEW_PER_CENT = 1.05  # what nobody sees
AT_ONCE = 8  # pictures that go through the model together


class _Job(NamedTuple):
    """A source (its number), a target (its number), the picture to write."""

    source: int
    target: int
    out: Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen transfer``."""
    add_model_source_target(
        parser,
        EXAMPLES,
        "the picture that is moved, or a folder of them",
        "the pose: a file of key points, a picture, or a folder of them",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="FILE|DIR",
        help="the picture to write (.png, .jpg, .webp), or the folder for SOURCE_to_TARGET.png; default: this folder",
    )
    parser.add_argument("--explain", action="store_true", help="also write …_explained.png: flow, mask, warped source")
    add_common(parser)


def add_model_source_target(parser: argparse.ArgumentParser, examples: str, source: str, target: str) -> None:
    """``MODEL``, ``SOURCE`` and ``TARGET`` and what they may be, where their key points come from, examples below."""
    add_model_and_examples(parser, examples)
    parser.add_argument("source", type=Path, metavar="SOURCE", help=source)
    parser.add_argument("target", type=Path, metavar="TARGET", help=target)
    for name in ("source", "target"):
        parser.add_argument(
            f"--{name}-keypoints",
            type=Path,
            metavar="FILE",
            help=f"key points of {name.upper()}; default: the file of its name beside it, or what an estimator finds",
        )
    parser.add_argument("--estimator", metavar="NAME", help="which estimator finds key points, where there are several")


def add_model_and_examples(parser: argparse.ArgumentParser, examples: str) -> None:
    """``MODEL``, ``--cfg-options``, ``--plugin``, and examples below."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = examples.strip("\n")
    parser.add_argument(
        "config",
        type=Path,
        metavar="MODEL",
        help="a shared model: its folder, or the name of one that a plugin ships; or a config (a .py config is code "
        "and runs)",
    )
    parser.add_argument("checkpoint", type=Path, nargs="?", metavar="CHECKPOINT", help="of a config's model")
    parser.add_argument(
        "--cfg-options", nargs="+", action=ConfigOptions, metavar="KEY=VALUE", help="override values of the config"
    )
    add_plugin(parser)


def add_common(parser: argparse.ArgumentParser) -> None:
    """What ends the commands' lists of arguments."""
    parser.add_argument(
        "--resize-back",
        action="store_true",
        help="results of the source's size, not of the model's; stretched where the data set cuts sources out",
    )
    parser.add_argument("--force", action="store_true", help="overwrite files that exist")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; default: a GPU where there is one")


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Warnings in a line each, without their place in the code: for whoever reads what a command says."""
    before, warnings.formatwarning = warnings.formatwarning, lambda message, *_, **__: f"warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


@plain_warnings()
def run(parsed: argparse.Namespace) -> int:
    """Write a picture for each source and target; returns 0."""
    from rich.progress import track

    from ..data.generated import write_generated
    from ..data.images import resize_image, to_uint8
    from ..poses import check_in_sources, read_poses, source_subjects, target_subjects

    sources = source_subjects(parsed.source, parsed.source_keypoints)
    targets = target_subjects(parsed.target, parsed.target_keypoints)
    jobs = _jobs(sources, targets, parsed.out)
    written = [job.out for job in jobs] + ([_explained(job.out) for job in jobs] if parsed.explain else [])
    refuse_to_overwrite(written, parsed.force)
    config, encoder = read_model_config(parsed)
    poses = read_poses([*sources, *targets], encoder, parsed.estimator)
    source_poses, target_poses = poses[: len(sources)], poses[len(sources) :]
    check_in_sources(targets, target_poses, source_poses)
    tell_of_size(config, sources, source_poses, parsed.resize_back)

    inferencer = load_inferencer(parsed, config)
    starts = range(0, len(jobs), AT_ONCE)
    for start in track(starts, description="pictures", disable=len(starts) < 2):
        chosen = jobs[start : start + AT_ONCE]
        prepared = [
            inferencer.prepare(
                _picture(sources[job.source]),
                target_poses[job.target],
                source_poses[job.source],
                targets[job.target].picture,
                job.out.stem,
            )
            for job in chosen
        ]
        batch, out = inferencer.transfer(prepared)
        for row, job in enumerate(chosen):
            picture = to_uint8(out.image[row])
            size = prepared[row].size if parsed.resize_back else inferencer.size
            write_generated(job.out, resize_image(picture, size))
            if parsed.explain:
                write_generated(_explained(job.out), _sheet(batch, out, row, inferencer.encoder))
    for path in written:
        print(path)
    return 0


def read_model_config(parsed: argparse.Namespace) -> tuple[Config, StructureEncoder]:
    """The config of a model and its encoder of key points; the model itself is not loaded.

    Raises:
        ConfigError: no such model, a config without a checkpoint, or of a model whose structures are no key points.
    """
    from ..config import is_config
    from ..sharing import _read_config as read_shared_config
    from ..sharing import find_shared, is_shared

    if parsed.checkpoint is not None:
        if is_shared(parsed.config):
            raise ConfigError(f"{parsed.config} is a shared model: it has its own weights, so give no checkpoint")
        if not parsed.checkpoint.is_file():
            raise ConfigError(f"there is no checkpoint {parsed.checkpoint}")
        config = read_config(parsed)
        return config, build_encoder(config)
    load_plugins(parsed)  # one of them may ship the model
    if is_config(parsed.config) and not is_shared(parsed.config):
        raise ConfigError(f"{parsed.config} is a config: give the checkpoint of its model after it")
    if parsed.cfg_options:
        raise ConfigError(f"{parsed.config} is a shared model: it has no options")
    config = read_shared_config(find_shared(parsed.config))
    return config, build_encoder(config)


def load_inferencer(parsed: argparse.Namespace, config: Config) -> Inferencer:
    """The model that the arguments name, ready to use."""
    from ..inference import Inferencer

    if parsed.checkpoint is not None:
        return Inferencer(config, parsed.checkpoint, parsed.device)
    return Inferencer(parsed.config, device=parsed.device)


def tell_of_size(config: Config, sources: Sequence[Subject], poses: Sequence[Keypoints], resized_back: bool) -> None:
    """Say in a line at what size the model works, and which sources are stretched to it; nothing of its own size.

    Args:
        config: of the model.
        sources, poses: pictures with their key points, as :func:`posegen.poses.read_poses` gives them.
        resized_back: results have the source's size already, or cannot have it.
    """
    from ..data.keypoints import shown
    from ..inference import stretch_of

    size = (int(config["size"][0]), int(config["size"][1]))
    poses = [_with_frame(source, pose) for source, pose in zip(sources, poses, strict=True)]
    if all(pose.frame == size for pose in poses):
        return
    told = [f"the model works at {shown(size)} pixels"]
    stretches = [stretch_of(config, pose) for pose in poses]
    stretched = [k for k, stretch in enumerate(stretches) if not 1 / FEW_PER_CENT <= stretch <= FEW_PER_CENT]
    if stretched:
        picture, frame = sources[stretched[0]].picture, poses[stretched[0]].frame
        others = f", as are {len(stretched) - 1} others" if len(stretched) > 1 else ""
        told.append(f"{picture}{f', {shown(frame)},' if frame else ''} is stretched to these proportions{others}")
    told += [] if resized_back else ["--resize-back gives results of the source's size"]
    print("; ".join(told), file=sys.stderr)


def _with_frame(source: Subject, pose: Keypoints) -> Keypoints:
    """Points of a list do not know their picture's size."""
    from ..data.images import read_image

    if pose.frame is not None or source.picture is None:
        return pose
    height, width = read_image(source.picture).shape[:2]
    return replace(pose, frame=(height, width))


def _picture(subject: Subject) -> Path:
    assert subject.picture is not None  # a source has one
    return subject.picture


def _jobs(sources: Sequence[Subject], targets: Sequence[Subject], out: Path) -> list[_Job]:
    """Every source into every target, and where to. PosegenError: the place does not fit."""
    from ..data.generated import FORMATS

    pairs = [(source, target) for source in range(len(sources)) for target in range(len(targets))]
    if out.suffix and not out.is_dir():
        if out.suffix.lower() not in FORMATS:
            raise PosegenError(f"--out {out}: a picture's name ends in {', '.join(FORMATS)}; a folder's in none")
        if len(pairs) > 1:
            raise PosegenError(f"--out {out} is one picture, and {len(pairs)} are to be written; give a folder")
        return [_Job(0, 0, out)]
    if out.exists() and not out.is_dir():
        raise PosegenError(f"--out {out} is a file; give a folder, or a picture's name: {', '.join(FORMATS)}")
    return [_Job(s, t, out / f"{sources[s].name}_to_{targets[t].name}.png") for s, t in pairs]


def _explained(out: Path) -> Path:
    return out.with_name(f"{out.stem}_explained.png")


def _sheet(batch: PairBatch, out: Transfer, row: int, encoder: StructureEncoder) -> np.ndarray:
    from ..inference import row_of
    from ..visualization import overlay

    one = slice(row, row + 1)
    seen = batch.source[one], batch.source_structure[one], batch.target_structure[one]
    return overlay(*seen, row_of(out, row), encoder.draw)
