"""The fast formulations are the plain ones, gradients included, inside the map and far outside it."""

from __future__ import annotations

import pytest
import torch

from posegen.errors import ConfigError, InputError
from posegen.ops import (
    LocalAttention,
    affine_residual,
    resize_flow,
    sample_bilinear,
    sample_gaussian,
    weighted_gather,
)
from posegen.ops.reference import local_attention_by_patches, patches
from posegen.ops.sampling import MANY_CHANNELS, weighted_rows

BATCH, CHANNELS, HEIGHT, WIDTH = 2, 3, 7, 6


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def maps(spread: float):
    """Source, target and a flow that reaches *spread* pixels; in double precision, so that equality means equality."""
    source, target = torch.randn(2, BATCH, CHANNELS, HEIGHT, WIDTH, dtype=torch.float64)
    flow = spread * torch.randn(BATCH, 2, HEIGHT, WIDTH, dtype=torch.float64)
    return [tensor.requires_grad_() for tensor in (source, target, flow)]


@pytest.mark.parametrize("spread", [0.3, 1.5, 40.0], ids=["tiny", "near", "far outside"])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_local_attention_equals_patches(spread, size, reduction):
    source, target, flow = maps(spread)
    block = LocalAttention(CHANNELS, size, hidden=8, reduction=reduction).double()
    inputs = [source, target, flow, *block.parameters()]
    fast, plain = block(source, target, flow), local_attention_by_patches(block, source, target, flow)
    torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-12)
    cotangent = torch.randn_like(fast)
    for ours, reference in zip(
        torch.autograd.grad(fast, inputs, cotangent), torch.autograd.grad(plain, inputs, cotangent), strict=True
    ):
        torch.testing.assert_close(ours, reference, rtol=1e-9, atol=1e-11)


def test_local_attention_equals_patches_at_whole_pixels():
    """There the bilinear weights have a kink: the values agree, the gradients may take either side."""
    source, target, flow = maps(0.0)
    block = LocalAttention(CHANNELS, 3, hidden=8).double()
    torch.testing.assert_close(
        block(source, target, flow), local_attention_by_patches(block, source, target, flow), rtol=1e-10, atol=1e-12
    )


def test_local_attention_gradients_are_those_of_finite_differences():
    source, target, flow = maps(1.5)
    block = LocalAttention(CHANNELS, 3, hidden=4).double()
    assert torch.autograd.gradcheck(lambda *inputs: block(*inputs), (source, target, flow))


def test_mean_is_the_sum_divided_by_the_taps():
    source, target, flow = maps(1.5)
    mean, total = (LocalAttention(CHANNELS, 3, hidden=4, reduction=how).double() for how in ("mean", "sum"))
    total.load_state_dict(mean.state_dict())
    torch.testing.assert_close(9 * mean(source, target, flow), total(source, target, flow))


def test_kernels_sum_to_one():
    source, target, flow = maps(3)
    kernel = LocalAttention(CHANNELS, 5, hidden=4).double().kernel(source, target, flow)
    torch.testing.assert_close(kernel.sum(1), torch.ones(BATCH, HEIGHT, WIDTH, dtype=torch.float64))


def test_whole_pixel_flow_moves_pixels():
    source, _, flow = maps(0)
    flow.data[:, 0] = 1  # content comes from one pixel to the right
    expected = torch.cat([source[..., 1:], source[..., -1:]], dim=-1)  # the border repeats
    torch.testing.assert_close(sample_bilinear(source, flow), expected)


@pytest.mark.parametrize("spread", [0.5, 20])
@pytest.mark.parametrize("margin", [0, 2])
def test_many_channels_are_sampled_as_few_are(spread, margin):
    """By a gather and by grid_sample: the same values, the same gradients, inside the map and far outside it."""
    source = torch.randn(BATCH, MANY_CHANNELS, HEIGHT, WIDTH, dtype=torch.float64, requires_grad=True)
    flow = (spread * torch.randn(BATCH, 2, HEIGHT, WIDTH, dtype=torch.float64)).requires_grad_()
    wanted = torch.randn_like(source)
    at_once = sample_bilinear(source, flow, margin)
    in_parts = torch.cat(
        [sample_bilinear(part, flow, margin) for part in source.split(MANY_CHANNELS - 1, dim=1)], dim=1
    )
    torch.testing.assert_close(at_once, in_parts)
    gradients = [torch.autograd.grad(sampled, [source, flow], wanted) for sampled in (at_once, in_parts)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("needs", [(True, True), (True, False), (False, True)])
def test_weighted_rows_are_an_embedding_bag_gradients_included(needs):
    table = torch.randn(11, 5, dtype=torch.float64, requires_grad=needs[0])
    weights = torch.randn(7, 4, dtype=torch.float64, requires_grad=needs[1])
    index = torch.randint(0, 9, (7, 4))  # some rows often, two of them never
    plain = torch.nn.functional.embedding_bag(index, table, mode="sum", per_sample_weights=weights)
    ours = weighted_rows(table, index, weights)
    torch.testing.assert_close(ours, plain)
    inputs = [tensor for tensor in (table, weights) if tensor.requires_grad]
    wanted = torch.randn_like(plain)
    expected = torch.autograd.grad(plain, inputs, wanted)
    torch.testing.assert_close(torch.autograd.grad(ours, inputs, wanted), expected)


def test_gaussian_sampling_equals_its_definition():
    source, _, flow = maps(2.5)
    sampled = sample_gaussian(source, flow, size=4, sigma=2.0)
    b, y, x = 1, 3, 2
    at_x, at_y = x + flow[b, 0, y, x].item(), y + flow[b, 1, y, x].item()
    total, weights = torch.zeros(CHANNELS, dtype=torch.float64), 0.0
    for row in range(int(at_y // 1) - 1, int(at_y // 1) + 3):
        for column in range(int(at_x // 1) - 1, int(at_x // 1) + 3):
            weight = torch.exp(torch.tensor(-((column - at_x) ** 2 + (row - at_y) ** 2) / (2 * 2.0**2))).item()
            total += weight * source[b, :, min(max(row, 0), HEIGHT - 1), min(max(column, 0), WIDTH - 1)]
            weights += weight
    torch.testing.assert_close(sampled[b, :, y, x], total / weights, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e30])
def test_wild_flows_are_no_crash_and_no_wild_index(value):
    source, target, flow = maps(1)
    flow.data[0, :, 2, 3] = value
    block = LocalAttention(CHANNELS, 3, hidden=4).double()
    out = block(source, target, flow)
    assert out.shape == source.shape
    assert torch.isfinite(out[1]).all(), "the other image of the batch is untouched"
    first = flow.detach().floor()
    gathered = weighted_gather(source, first, torch.ones(BATCH, 2, 2, HEIGHT, WIDTH, dtype=torch.float64))
    assert torch.isfinite(gathered).all()


def test_patches_are_neighbors():
    source, _, flow = maps(0)
    built = patches(source, flow, 3)  # B C 9 H W
    torch.testing.assert_close(built[:, :, 4], source)
    torch.testing.assert_close(built[:, :, 5, :, :-1], source[..., 1:])


@pytest.mark.parametrize("size", [2, 3, 5])
def test_an_affine_flow_has_no_residual(size):
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(8.0), indexing="ij")
    affine = torch.stack([3 + 0.5 * x - 2 * y, 1000 - x + 0.1 * y])[None]
    assert affine_residual(affine, size).abs().max() < 1e-4  # pixels², of coordinates up to 1000
    assert affine_residual(affine + torch.randn_like(affine), size).mean() > 0.1


def test_affine_residual_is_that_of_least_squares():
    flow = torch.randn(1, 2, 5, 5, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="ij")
    design = torch.stack([torch.ones(9), x.flatten(), y.flatten()], 1).double()
    window = flow[0, :, 1:4, 2:5].reshape(2, 9).T
    solution = torch.linalg.lstsq(design, window).solution
    expected = (design @ solution - window).square().sum()
    torch.testing.assert_close(affine_residual(flow, 3)[0, 1, 2], expected)


def test_affine_residual_needs_a_full_window():
    with pytest.raises(InputError, match="no full 5×5 window"):
        affine_residual(torch.zeros(1, 2, 4, 8), 5)


def test_a_resized_flow_counts_pixels_of_its_new_size():
    flow = torch.ones(1, 2, 4, 3)
    resized = resize_flow(flow, (8, 12))
    assert resized.shape == (1, 2, 8, 12)
    torch.testing.assert_close(resized[:, 0], torch.full((1, 8, 12), 4.0))
    torch.testing.assert_close(resized[:, 1], torch.full((1, 8, 12), 2.0))


@pytest.mark.parametrize(("arguments", "named"), [(dict(kernel_size=2), "odd"), (dict(reduction="max"), "'sum'")])
def test_wrong_arguments_of_local_attention_are_refused(arguments, named):
    with pytest.raises(ConfigError, match=named):
        LocalAttention(4, **{"kernel_size": 3, **arguments})
