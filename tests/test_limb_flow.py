"""The loss that knows where limbs are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posegen.data import HeatmapEncoder, Keypoints
from posegen.losses import FeatureCache, LossInputs
from posegen.ops import heatmap_peaks
from posegen.records import PairBatch, Transfer
from posegen.registry import DATASETS, LOSSES

ENCODER = dict(type="HeatmapEncoder", layout="openpose18", sigma=3)


@pytest.fixture(scope="module")
def dolls():
    data = DATASETS.build_part(dict(type="PaperDolls", length=8, structure=ENCODER, size=(64, 64), seed=5))
    from posegen.records import collate_pairs

    return collate_pairs([data[i] for i in range(8)])


def step(batch: PairBatch, flows: list[torch.Tensor]) -> LossInputs:
    return LossInputs(batch, Transfer(torch.empty(0), flows, []), FeatureCache(lambda image, layers: {}, {}, []))


def test_the_exact_flow_of_dolls_is_nearly_what_their_limbs_say(dolls):
    loss = LOSSES.build_part(dict(type="LimbFlow"))
    zero = loss(step(dolls, [torch.zeros_like(dolls.flow)]))
    # only where the limb is on top: elsewhere the exact flow is that of what hides it
    assert loss(step(dolls, [dolls.flow])) < 0.6 * zero


def test_a_figure_that_moves_as_a_whole_has_no_error_with_its_own_flow():
    structure = torch.zeros(1, 18, 32, 32)
    moved = structure.clone()
    for k in range(18):
        structure[0, k, 4 + k, 6] = moved[0, k, 4 + k + 3, 6 + 5] = 1
    image = torch.zeros(1, 3, 32, 32)
    batch = PairBatch(image, structure, image, moved, ["a"])  # the target is 5 to the right, 3 down of the source
    fine = torch.tensor([-5.0, -3.0]).view(1, 2, 1, 1).expand(1, 2, 32, 32)
    coarse = torch.nn.functional.avg_pool2d(fine, 2) / 2  # pixels of 16×16
    loss = LOSSES.build_part(dict(type="LimbFlow"))
    assert loss(step(batch, [coarse, fine])) < 1e-5
    assert loss(step(batch, [coarse])) + loss(step(batch, [torch.zeros_like(fine)])) == pytest.approx(8, abs=1e-4)


def test_what_lies_beside_a_limb_turns_with_it():
    structure, turned = torch.zeros(1, 18, 33, 33), torch.zeros(1, 18, 33, 33)
    structure[0, 2, 4, 16] = structure[0, 3, 28, 16] = 1  # an upper arm straight down
    turned[0, 2, 16, 28] = turned[0, 3, 16, 4] = 1  # a quarter turn clockwise, to the left
    image = torch.zeros(1, 3, 33, 33)
    y, x = torch.meshgrid(torch.arange(33.0), torch.arange(33.0), indexing="ij")
    flow = torch.stack([y - x, 32 - x - y])[None]  # target (x, y) comes from source (y, 32 - x)
    batch = PairBatch(image, structure, image, turned, ["a"])
    assert LOSSES.build_part(dict(type="LimbFlow", thickness=3))(step(batch, [flow])) < 1e-4
    assert LOSSES.build_part(dict(type="LimbFlow"))(step(batch, [flow])) < 1e-4


def test_key_points_are_found_between_pixels_and_at_the_border():
    once = [[7.3, 20.8], [0.4, 31.2], [30.9, -0.3], [12.0, 15.5], [31.0, 0.0], [3.49, 3.51]]
    points = np.tile(once, (3, 1))
    encoder = HeatmapEncoder("openpose18", sigma=3, subpixel=True)
    maps = encoder.encode(Keypoints(points, np.ones(18, bool)), (32, 32))[None]
    maps[0, 17] = 0
    found, present = heatmap_peaks(maps)
    np.testing.assert_allclose(found[0, :17], points[:17], atol=2e-3)
    assert present[0].tolist() == [True] * 17 + [False]


def test_a_limb_with_a_missing_end_says_nothing_and_gives_no_gradient():
    structure = torch.zeros(1, 18, 16, 16)
    structure[0, 1, 8, 8] = 1  # the neck alone
    image = torch.zeros(1, 3, 16, 16)
    flow = torch.randn(1, 2, 16, 16, requires_grad=True)
    value = LOSSES.build_part(dict(type="LimbFlow"))(step(PairBatch(image, structure, image, structure, ["a"]), [flow]))
    value.backward()
    assert value == 0
    assert flow.grad.abs().sum() == 0


def test_its_gradient_pulls_the_flow_to_a_limb_however_far(dolls):
    loss = LOSSES.build_part(dict(type="LimbFlow"))
    flow = torch.zeros(8, 2, 32, 32, requires_grad=True)
    optimizer = torch.optim.SGD([flow], lr=20.0)
    before = loss(step(dolls, [flow])).item()
    for _ in range(200):
        optimizer.zero_grad()
        value = loss(step(dolls, [flow]))
        value.backward()
        optimizer.step()
    assert value.item() < 0.35 * before
