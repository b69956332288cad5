"""Score a model of people on photographs with 14 key points, inside the body: copying, key points alone, the model.

python tools/score_photographs.py configs/guided_people3d.py iter_5800.pth data/market14 --pairs 1000 --turned 200
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from posegen_metrics.ssim import ssim_inside
from posegen_people.layouts import LSP_14
from posegen_people.pairs import AnnotatedPairs
from posegen_people.turning_flow import TurningPartFlow
from rich.progress import track
from torch import Tensor

import posegen
from posegen.config import load_config
from posegen.data import Keypoints, StructureEncoder
from posegen.data.images import to_tensor
from posegen.data.keypoints import select_keypoints
from posegen.models import PartFlow
from posegen.ops.sampling import warp
from posegen.registry import STRUCTURE_ENCODERS

WIDE = 95
"""Percentile of the shoulders' width that counts as seen from the front; widths of a narrower one give the angle."""
Scores = tuple[float, float, float]
"""PSNR in dB, SSIM and L1, inside the body."""


def main() -> None:
    """Print mean scores of random pairs, and of pairs whose views differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("root", type=Path, help="folder that `posegen prepare market` wrote from lists of 14 points")
    parser.add_argument("--pairs", type=int, default=1000, help="random pairs (default: %(default)s)")
    parser.add_argument("--turned", type=int, default=200, help="pairs of other views (default: %(default)s)")
    parser.add_argument(
        "--angle", type=float, default=60, help="least turn of these, in degrees (default: %(default)s)"
    )
    parsed = parser.parse_args()
    config = load_config(parsed.config)
    model = posegen.load_model(config, parsed.checkpoint)
    layout = LSP_14.name
    points = dict(type="HeatmapEncoder", layout=layout)
    photographs = AnnotatedPairs(parsed.root, "test", points, config.size, foreground=dict(type="BodyMask"))
    priors = {"key points alone": PartFlow(layout), "key points alone, turning": TurningPartFlow(layout)}
    scorer = Scorer(model, STRUCTURE_ENCODERS.build_part(config.structure), priors)
    turned = [index for index, turn in enumerate(turns(photographs)) if turn > parsed.angle][: parsed.turned]
    for title, order in (
        ("random pairs", range(min(parsed.pairs, len(photographs)))),
        (f"pairs that turn by more than {parsed.angle:g}°", turned),
    ):
        print(f"\n{len(order):,} {title}, inside the body\n")
        print_scores([scorer(photographs, index) for index in track(order)])


def turns(pairs: AnnotatedPairs) -> list[float]:
    """Estimate the angles, 0° to 180°, between the views of source and target.

    A body's angle to the camera follows from the signed width of its shoulders in units of the torso's length: wide
    from the front, zero from the side, negative from behind. Both sides count as the same.
    """
    widths = np.array([[shoulder_width(pairs.annotations[name].points) for name in pair] for pair in pairs.pairs])
    facing = np.degrees(np.arccos(np.clip(widths / np.percentile(np.abs(widths), WIDE), -1, 1)))
    return list(np.abs(facing[:, 1] - facing[:, 0]))


def shoulder_width(points: np.ndarray) -> float:
    """Return the signed width of the shoulders, positive from the front, in units of the torso's length."""
    place = dict(zip(LSP_14.names, points, strict=True))
    hips = (place["left hip"] + place["right hip"]) / 2
    return float((place["left shoulder"] - place["right shoulder"])[0] / max(np.linalg.norm(hips - place["neck"]), 1))


class Scorer:
    """Score the source, the source moved by the key points alone, and the model's image.

    Args:
        model: the model.
        encoder: its structure encoder; points that photographs do not have are missing.
        priors: flows of the 14 points alone, by name.
    """

    def __init__(self, model: Any, encoder: StructureEncoder, priors: dict[str, PartFlow]) -> None:
        self.model, self.encoder, self.priors = model, encoder, priors

    @torch.inference_mode()
    def __call__(self, photographs: AnnotatedPairs, index: int) -> dict[str, Scores]:
        """Return the scores of a pair by image."""
        assert photographs.foreground is not None
        views, size = photographs.views(index)[:2], photographs.size
        source, target = (to_tensor(view.image)[None] for view in views)
        own = [photographs.structure.encode(view.keypoints, size)[None] for view in views]
        moved = {name: warp(source, prior(*own).flow) for name, prior in self.priors.items()}
        made = self.model(source, *(self._structure(view.keypoints, size) for view in views)).image
        body = photographs.foreground.encode(views[1].keypoints, size)[None]
        images = {"source": source, **moved, "model": made}
        return {name: score_inside(image, target, body) for name, image in images.items()}

    def _structure(self, keypoints: Keypoints, size: tuple[int, int]) -> Tensor:
        return self.encoder.encode(select_keypoints(keypoints, LSP_14.names, self.encoder.layout), size)[None]


def score_inside(image: Tensor, target: Tensor, mask: Tensor) -> Scores:
    """Return PSNR in dB, SSIM, and L1 in [0, 1] of images 1 3 H W in [-1, 1], inside a mask 1 1 H W."""
    error = (image.clamp(-1, 1) - target).abs()[mask.expand_as(target) == 1] / 2
    psnr = -10 * error.square().mean().clamp_min(1e-10).log10()
    return float(psnr), float(ssim_inside(image.clamp(-1, 1), target, mask)), float(error.mean())


def print_scores(scores: list[dict[str, Scores]]) -> None:
    """Print a Markdown table of means and standard errors."""
    print("| image | PSNR (dB) | SSIM | L1 |\n| --- | --- | --- | --- |")
    for name in scores[0] if scores else ():
        values = np.array([each[name] for each in scores])
        means, errors = values.mean(0), values.std(0) / len(values) ** 0.5
        cells = [f"{a:.{n}f} ± {b:.{n}f}" for a, b, n in zip(means, errors, (2, 3, 4), strict=True)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
