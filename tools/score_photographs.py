"""Score a model of people on photographs with 14 key points, inside the body: copying, key points alone, the model.

python tools/score_photographs.py configs/guided_people3d.py iter_5800.pth data/market14 --pairs 1000 --turned 200
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from posegen_metrics.ssim import ssim_inside
from posegen_people.layouts import LSP_14
from posegen_people.pairs import AnnotatedPairs
from torch import Tensor

import posegen
from posegen.config import load_config
from posegen.ops.sampling import warp
from posegen.records import Pair, collate_pairs

WIDE = 95
"""Percentile of the shoulders' width that counts as seen from the front; widths of a narrower one give the angle."""
Scores = dict[str, list[tuple[float, float, float]]]
"""By image, PSNR in dB, SSIM and L1 of each pair, inside the body."""


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
    encoder = dict(config.structure)
    seen = AnnotatedPairs(parsed.root, "test", encoder, config.size)
    bodies = AnnotatedPairs(
        parsed.root, "test", {**encoder, "layout": LSP_14.name}, config.size, foreground=dict(type="BodyMask")
    )
    order = range(min(parsed.pairs, len(seen)))
    turned = [index for index, turn in enumerate(turns(bodies)) if turn > parsed.angle][: parsed.turned]
    print_scores(f"{len(order):,} random pairs", measure(model, pair_stream(seen, bodies, order)))
    print_scores(
        f"{len(turned):,} pairs that turn by more than {parsed.angle:g}°",
        measure(model, pair_stream(seen, bodies, turned)),
    )


def turns(pairs: AnnotatedPairs) -> list[float]:
    """Estimate the angles, 0° to 180°, between the views of source and target.

    A body's angle to the camera follows from the signed width of its shoulders in units of the torso's length: wide
    from the front, zero from the side, negative from behind. Both sides count as the same.
    """
    places = [[view.keypoints for view in pairs.views(index)[:2]] for index in range(len(pairs))]
    widths = np.array([[shoulder_width(points.points) for points in pair] for pair in places])
    facing = np.degrees(np.arccos(np.clip(widths / np.percentile(np.abs(widths), WIDE), -1, 1)))
    return list(np.abs(facing[:, 1] - facing[:, 0]))


def shoulder_width(points: np.ndarray) -> float:
    """Return the signed width of the shoulders, positive from the front, in units of the torso's length."""
    place = dict(zip(LSP_14.names, points, strict=True))
    hips = (place["left hip"] + place["right hip"]) / 2
    return float((place["left shoulder"] - place["right shoulder"])[0] / max(np.linalg.norm(hips - place["neck"]), 1))


def pair_stream(seen: AnnotatedPairs, bodies: AnnotatedPairs, order: Sequence[int]) -> Iterable[tuple[Pair, Tensor]]:
    """Yield pairs in the model's layout with the body masks 1 H W of their targets."""
    for index in order:
        mask = bodies[index].foreground
        assert mask is not None
        yield seen[index], mask


@torch.inference_mode()
def measure(model: Any, pairs: Iterable[tuple[Pair, Tensor]]) -> Scores:
    """Score the source, the source moved by the key points alone, and the model's image."""
    scores: Scores = {"source": [], "key points alone": [], "model": []}
    for pair, mask in pairs:
        batch = collate_pairs([pair])
        inputs = batch.source, batch.source_structure, batch.target_structure
        images = batch.source, warp(batch.source, model.flow_estimator.prior(*inputs[1:]).flow), model(*inputs).image
        for name, image in zip(scores, images, strict=True):
            scores[name].append(score_inside(image, batch.target, mask[None]))
    return scores


def score_inside(image: Tensor, target: Tensor, mask: Tensor) -> tuple[float, float, float]:
    """Return PSNR in dB, SSIM, and L1 in [0, 1] of images 1 3 H W in [-1, 1], inside a mask 1 1 H W."""
    error = (image.clamp(-1, 1) - target).abs()[mask.expand_as(target) == 1] / 2
    psnr = -10 * error.square().mean().clamp_min(1e-10).log10()
    return float(psnr), float(ssim_inside(image.clamp(-1, 1), target, mask)), float(error.mean())


def print_scores(title: str, scores: Scores) -> None:
    """Print a Markdown table of the means and their standard errors."""
    print(f"\n{title}, inside the body\n\n| image | PSNR (dB) | SSIM | L1 |\n| --- | --- | --- | --- |")
    for name, values in scores.items():
        table = np.array(values)
        means, errors = table.mean(0), table.std(0) / max(len(table), 1) ** 0.5
        cells = [
            f"{mean:.{digits}f} ± {error:.{digits}f}"
            for mean, error, digits in zip(means, errors, (2, 3, 4), strict=True)
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
