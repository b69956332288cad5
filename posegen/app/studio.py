"""What the page does, without the page: pictures and structures in, results with what explains them out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from ..data import KeypointLayout, Keypoints
from ..data.images import IMAGE_ENDINGS, read_image, resize_image, to_tensor, to_uint8
from ..data.interpolation import interpolate_keypoints
from ..errors import ConfigError, DataError, InputError
from ..inference import encode_subject, prepare_subject, read_keypoints
from ..poses import Subject as Photograph
from ..poses import read_poses as estimate_poses
from ..records import Transfer
from ..visualization import flow_to_rgb, mask_to_rgb, warp
from .explain import Level, levels_of, recorded_kernels
from .gallery import Gallery, Structure, Subject, read_gallery
from .loading import Loaded
from .pose_files import Poses, read_own, read_poses
from .source_cache import SourceCache

MOST_PIXELS = 24_000_000
"""Of a picture that is uploaded: what cameras make, and 72 MB when decoded."""
LEAST_APART = 0.08
"""Of a neutral pose's mirror partners, as a share of the width: so that each can be taken hold of."""
LONGEST_SIDE = 1024
"""Pixels that a picture is kept at, while the page is open; the models see 64 to 256."""
MOST_FRAMES = 120
"""Of a clip; at 256×256 and a second a frame that is two minutes of two cores."""


@dataclass(frozen=True)
class Made:
    """A result and what explains it, all at the model's size.

    ``layers``: pictures uint8 H W 3 by caption: the result, the source as the model saw it and, of a model with flows,
    the flow in colors, the mask and the warped source. ``levels``: coarse to fine. ``drawn``: the target structure.
    """

    layers: dict[str, np.ndarray]
    levels: list[Level]
    drawn: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.layers[RESULT].shape[:2]
        return height, width


RESULT, SOURCE, FLOW, MASK, WARPED = "result", "source", "flow", "mask", "warped source"


class Studio:
    """A model with everything the page asks of it. Many threads may ask; the model works for one at a time.

    A model of clips makes single pictures, too: the first frame of a clip, whose frame before is the source. What
    explains it is then the motion from the source as the reference.

    Args:
        loaded: the model.
        most_examples: records that are taken from the config's test set, where it is there.
        name: of the model, where several are compared.

    Attributes:
        layout: of the key points; None: the model's structures are of another kind.
        choices: of an encoder whose structures are chosen (attribute ``choices``): the names of the classes of each
            choice, by its name; what it encodes is then a tuple of a class's number for each. Empty: of another kind.
        gallery: what the test set gives.
    """

    def __init__(self, loaded: Loaded, most_examples: int = 8, name: str = "model") -> None:
        self.loaded, self.name = loaded, name
        self.encoder, self.size = loaded.encoder, loaded.size
        self.layout: KeypointLayout | None = self.encoder.layout
        self.choices: dict[str, tuple[str, ...]] = dict(self.encoder.choices) if self.layout is None else {}
        self._busy = threading.Lock()
        self._encoded_sources = SourceCache()
        self.gallery: Gallery = read_gallery(loaded, most_examples) if most_examples else Gallery()

    @property
    def makes_clips(self) -> bool:
        """Whether each frame follows from the one before, and not each from the source alone."""
        return hasattr(self.loaded.model, "frames")

    def read(self, paths: Sequence[Path]) -> Subject:
        """A picture and, where there is one, its key-point file.

        Args:
            paths: one picture, or one and a file of the page's own or that a plugin reads; in any order.

        Raises:
            DataError: a file is broken, or too large, or there is no picture among them, or more than these.
        """
        pictures = [path for path in paths if path.suffix.lower() in IMAGE_ENDINGS]
        others = [path for path in paths if path not in pictures]
        if len(pictures) != 1 or len(others) > 1:
            raise DataError(
                "the files",
                f"{len(pictures)} pictures and {len(others)} other files",
                "Give one picture and, if there is one, its key-point file.",
            )
        if others and self.layout is None:
            raise DataError(others[0].name, "this model's structures are no key points, and not read from files")
        picture = read_image(pictures[0], MOST_PIXELS)
        return _reduced(picture, self._read_points(others[0], pictures[0], picture.shape[:2]) if others else None)

    def read_photograph(self, path: Path) -> Subject:
        """A picture with the key points that a plugin's estimator finds in it.

        Raises:
            DataError: the picture is broken, or nothing is found in it.
            ConfigError, MissingWeightsError: there is no estimator of such points, or it cannot run here.
        """
        picture = read_image(path, MOST_PIXELS)
        return _reduced(picture, estimate_poses([Photograph(path.name, path, None)], self.encoder)[0])

    def _read_points(self, path: Path, image: Path, frame: tuple[int, int]) -> Keypoints:
        """The points of a picture of size *frame* (H, W), in pixels of it."""
        assert self.layout is not None
        own = read_own(path, self.layout)
        if own is None:
            return read_keypoints(path, self.encoder, image).within(frame)
        return _one(own, path).scale(frame[1] / own.frame[1], frame[0] / own.frame[0]) if own.frame else _one(own, path)

    def read_pose(self, paths: Sequence[Path], frame: tuple[int, int]) -> Keypoints:
        """Where to: key points in pixels of the model's size.

        Args:
            paths: a key-point file, the picture that it belongs to, or both; of a picture alone they are estimated.
            frame: (H, W) of the picture that the points count pixels of, where neither picture nor file says.

        Raises:
            DataError: a file is broken, or there are others.
            ConfigError, MissingWeightsError: as of :meth:`read_photograph`.
        """
        others = [path for path in paths if path.suffix.lower() not in IMAGE_ENDINGS]
        if len(paths) > len(others):
            subject = self.read(paths)
            return self.prepared_points(self.read_photograph(paths[0]) if subject.structure is None else subject)
        if len(others) != 1:
            raise DataError("the files", f"{len(others)} key-point files", "Give one, and its picture if you have it.")
        _one(poses := read_poses(others, self.encoder, MOST_FRAMES), others[0])
        return self._prepared_poses(poses, frame)[0]

    def read_clip(self, paths: Sequence[Path], frame: tuple[int, int]) -> list[Keypoints]:
        """The poses of a clip in pixels of the model's size: one file a frame, or the page's own of all.

        Args:
            paths: key-point files.
            frame: as of :meth:`read_pose`.

        Raises:
            DataError: what is wrong with any of them; too many frames.
        """
        return self._prepared_poses(read_poses(paths, self.encoder, MOST_FRAMES), frame)

    def _prepared_poses(self, poses: Poses, frame: tuple[int, int]) -> list[Keypoints]:
        if poses.frame == self.size:
            return poses.keypoints  # the page wrote them: they are prepared
        height, width = poses.frame or frame
        kept = _kept_size(height, width)
        canvas, scale = np.zeros((*kept, 3), np.uint8), (kept[1] / width, kept[0] / height)
        return [self.prepared_points(Subject(canvas, pose.scale(*scale))) for pose in poses.keypoints]

    def prepared_points(self, subject: Subject) -> Keypoints:
        """A subject's key points in pixels of the model's size, prepared as its data set does."""
        assert isinstance(subject.structure, Keypoints)
        return prepare_subject(self.loaded.config, subject.picture, subject.structure)[1]

    def neutral(self, frame: tuple[int, int]) -> Keypoints:
        """A pose to begin with, for a picture of that size (H, W): an example's, or else the layout's shape."""
        assert self.layout is not None
        if not self.gallery.examples:
            return neutral_pose(self.layout, frame)
        keypoints = self.gallery.examples[0][0].structure
        return keypoints.scale(frame[1] / self.size[1], frame[0] / self.size[0])

    def draw(self, structure: Structure) -> np.ndarray:
        """A structure, prepared, as a picture: uint8 H W 3."""
        return self.encoder.draw(self._encoded(structure))

    def make(self, subject: Subject, target: Structure) -> Made:
        """Move a subject into a structure.

        Args:
            subject: with its structure.
            target: key points count pixels of the model's size.

        Raises:
            InputError: a pose has no point; the encoder does not take a structure.
        """
        source, own = self._source(subject)
        wanted = self._encoded(target)[None]
        recorded = getattr(getattr(self.loaded.model, "renderer", None), "attention_reference", self.loaded.model)
        with self._busy, recorded_kernels(recorded) as kernels:
            out = self._transfer(source, own, wanted.to(self.loaded.device))
        layers = {RESULT: to_uint8(out.image[0]), SOURCE: to_uint8(source[0])}
        if out.flows:
            flow, mask = out.flows[-1].float().cpu(), out.masks[-1].float().cpu()
            layers |= {
                FLOW: resize_image(flow_to_rgb(flow[0]), self.size, "nearest"),
                MASK: resize_image(mask_to_rgb(mask[0]), self.size, "nearest"),
                WARPED: to_uint8(warp(source, out.flows[-1])[0]),
            }
        return Made(layers, levels_of(out, kernels), self.encoder.draw(wanted[0]))

    def frames(self, subject: Subject, targets: Iterable[Structure]) -> Iterator[np.ndarray]:
        """The frames, uint8 H W 3, of a clip in which a subject goes through structures.

        The model is free for others between two frames. Arguments and errors as of :meth:`make`.
        """
        source, own = self._source(subject)
        structures = (self._encoded(target)[None].to(self.loaded.device) for target in targets)
        if self.makes_clips:
            images = (frame.image for frame in self.loaded.model.frames(source, own, structures))
        else:
            images = (self._transfer(source, own, structure).image for structure in structures)
        while True:
            with self._busy:
                image = next(images, None)
            if image is None:
                return
            yield to_uint8(image[0])

    def way(self, subject: Subject, target: Keypoints, frames: int) -> list[Keypoints]:
        """Poses from a subject's own to a target, both ends included: they start and end slowly.

        Raises:
            InputError: less than 2 frames, or more than a clip may have.
        """
        assert self.layout is not None
        check_length(frames)
        start, layout = self.prepared_points(subject), self.layout
        times = np.linspace(0, 1, frames)
        return [interpolate_keypoints(start, target, layout, float(t * t * (3 - 2 * t))) for t in times]

    def turn(self, choice: str, numbers: Sequence[int]) -> list[tuple[int, ...]]:
        """Structures through all classes of a choice, once around from where it stands; the others stay."""
        place, count = list(self.choices).index(choice), len(self.choices[choice])
        around = [(numbers[place] + step) % count for step in range(count)]
        return [(*numbers[:place], number, *numbers[place + 1 :]) for number in around[:MOST_FRAMES]]

    def _source(self, subject: Subject) -> tuple[Tensor, Tensor]:
        """The picture 1 3 H W and its structure 1 S H W, as the model sees them."""
        device = self.loaded.device
        if isinstance(subject.structure, Keypoints):
            _check_points(subject.structure)
            config, picture = self.loaded.config, subject.picture
            prepared, own = encode_subject(config, self.encoder, picture, subject.structure, picture, "source")
            return to_tensor(prepared)[None].to(device), own.to(device)
        own = self._encoded(subject.structure)[None]
        return to_tensor(resize_image(subject.picture, self.size))[None].to(device), own.to(device)

    def _encoded(self, structure: Structure) -> Tensor:
        """A structure S H W (or S 1 1); key points in pixels of the model's size."""
        if isinstance(structure, Tensor):
            return structure
        if isinstance(structure, Keypoints):
            _check_points(structure)
            return self.encoder.encode(structure, self.size)
        try:
            return self.encoder.encode(structure, self.size)
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{type(self.encoder).__name__} cannot encode {str(structure)[:100]}: {error}") from error

    def _transfer(self, source: Tensor, own: Tensor, wanted: Tensor) -> Transfer:
        if not self.makes_clips:
            encoded = self._encoded_sources.encoding(self.loaded.model, source)
            return self.loaded.model.transfer(source, own, wanted, *([] if encoded is None else [encoded]))
        frame = next(iter(self.loaded.model.frames(source, own, [wanted])))
        return Transfer(frame.image, frame.flows.reference, frame.masks.reference)


def check_length(frames: int) -> None:
    """Raise InputError where a clip has too few or too many frames."""
    if not 2 <= frames <= MOST_FRAMES:
        raise InputError(f"a clip has 2 to {MOST_FRAMES} frames, got {frames}")


def check_comparable(studios: Sequence[Studio]) -> None:
    """Raise ConfigError where models cannot be given the same input; names all of them."""
    first = studios[0]
    problems = [
        f"{studio.name} sees {_kind(studio)}, {first.name} {_kind(first)}"
        for studio in studios[1:]
        if _kind(studio) != _kind(first)
    ]
    twice = sorted({studio.name for studio in studios if [s.name for s in studios].count(studio.name) > 1})
    problems += [f"two models are called {name!r}" for name in twice]
    if problems:
        raise ConfigError("these models cannot be compared:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _kind(studio: Studio) -> str:
    """What a model's structures are made of, in words."""
    if studio.layout is not None:
        return f"key points of {studio.layout.name}"
    if studio.choices:
        return " and ".join(f"{len(names)} classes of {choice}" for choice, names in studio.choices.items())
    return f"structures of {type(studio.encoder).__name__}, {studio.encoder.channels} channels at {studio.size}"


def scaled(target: Structure, main: Studio, studio: Studio) -> Structure:
    """A target of one model for another: key points in pixels of its size."""
    if not isinstance(target, Keypoints):
        return target
    return target.scale(studio.size[1] / main.size[1], studio.size[0] / main.size[0])


def _check_points(keypoints: Keypoints) -> None:
    if not keypoints.present.any():
        raise InputError("a pose needs at least one point")


def _one(poses: Poses, path: Path) -> Keypoints:
    if len(poses.keypoints) != 1:
        raise DataError(path, f"holds {len(poses.keypoints)} poses, of a clip", "Give it where a clip is made.")
    return poses.keypoints[0]


def neutral_pose(layout: KeypointLayout, frame: tuple[int, int]) -> Keypoints:
    """A symmetric pose that has the shape of the layout's graph, in pixels of a picture of that size (H, W).

    A layout knows what hangs together, not where: the points are placed so that their distances are nearly the numbers
    of connections between them (classical multidimensional scaling), and mirror partners opposite each other.
    """
    steps = _graph_distances(layout)
    count = len(layout)
    centered = np.eye(count) - 1 / count
    values, vectors = np.linalg.eigh(-0.5 * centered @ steps**2 @ centered)
    axes = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0))  # the longest first
    partner = list(layout.partner)
    # An axis is even or odd under the mirror: the longest even one stands upright, the longest odd one lies across.
    y = max((axes[:, k] + axes[partner, k] for k in range(count)), key=np.linalg.norm)
    x = max((axes[:, k] - axes[partner, k] for k in range(count)), key=np.linalg.norm)
    side = np.sign(np.array(partner) - np.arange(count))  # of two partners the first one stands left
    x = x * (-1 if (x * side).sum() > 0 else 1)
    y = y * (-1 if y[0] > y.mean() else 1)  # the first point stands in the upper half
    across = _spanning(x, 0.25, 0.75)
    across = np.where(np.abs(across - across[partner]) < LEAST_APART, 0.5 - side * LEAST_APART / 2, across)
    points = np.stack([across, _spanning(y, 0.1, 0.9)], 1)
    return Keypoints(points * [frame[1] - 1, frame[0] - 1], np.ones(count, bool))


def _graph_distances(layout: KeypointLayout) -> np.ndarray:
    """Connections between any two points, K K; two parts that hang not together are one step further than any."""
    count = len(layout)
    steps = np.full((count, count), np.inf)
    np.fill_diagonal(steps, 0)
    for first, second in layout.limbs:
        steps[first, second] = steps[second, first] = 1
    for between in range(count):
        steps = np.minimum(steps, steps[:, between, None] + steps[between])
    return np.where(np.isfinite(steps), steps, steps[np.isfinite(steps)].max() + 1)


def _spanning(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """*values* stretched to reach from *low* to *high*; where they are all one, the middle."""
    span = np.ptp(values)
    return (
        low + (high - low) * (values - values.min()) / span if span > 1e-9 else np.full(len(values), (low + high) / 2)
    )


def _kept_size(height: int, width: int) -> tuple[int, int]:
    """The size (H, W) that a picture of another one is kept at."""
    shrink = min(1.0, LONGEST_SIDE / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _reduced(picture: np.ndarray, keypoints: Keypoints | None) -> Subject:
    """A picture no larger than is kept, and its points with it."""
    height, width = picture.shape[:2]
    size = _kept_size(height, width)
    points = None if keypoints is None else keypoints.scale(size[1] / width, size[0] / height)
    return Subject(resize_image(picture, size), points)
