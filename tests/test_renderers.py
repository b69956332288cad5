"""The paper's ablations of the renderer."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from posegen.errors import ConfigError
from posegen.models import (
    BaselineRenderer,
    BilinearRenderer,
    FlowEstimator,
    GlobalAttentionRenderer,
    LocalAttentionRenderer,
    PairModel,
)
from posegen.models.ablations import GlobalAttention

STRUCTURE = 4
SMALL = dict(levels=(2, 1), kernel_sizes=(3, 3), base_width=8, max_width=16)


def flow_estimator():
    return FlowEstimator(STRUCTURE, (2, 1), base_width=8, max_width=16)


def inputs(size=64):
    torch.manual_seed(0)
    return torch.rand(2, 3, size, size) * 2 - 1, *torch.rand(2, 2, STRUCTURE, size, size)


@pytest.mark.parametrize("kind", [GlobalAttentionRenderer, BaselineRenderer])
def test_a_renderer_without_flow_makes_images_without_an_estimator(kind):
    out = PairModel(None, kind(STRUCTURE, **SMALL)).transfer(*inputs())
    assert out.image.shape == (2, 3, 64, 64)
    assert (out.flows, out.masks) == ([], [])


def test_each_renderer_says_whether_it_takes_a_flow():
    with pytest.raises(ConfigError, match="takes no flow: set flow_estimator=None"):
        PairModel(flow_estimator(), GlobalAttentionRenderer(STRUCTURE, **SMALL))
    with pytest.raises(ConfigError, match="needs a flow_estimator"):
        PairModel(None, BilinearRenderer(STRUCTURE, **SMALL))


def test_global_attention_is_a_softmax_over_all_source_locations_with_the_same_gradients():
    torch.manual_seed(0)
    block = GlobalAttention(16).double()
    source, target = torch.rand(2, 2, 16, 8, 6, dtype=torch.float64).requires_grad_()
    out = block(source, target)
    query, key = block.query(target).flatten(2), block.key(source).flatten(2)
    weights = torch.softmax(query.transpose(1, 2) @ key / 4, dim=2)  # √16
    plain = (source.flatten(2) @ weights.transpose(1, 2)).view_as(target)
    torch.testing.assert_close(out, plain)
    wanted = [source, target, *block.parameters()]
    given = torch.rand_like(out)
    for ours, theirs in zip(
        torch.autograd.grad(out, wanted, given, retain_graph=True),
        torch.autograd.grad(plain, wanted, given),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-6)


def test_global_attention_at_64_by_64_keeps_no_matrix_of_all_by_all_locations():
    """With torch's other backends forbidden it still runs, forward and backward; and autograd keeps no such matrix."""
    block, maps = GlobalAttention(32), torch.rand(1, 32, 64, 64, requires_grad=True)
    largest = 0

    def keep(tensor):
        nonlocal largest
        largest = max(largest, tensor.numel())
        return tensor

    with sdpa_kernel(SDPBackend.FLASH_ATTENTION), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = block(maps, maps)
    out.sum().backward()
    assert 0 < largest <= 32 * 64 * 64  # a map; all by all would be 4096²


def test_bilinear_and_local_attention_differ_in_the_attention_alone():
    bilinear, local = BilinearRenderer(STRUCTURE, **SMALL), LocalAttentionRenderer(STRUCTURE, **SMALL)
    names = {name for name, _ in local.named_parameters()} - {name for name, _ in bilinear.named_parameters()}
    assert {name.split(".")[0] for name in names} == {"attention"}
    with torch.no_grad():
        for name, parameter in bilinear.named_parameters():
            parameter.copy_(dict(local.named_parameters())[name])
    model = PairModel(flow_estimator(), bilinear)
    flows, masks = model.estimate(*inputs())
    nothing = [torch.zeros_like(mask) for mask in masks]  # where nothing is warped, they are one
    torch.testing.assert_close(bilinear(*inputs(), flows, nothing), local(*inputs(), flows, nothing))


def test_the_baseline_sees_the_source_structure():
    source, source_structure, target_structure = inputs()
    model = PairModel(None, BaselineRenderer(STRUCTURE, init_gain=0.5, **SMALL)).eval()
    one = model.transfer(source, source_structure, target_structure)
    other = model.transfer(source, source_structure.flip(-1), target_structure)
    assert (one.image - other.image).abs().max() > 0
