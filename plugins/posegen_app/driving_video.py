"""The motion of a figure in an uploaded video."""

from __future__ import annotations

from collections.abc import Generator
from itertools import islice
from pathlib import Path
from typing import Any

from posegen.data import KeypointLayout, Keypoints
from posegen.data.estimators import load_estimator
from posegen.data.video import VideoReader
from posegen.errors import DataError
from posegen.inference.driving import Follower, drop_partial, fill, in_frame, smooth


def read_motion(
    path: Path, layout: KeypointLayout, fps: float, limit: int
) -> Generator[dict[str, Any], None, list[Keypoints]]:
    """Follow the largest figure through the first frames of a video; a frame without it holds the pose before.

    Args:
        path: the video.
        layout: layout of the key points.
        fps: frames per second at which the video is read.
        limit: maximum number of frames.

    Yields:
        The progress: ``{"done", "of", "what"}``.

    Returns:
        The pose of each frame, in pixels of the video.

    Raises:
        DataError: no video, or no figure in it.
        ConfigError, MissingWeightsError: no plugin estimates such key points, or it cannot run here.
    """
    video, follower = VideoReader(path, fps), Follower(fps)
    estimate = load_estimator(layout, clip=True)
    count = min(video.count or limit, limit)
    for number, frame in enumerate(islice(video, limit)):
        yield {"done": min(number, count), "of": count, "what": "Key points of frame"}
        follower(in_frame(estimate(frame), frame))
    if all(points is None for points in follower.found):
        raise DataError(path.name, "no figure was found in any frame")
    return [points for points in smooth(fill(drop_partial(follower.found), "hold", layout), fps) if points is not None]
