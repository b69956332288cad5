"""Flow priors and the networks that start from them."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from posegen_people.layouts import OPENPOSE_18, body_parts
from torch import Tensor

from posegen.data import KeypointLayout
from posegen.data.keypoints import RigidPart
from posegen.errors import ConfigError
from posegen.models import (
    ClipModel,
    ComposingClipRenderer,
    ComposingRenderer,
    GuidedClipFlowEstimator,
    GuidedFlowEstimator,
    PairModel,
    PartFlow,
)
from posegen.ops import heatmap_peaks, resize_flow, sample_bilinear
from posegen.records import Origins

SIZE = (64, 64)
TORSO = KeypointLayout(
    name="torso",
    names=("top left", "top right", "bottom left", "bottom right"),
    partner=(1, 0, 3, 2),
    limbs=(),
    colors=((0, 0, 0),) * 4,
    parts=(RigidPart("torso", (0, 1), (2, 3), radius=0.3, sides=((0, 1), (2, 3))),),
)
SQUARE = torch.tensor([[26.0, 20], [38, 20], [26, 44], [38, 44]])
EVERY = torch.ones(1, 4, dtype=torch.bool)


def heatmaps(points: Tensor, sigma: float = 3.0) -> Tensor:
    """Heat maps 1 K H W of points K 2."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    offset = torch.stack([x, y], -1) - points[:, None, None]
    return torch.exp(-offset.square().sum(-1) / (2 * sigma**2))[None]


def moved(points: Tensor, turn: float, scale: float, shift: tuple[float, float]) -> Tensor:
    """Points turned about (32, 32), scaled and shifted."""
    cosine, sine = torch.cos(torch.tensor(turn)), torch.sin(torch.tensor(turn))
    rotation = torch.stack([torch.stack([cosine, -sine]), torch.stack([sine, cosine])])
    return (points - 32) @ rotation.T * scale + 32 + torch.tensor(shift)


def within(points: Tensor) -> tuple[slice, slice]:
    """The pixels of the box of points K 2, rows and columns."""
    (left, top), (right, bottom) = points.amin(0).ceil().int().tolist(), points.amax(0).int().tolist()
    return slice(top, bottom), slice(left, right)


@pytest.mark.parametrize(("turn", "scale", "shift"), [(0.0, 1.0, (5.0, -3.0)), (0.4, 1.0, (0, 0)), (-0.3, 1.2, (2, 4))])
def test_a_rigid_motion_of_a_part_is_exact(turn, scale, shift):
    source = moved(SQUARE, turn, scale, shift)
    prior = PartFlow(TORSO).from_points(source[None], SQUARE[None], EVERY, EVERY, SIZE)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    grid = torch.stack([x, y], -1)
    exact = (moved(grid.flatten(0, 1), turn, scale, shift).view_as(grid) - grid).permute(2, 0, 1)
    assert (prior.flows[0, 0] - exact).abs().max() < 1e-3  # pixels
    assert prior.flows[0, 1].abs().max() == 0


def test_a_subject_that_turns_round_mirrors_its_torso():
    source = SQUARE[[1, 0, 3, 2]]  # left and right exchanged: seen from behind
    prior = PartFlow(TORSO).from_points(source[None], SQUARE[None], EVERY, EVERY, SIZE)
    position = prior.flows[0, 0, 0, 30] + torch.arange(64.0)
    assert torch.allclose(position, 64 - torch.arange(64.0), atol=1e-3)  # mirrored about x = 32


def test_the_blend_is_the_part_inside_and_rest_outside():
    source = moved(SQUARE, 0.0, 1.0, (8.0, 0.0))
    prior = PartFlow(TORSO).from_points(source[None], SQUARE[None], EVERY, EVERY, SIZE)
    rows, columns = within(SQUARE)
    assert (prior.flow[0, 0, rows, columns] - 8).abs().max() < 0.1
    assert prior.cover[0, 0, rows, columns].min() > 0.99
    assert prior.flow[0, :, :4].abs().max() < 0.1
    assert prior.cover[0, 0, :4].max() < 0.01


def test_a_location_whose_source_shows_something_else_is_not_visible():
    source = moved(SQUARE, 0.0, 1.0, (16.0, 0.0))
    prior = PartFlow(TORSO).from_points(source[None], SQUARE[None], EVERY, EVERY, SIZE)
    rows, columns = within(SQUARE)
    assert prior.visible[0, 0, rows, columns].min() > 0.9  # the source shows all of the part
    left_behind = prior.visible[0, 0, rows, 45:53]  # background that the part covers in the source
    assert left_behind.max() < 0.1


@pytest.mark.parametrize("missing", [[0, 1], [2, 3]])
def test_a_part_without_an_end_leaves_its_place_to_the_others(missing):
    present = EVERY.clone()
    present[0, missing] = False
    prior = PartFlow(TORSO).from_points(SQUARE[None] + 5, SQUARE[None], present, present, SIZE)
    assert prior.cover.max() == 0
    assert prior.flow.abs().max() == 0
    assert prior.visible.min() == 1


def test_structures_are_read_to_a_fraction_of_a_pixel():
    points = SQUARE + torch.tensor([0.3, -0.2])
    found, present = heatmap_peaks(heatmaps(points))
    assert (found[0] - points).abs().max() < 1e-3
    assert present.all()
    prior = PartFlow(TORSO)(heatmaps(points), heatmaps(SQUARE))
    assert torch.allclose(prior.flows[0, 0, :, 32, 32], torch.tensor([0.3, -0.2]), atol=1e-2)


def test_an_empty_structure_gives_rest():
    prior = PartFlow("openpose18")(torch.zeros(2, 18, *SIZE), torch.zeros(2, 18, *SIZE))
    assert prior.flow.abs().max() == 0
    assert torch.isfinite(prior.scores).all()


def test_a_layout_without_parts_is_refused():
    with pytest.raises(ConfigError, match="'plain' has none"):
        PartFlow(dataclasses.replace(TORSO, name="plain", parts=()))


def test_a_body_without_a_neck_uses_the_middle_of_the_shoulders():
    names = tuple(name for name in OPENPOSE_18.names if name != "neck")
    torso = body_parts(names)[0]
    assert torso.start == (names.index("left shoulder"), names.index("right shoulder"))
    assert len(body_parts(names)) == len(OPENPOSE_18.parts)


# The networks -------------------------------------------------------------------------------------------------


def guided(**arguments) -> GuidedFlowEstimator:
    prior = dict(type="PartFlow", layout=TORSO)
    return GuidedFlowEstimator(4, prior, base_width=16, max_width=16, full_width=16, norm="group", **arguments)


def inputs(batch: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(0)
    source = torch.rand(batch, 3, *SIZE) * 2 - 1
    return source, heatmaps(SQUARE + 4).expand(batch, -1, -1, -1), heatmaps(SQUARE).expand(batch, -1, -1, -1)


def test_an_untrained_network_returns_the_prior():
    source, own, target = inputs()
    network = guided()
    flows, masks = network(source, own, target)
    prior = network.prior(own, target)
    assert (flows[-1] - prior.flow).abs().max() < 1e-4
    assert (masks[-1] - prior.visible).abs().max() < 0.031  # kept from 0 and 1 by 0.03, so that it can learn
    assert [flow.shape[-1] for flow in flows] == [16, 32, 64]
    assert [mask.shape[-1] for mask in masks] == [16, 32, 64]


def test_coarser_flows_are_the_finest_one_resized():
    flows, _ = guided()(*inputs())
    assert torch.allclose(flows[0][:, :, 8, 8] * 4, flows[-1][:, :, 34, 34], atol=0.1)


def test_at_half_resolution_an_untrained_network_returns_the_prior_resized():
    source, own, target = inputs()
    network = guided(full_resolution=False, levels=(1, 0))
    (half, full), masks = network(source, own, target)
    prior = network.prior(own, target).resize((SIZE[0] // 2, SIZE[1] // 2))
    assert torch.allclose(half, prior.flow, atol=1e-4)
    assert torch.allclose(full, resize_flow(half, SIZE), atol=1e-4)
    assert [mask.shape[-1] for mask in masks] == [32, 64]


@pytest.mark.parametrize("levels", [(), (2, -1), (4, 0)])
def test_levels_lie_from_full_resolution_to_below_the_depth(levels):
    with pytest.raises(ConfigError, match="must lie between 0 and depth - 1 = 3"):
        guided(levels=levels)


def renderer() -> ComposingRenderer:
    return ComposingRenderer(4, base_width=16, max_width=16)


def test_kept_pixels_are_the_sources_and_the_others_are_generated():
    source, own, target = inputs()
    flow = torch.zeros(2, 2, *SIZE)
    flow[:, 0] = 3.0
    flows = [flow[..., ::4, ::4] / 4, flow[..., ::2, ::2] / 2, flow]
    mask = torch.zeros(2, 1, *SIZE)
    mask[..., :32] = 1
    composed = renderer()(source, own, target, flows, [mask[..., ::4, ::4], mask[..., ::2, ::2], mask])
    assert torch.equal(composed.image[..., :32], sample_bilinear(source, flow)[..., :32])
    assert torch.equal(composed.image[..., 32:], composed.generated[..., 32:])


def test_gradients_reach_flow_mask_and_both_sides():
    source, own, target = inputs()
    model = PairModel(guided(), renderer())
    out = model(source, own, target)
    (out.image.square().mean() + out.generated.square().mean()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.renderer.to_image.parameters())
    assert model.flow_estimator.head.weight.grad.abs().max() > 0


# Clips --------------------------------------------------------------------------------------------------------


def clip_inputs() -> tuple[Tensor, ...]:
    """Previous frame, its structure, reference, its structure, target structure."""
    reference, own, target = inputs()
    return reference.flip(-1), heatmaps(SQUARE + 1).expand(2, -1, -1, -1), reference, own, target


def guided_clips() -> GuidedClipFlowEstimator:
    prior = dict(type="PartFlow", layout=TORSO)
    return GuidedClipFlowEstimator(
        GuidedFlowEstimator(4, prior, base_width=16, max_width=16, full_width=16, norm="group")
    )


def test_both_flows_of_a_clip_are_those_of_one_network_for_pairs():
    previous, previous_structure, reference, own, target = clip_inputs()
    network = guided_clips()
    torch.nn.init.normal_(network.estimator.head.weight, std=0.01)  # as trained: not the prior alone
    flows, masks = network(previous, previous_structure, reference, own, target)
    sources = {"previous": (previous, previous_structure), "reference": (reference, own)}
    for origin, source in sources.items():
        alone = network.estimator(*source, target)
        for found, expected in zip((getattr(flows, origin), getattr(masks, origin)), alone, strict=True):
            for level, expected_level in zip(found, expected, strict=True):
                torch.testing.assert_close(level, expected_level, atol=1e-4, rtol=1e-4)


def levels_of(value: Tensor) -> list[Tensor]:
    """Maps of levels 2, 1 and 0, constant over blocks of 4×4 pixels."""
    return [value[..., ::4, ::4], value[..., ::2, ::2], value]


def test_a_frame_keeps_the_reference_then_the_previous_frame_and_generates_the_rest():
    previous, _, reference, _, target = clip_inputs()
    rest = [torch.zeros(2, 2, side, side) for side in (16, 32, 64)]
    of_reference, of_previous = torch.zeros(2, 2, 1, *SIZE)
    of_reference[..., :32] = 1
    of_previous[..., 16:48] = 1
    network = ComposingClipRenderer(ComposingRenderer(4, base_width=16, max_width=16))
    masks = Origins(levels_of(of_previous), levels_of(of_reference))
    image, generated = network(previous, reference, target, Origins(rest, rest), masks)
    torch.testing.assert_close(image[..., :32], reference[..., :32])
    torch.testing.assert_close(image[..., 32:48], previous[..., 32:48])
    torch.testing.assert_close(image[..., 48:], generated[..., 48:])


def test_without_the_previous_frame_a_frame_is_composed_as_a_pair():
    previous, _, reference, own, target = clip_inputs()
    flows = [torch.rand(2, 2, side, side) for side in (16, 32, 64)]
    masks, none = levels_of(torch.rand(2, 1, *SIZE)), levels_of(torch.zeros(2, 1, *SIZE))
    network = ComposingClipRenderer(ComposingRenderer(4, base_width=16, max_width=16))
    found = network(previous, reference, target, Origins(flows, flows), Origins(none, masks))
    expected = network.composer(reference, own, target, flows, masks)
    torch.testing.assert_close(found.image, expected.image)
    torch.testing.assert_close(found.generated, expected.generated)


def test_a_guided_clip_model_animates_and_learns_from_both_sides():
    model = ClipModel(guided_clips(), ComposingClipRenderer(ComposingRenderer(4, base_width=16, max_width=16)))
    frame = model(*clip_inputs())
    assert frame.generated.shape == frame.image.shape == (2, 3, *SIZE)
    (frame.image.square().mean() + frame.generated.square().mean()).backward()
    assert model.flow_estimator.estimator.head.weight.grad.abs().max() > 0
    assert model.renderer.composer.to_image.conv.weight.grad.abs().max() > 0
    _, _, reference, own, target = clip_inputs()
    clip = model.eval().animate(reference, own, target.unsqueeze(1).repeat(1, 2, 1, 1, 1))
    assert clip.frames.shape == (2, 2, 3, *SIZE)


def test_a_prior_is_computed_in_float32_under_autocast():
    source, own, target = inputs()
    network = guided()
    with torch.autocast("cpu", torch.bfloat16):
        flows, _ = network(source, own, target)
    assert (flows[-1] - network.prior(own, target).flow).abs().max() < 1e-3  # pixels; bfloat16 rounds 40 to 0.25
