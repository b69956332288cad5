"""The networks: shapes, initialization, and errors that say what does not fit."""

from __future__ import annotations

import pytest
import torch

from posegen.errors import ConfigError
from posegen.models import FlowEstimator, LocalAttentionRenderer, PairModel, ResidualDiscriminator
from posegen.models.layers import Encode, norm, upsample_conv

STRUCTURE = 4  # channels; any number does


def small(levels=(2, 1), kernel_sizes=(3, 3), **renderer):
    """A narrow model: nothing here depends on its width."""
    return PairModel(
        FlowEstimator(STRUCTURE, levels, base_width=8, max_width=16),
        LocalAttentionRenderer(STRUCTURE, levels, kernel_sizes, base_width=8, max_width=16, **renderer),
    )


def inputs(height=64, width=96, batch=2):
    torch.manual_seed(0)
    return torch.rand(batch, 3, height, width) * 2 - 1, *torch.rand(2, batch, STRUCTURE, height, width)


@pytest.mark.parametrize(("levels", "sizes"), [((3, 2), (3, 5)), ((2,), (3,)), ((2, 1), (3, 3))])
def test_flows_and_masks_come_coarse_to_fine(levels, sizes):
    out = small(levels, sizes).transfer(*inputs())
    assert out.image.shape == (2, 3, 64, 96)
    assert out.image.abs().max() <= 1
    assert [tuple(flow.shape) for flow in out.flows] == [(2, 2, 64 // 2**k, 96 // 2**k) for k in levels]
    assert [tuple(mask.shape) for mask in out.masks] == [(2, 1, 64 // 2**k, 96 // 2**k) for k in levels]
    assert all(((mask >= 0) & (mask <= 1)).all() for mask in out.masks)
    assert not out.image.requires_grad


def test_a_fresh_model_starts_from_almost_no_flow_and_an_undecided_mask():
    out = small().transfer(*inputs())
    assert all(flow.abs().max() < 1 for flow in out.flows)
    assert all((mask - 0.5).abs().max() < 0.2 for mask in out.masks)


def change_by_another_hue(kind):
    """Return the largest change of a block's output when half of its channels rise by 0.5."""
    torch.manual_seed(0)
    features = torch.rand(1, 16, 32, 32)
    shifted = features.clone()
    shifted[:, :8] += 0.5
    block = Encode(16, 32, kind)
    return (block(features) - block(shifted))[..., 4:-4, 4:-4].abs().max()  # away from the zero-padded border


def test_instance_norm_loses_the_color_of_the_source():
    assert change_by_another_hue("instance") < 1e-3


def test_group_norm_keeps_the_color_of_the_source():
    """Why the paper-doll config uses group norm in G."""
    assert change_by_another_hue("group") > 1e-2


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_instance_norm_is_that_of_torch(layout):
    """In double precision, where rounding hides nothing; another kernel, the same numbers."""
    torch.manual_seed(0)
    ours, theirs = norm(6), torch.nn.InstanceNorm2d(6, affine=True)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter)
    theirs.load_state_dict(ours.state_dict())
    features = (3 * torch.randn(2, 6, 9, 7, dtype=torch.float64) + 1).contiguous(memory_format=layout)
    weights = torch.randn_like(features)
    numbers = []
    for block in (ours.double(), theirs.double()):
        x = features.clone(memory_format=torch.preserve_format).requires_grad_()
        out = block(x)
        numbers.append([out, *torch.autograd.grad((out.tanh() * weights).sum(), [x, *block.parameters()])])
    for a, b in zip(*numbers, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_an_unknown_norm_or_upsampling_is_refused():
    with pytest.raises(ConfigError, match="instance"):
        norm(16, "batch")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="transposed"):
        upsample_conv(16, 16, "nearest")  # type: ignore[arg-type]


def test_group_norm_has_groups_of_16_channels_or_one_group():
    assert [norm(channels, "group").num_groups for channels in (32, 24)] == [2, 1]


def unnormed(network):
    return {name for name, part in network.named_modules() if "norm" in name and isinstance(part, torch.nn.Identity)}


def test_group_norm_leaves_images_and_structures_alone_and_nothing_else():
    first = {"source_encoder.0.norm1", "target_encoder.0.norm1"}
    # 16 channels of structure would make a group, but are none
    assert unnormed(LocalAttentionRenderer(16, base_width=16, norm="group")) == first
    assert unnormed(FlowEstimator(STRUCTURE, base_width=16, norm="group")) == {"encoder.0.norm1"}
    assert unnormed(LocalAttentionRenderer(STRUCTURE, base_width=16)) == set()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, a, b: (s[0], a, b), r"source must be B 3 H W, got shape \(3, 64, 96\)"),
        (lambda s, a, b: (s[:, :1], a, b), r"source must be B 3 H W, got shape \(2, 1, 64, 96\)"),
        (lambda s, a, b: (s, a, b[..., :-1]), r"target_structure must have shape \(2, 4, 64, 96\)"),
        (lambda s, a, b: (s, a[:, :3], b[:, :3]), r"source_structure must have shape \(2, 4, 64, 96\)"),
        (lambda s, a, b: (s, a[:, 0], b[:, 0]), "B S H W"),
        (lambda s, a, b: (s, a[:1], b[:1]), r"got \(1, 4, 64, 96\)"),
        (lambda s, a, b: (s[..., :50], a[..., :50], b[..., :50]), "multiples of 32"),
        (lambda s, a, b: (s[..., :32, :32], a[..., :32, :32], b[..., :32, :32]), "at least 64"),
    ],
)
def test_inputs_that_do_not_fit_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        small().transfer(*change(*inputs()))


@pytest.mark.parametrize(
    "build",
    [
        lambda: FlowEstimator(STRUCTURE, (5,)),
        lambda: LocalAttentionRenderer(STRUCTURE, (4,), (3,)),
        lambda: LocalAttentionRenderer(STRUCTURE, (2, 3), (3, 5)),
        lambda: LocalAttentionRenderer(STRUCTURE, (3, 2), (3,)),
    ],
)
def test_levels_that_do_not_exist_are_refused(build):
    with pytest.raises(ConfigError, match="levels"):
        build()


def test_a_renderer_that_attends_where_there_is_no_flow_is_refused():
    with pytest.raises(ConfigError, match=r"flow has levels \[3, 2\], the renderer attends at \[2\]"):
        PairModel(FlowEstimator(STRUCTURE, (3, 2)), LocalAttentionRenderer(STRUCTURE, (2,), (3,)))


def test_discriminator_has_spectral_norm_on_every_convolution():
    torch.manual_seed(0)
    discriminator = ResidualDiscriminator((8, 16)).train()
    for _ in range(300):  # the power iteration settles
        discriminator(torch.rand(1, 3, 32, 32))
    discriminator.eval()
    convolutions = [part for part in discriminator.modules() if isinstance(part, torch.nn.Conv2d)]
    assert len(convolutions) == 2 * 3 + 1
    for convolution in convolutions:
        largest = torch.linalg.matrix_norm(convolution.weight.flatten(1), 2)
        assert largest.item() == pytest.approx(1, abs=0.02)
