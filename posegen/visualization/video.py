"""Write clips as video files."""

from __future__ import annotations

import os
import uuid
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from ..data.generated import COMMENT_OF_CLIP, SOFTWARE, mark_mp4
from ..errors import DataError


class VideoWriter:
    """Context manager that writes frames to an MP4 file (H.264).

    The file is written under a temporary name and renamed at the end of the ``with`` statement; after an error it is
    removed. Its metadata say that the clip was generated, as text and in XMP (:mod:`posegen.data.generated`).

    Args:
        path: path of the file; parent folders are created.
        fps: frames per second.
        quality: constant rate factor of H.264, from 0 (lossless) to 51 (worst); 18 is visually lossless.

    Raises:
        DataError: the file's suffix is not .mp4.
    """

    def __init__(self, path: str | Path, fps: float = 25, quality: int = 18) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise DataError(path, f"cannot write videos of type {self.path.suffix!r}", "Use .mp4.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = self.path.with_name(f".{uuid.uuid4().hex}.part.mp4")
        self._container = av.open(str(self._temporary), "w")
        self._container.metadata.update(comment=COMMENT_OF_CLIP, description=SOFTWARE)
        self._stream = self._container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": str(quality)}
        self._size: tuple[int, int] | None = None

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

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._size is not None:
                self._container.mux(self._stream.encode())
            self._container.close()
            if kind is None and self._size is not None:
                mark_mp4(self._temporary)
                os.replace(self._temporary, self.path)
        finally:
            self._temporary.unlink(missing_ok=True)
