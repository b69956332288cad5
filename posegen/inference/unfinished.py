"""Keep what is done of a clip, so that the command that was interrupted can go on."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Keypoints
from ..errors import DataError
from ..files import read_json, read_text, written_whole

SETTINGS, POSES = "settings.json", "poses.jsonl"


class UnfinishedClip:
    """Poses and frames of a clip that is being made, in a folder beside it.

    What another command with other settings has left there is removed.

    Args:
        out: the clip; the folder is ``.NAME.unfinished`` beside it.
        settings: everything that determines the clip; JSON values.

    Attributes:
        folder: the folder.
        poses: pose of each frame that was estimated; None: no figure in it.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.folder = out.with_name(f".{out.name}.unfinished")
        if self.folder.exists() and not self._belongs(settings):
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_whole(self.folder / SETTINGS) as temporary:
            temporary.write_text(json.dumps(settings), encoding="utf-8")
        self.poses = self._read_poses()

    def add_pose(self, points: Keypoints | None) -> None:
        """Store the pose of the next frame."""
        self.poses.append(points)
        value = None if points is None else [points.points.tolist(), points.present.tolist(), points.frame]
        with (self.folder / POSES).open("a", encoding="utf-8") as file:
            file.write(json.dumps(value) + "\n")

    @property
    def frames(self) -> int:
        """Number of frames that are stored."""
        return next(number for number in itertools.count() if not self._path(number, 0).is_file())

    def go_on(self, made: Iterable[Sequence[np.ndarray]], first: int) -> Iterator[Sequence[np.ndarray]]:
        """Yield the pictures of all frames: those that are stored, and those made now, which are stored.

        Args:
            made: pictures of frames, uint8 H W 3, from number *first* on.
            first: number of the first frame that is made now.
        """
        for number in range(first):
            yield [_read_frame(self._path(number, kind)) for kind in self._kinds(number)]
        for number, pictures in enumerate(made, first):
            for kind, picture in reversed([*enumerate(pictures)]):  # the first one last: then the frame is complete
                path = self._path(number, kind)  # PNG saves a third of the size, and costs a quarter of a clip's time
                with written_whole(path, to_disk=False) as temporary, temporary.open("wb") as file:
                    np.save(file, picture)
            yield pictures

    def remove(self) -> None:
        """Remove the folder: the clip is finished."""
        shutil.rmtree(self.folder)

    def _path(self, number: int, kind: int) -> Path:
        return self.folder / f"{number:06d}_{kind}.npy"

    def _kinds(self, number: int) -> Iterator[int]:
        return itertools.takewhile(lambda kind: self._path(number, kind).is_file(), itertools.count())

    def _belongs(self, settings: Mapping[str, Any]) -> bool:
        try:
            return read_json(self.folder / SETTINGS) == json.loads(json.dumps(settings))
        except DataError:
            return False

    def _read_poses(self) -> list[Keypoints | None]:
        path = self.folder / POSES
        if not path.is_file():
            return []
        lines = read_text(path).splitlines(keepends=True)
        whole = [line for line in lines if line.endswith("\n")]  # the last one may have been cut off
        if len(whole) < len(lines):
            path.write_text("".join(whole), encoding="utf-8")
        return [_pose(json.loads(line)) for line in whole]


def _read_frame(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise DataError(path, f"is damaged: {error}", f"Remove {path.parent} to begin anew.") from error


def _pose(value: Any) -> Keypoints | None:
    if value is None:
        return None
    points, present, frame = value
    return Keypoints(np.array(points), np.array(present), frame=tuple(frame) if frame else None)
