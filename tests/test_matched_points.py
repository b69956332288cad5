"""The loss that knows where points went, and the field of records it looks at."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from posegen.errors import ConfigError
from posegen.losses import FeatureCache, LossInputs, point_error
from posegen.records import Clip, Pair, PairBatch, Transfer, collate
from posegen.registry import LOSSES
from posegen.testing import check_pair_dataset

from .test_contract_checks import Bars

SIZE = 32
LOSS = dict(type="MatchedPoints")
NAN = float("nan")


def step(matches: torch.Tensor | None, flows: list[torch.Tensor]) -> LossInputs:
    """Pairs with *matches* B M 4 whose images say nothing."""
    count = len(flows[0])
    image, structure = torch.zeros(count, 3, SIZE, SIZE), torch.zeros(count, 1, SIZE, SIZE)
    batch = PairBatch(image, structure, image, structure, ["a"] * count, matches=matches)
    return LossInputs(batch, Transfer(torch.empty(0), flows, []), FeatureCache(lambda image, layers: {}, {}, []))


def loss(matches: torch.Tensor | None, *flows: torch.Tensor) -> torch.Tensor:
    return LOSSES.build_part(LOSS)(step(matches, [*flows]))


def no_flow(size: int = SIZE, count: int = 1) -> torch.Tensor:
    return torch.zeros(count, 2, size, size, requires_grad=True)


def test_a_flow_that_maps_points_to_their_matches_has_no_error():
    # A picture turned a quarter about its middle: the target's (x, y) comes from the source's (y, 31 − x).
    y, x = torch.meshgrid(torch.arange(float(SIZE)), torch.arange(float(SIZE)), indexing="ij")
    fine = torch.stack([y - x, SIZE - 1 - x - y])[None]
    coarse = torch.nn.functional.avg_pool2d(fine, 2) / 2  # in pixels of 16×16
    points = torch.tensor([[3.0, 5.0], [20.25, 9.5], [28.0, 30.0], [11.5, 24.75]])
    sources = torch.stack([points[:, 1], SIZE - 1 - points[:, 0]], 1)
    matches = torch.cat([points, sources], 1)[None]
    assert loss(matches, coarse, fine) < 1e-4
    assert loss(matches, no_flow(16), no_flow()) > 5


def test_the_error_is_in_pixels_of_the_flow_summed_over_axes_and_levels():
    matches = torch.tensor([[[10.0, 10.0, 14.0, 8.0]]])  # from 4 to the right and 2 up
    assert loss(matches, no_flow()).item() == pytest.approx(6)
    assert loss(matches, no_flow(16)).item() == pytest.approx(3)
    assert loss(matches, no_flow(16), no_flow()).item() == pytest.approx(9)


def test_missing_points_and_points_outside_the_target_are_ignored():
    matches = torch.tensor([[[10.0, 10, 14, 10], [NAN, NAN, 3, 3], [5, 5, NAN, NAN], [-1, 4, 20, 4], [4, 32, 4, 4]]])
    flow = no_flow()
    value = loss(matches, flow)
    value.backward()
    assert value.item() == pytest.approx(4)
    assert flow.grad[:, :, 10, 10].abs().sum() > 0
    assert flow.grad[:, 1].abs().sum() + flow.grad[:, 0].abs().sum() == flow.grad[:, :, 10, 10].abs().sum()


def test_a_pair_without_points_counts_as_0_and_gives_no_gradient():
    flow = no_flow()
    value = loss(torch.full((1, 3, 4), NAN), flow)
    value.backward()
    assert value == 0
    assert flow.grad.abs().sum() == 0


def test_every_pair_has_the_same_weight():
    one = torch.tensor([[9.0, 9.0, 17.0, 9.0], [NAN, NAN, NAN, NAN]])  # one point, 8 away
    two = torch.tensor([[9.0, 9.0, 11.0, 9.0], [20.0, 20.0, 20.0, 22.0]])  # two, 2 away each
    assert loss(torch.stack([one, two]), no_flow(count=2)).item() == pytest.approx((8 + 2) / 2)


def test_the_gradient_reaches_points_at_any_distance():
    matches = torch.tensor([[[4.0, 4.0, 28.0, 20.0]]])
    flow = no_flow()
    optimizer = torch.optim.SGD([flow], lr=0.5)
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(matches, flow)
        value.backward()
        optimizer.step()
    assert value < 1  # of 40
    assert flow[0, :, 4, 4].tolist() == pytest.approx([24, 16], abs=1)


def test_data_without_matches_are_an_error():
    with pytest.raises(ConfigError, match="MatchedPoints needs data with matches"):
        loss(None, no_flow())


def test_an_absent_point_may_have_any_value():
    flow = no_flow()
    points, moved = torch.tensor([[[NAN, 3.0], [6.0, 6.0]]]), torch.tensor([[[5.0, NAN], [1.0, 0.0]]])
    error = point_error(flow, points, moved, torch.tensor([[False, True]]), (SIZE, SIZE))
    error.backward()
    assert error.item() == pytest.approx(1)
    assert flow.grad.isfinite().all()


# The records ------------------------------------------------------------------------------------------------


def pair(matches: torch.Tensor | None) -> Pair:
    image, structure = torch.zeros(3, 8, 8), torch.zeros(1, 8, 8)
    return Pair(image, structure, image, structure, "a", matches=matches)


def test_matches_are_collated_and_none_if_one_pair_has_none():
    first, second = torch.rand(5, 4), torch.rand(5, 4)
    assert torch.equal(collate([pair(first), pair(second)]).matches, torch.stack([first, second]))
    assert collate([pair(first), pair(None)]).matches is None


def test_matches_of_clips_are_collated_for_both_origins():
    image, structure = torch.zeros(3, 8, 8), torch.zeros(1, 8, 8)
    matches = torch.rand(2, 5, 4)
    clip = Clip(image, structure, image[None].repeat(2, 1, 1, 1), structure[None].repeat(2, 1, 1, 1), "a",
                matches=matches, matches_previous=-matches)  # fmt: skip
    batch = collate([clip, clip]).to("cpu")
    assert batch.matches.shape == (2, 2, 5, 4)
    assert torch.equal(batch.matches_previous, -batch.matches)


class Matched(Bars):
    """Bars with two matches, one of them missing."""

    def __init__(self, *row):
        super().__init__()
        self.row = row

    def __getitem__(self, index):
        matches = torch.tensor([[1.0, 2.0, 4.0, 2.0], [*self.row]])
        return dataclasses.replace(super().__getitem__(index), matches=matches)


def test_matches_of_a_data_set_may_be_missing_but_not_infinite_or_of_another_shape():
    check_pair_dataset(Matched(NAN, NAN, NAN, NAN))
    with pytest.raises(AssertionError, match="matches has values that are not finite"):
        check_pair_dataset(Matched(float("inf"), 0, 0, 0))

    class Odd(Matched):
        def __getitem__(self, index):
            record = super().__getitem__(index)
            return dataclasses.replace(record, matches=record.matches[:, :3])

    with pytest.raises(AssertionError, match="must be M 4"):
        check_pair_dataset(Odd(0, 0, 0, 0))
