"""Write clips as video files."""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.error
import numpy as np

from ..data.generated import GENERATED, SOFTWARE, Mark, mark_mp4
from ..errors import DataError


class VideoWriter:
    """Context manager that writes frames to an MP4 file (H.264).

    The file is written under a temporary name and renamed at the end of the ``with`` statement; after an error it is
    removed. Its metadata say how the clip was made, as text and in XMP (:mod:`posegen.data.generated`).

    Args:
        path: path of the file; parent folders are created.
        fps: frames per second; a fraction such as 30000/1001 stays exact.
        quality: constant rate factor of H.264, from 0 (lossless) to 51 (worst); 18 is visually lossless.
        sound: video whose sound is copied, as long as the clip lasts; None, or one without sound: the clip is silent.
        mark: what the metadata say; None: nothing, for a clip in which nothing is generated.

    Raises:
        DataError: the file's suffix is not .mp4.

    Warns:
        UserWarning: MP4 cannot hold that kind of sound; the clip is silent.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float | Fraction = 25,
        quality: int = 18,
        sound: str | Path | None = None,
        mark: Mark | None = GENERATED,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise DataError(path, f"cannot write videos of type {self.path.suffix!r}", "Use .mp4.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.fps = Fraction(fps).limit_denominator(1001)  # of 29.97, which is 30000/1001
        self._temporary = self.path.with_name(f".{uuid.uuid4().hex}.part.mp4")
        self._container = av.open(str(self._temporary), "w")
        self._mark = mark
        if mark is not None:
            self._container.metadata.update(comment=mark.comment_of_clip, description=SOFTWARE)
        self._stream = self._container.add_stream("libx264", rate=self.fps)
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": str(quality)}
        self._sound = None if sound is None else _Sound(Path(sound), self._container)
        self._size: tuple[int, int] | None = None
        self._frames = 0

    def write(self, frame: np.ndarray) -> None:
        """Add a frame, uint8 H W 3, RGB. All frames have one size; odd sizes are padded by a repeated row or column."""
        height, width = frame.shape[:2]
        if self._size is None:
            self._size = (height, width)
            self._stream.height, self._stream.width = height + height % 2, width + width % 2
        if self._size != (height, width):
            raise ValueError(f"the frame has size {width}×{height}, but those before {self._size[1]}×{self._size[0]}")
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        self._container.mux(self._stream.encode(picture))
        self._frames += 1
        if self._sound is not None:
            self._sound.write_until(self._frames / self.fps)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._size is not None:
                self._container.mux(self._stream.encode())
            if self._sound is not None:
                self._sound.close()
            self._container.close()
            if kind is None and self._size is not None:
                if self._mark is not None:
                    mark_mp4(self._temporary, self._mark)
                os.replace(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)


class _Sound:
    """Packets of the sound of a video, copied to another as they are."""

    def __init__(self, path: Path, target: av.container.OutputContainer) -> None:
        self._files = ExitStack()
        self._source = self._files.enter_context(av.open(str(path)))
        self._target = target
        self._packets: Iterator[av.Packet] = iter(())
        self._next: av.Packet | None = None
        if not self._source.streams.audio:
            return
        stream = self._source.streams.audio[0]
        try:
            self._stream = target.add_stream_from_template(stream)
        except (ValueError, av.error.FFmpegError):
            warnings.warn(
                f"{path}: MP4 cannot hold its sound ({stream.codec_context.name}); the clip is silent", stacklevel=3
            )
            return
        self._start = _start_of(self._source)
        self._packets = (packet for packet in self._source.demux(stream) if packet.pts is not None)
        self._next = next(self._packets, None)

    def write_until(self, seconds: Fraction) -> None:
        """Copy the packets that begin before a time of the clip."""
        while self._next is not None:
            packet = self._next
            assert packet.pts is not None  # such packets are left out
            start = packet.pts * packet.time_base - self._start
            if start >= seconds:
                return
            shift = round(self._start / packet.time_base)
            packet.pts -= shift
            packet.dts = None if packet.dts is None else packet.dts - shift
            packet.stream = self._stream
            if packet.pts >= 0 or not shift:  # before 0: the delay of the encoder, which the decoder takes away
                self._target.mux(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the source."""
        self._files.close()


def _start_of(container: av.container.InputContainer) -> Fraction:
    """Return the time of the first frame of a video in seconds."""
    stream = container.streams.video[0] if container.streams.video else container.streams.audio[0]
    return Fraction(stream.start_time or 0) * Fraction(stream.time_base or 0)
