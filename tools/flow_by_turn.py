"""Measure the flow of a model by the angle of turn and by the part of the body, on people in 3D.

python tools/flow_by_turn.py configs/guided_people3d.py iter_12000.pth --pairs 64
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from posegen_people3d.people3d import PARTS

import posegen
from posegen.config import load_config
from posegen.models import GuidedFlowEstimator
from posegen.ops import resize_flow
from posegen.records import collate_pairs
from posegen.registry import DATASETS

Sums = dict[str, tuple[float, float]]
"""By part, the sums of end-point errors and of the lengths of the exact flow."""


def main() -> None:
    """Print end-point errors as shares of those of a zero flow, over the visible pixels of the person."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--pairs", type=int, default=64, help="pairs of each range of angles (default: %(default)s)")
    parser.add_argument(
        "--edges", type=float, nargs="+", default=[0, 15, 45, 90, 135, 180], help="degrees between the ranges"
    )
    parsed = parser.parse_args()
    config = load_config(parsed.config)
    model = posegen.load_model(config, parsed.checkpoint)
    guided = isinstance(model.flow_estimator, GuidedFlowEstimator)
    names = [*(["prior alone"] if guided else []), "all", *PARTS]
    columns = ["turn", "error (px)", "zero flow (px)", *names]
    print(row(columns), row(["---"] * len(columns)), sep="\n")
    for low, high in zip(parsed.edges, parsed.edges[1:], strict=False):
        options = {**config.test_dataloader.dataset, "length": parsed.pairs, "turn": (low, high)}
        sums, count = measure(model, DATASETS.build_part(options))
        error, zero = sums["all"]
        ratios = [sums[part][0] / max(sums[part][1], 1e-9) for part in names]
        figures = [f"{error / count:.2f}", f"{zero / count:.2f}", *(f"{ratio:.3f}" for ratio in ratios)]
        print(row([f"{low:g}° to {high:g}°", *figures]))


def row(cells: list[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def measure(model: Any, dataset: Any) -> tuple[Sums, int]:
    """Return the sums over the visible pixels of the people of a data set, and the number of these pixels."""
    errors: dict[str, float] = defaultdict(float)
    zeros: dict[str, float] = defaultdict(float)
    count = 0
    for index in range(len(dataset)):
        batch = collate_pairs([dataset[index]])
        with torch.no_grad():
            out = model(batch.source, batch.source_structure, batch.target_structure)
        flow = resize_flow(out.flows[-1].float(), batch.source.shape[-2:])[0]
        error, zero = (flow - batch.flow[0]).norm(dim=0), batch.flow[0].norm(dim=0)
        seen = (batch.visible[0, 0] * batch.foreground[0, 0]) == 1
        parts = torch.from_numpy(dataset.parts(index))
        count += int(seen.sum())
        if isinstance(model.flow_estimator, GuidedFlowEstimator):
            flow = model.flow_estimator.prior(batch.source_structure, batch.target_structure).flow[0]
            errors["prior alone"] += (flow - batch.flow[0]).norm(dim=0)[seen].sum().item()
            zeros["prior alone"] += zero[seen].sum().item()
        for name, mask in [("all", seen), *((part, seen & (parts == k)) for k, part in enumerate(PARTS))]:
            errors[name] += error[mask].sum().item()
            zeros[name] += zero[mask].sum().item()
    return {name: (errors[name], zeros[name]) for name in errors}, count


if __name__ == "__main__":
    main()
