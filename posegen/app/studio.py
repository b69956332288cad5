"""What the page does, without the page: pictures and key points in, results with what explains them out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import KeypointLayout, Keypoints, encode_structure
from ..data.images import IMAGE_ENDINGS, read_image, resize_image, to_tensor, to_uint8
from ..errors import DataError, InputError, PosegenError
from ..inference import Inferencer, Prepared, encode_subject, prepare_subject, read_keypoints
from ..registry import DATASETS
from ..visualization import flow_to_rgb, mask_to_rgb, warp
from .explain import Level, levels_of, recorded_kernels

MOST_PIXELS = 24_000_000
"""Of a picture that is uploaded: what cameras make, and 72 MB when decoded."""
LEAST_APART = 0.08
"""Of a neutral pose's mirror partners, as a share of the width: so that each can be taken hold of."""
LONGEST_SIDE = 1024
"""Pixels that a picture is kept at, while the page is open; the models see 64 to 256."""


@dataclass(frozen=True)
class Subject:
    """A picture, uint8 H W 3, and its key points in pixels of it; None: they are not known."""

    picture: np.ndarray
    keypoints: Keypoints | None


@dataclass(frozen=True)
class Made:
    """A result and what explains it, all at the model's size.

    ``layers``: pictures uint8 H W 3 by caption: the result, the source as the model saw it and, of a model with flows,
    the flow in colours, the mask and the warped source. ``levels``: coarse to fine.
    """

    layers: dict[str, np.ndarray]
    levels: list[Level]

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.layers[RESULT].shape[:2]
        return height, width


RESULT, SOURCE, FLOW, MASK, WARPED = "result", "source", "flow", "mask", "warped source"


class Studio:
    """A model with everything the page asks of it. Many threads may ask; the model works for one at a time.

    Args:
        inferencer: the model.
        most_examples: pairs that are taken from the config's test set, where it is there.

    Attributes:
        layout: of the key points; None: the model's structures are of another kind, and given as they are.
        examples: pairs of subjects: a source and a target, the second one's key points where to.
        note: why there are no examples, or an empty text.
    """

    def __init__(self, inferencer: Inferencer, most_examples: int = 8) -> None:
        self.inferencer = inferencer
        self.layout: KeypointLayout | None = getattr(inferencer.encoder, "layout", None)
        self.size = inferencer.size
        self._busy = threading.Lock()
        self.examples: list[tuple[Subject, Subject]] = []
        self.note = ""
        if self.layout is not None:
            self._take_examples(most_examples)

    def read(self, paths: Sequence[Path]) -> Subject:
        """A picture and, where there is one, its key-point file.

        Args:
            paths: one picture, or one and a file that a plugin reads; in any order.

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
        picture = read_image(pictures[0], MOST_PIXELS)
        keypoints = read_keypoints(others[0], self.inferencer.encoder, pictures[0]) if others else None
        return _reduced(picture, keypoints)

    def read_pose(self, paths: Sequence[Path], frame: tuple[int, int]) -> Keypoints:
        """Where to: key points in pixels of the model's size.

        Args:
            paths: a key-point file and, where there is one, the picture that it belongs to.
            frame: (H, W) of the picture that the points count pixels of, where there is none.

        Raises:
            DataError: a file is broken, or there is no key-point file among them.
        """
        others = [path for path in paths if path.suffix.lower() not in IMAGE_ENDINGS]
        if len(paths) > len(others):
            subject = self.read(paths)
            if subject.keypoints is None:
                raise DataError("the files", "no key-point file among them", "A pose is read from key points.")
        elif len(others) == 1:
            keypoints = read_keypoints(others[0], self.inferencer.encoder, None)
            subject = Subject(np.zeros((*frame, 3), np.uint8), keypoints)
        else:
            raise DataError("the files", f"{len(others)} key-point files", "Give one, and its picture if you have it.")
        return self.prepared_points(subject)

    def prepared_points(self, subject: Subject) -> Keypoints:
        """A subject's key points in pixels of the model's size, prepared as its data set does."""
        assert subject.keypoints is not None
        return prepare_subject(self.inferencer.config, subject.picture, subject.keypoints)[1]

    def neutral(self, frame: tuple[int, int]) -> Keypoints:
        """A pose to begin with, for a picture of that size (H, W): an example's, or else the layout's shape."""
        assert self.layout is not None
        if not self.examples:
            return neutral_pose(self.layout, frame)
        keypoints = self.examples[0][0].keypoints
        assert keypoints is not None
        return keypoints.scale(frame[1] / self.size[1], frame[0] / self.size[0])

    def make(self, subject: Subject, target: Keypoints) -> Made:
        """Move a subject into a pose.

        Args:
            subject: with its key points.
            target: in pixels of the model's size.

        Raises:
            InputError: a pose has no point.
        """
        config, encoder = self.inferencer.config, self.inferencer.encoder
        if subject.keypoints is None or not (subject.keypoints.present.any() and target.present.any()):
            raise InputError("a pose needs at least one point")
        picture, own = encode_subject(config, encoder, subject.picture, subject.keypoints, subject.picture, "source")
        wanted = encode_structure(encoder, target, self.size, None)
        return self._transfer(Prepared(to_tensor(picture), own[0], wanted, "source", self.size))

    def make_from_structures(self, picture: np.ndarray, target: Any, own: Any) -> Made:
        """Move a picture between structures that are no key points: whatever the config's encoder encodes.

        Raises:
            InputError: the encoder does not take them.
        """
        return self._transfer(self.inferencer.prepare(picture, target, own, name="source"))

    def _transfer(self, prepared: Prepared) -> Made:
        with self._busy, recorded_kernels(self.inferencer.model) as kernels:
            batch, out = self.inferencer.transfer([prepared])
        layers = {RESULT: to_uint8(out.image[0]), SOURCE: to_uint8(batch.source[0])}
        if out.flows:
            flow, mask = out.flows[-1].float().cpu(), out.masks[-1].float().cpu()
            layers |= {
                FLOW: resize_image(flow_to_rgb(flow[0]), self.size, "nearest"),
                MASK: resize_image(mask_to_rgb(mask[0]), self.size, "nearest"),
                WARPED: to_uint8(warp(batch.source, out.flows[-1])[0]),
            }
        return Made(layers, levels_of(out, kernels))

    def _take_examples(self, most: int) -> None:
        """Pairs of the test set. Its files may not be there: a model is played with where it was not trained."""
        decode = getattr(self.inferencer.encoder, "decode", None)
        options = (self.inferencer.config.get("test_dataloader") or {}).get("dataset")
        if decode is None or options is None:
            self.note = "its structures, or its config, give none"
            return
        try:
            dataset = DATASETS.build_part(options)
            pairs = [dataset[index] for index in range(min(most, len(dataset)))]
        except (PosegenError, OSError) as error:
            self.note = str(error).splitlines()[0]
            return
        self.examples = [
            (
                Subject(to_uint8(pair.source), decode(pair.source_structure)),
                Subject(to_uint8(pair.target), decode(pair.target_structure)),
            )
            for pair in pairs
        ]


def neutral_pose(layout: KeypointLayout, frame: tuple[int, int]) -> Keypoints:
    """A symmetric pose that has the shape of the layout's graph, in pixels of a picture of that size (H, W).

    A layout knows what hangs together, not where: the points are placed so that their distances are nearly the numbers
    of connections between them (classical multidimensional scaling), and mirror partners opposite each other.
    """
    steps = _graph_distances(layout)
    count = len(layout)
    centred = np.eye(count) - 1 / count
    values, vectors = np.linalg.eigh(-0.5 * centred @ steps**2 @ centred)
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


def _reduced(picture: np.ndarray, keypoints: Keypoints | None) -> Subject:
    """A picture no larger than is kept, and its points with it."""
    height, width = picture.shape[:2]
    shrink = min(1.0, LONGEST_SIDE / max(height, width))
    size = (max(1, round(height * shrink)), max(1, round(width * shrink)))
    points = None if keypoints is None else keypoints.scale(size[1] / width, size[0] / height)
    return Subject(resize_image(picture, size), points)
