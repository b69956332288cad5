"""Move one photograph into another pose."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import plugins
from ..api import load_model
from ..data import Keypoints, StructureEncoder
from ..data.images import read_image, resize_image, to_tensor, to_uint8, write_image
from ..errors import ConfigError, DataError, PosegenError
from ..registry import STRUCTURE_ENCODERS
from ..visualization import overlay
from .common import add_config, read_config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen infer``."""
    add_config(parser)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of ours, trained or converted")
    parser.add_argument("--source", type=Path, required=True, metavar="IMG", help="the photograph")
    parser.add_argument("--source-keypoints", type=Path, required=True, metavar="FILE", help="its key points")
    parser.add_argument("--target-keypoints", type=Path, required=True, metavar="FILE", help="the pose to move to")
    parser.add_argument(
        "--target-image",
        type=Path,
        metavar="IMG",
        help="the photograph the target key points belong to: gives their frame, and their row in files of many",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="the picture to write")
    parser.add_argument("--overlay", action="store_true", help="also write OUT_overlay.png: flow, mask, warped source")
    parser.add_argument("--force", action="store_true", help="overwrite OUT if it exists")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, …")


def run(parsed: argparse.Namespace) -> int:
    """Render one picture; returns 0."""
    overlay_path = parsed.out.with_name(f"{parsed.out.stem}_overlay.png")
    for path in [parsed.out, *([overlay_path] if parsed.overlay else [])]:
        if path.exists() and not parsed.force:
            raise PosegenError(f"{path} exists; give --force to overwrite it, or another --out")
    config = read_config(parsed)
    if "structure" not in config or "size" not in config:
        raise ConfigError(
            f"{parsed.config} has no top-level 'structure' and 'size': it does not say how to read key points"
        )
    encoder: StructureEncoder = STRUCTURE_ENCODERS.build_part(config.structure)
    size = tuple(config.size)

    picture = read_image(parsed.source)
    target_image = parsed.target_image or parsed.source
    frame = picture.shape[:2] if parsed.target_image is None else read_image(parsed.target_image).shape[:2]
    source_points = read_keypoints(parsed.source_keypoints, encoder, parsed.source)
    target_points = read_keypoints(parsed.target_keypoints, encoder, target_image)

    model = load_model(config, parsed.checkpoint, parsed.device)
    source = to_tensor(resize_image(picture, size))[None].to(parsed.device)
    source_structure, target_structure = (
        encoder.encode(points.scale(size[1] / shape[1], size[0] / shape[0]), size)[None].to(parsed.device)
        for points, shape in ((source_points, picture.shape[:2]), (target_points, frame))
    )
    out = model.transfer(source, source_structure, target_structure)
    write_image(parsed.out, to_uint8(out.image[0]))
    print(parsed.out)
    if parsed.overlay:
        write_image(overlay_path, overlay(source, source_structure, target_structure, out, encoder.draw))
        print(overlay_path)
    return 0


def read_keypoints(path: Path, encoder: StructureEncoder, image: Path) -> Keypoints:
    """The key points of *image* in a file of any format that a plugin reads.

    Raises:
        DataError: the file is missing, broken, or no plugin reads it.
    """
    if not path.is_file():
        raise DataError(path, "there is no such file")
    found = plugins.hook().posegen_read_keypoints(path=path, layout=encoder.layout, image=image)
    if found is None:
        raise DataError(
            path,
            f"no plugin reads {encoder.layout.name} key points from this file",
            hint="See `posegen plugins` for what is loaded, and docs/formats.md for the formats.",
        )
    if not found.present.any():
        raise DataError(path, "every key point is missing")
    return found
