"""The one-Euro filter: less jitter at rest, little delay in motion, missing points start anew."""

from __future__ import annotations

import numpy as np
import pytest

from posegen.data import Keypoints
from posegen.data.smoothing import OneEuroFilter
from posegen.errors import ConfigError

CORNERS = np.array([[0.0, 0], [100, 0], [100, 100], [0, 100]])  # a subject of size 100


def clip(offsets: np.ndarray, scale: float = 1) -> list[Keypoints]:
    """Key points of a subject that is moved by an offset (x, y) in each frame."""
    return [Keypoints((CORNERS + offset) * scale, np.ones(4)) for offset in offsets]


def smoothed(frames: list[Keypoints], **arguments) -> np.ndarray:
    """First point of each smoothed frame."""
    smooth = OneEuroFilter(**{"fps": 25, **arguments})
    return np.stack([smooth(frame).points[0] for frame in frames])


def test_values_are_those_of_the_formula():
    """Two steps by hand: weights 1/(1 + fps/2πf) of speed (f = 1 Hz) and of position (f = 1 + 10·|speed| Hz)."""
    offsets = np.array([[0.0, 0], [4, 3]])  # 5 pixels in a frame of 1/25 s: 1.25 sizes a second
    speed = 1.25 / (1 + 25 / (2 * np.pi))
    weight = 1 / (1 + 25 / (2 * np.pi * (1 + 10 * speed)))
    assert smoothed(clip(offsets)) == pytest.approx(np.array([[0, 0], [4 * weight, 3 * weight]]), rel=1e-5)


def test_jitter_at_rest_is_reduced_and_a_still_point_stays():
    jitter = np.random.default_rng(0).normal(0, 0.5, (200, 2))
    assert smoothed(clip(jitter))[20:].std() < 0.6 * jitter[20:].std()
    assert smoothed(clip(np.full((5, 2), 7.0))) == pytest.approx(np.full((5, 2), 7.0))


def test_fast_motion_is_followed_with_little_delay():
    run = np.arange(100)[:, None] * np.array([12.0, 0])  # 3 sizes a second
    delay = (run - smoothed(clip(run)))[50:, 0] / 12
    assert delay.max() < 0.15  # frames
    without_gain = (run - smoothed(clip(run), speed_gain=0))[50:, 0] / 12
    assert without_gain.min() > 3


def test_the_result_does_not_depend_on_the_resolution():
    offsets = np.random.default_rng(1).normal(0, 5, (30, 2)).cumsum(0)
    assert smoothed(clip(offsets, scale=4)) == pytest.approx(4 * smoothed(clip(offsets)), rel=1e-4, abs=1e-3)


def test_a_missing_point_stays_missing_and_starts_anew():
    frames = clip(np.array([[0.0, 0], [0, 0], [50, 0], [50, 0]]))
    frames[1].present[0] = False
    smooth = OneEuroFilter(25)
    result = [smooth(frame) for frame in frames]
    assert [frame.present[0] for frame in result] == [True, False, True, True]
    assert result[2].points[0] == pytest.approx((50, 0))
    assert result[2].points[1, 0] < 150  # the other points were never away


def test_frame_size_is_kept_and_the_input_is_not_changed():
    given = Keypoints(CORNERS, np.ones(4), frame=(120, 130), chosen="1 of 2")
    moved = Keypoints(CORNERS + 9, np.ones(4), frame=(120, 130), chosen="1 of 2")
    smooth = OneEuroFilter(25)
    result = [smooth(given), smooth(moved)][1]
    assert (result.frame, result.chosen) == ((120, 130), "1 of 2")
    assert moved.points == pytest.approx(CORNERS + 9)


def test_nobody_in_a_frame_is_no_error():
    assert not OneEuroFilter(25)(Keypoints(np.zeros((4, 2)), np.zeros(4))).present.any()


@pytest.mark.parametrize("arguments", [{"fps": 0}, {"min_cutoff": -1}, {"speed_gain": -1}, {"speed_cutoff": 0}])
def test_senseless_arguments_are_refused(arguments):
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        OneEuroFilter(**{"fps": 25, **arguments})


def test_another_number_of_points_is_refused():
    smooth = OneEuroFilter(25)
    smooth(clip(np.zeros((1, 2)))[0])
    with pytest.raises(ConfigError, match="4 points, and now with 2"):
        smooth(Keypoints(np.zeros((2, 2)), np.ones(2)))
