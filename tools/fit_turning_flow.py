"""Fit the network of the flow prior TurningPartFlow to the exact flow of people in 3D.

    posegen prepare people3d data/people3d --pairs 9000 --size 128x64
    python tools/fit_turning_flow.py data/people3d turning_flow.safetensors

Only key points and flows are read, no pixel of an image: minutes on one core. Prints end-point errors, as shares of
those of a zero flow, for pairs that are left out.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from posegen_people.layouts import COCO_17, LSP_14, OPENPOSE_18
from posegen_people.turning_flow import TurningPartFlow
from posegen_people3d.people3d import People3D
from posegen_people3d.store import FLOW_STEPS, PairStore
from rich.progress import track
from safetensors.torch import save_file
from torch import Tensor, nn

from posegen.data.keypoints import KeypointLayout
from posegen.models.priors import blend

LAYOUTS = (OPENPOSE_18, COCO_17, LSP_14)
HELD_OUT = 500
PLACES = {True: 256, False: 128}
"""Visible locations that are kept of a pair, on the person and beside."""
BESIDE = 0.5
"""Weight of a location beside the person, where one on the person weighs 1."""
BATCH = 64
RATE = 3e-3
NOISE = 0.01
"""Largest standard deviation of the error of a key point, as a share of the image's height."""
MISSING = 0.05
"""Largest probability of a key point to be missing."""
EDGES = (0, 15, 45, 90, 135, 180)
"""Degrees between the ranges of turns."""


@dataclass
class Pairs:
    """Key points and sampled flows of N pairs.

    Attributes:
        points, present: N 2 K 2 and N 2 K bool; of source and target.
        places, flows, weights: N M 2, N M 2 and N M; the weight is 0 where a pair has fewer places.
        turns: N, in degrees.
        size: (H, W) of the images.
    """

    points: Tensor
    present: Tensor
    places: Tensor
    flows: Tensor
    weights: Tensor
    turns: Tensor
    size: tuple[int, int]

    def __getitem__(self, chosen: Tensor) -> Pairs:
        parts = (self.points, self.present, self.places, self.flows, self.weights, self.turns)
        return Pairs(*(part[chosen] for part in parts), self.size)

    def disturbed(self, partner: Tensor) -> Pairs:
        """Return them with mirrored images in half of the pairs, and key points as inexact as an estimator's."""
        count, (height, width) = len(self.points), self.size
        mirrored = (torch.rand(count) < 0.5)[:, None, None]
        sign = torch.where(mirrored, torch.tensor([-1.0, 1.0]), torch.ones(2))
        edge = torch.where(mirrored, torch.tensor([width - 1.0, 0.0]), torch.zeros(2))
        points = torch.where(mirrored[..., None], self.points[:, :, partner], self.points)
        present = torch.where(mirrored, self.present[:, :, partner], self.present)
        present = present & (torch.rand(present.shape) >= MISSING * torch.rand(count, 1, 1))
        noise = NOISE * height * torch.rand(count, 1, 1, 1) * torch.randn_like(points)
        points = points * sign[:, None] + edge[:, None] + noise
        return Pairs(points, present, self.places * sign + edge, self.flows * sign, self.weights, self.turns, self.size)


def main() -> None:
    """Fit the network, print its errors, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store", type=Path, help="folder that `posegen prepare people3d` wrote")
    parser.add_argument("out", type=Path, help="file to write, .safetensors")
    parser.add_argument("--iters", type=int, default=8000, help="iterations (default: %(default)s)")
    parsed = parser.parse_args()
    torch.manual_seed(0)
    priors = {layout.name: TurningPartFlow(layout, fitted=False) for layout in LAYOUTS}
    network = priors[LAYOUTS[0].name].network
    for prior in priors.values():
        prior.network = network
    pairs = {layout.name: read(parsed.store, layout) for layout in LAYOUTS}
    print_errors("before", priors, pairs)
    fit(priors, pairs, network, parsed.iters)
    print_errors("after", priors, pairs)
    save_file({name: tensor.half() for name, tensor in network.state_dict().items()}, parsed.out)
    print(f"wrote {parsed.out}")


def read(folder: Path, layout: KeypointLayout) -> Pairs:
    """Read the pairs of a store with the key points of a layout."""
    store = PairStore(folder)
    settings = store.settings
    structure = dict(type="HeatmapEncoder", layout=layout.name)
    options = {key: settings[key] for key in ("size", "seed", "turn", "ideal")}
    data = People3D(structure=structure, length=settings["pairs"], store=str(folder), **options)
    rng = np.random.default_rng(0)
    points = np.zeros((len(data), 2, len(layout), 2), np.float32)
    present = np.zeros(points.shape[:3], bool)
    places = np.zeros((len(data), sum(PLACES.values()), 2), np.float32)
    flows, weights = np.zeros_like(places), np.zeros(places.shape[:2], np.float32)
    turns = np.zeros(len(data), np.float32)
    for index in track(range(len(data)), f"reading {layout.name}"):
        record = data.record(index)
        for k, keypoints in enumerate(data.keypoints(index)):
            present[index, k] = keypoints.present
            points[index, k] = np.where(keypoints.present[:, None], keypoints.points, 0)
        start = 0
        for on_person, most in PLACES.items():
            y, x = np.nonzero(record["visible"] & (record["foreground"] == on_person))
            chosen = rng.permutation(len(y))[:most]
            x, y, kept = x[chosen], y[chosen], slice(start, start + len(chosen))
            places[index, kept] = np.stack([x, y], 1)
            flows[index, kept] = record["flow"][:, y, x].T / FLOW_STEPS
            weights[index, kept] = 1 if on_person else BESIDE
            start += most
        turns[index] = abs(math.degrees(record["turn"]))
    tensors = (torch.from_numpy(array) for array in (points, present, places, flows, weights, turns))
    return Pairs(*tensors, (data.size[0], data.size[1]))


def errors(prior: TurningPartFlow, pairs: Pairs) -> Tensor:
    """Return the end-point errors at all places, N M, in pixels."""
    (source, target), (in_source, in_target) = pairs.points.unbind(1), pairs.present.unbind(1)
    places = pairs.places.unsqueeze(1)
    candidates, scores = prior.candidates(source, target, in_source, in_target, places, pairs.size[0])
    return ((blend(candidates, scores) - pairs.flows.transpose(1, 2)).square().sum(1) + 1e-3).sqrt() * pairs.weights


def fit(priors: dict[str, TurningPartFlow], pairs: dict[str, Pairs], network: nn.Module, iters: int) -> None:
    """Train the network that the priors share, each batch in another layout."""
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=iters)
    names = [*priors]
    partners = {layout.name: torch.tensor(layout.partner) for layout in LAYOUTS}
    for iteration in track(range(iters), "fitting"):
        name = names[iteration % len(names)]
        chosen = torch.randint(HELD_OUT, len(pairs[name].turns), (BATCH,))
        batch = pairs[name][chosen].disturbed(partners[name])
        loss = errors(priors[name], batch).sum() / batch.weights.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5)
        optimizer.step()
        schedule.step()


@torch.no_grad()
def print_errors(title: str, priors: dict[str, TurningPartFlow], pairs: dict[str, Pairs]) -> None:
    """Print the errors of the pairs that are left out, by turn, one line a layout."""
    ranges = [*itertools.pairwise(EDGES)]
    print(f"\n| {title} | {' | '.join(f'{low}° to {high}°' for low, high in ranges)} |")
    print(f"| --- |{' --- |' * len(ranges)}")
    for name, prior in priors.items():
        held = pairs[name][torch.arange(HELD_OUT)]
        held.weights[:, PLACES[True] :] = 0  # beside the person
        wrong, zero = errors(prior, held).sum(1), (held.flows.norm(dim=-1) * held.weights).sum(1)
        inside = [(held.turns >= low) & (held.turns <= high) for low, high in ranges]
        ratios = [f"{float(wrong[each].sum() / zero[each].sum()):.3f}" for each in inside]
        print(f"| {name} | {' | '.join(ratios)} |", flush=True)


if __name__ == "__main__":
    main()
