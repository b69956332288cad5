"""Read the frames of a video at a constant rate, upright."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import repeat
from pathlib import Path

import av
import av.error
import numpy as np

from ..errors import DataError
from .images import MOST_PIXELS

VIDEO_ENDINGS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif")
"""Endings of video files, in lower case."""


class VideoReader:
    """Frames of a video, uint8 H W 3, RGB, as a player shows them.

    Frames come at a constant rate. Where that of the file is another one, or varies, as in recordings of phones, frames
    are repeated or left out, so that the duration is kept. The rotation that a phone notes is applied. Each iteration
    starts at the first frame.

    Args:
        path: the file.
        fps: frames per second; None: the average of the file.

    Attributes:
        fps: frames per second, exact.
        count: number of frames by the duration that the file states; 0: unknown.

    Raises:
        DataError: no such file, not a video, or damaged; frames that are too large, or none.
    """

    def __init__(self, path: str | Path, fps: float | Fraction | None = None) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(path, "is a folder; a video is one file" if self.path.is_dir() else "no such file")
        with self._opened() as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate
            if not rate or stream.width * stream.height > MOST_PIXELS:
                raise DataError(path, f"no frame rate, or too large: {stream.width}×{stream.height} pixels")
            self.fps = Fraction(rate) if fps is None else Fraction(fps).limit_denominator(1001)
            self.count = round(_duration(container) * self.fps)

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield the frames. DataError: the file is damaged."""
        shown: av.VideoFrame | None = None
        count, start = 0, 0.0
        try:
            with self._opened() as container:
                for frame in container.decode(video=0):
                    if shown is None:
                        start = frame.time or 0.0
                    else:
                        # the frame before is shown until this one begins
                        until = count + 1 if frame.time is None else round((frame.time - start) * self.fps)
                        for _ in range(count, until):
                            yield _upright(shown)
                        count = max(count, until)
                    shown = frame
        except av.error.FFmpegError as error:
            raise DataError(self.path, f"damaged: {error.strerror}, after {count} frames") from error
        if shown is None:
            raise DataError(self.path, "has no frame that can be read")
        own = Fraction(shown.duration or 0) * Fraction(shown.time_base or 0)
        until = round((Fraction((shown.time or start) - start) + own) * self.fps)
        left = min(until - count, round(self.fps))  # a second at most: the stated duration may be wrong
        yield from repeat(_upright(shown), max(left, 0 if count else 1))

    def _opened(self) -> av.container.InputContainer:
        try:
            container = av.open(str(self.path))
        except av.error.FFmpegError as error:
            raise DataError(self.path, f"not a video: {error.strerror}") from error
        if container.format.name.endswith("_pipe"):  # FFmpeg's readers of single pictures
            container.close()
            raise DataError(self.path, "is a picture, not a video")
        if not container.streams.video:
            container.close()
            raise DataError(self.path, "has no video, only sound")
        return container


def _duration(container: av.container.InputContainer) -> Fraction:
    """Return the duration in seconds that the file states; 0: none."""
    stream = container.streams.video[0]
    if stream.duration and stream.time_base:
        return stream.duration * stream.time_base
    return Fraction(container.duration or 0, av.time_base)


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """Convert a frame to RGB and turn it by its rotation, which is counter-clockwise in degrees."""
    image = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90))) if frame.rotation else image
