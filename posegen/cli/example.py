"""Write pictures and poses to try a shared model with, drawn as its test data are, and say what to do with them."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import plugin_access
from ..errors import ConfigError, PosegenError
from .common import add_plugin, load_plugins

if TYPE_CHECKING:
    from mmengine.config import Config

    from ..data import Keypoints, StructureEncoder

MOST_PAIRS = 1000
FRAMES, FPS = 24, 12  # of a motion
MOST_WIDE = 1024
LARGER = 4  # than the model's pictures: as a photograph is, and points that are whole pixels are finer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen example``."""
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="a shared model: the name of one that a plugin ships, its folder, or hf://OWNER/NAME",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where the examples go")
    parser.add_argument("--pairs", type=int, default=3, metavar="N", help="how many (default 3)")
    parser.add_argument("--force", action="store_true", help="write into a folder that has files")
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Write the examples and print the commands; returns 0."""
    from ..data.images import to_uint8, write_image
    from ..data.keypoints import shown
    from ..sharing import check_destination, find_shared, load_shared

    if not 1 <= parsed.pairs <= MOST_PAIRS:
        raise PosegenError(f"--pairs is 1 to {MOST_PAIRS:,}, got {parsed.pairs}")
    check_destination(parsed.folder, parsed.force)
    load_plugins(parsed)
    model, config = load_shared(find_shared(parsed.model))
    if not hasattr(model, "transfer"):
        raise ConfigError(f"{parsed.model} is a model of clips; examples are drawn for models of single images")
    dataset = _drawn(config, parsed.model, parsed.pairs)
    encoder = dataset.structure
    names = [str(number) for number in range(1, parsed.pairs + 1)]
    sources, poses, targets, motion = (parsed.folder / name for name in ("sources", "poses", "targets", "motion"))
    for index, name in enumerate(names):
        pair = dataset[index]
        write_image(sources / f"{name}.png", to_uint8(pair.source))
        write_image(targets / f"{name}.png", to_uint8(pair.target))
        frame = (pair.source.shape[-2], pair.source.shape[-1])
        _write_points(sources / name, encoder.decode(pair.source_structure), encoder, frame)
        _write_points(poses / name, encoder.decode(pair.target_structure), encoder, frame)
    print(f"{sources}: pictures of {shown(frame)} pixels, with their key points beside them")
    print(f"{poses}: key points of other poses; {targets}: how they truly look, to compare")
    moves = dataset.motion(0, FRAMES)
    for number, points in enumerate(moves, 1):
        _write_points(motion / f"{number:02d}", points, encoder, frame)
    if moves:
        print(f"{motion}: key points of a motion of {sources / names[0]}.png, a file a frame")
    print(f"what the model makes has {shown(config['size'])} pixels; with --resize-back, as many as the source")
    print("\n".join(["try:", *_commands(parsed.model, parsed.folder, motion if moves else None)]))
    return 0


def _drawn(config: Config, model: Path, pairs: int) -> Any:
    """The test data set of a shared model, which is drawn: nothing of this machine is read."""
    from ..data import require_dataset
    from ..registry import DATASETS

    options = dict((config.get("test_dataloader") or {}).get("dataset") or {})
    if not options or require_dataset(DATASETS.get(str(options.get("type")))).drawn_options is None:
        raise ConfigError(f"{model} was not tested on drawn data: give it pictures and key points of your own")
    height, width = config["size"]
    larger = max(1, min(LARGER, MOST_WIDE // max(height, width)))
    size = (larger * height, larger * width)
    dataset = DATASETS.build_part({**options, "size": size})
    if len(dataset) < pairs:
        raise PosegenError(f"--pairs {pairs}: the test data have {len(dataset)}")
    if dataset.structure.layout is None or dataset.structure.decode(dataset[0].source_structure) is None:
        raise ConfigError(f"{model}: {type(dataset.structure).__name__} makes no structure that gives key points back")
    return dataset


def _write_points(path: Path, keypoints: Keypoints, encoder: StructureEncoder, frame: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    keypoints, layout = replace(keypoints, frame=frame), encoder.layout
    if plugin_access.first("posegen_write_keypoints", path=path, keypoints=keypoints, layout=layout) is None:
        raise ConfigError(f"no plugin writes {layout.name} key points (hook posegen_write_keypoints)")


def _commands(model: Path, folder: Path, motion: Path | None) -> list[str]:
    """What to try next, each line as a shell takes it."""
    named = model.as_posix()
    one = [folder / "sources" / "1.png", folder / "poses" / "1.json"]
    commands: list[list[Any]] = [
        ["transfer", named, *one, "--out", folder / "moved.png", "--explain"],
        ["transfer", named, folder / "sources", folder / "poses", "--out", folder / "moved"],
        ["interpolate", named, *one, "--out", folder / "moving.mp4"],
    ]
    if motion is not None:
        animated = ["--structures", motion, "--fps", FPS, "--out", folder / "animated.mp4"]
        commands.append(["animate", named, "--reference", one[0], *animated])
    commands.append(["app", named])
    lines = [f"  posegen {shlex.join(map(str, command))}" for command in commands]
    if importlib.util.find_spec("gradio") is None:
        lines[-1] += "  # first: pip install 'posegen[app]'"
    return lines
