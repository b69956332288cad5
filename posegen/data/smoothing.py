"""Smooth the key points of a clip with the one-Euro filter (Casiez et al., CHI 2012)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from ..errors import ConfigError
from .keypoints import Keypoints


class OneEuroFilter:
    """Low-pass filter of a moving subject's key points, frame by frame.

    The cutoff frequency of each point rises with its speed: points at rest lose their jitter, and fast ones are hardly
    delayed. Speed is measured in sizes of the subject (mean of width and height of its present points) per second, so
    that the result does not depend on the resolution.

    A point that is missing stays missing, and starts anew when it is back. Call one filter with the frames of one
    subject in order.

    Args:
        fps: frames per second.
        min_cutoff: cutoff frequency of a point at rest, in Hz. A lower one removes more jitter.
        speed_gain: Hz of cutoff frequency that a speed of one subject size per second adds (β of the paper). A higher
            one delays fast points less.
        speed_cutoff: cutoff frequency of the speed itself, in Hz.

    Raises:
        ConfigError: an argument is not a positive number; only ``speed_gain`` may be 0.
    """

    def __init__(self, fps: float, min_cutoff: float = 1.0, speed_gain: float = 10.0, speed_cutoff: float = 1.0):
        values = {"fps": fps, "min_cutoff": min_cutoff, "speed_cutoff": speed_cutoff}
        for name, value in values.items():
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} must be a positive number, got {value}")
        if not 0 <= speed_gain < math.inf:
            raise ConfigError(f"speed_gain must be 0 or more, got {speed_gain}")
        self.fps, self.min_cutoff, self.speed_gain, self.speed_cutoff = fps, min_cutoff, speed_gain, speed_cutoff
        self._before: Keypoints | None = None  # as given
        self._smooth = np.zeros((0, 2), np.float32)
        self._speed = np.zeros((0, 2), np.float32)

    def __call__(self, keypoints: Keypoints) -> Keypoints:
        """Return the smoothed points of the next frame; frame size and the rest are kept.

        Raises:
            ConfigError: the number of points differs from the frames before.
        """
        points, before = keypoints.points, self._before
        if before is None:
            before = replace(keypoints, present=np.zeros(len(keypoints), bool))
            self._smooth, self._speed = points.copy(), np.zeros_like(points)
        if len(before) != len(keypoints):
            raise ConfigError(f"the filter was called with {len(before)} points, and now with {len(keypoints)}")
        known = (keypoints.present & before.present)[:, None]
        speed = np.where(known, (points - before.points) * self.fps / _subject_size(keypoints), 0)
        self._speed = np.where(known, _mix(self._speed, speed, self._weight(self.speed_cutoff)), 0)
        cutoff = self.min_cutoff + self.speed_gain * np.linalg.norm(self._speed, axis=1, keepdims=True)
        self._smooth = np.where(known, _mix(self._smooth, points, self._weight(cutoff)), points)
        self._before = keypoints
        return replace(keypoints, points=self._smooth, present=keypoints.present.copy())

    def _weight(self, cutoff: float | np.ndarray) -> float | np.ndarray:
        """Return the weight of the newest value, 0 to 1, in exponential smoothing with this cutoff frequency."""
        return 1 / (1 + self.fps / (2 * np.pi * cutoff))


def _mix(old: np.ndarray, new: np.ndarray, weight: float | np.ndarray) -> np.ndarray:
    return old + weight * (new - old)


def _subject_size(keypoints: Keypoints) -> float:
    """Return the mean of width and height of the present points in pixels, at least 1."""
    present = keypoints.points[keypoints.present]
    return max(float(np.ptp(present, axis=0).mean()), 1.0) if len(present) else 1.0
