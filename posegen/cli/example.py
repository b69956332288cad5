"""Write example pictures and poses for a shared model, and print commands to try."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, PosegenError
from .common import add_plugin, load_plugins
from .completion import FILES, MODELS, complete_with

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..data import Keypoints, StructureEncoder

MAX_PAIRS = 1000
FRAMES, FPS = 24, 12  # of a motion
MAX_SIDE = 1024
SCALE = 4  # of the model's pictures: as large as a photograph, and whole pixels are finer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen example``."""
    model = parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="shared model: a folder, the name of one that a plugin ships, or hf://OWNER/NAME",
    )
    complete_with(model, MODELS, FILES)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder for the examples")
    parser.add_argument("--pairs", type=int, default=3, metavar="N", help="number of pairs (default: 3)")
    parser.add_argument("--force", action="store_true", help="write into a folder that is not empty")
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Write the examples and print the commands; return 0."""
    if not 1 <= parsed.pairs <= MAX_PAIRS:
        raise PosegenError(f"--pairs must be 1 to {MAX_PAIRS:,}, got {parsed.pairs}")

    from ..data.images import to_uint8, write_image
    from ..data.keypoints import shown
    from ..sharing import check_destination, example_numbers, find_shared, read_shared_config

    check_destination(parsed.folder, parsed.force)
    load_plugins(parsed)
    config = read_shared_config(find_shared(parsed.model))
    dataset = _drawn(config, parsed.model, parsed.pairs)
    encoder = dataset.structure
    sources, poses, targets, motion = (parsed.folder / name for name in ("sources", "poses", "targets", "motion"))
    numbers = example_numbers(parsed.model, parsed.pairs)
    for name, number in enumerate(numbers, 1):
        pair = dataset[number]
        write_image(sources / f"{name}.png", to_uint8(pair.source))
        write_image(targets / f"{name}.png", to_uint8(pair.target))
        frame = (pair.source.shape[-2], pair.source.shape[-1])
        _write_points(sources / str(name), encoder.decode(pair.source_structure), encoder, frame)
        _write_points(poses / str(name), encoder.decode(pair.target_structure), encoder, frame)
    moves: Sequence[Keypoints] = dataset.motion(numbers[0], FRAMES)
    for number, points in enumerate(moves, 1):
        _write_points(motion / f"{number:02d}", points, encoder, frame)
    print(f"{sources}: pictures of {shown(frame)} pixels, with their key points beside them")
    print(f"{poses}: key points of other poses; {targets}: N.png is the true picture of sources/N.png in poses/N.json")
    if moves:
        print(f"{motion}: key points of a motion of {sources / '1.png'}, one file for each frame")
    print(f"the model works at {shown(config['size'])} pixels; results are put back into the source, at its size")
    print("\n".join(["try:", *_commands(parsed.model, parsed.folder, motion if moves else None)]))
    return 0


def _drawn(config: Config, model: Path, pairs: int) -> Any:
    """Return the test data set of a shared model if it is drawn, which reads no files of this machine."""
    from ..data import require_dataset
    from ..registry import DATASETS, MODELS

    if not hasattr(MODELS.get(config.model.type), "transfer"):
        raise ConfigError(f"{model} is a model of clips; examples require a model of single images")
    options = dict((config.get("test_dataloader") or {}).get("dataset") or {})
    if not options or require_dataset(DATASETS.get(str(options.get("type")))).drawn_options is None:
        raise ConfigError(f"{model} was not tested on drawn data: use pictures and key points of your own")
    height, width = config["size"]
    scale = max(1, min(SCALE, MAX_SIDE // max(height, width)))
    dataset = DATASETS.build_part({**options, "size": (scale * height, scale * width)})
    if len(dataset) < pairs:
        raise PosegenError(f"--pairs {pairs}: the test data have only {len(dataset)}")
    if dataset.structure.layout is None or dataset.structure.decode(dataset[0].source_structure) is None:
        raise ConfigError(f"{model}: {type(dataset.structure).__name__} cannot decode key points")
    return dataset


def _write_points(path: Path, keypoints: Keypoints, encoder: StructureEncoder, frame: tuple[int, int]) -> None:
    from .. import plugin_access

    path.parent.mkdir(parents=True, exist_ok=True)
    keypoints, layout = replace(keypoints, frame=frame), encoder.layout
    if plugin_access.first("posegen_write_keypoints", path=path, keypoints=keypoints, layout=layout) is None:
        raise ConfigError(f"no plugin writes {layout.name} key points (hook posegen_write_keypoints)")


def _commands(model: Path, folder: Path, motion: Path | None) -> list[str]:
    """Return the commands to try, quoted for a shell."""
    name = model.as_posix()
    one = [folder / "sources" / "1.png", folder / "poses" / "1.json"]
    commands: list[list[Any]] = [
        ["transfer", name, *one, "--out", folder / "moved.png", "--explain"],
        ["transfer", name, folder / "sources", folder / "poses", "--out", folder / "moved"],
        ["interpolate", name, *one, "--out", folder / "moving.mp4"],
    ]
    if motion is not None:
        options = ["--structures", motion, "--fps", FPS, "--out", folder / "animated.mp4"]
        commands.append(["animate", name, "--reference", one[0], *options])
    commands.append(["app", name])
    lines = [f"  posegen {shlex.join(map(str, command))}" for command in commands]
    if importlib.util.find_spec("gradio") is None:
        lines[-1] += "  # first: pip install 'posegen[app]'"
    return lines
