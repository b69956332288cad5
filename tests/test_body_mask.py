"""The body as a mask: discs, limbs and torso against their exact shapes, and closing."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from posegen_people.body_mask import BodyMask
from posegen_people.layouts import OPENPOSE_18
from scipy.ndimage import binary_closing

from posegen.data.keypoints import KeypointLayout, Keypoints
from posegen.data.structure import StructureEncoder
from posegen.errors import ConfigError
from posegen.registry import STRUCTURE_ENCODERS
from posegen.testing import check_structure_encoder

SIZE = (128, 64)
STANDING = {
    "nose": (32, 16), "neck": (32, 28), "right shoulder": (22, 29), "right elbow": (18, 44), "right wrist": (17, 58),
    "left shoulder": (42, 29), "left elbow": (46, 44), "left wrist": (47, 58), "right hip": (26, 62),
    "right knee": (25, 86), "right ankle": (25, 110), "left hip": (38, 62), "left knee": (39, 86),
    "left ankle": (39, 110), "right eye": (29, 13), "left eye": (35, 13), "right ear": (26, 15), "left ear": (38, 15),
}  # fmt: skip


def points(**at: tuple[float, float]) -> Keypoints:
    """Return the named ones of the 18 points; spaces in names are underscores."""
    places = [at.get(name.replace(" ", "_")) for name in OPENPOSE_18.names]
    return Keypoints(np.array([place or (0, 0) for place in places]), np.array([place is not None for place in places]))


def standing() -> Keypoints:
    return points(**{name.replace(" ", "_"): at for name, at in STANDING.items()})


def mask(keypoints: Keypoints, size: tuple[int, int] = SIZE, **options: object) -> np.ndarray:
    return BodyMask(OPENPOSE_18, **options).encode(keypoints, size)[0].numpy().astype(bool)


def to_segment(first: tuple[float, float], second: tuple[float, float], size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return the distance of each pixel to the line between two points."""
    y, x = np.mgrid[: size[0], : size[1]]
    pixel, first, second = np.stack([x, y], -1), np.array(first, float), np.array(second, float)
    direction = second - first
    share = np.clip((pixel - first) @ direction / max(direction @ direction, 1e-9), 0, 1)
    return np.linalg.norm(pixel - first - share[..., None] * direction, axis=-1)


def test_it_is_a_structure_encoder_like_any_other() -> None:
    encoder = STRUCTURE_ENCODERS.build_part({"type": "BodyMask", "layout": "openpose18"})
    assert isinstance(encoder, StructureEncoder)
    check_structure_encoder(encoder, standing(), SIZE)
    structure = encoder.encode(standing(), SIZE)
    assert structure.shape == (1, *SIZE)
    assert structure.dtype is torch.float32
    assert structure.unique().tolist() == [0, 1]


@pytest.mark.parametrize("point", [(32, 60), (31.4, 60.7)])
def test_a_point_alone_is_a_disc(point: tuple[float, float]) -> None:
    found = mask(points(nose=point))
    distance = to_segment(point, point)
    assert found[distance <= 3.5].all()  # half a pixel for the grid
    assert not found[distance > 4.75].any()  # OpenCV's rim, and the corners that closing fills


@pytest.mark.parametrize("ankle", [(20, 90), (44.5, 71.3), (30, 40)])  # upright, aslant, pointing up
def test_a_limb_is_as_wide_as_its_discs(ankle: tuple[float, float]) -> None:
    knee = (30, 60)
    found = mask(points(right_knee=knee, right_ankle=ankle))
    distance = to_segment(knee, ankle)
    assert found[distance <= 3.5].all()
    assert not found[distance > 5].any()


def test_a_limb_is_drawn_where_both_ends_are_known() -> None:
    found = mask(points(right_knee=(30, 30), left_ankle=(30, 90)))  # no limb of the layout
    assert not found[60].any()
    assert found[[30, 90]].any(1).all()


def test_the_torso_is_filled_also_of_a_person_turned_about() -> None:
    front = mask(standing())
    inside = (slice(34, 58), 32)
    assert front[inside].all()
    assert mask(standing().mirror(64, OPENPOSE_18))[inside].all()
    crossed = standing()
    crossed.points[[8, 11]] = crossed.points[[11, 8]]  # hips the other way round than shoulders
    assert mask(crossed)[inside].all()
    without_hip = standing()
    without_hip.present[8] = False
    assert mask(without_hip).sum() < front.sum()


def test_closing_fills_what_is_narrower_than_its_square() -> None:
    legs = points(right_knee=(24, 60), right_ankle=(24, 90), left_knee=(37, 60), left_ankle=(37, 90))
    gap = (75, slice(29, 33))  # columns 24+4 and 37-4 are covered
    assert not mask(legs, closing=1)[gap].any()
    assert mask(legs, closing=5)[gap].all()
    plain = mask(standing(), closing=1)
    padded = np.pad(plain, 8)
    expected = binary_closing(padded, np.ones((5, 5)))[8:-8, 8:-8]
    assert np.array_equal(mask(standing(), closing=5), expected)


def test_no_points_no_mask() -> None:
    assert not mask(points()).any()


def test_points_outside_the_picture_are_cut_off() -> None:
    assert not mask(points(nose=(1e9, -1e9))).any()
    found = mask(points(nose=(-2, 60)))
    assert found[60, :2].all()
    assert not found[:, 4:].any()


def test_measures_are_those_of_an_image_of_128_rows() -> None:
    small = mask(standing())
    large = mask(standing().scale(2, 2), (256, 128))
    agreement = large[::2, ::2] == small
    assert agreement.mean() > 0.97  # all but the rim
    unscaled = mask(standing().scale(2, 2), (256, 128), reference_height=None)
    assert unscaled.sum() < 0.75 * large.sum()


def test_options_change_what_they_say() -> None:
    wrist = points(right_wrist=(32, 60))
    assert mask(wrist, radius=8).sum() / mask(wrist).sum() == pytest.approx(4, rel=0.25)  # areas
    forearm = points(right_elbow=(32, 30), right_wrist=(32, 90))
    assert mask(forearm, width=16)[60].sum() == pytest.approx(16, abs=1)
    assert mask(forearm, width=8)[60].sum() == pytest.approx(8, abs=1)


def test_the_picture_is_white_on_black() -> None:
    encoder = BodyMask(OPENPOSE_18)
    structure = encoder.encode(standing(), SIZE)
    picture = encoder.draw(structure)
    assert np.array_equal(picture, np.repeat(structure[0].numpy()[..., None] * 255, 3, 2).astype(np.uint8))


def test_what_cannot_be_drawn_is_said() -> None:
    with pytest.raises(ConfigError, match="got radius=0"):
        BodyMask(OPENPOSE_18, radius=0)
    dots = KeypointLayout("dots", ("left hip",), (0,), (), ((0, 0, 0),))
    with pytest.raises(ConfigError, match="'dots' has no right shoulder, left shoulder, right hip"):
        BodyMask(dots)
