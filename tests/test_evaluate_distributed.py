"""Metrics over several processes give what they give in one, to the last digit."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from posegen.evaluation import SetMetric
from posegen.records import PairBatch, Transfer
from posegen.registry import METRICS

COUNT, PROCESSES = 5, 2  # an odd number: one process has an image less, and runs one twice


class Order(SetMetric):
    """Depends on every feature and on their order: what is gathered wrongly changes it."""

    def extract(self, images):
        return images.double().flatten(2).mean(2).numpy()

    def statistics(self, features):
        return {"features": features}

    def compare(self, generated, real):
        weights = np.arange(1, len(generated) + 1)
        return {"order": float(weights @ (generated - real["features"]).sum(1))}


def metrics() -> list:
    return [Order(), *(METRICS.build_part({"type": name}) for name in ("SSIM", "PSNR", "L1"))]


def images(indices: list[int]) -> tuple[PairBatch, Transfer]:
    def drawn(seed: int) -> torch.Tensor:
        return torch.stack([torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(seed + k)) for k in indices])

    names = [f"{k}" for k in indices]
    values = {field.name: None for field in fields(PairBatch)}
    target = drawn(0) * 2 - 1
    values |= {"source": target, "source_structure": target, "target": target, "target_structure": target}
    return PairBatch(**{**values, "names": names}), Transfer(drawn(100) * 2 - 1, [], [])


def values_of(indices: list[int]) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in metrics():
        for index in indices:
            batch, made = images([index])
            metric.process(batch, [made])
        found |= metric.evaluate(COUNT)
    return found


def run(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/join", rank=rank, world_size=PROCESSES)
    found = values_of([*range(COUNT), 0][rank::PROCESSES])  # as a sampler shares them out
    torch.save(found, folder / f"{rank}.pth")
    dist.destroy_process_group()


@pytest.mark.slow
def test_metrics_of_images_and_of_sets_over_two_processes_are_those_of_one(tmp_path):
    mp.spawn(run, (tmp_path,), nprocs=PROCESSES)
    one = values_of(list(range(COUNT)))
    assert set(one) == {"order", "ssim", "psnr", "l1"}
    for rank in range(PROCESSES):
        assert torch.load(tmp_path / f"{rank}.pth", weights_only=True) == one
