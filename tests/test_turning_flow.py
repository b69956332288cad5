"""The flow prior of people who turn."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from posegen_people.layouts import COCO_17, LSP_14, OPENPOSE_18
from posegen_people.turning_flow import TurningPartFlow
from posegen_people3d.people3d import People3D

from posegen.data.keypoints import RigidPart
from posegen.errors import ConfigError
from posegen.models import GuidedFlowEstimator, PartFlow
from posegen.records import collate_pairs

SIZE = (128, 64)


@pytest.fixture(scope="module")
def turning():
    """Six people who turn by 45° to 135°."""
    people = People3D(6, dict(type="HeatmapEncoder", layout="openpose18"), SIZE, seed=11, turn=(45, 135))
    return collate_pairs([people[index] for index in range(len(people))])


def flow_error(prior: PartFlow, batch) -> float:
    """Mean end-point error on the visible pixels of the people."""
    flow = prior(batch.source_structure, batch.target_structure).flow
    seen = (batch.visible * batch.foreground)[:, 0]
    return float(((flow - batch.flow).norm(dim=1) * seen).sum() / seen.sum())


def test_the_flow_of_people_who_turn_is_nearer_to_the_exact_one(turning):
    assert flow_error(TurningPartFlow("openpose18"), turning) < 0.7 * flow_error(PartFlow("openpose18"), turning)


def test_without_its_weights_it_is_the_flow_of_the_parts(turning):
    structures = turning.source_structure, turning.target_structure
    plain, prior = PartFlow("openpose18")(*structures), TurningPartFlow("openpose18", fitted=False)(*structures)
    assert torch.equal(prior.flows, plain.flows)
    assert torch.equal(prior.scores, plain.scores)
    assert torch.equal(prior.visible, plain.visible)


def points_of(layout, seed: int):
    """A person who stands, disturbed; key points B K 2 in pixels of SIZE."""
    rest = torch.tensor([place or (0, 0) for place in layout.rest]) * 100 + torch.tensor([32.0, 14.0])
    return (rest + 3 * torch.randn(rest.shape, generator=torch.Generator().manual_seed(seed)))[None]


@pytest.mark.parametrize("layout", [OPENPOSE_18, COCO_17, LSP_14], ids=lambda layout: layout.name)
def test_an_image_of_twice_the_size_has_twice_the_flow(layout):
    prior = TurningPartFlow(layout)
    source, target = points_of(layout, 0), points_of(layout, 1)
    known = torch.ones(1, len(layout), dtype=torch.bool)
    small = prior.from_points(source, target, known, known, SIZE)
    large = prior.from_points(2 * source, 2 * target, known, known, (2 * SIZE[0], 2 * SIZE[1]))
    assert torch.allclose(large.flows[..., ::2, ::2], 2 * small.flows, atol=1e-2)
    assert torch.allclose(large.scores[..., ::2, ::2], small.scores, atol=1e-2)


def test_a_part_whose_end_is_missing_stays_absent():
    known = torch.ones(1, 18, dtype=torch.bool)
    known[0, OPENPOSE_18.names.index("left wrist")] = False
    prior = TurningPartFlow("openpose18")
    found = prior.from_points(points_of(OPENPOSE_18, 0), points_of(OPENPOSE_18, 1), known, ~known | known, SIZE)
    forearm = [part.name for part in prior.parts].index("left forearm")
    assert found.scores[0, forearm].max() < -1e3
    assert torch.isfinite(found.flow).all()
    nothing = torch.zeros_like(known)
    empty = prior.from_points(torch.zeros(1, 18, 2), torch.zeros(1, 18, 2), nothing, nothing, SIZE)
    assert empty.flow.abs().max() == 0


def test_it_is_stored_with_the_estimator_and_does_not_train(turning):
    prior = dict(type="TurningPartFlow", layout="openpose18")
    network = GuidedFlowEstimator(18, prior, base_width=16, max_width=16, full_width=16, norm="group")
    flows, _ = network(turning.source, turning.source_structure, turning.target_structure)
    flows[-1].square().mean().backward()
    inner = {f"prior.{name}" for name, _ in network.prior.named_parameters()}
    assert inner <= network.state_dict().keys()
    assert inner
    assert all(parameter.grad is None for parameter in network.prior.parameters())
    assert network.head.weight.grad.abs().max() > 0


def test_it_is_built_without_memory_and_filled_later(recwarn):
    with torch.device("meta"):
        empty = TurningPartFlow("openpose18")
    empty.load_state_dict(TurningPartFlow("openpose18").state_dict(), assign=True)
    assert not recwarn.list
    assert all(parameter.device.type == "cpu" for parameter in empty.parameters())


def test_other_subjects_and_weights_of_another_width_are_refused():
    beast = dataclasses.replace(OPENPOSE_18, name="beast", parts=(RigidPart("tail", (0,), (1,), 0.1),))
    with pytest.raises(ConfigError, match=r"parts of people; 'beast' has \['tail'\]"):
        TurningPartFlow(beast)
    with pytest.raises(ConfigError, match="another width or depth"):
        TurningPartFlow("openpose18", width=64)
