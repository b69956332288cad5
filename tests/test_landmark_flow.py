"""The flow prior of faces, and the structure it reads landmarks from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from posegen_faces.drawn import DrawnFaces, landmarks
from posegen_faces.landmark_flow import LandmarkFlow, moving_least_squares
from posegen_faces.layouts import IBUG_68
from posegen_faces.structure import FaceLandmarkEncoder, FaceStructureEncoder
from torch import Tensor

from posegen.data import Keypoints
from posegen.errors import ConfigError
from posegen.testing import check_structure_encoder

SIZE = (64, 64)
DRAWN = DrawnFaces(2, FaceStructureEncoder(), frames=3, seed=5)
LOOK, POSES, _ = DRAWN.scene(0)
FACE = torch.from_numpy(landmarks(LOOK, POSES))[:1]  # 1 68 2
EVERY = torch.ones(1, 68, dtype=torch.bool)
NOSE_TIP, CHIN = 30, 8
SURFACE, HAIR, SHOULDERS, REST = range(4)


def grid() -> Tensor:
    """Pixel coordinates 2 H W."""
    return torch.stack(torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="xy"))


def affine(matrix: list[list[float]], shift: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Move the face about (32, 32): landmarks 1 68 2, and the flow 2 H W of the whole picture."""
    turn, to = torch.tensor(matrix), 32 + torch.tensor(shift)
    flow = torch.einsum("ij,jhw->ihw", turn, grid() - 32) + to[:, None, None] - grid()
    return (FACE - 32) @ turn.T + to, flow


def prior(source: Tensor, present: Tensor = EVERY):
    return LandmarkFlow().from_points(source, FACE, present, SIZE)


TURN = [[0.96, -0.28], [0.28, 0.96]]
SHEAR = [[1.1, 0.2], [-0.1, 0.85]]


@pytest.mark.parametrize("matrix", [[[1.0, 0.0], [0.0, 1.0]], TURN, SHEAR])
def test_an_affine_motion_of_the_face_is_exact_everywhere(matrix):
    source, exact = affine(matrix, (4.0, -3.0))
    assert (prior(source).flows[0, SURFACE] - exact).abs().max() < 0.05  # pixels


def test_hair_shifts_tilts_and_grows_with_the_head_and_shoulders_do_not_tilt():
    source, exact = affine([[0.9 * value for value in row] for row in TURN], (2.0, 3.0))
    found = prior(source).flows[0]
    assert (found[HAIR] - exact).abs().max() < 1e-2
    source, exact = affine([[1.2, 0.0], [0.0, 1.2]], (-2.0, 3.0))
    assert (prior(source).flows[0, SHOULDERS] - exact).abs().max() < 1e-2


def test_no_motion_is_no_flow():
    assert prior(FACE).flow.abs().max() < 1e-3


def test_the_background_rests():
    face = (FACE - 32) * 0.6 + 32  # leaves room around the head
    found = LandmarkFlow().from_points(face + torch.tensor([8.0, 0.0]), face, EVERY, SIZE)
    assert found.flow[..., :6, :6].abs().max() < 0.05  # the upper corners
    assert found.flow[..., :6, -6:].abs().max() < 0.05
    assert found.flows[0, REST].abs().max() == 0
    x, y = face[0, NOSE_TIP].round().int().tolist()
    assert found.cover[0, 0, y, x] > 0.95
    assert found.flow[0, 0, y, x] == pytest.approx(8, abs=0.1)


@pytest.mark.parametrize("missing", [CHIN, NOSE_TIP])
def test_a_missing_landmark_is_left_out_wherever_it_stands(missing):
    source, exact = affine(SHEAR, (4.0, -3.0))
    source[0, missing] = torch.tensor([900.0, float("nan")])
    present = EVERY.clone()
    present[0, missing] = False
    found = prior(source, present)
    assert (found.flows[0, SURFACE] - exact).abs().max() < 0.05
    assert torch.isfinite(found.flow).all()


def test_hair_and_shoulders_are_unknown_without_a_landmark_that_places_the_head():
    present = EVERY.clone()
    present[0, NOSE_TIP] = False
    weights = prior(FACE + 3, present).scores.softmax(1)
    assert weights[:, [HAIR, SHOULDERS]].max() == 0
    present[0, NOSE_TIP], present[0, CHIN] = True, False
    assert prior(FACE + 3, present).scores.softmax(1)[:, SHOULDERS].max() > 0.5


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_landmarks_shift_the_surface(count):
    present = torch.zeros_like(EVERY)
    present[0, [CHIN, 3, NOSE_TIP][:count]] = True
    found = prior(FACE + torch.tensor([3.0, -2.0]), present)
    exact = torch.tensor([3.0, -2.0])[:, None, None].expand(2, *SIZE)
    torch.testing.assert_close(found.flows[0, SURFACE], exact, atol=1e-2, rtol=0)


def test_without_landmarks_everything_rests():
    found = prior(FACE + 3, torch.zeros_like(EVERY))
    assert found.flow.abs().max() == 0
    assert found.cover.max() == 0
    assert found.visible.min() == 1


def test_the_flow_through_control_points_has_exact_gradients():
    torch.manual_seed(0)
    places, target = torch.rand(1, 5, 2, dtype=torch.double) * 8, torch.rand(2, 6, 2, dtype=torch.double) * 8
    shifts = torch.rand(2, 6, 2, dtype=torch.double)

    def flow(target, source):
        distance = (places.unsqueeze(2) - target.unsqueeze(1)).square().sum(-1)
        return moving_least_squares(places, distance, target, source, softness=1.0)

    assert torch.autograd.gradcheck(flow, (target.requires_grad_(), (target + shifts).detach().requires_grad_()))


def test_the_landmarks_tell_most_of_a_drawn_faces_motion():
    clip = DRAWN[1]
    look, poses, _ = DRAWN.scene(1)
    points = torch.from_numpy(landmarks(look, poses))
    source, present = points[:1].expand(3, -1, -1), EVERY.expand(3, -1)
    found = LandmarkFlow().from_points(source, points[1:], present, SIZE)
    counts = clip.visible * clip.foreground
    error = ((found.flow - clip.flow).norm(dim=1, keepdim=True) * counts).sum()
    assert error < 0.4 * (clip.flow.norm(dim=1, keepdim=True) * counts).sum()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(dict(layout=dataclasses.replace(IBUG_68, name="dots", names=("dot",))), "not 'dots'"), (dict(softness=0), "0")],
)
def test_a_prior_of_other_points_or_without_softness_is_refused(arguments, named):
    with pytest.raises(ConfigError, match=named):
        LandmarkFlow(**arguments)


# The structure ------------------------------------------------------------------------------------------------


def keypoints(shift: float = 0.0) -> Keypoints:
    return Keypoints(FACE[0].numpy() + np.float32(shift), np.ones(68))


def test_the_structure_is_heat_maps_then_the_published_channels():
    encoder = FaceLandmarkEncoder(sigma=2, divisor=0.5)
    structure = encoder.encode(keypoints(), SIZE)
    assert structure.shape == (84, *SIZE)
    assert torch.equal(structure[68:], FaceStructureEncoder(divisor=0.5).encode(keypoints(), SIZE))
    found = encoder.decode(structure)
    assert np.abs(found.points - FACE[0].numpy()).max() < 0.01
    assert found.present.all()
    assert np.array_equal(encoder.draw(structure), encoder.face.draw(structure[68:]))


def test_the_prior_reads_landmarks_from_structures():
    encoder = FaceLandmarkEncoder(sigma=2)
    source, target = (encoder.encode(keypoints(shift), SIZE)[None] for shift in (2.3, 0.0))
    found, expected = LandmarkFlow()(source, target), prior(FACE + 2.3)
    assert (found.flow - expected.flow).abs().max() < 0.05
    assert (found.visible - expected.visible).abs().max() < 0.05


def test_the_encoder_keeps_the_contract_and_refuses_a_sigma_that_is_none():
    check_structure_encoder(FaceLandmarkEncoder(), keypoints(), SIZE)
    with pytest.raises(ConfigError, match="sigma"):
        FaceLandmarkEncoder(sigma=0)
