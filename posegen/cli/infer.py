"""Move one photograph into another pose."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from .. import plugins
from ..api import load_model
from ..data import Keypoints, StructureEncoder, encode_structure
from ..data.images import read_image, resize_image, to_tensor, to_uint8, write_image
from ..errors import ConfigError, DataError
from ..registry import DATASETS
from ..visualization import overlay
from .common import add_config, build_encoder, read_config, refuse_to_overwrite

KEYPOINTS_HELP = (
    "its key points, in pixels of the photograph; those of a data set's own list, in pixels of that list's frame"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen infer``."""
    add_config(parser)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of ours, trained or converted")
    parser.add_argument("--source", type=Path, required=True, metavar="IMG", help="the photograph")
    parser.add_argument("--source-keypoints", type=Path, required=True, metavar="FILE", help=KEYPOINTS_HELP)
    parser.add_argument(
        "--target-keypoints",
        type=Path,
        required=True,
        metavar="FILE",
        help="the pose to move to, counted likewise in the target image, or, without one, in a picture of the source's "
        "size",
    )
    parser.add_argument(
        "--target-image",
        type=Path,
        metavar="IMG",
        help="the photograph the target key points belong to: gives the frame they count pixels of (without it: the "
        "source image's height and width), and says which entry is meant in a file of many images",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="PNG", help="the picture to write")
    parser.add_argument("--overlay", action="store_true", help="also write OUT_overlay.png: flow, mask, warped source")
    parser.add_argument("--force", action="store_true", help="overwrite OUT if it exists")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, …")


def run(parsed: argparse.Namespace) -> int:
    """Render one picture; returns 0."""
    overlay_path = parsed.out.with_name(f"{parsed.out.stem}_overlay.png")
    refuse_to_overwrite([parsed.out, *([overlay_path] if parsed.overlay else [])], parsed.force)
    config = read_config(parsed)
    encoder = build_encoder(config)

    picture = read_image(parsed.source)
    target_picture = picture if parsed.target_image is None else read_image(parsed.target_image)
    source_points = read_keypoints(parsed.source_keypoints, encoder, parsed.source)
    target_points = read_keypoints(parsed.target_keypoints, encoder, parsed.target_image)

    model = load_model(config, parsed.checkpoint, parsed.device)
    if not hasattr(model, "transfer"):
        raise ConfigError(f"{parsed.config} describes a model of clips, not of single images: use `posegen animate`")
    prepared, source_structure = encode_subject(config, encoder, picture, source_points, picture)
    target_own = None if parsed.target_image is None else target_picture
    _, target_structure = encode_subject(config, encoder, target_picture, target_points, target_own)
    source = to_tensor(prepared)[None].to(parsed.device)
    source_structure, target_structure = source_structure.to(parsed.device), target_structure.to(parsed.device)
    out = model.transfer(source, source_structure, target_structure)
    write_image(parsed.out, to_uint8(out.image[0]))
    print(parsed.out)
    if parsed.overlay:
        write_image(overlay_path, overlay(source, source_structure, target_structure, out, encoder.draw))
        print(overlay_path)
    return 0


def encode_subject(
    config: Mapping[str, Any],
    encoder: StructureEncoder,
    frame: np.ndarray,
    keypoints: Keypoints,
    image: np.ndarray | None,
) -> tuple[np.ndarray, Tensor]:
    """A photograph as the network sees it, and the structure, 1 S H W, of key points in it.

    Args:
        config: the config.
        encoder: of its structures.
        frame: uint8 H W 3, whose pixels the points count.
        keypoints: the points.
        image: *frame* where it shows the points' subject, None where only its size counts.
    """
    prepared, points = prepare_subject(config, frame, keypoints)
    size = (int(config["size"][0]), int(config["size"][1]))
    return prepared, encode_structure(encoder, points, size, None if image is None else prepared)[None]


def prepare_subject(config: Mapping[str, Any], image: np.ndarray, keypoints: Keypoints) -> tuple[np.ndarray, Keypoints]:
    """A photograph and its key points as the config's test data set would give them to the network.

    The data set's class says how (:meth:`posegen.data.PairDataset.prepare`); one that does not say has the whole
    photograph resized, and the points scaled with it.

    Args:
        config: the config; its ``size`` (H, W) is that of the result.
        image: uint8, H W 3, of any size.
        keypoints: in pixels of *image*; those of a data set's own list (``listed``), of the frame its options give.

    Returns:
        The image, uint8 of ``size``, and the points in pixels of it.
    """
    size = (int(config["size"][0]), int(config["size"][1]))
    options = dict((config.get("test_dataloader") or {}).get("dataset") or {})
    kind = options.pop("type", None)
    dataset = DATASETS.get(kind) if isinstance(kind, str) else kind
    prepare = getattr(dataset, "prepare", None)
    if prepare is not None:
        return prepare(image, keypoints, size, options)
    height, width = image.shape[:2]
    return resize_image(image, size), keypoints.scale(size[1] / width, size[0] / height)


def read_keypoints(path: Path, encoder: StructureEncoder, image: Path | None) -> Keypoints:
    """The key points of *image* in a file of any format that a plugin reads.

    Args:
        path: the file.
        encoder: whose layout the points are wanted in.
        image: says which entry of a file of many is meant; None: the file must hold one subject.

    Raises:
        DataError: the file is missing, broken, holds many subjects and *image* is None, or no plugin reads it.
    """
    if not path.is_file():
        raise DataError(path, "there is no such file")
    answers = plugins.call_each("posegen_read_keypoints", path=path, layout=encoder.layout, image=image)
    _, found = next(answers, ("", None))
    if found is None:
        raise DataError(
            path,
            f"no plugin reads {encoder.layout.name} key points from this file",
            hint="See `posegen plugins` for what is loaded, and docs/formats.md for the formats.",
        )
    if not found.present.any():
        raise DataError(path, "every key point is missing")
    return found
