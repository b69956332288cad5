"""Poses between two poses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posegen.data import KeypointLayout, Keypoints, get_layout
from posegen.errors import InputError
from posegen.inference import interpolate_keypoints

LAYOUT = get_layout("openpose18")
WIDE = {pair for pair in LAYOUT.limbs if LAYOUT.partner[pair[0]] == pair[0] and LAYOUT.partner[pair[1]] != pair[1]}
SWING = KeypointLayout("swing", ("hinge", "tip"), (0, 1), ((0, 1),), ((255, 0, 0), (0, 255, 0)))
coordinates = st.lists(st.integers(0, 99), min_size=36, max_size=36)
presences = st.lists(st.booleans(), min_size=18, max_size=18)


def pose(numbers: list[int], present: list[bool] | None = None) -> Keypoints:
    return Keypoints(np.reshape(numbers, (18, 2)), present or [True] * 18)


def two_joints(tip: tuple[float, float]) -> Keypoints:
    return Keypoints([(50, 50), tip], [True, True])


def lengths(points: Keypoints) -> dict[tuple[int, int], float]:
    return {pair: float(np.linalg.norm(points.points[pair[1]] - points.points[pair[0]])) for pair in LAYOUT.limbs}


@given(coordinates, coordinates, st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_no_limb_is_shorter_on_the_way_than_at_its_ends(start, end, fraction):
    ends = lengths(pose(start)), lengths(pose(end))
    between = lengths(interpolate_keypoints(pose(start), pose(end), LAYOUT, fraction))
    for pair in set(LAYOUT.limbs) - WIDE:
        least, most = sorted((ends[0][pair], ends[1][pair]))
        assert least - 1e-3 <= between[pair] <= most + 1e-3  # pixels, of float32


@given(coordinates, coordinates, presences, presences)
@settings(max_examples=25, deadline=None)
def test_the_ends_are_the_poses_with_the_points_they_have(start, end, in_start, in_end):
    first, last = pose(start, in_start), pose(end, in_end)
    for fraction, true in ((0.0, first), (1.0, last)):
        found = interpolate_keypoints(first, last, LAYOUT, fraction)
        assert (found.present == true.present).all()
        assert np.allclose(found.points[true.present], true.points[true.present], atol=1e-3)
        assert np.isfinite(found.points).all()


def test_a_limb_turns_the_shorter_way():
    """From 170° to −170°: over 180°, not back over 0°."""
    ends = [two_joints((50 + 10 * np.cos(angle), 50 + 10 * np.sin(angle))) for angle in np.radians((170, -170))]
    assert np.allclose(interpolate_keypoints(*ends, SWING, 0.5).points[1], (40, 50), atol=1e-3)


def test_the_sides_of_a_subject_that_turns_around_change_places_in_straight_lines():
    front, back = (Keypoints(np.tile((50.0, 50.0), (18, 1)), np.isin(np.arange(18), (1, 2, 3, 5, 6))) for _ in range(2))
    right, right_elbow, left, left_elbow = 2, 3, 5, 6
    for points, side in ((front.points, -1), (back.points, 1)):
        points[[right, right_elbow], 0] += 20 * side
        points[[left, left_elbow], 0] -= 20 * side
        points[[right_elbow, left_elbow], 1] += 30
    for fraction in (0.25, 0.5, 0.75):
        found = interpolate_keypoints(front, back, LAYOUT, fraction).points
        assert np.allclose(found[[right, left], 1], 50)  # neither shoulder goes over the head
        assert np.allclose(found[[right_elbow, left_elbow], 1], 80)  # the arms hang down


def test_a_point_of_one_pose_is_present_in_its_half_and_keeps_its_offset():
    start = two_joints((60, 50))
    end = Keypoints([(70, 50), (0, 0)], [True, False])
    early, late = (interpolate_keypoints(start, end, SWING, fraction) for fraction in (0.4, 0.5))
    assert early.present.tolist() == [True, True]
    assert np.allclose(early.points, [(58, 50), (68, 50)])
    assert late.present.tolist() == [True, False]


def test_points_without_limbs_move_in_straight_lines():
    layout = KeypointLayout("dots", ("one", "two"), (1, 0), (), ((255, 0, 0), (0, 255, 0)))
    found = interpolate_keypoints(two_joints((60, 50)), two_joints((50, 60)), layout, 0.5)
    assert np.allclose(found.points, [(50, 50), (55, 55)])


def test_other_layouts_and_fractions_are_refused():
    with pytest.raises(InputError, match="18 points"):
        interpolate_keypoints(two_joints((1, 1)), two_joints((1, 1)), LAYOUT, 0.5)
    with pytest.raises(InputError, match="fraction"):
        interpolate_keypoints(two_joints((1, 1)), two_joints((1, 1)), SWING, 1.5)
