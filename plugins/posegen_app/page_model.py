"""A model with everything the page asks of it: samples and structures in, explained results out."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from posegen.data import KeypointLayout, Keypoints
from posegen.data.estimators import Segment, find_estimator, load_estimator, load_segmenter
from posegen.data.generated import Mark
from posegen.data.images import (
    PHOTOGRAPH_ENDINGS,
    WHITE,
    Background,
    Photograph,
    read_photograph,
    resize_image,
    to_uint8,
)
from posegen.data.pose_files import in_pixels
from posegen.errors import ConfigError, DataError, InputError, PosegenError
from posegen.inference import (
    Framing,
    Inferencer,
    PoseInput,
    Prepared,
    generated_picture,
    interpolate_keypoints,
    mark_of,
    prepare_subject,
    read_keypoints,
)
from posegen.inference.cutout import Cutout
from posegen.inference.framing import Window, choose_window, whole_window
from posegen.inference.prepare import test_dataset
from posegen.inference.retarget import (
    Placement,
    is_motion_without_parts,
    place_frame,
    place_targets,
)
from posegen.records import Transfer
from posegen.visualization import flow_to_rgb, mask_to_rgb, warp

from .explanation import Level, levels_of, recorded_kernels
from .gallery import (
    BACKGROUNDS,
    FILLED,
    OWN,
    PICTURE,
    Backdrop,
    Gallery,
    Sample,
    Structure,
    read_examples,
    read_gallery,
)
from .pose_files import read_clip_poses

MAX_PIXELS = 24_000_000
"""Maximum size of an uploaded picture: that of cameras; 72 MB when decoded."""
MIN_DISTANCE = 0.08
"""Minimum distance of mirror partners in a neutral pose, relative to the width, so that each can be dragged."""
MAX_SIDE = 1024
"""Maximum side, in pixels, at which an uploaded picture is stored; models see 64 to 256."""
MAX_FRAMES = 120
"""Maximum length of a clip; at 256×256 and one second a frame it takes two minutes on two cores."""
MAX_PHOTOGRAPH = 1600
"""Maximum side, in pixels, at which a photograph is stored into which results are put back."""
MAX_DETAIL = 800
"""Maximum side, in pixels, of a result in the photograph's detail: the page shows it no larger."""
MAX_CLIP = 1280
"""Maximum side, in pixels, of a clip that shows the whole photograph: that of HD."""
MAX_FIGURES = 8
"""Maximum number of figures of one photograph to choose from."""
SOFT_EDGE = 0.03
"""Standard deviation of the blur of what lies beyond a photograph, as a share of the window's longer side."""
REST_MARGIN = 0.1
"""Margin around a rest pose on each side, as a share of the picture's sides."""
NAME = "the picture"
"""Name of the source in messages."""
RESULT, SOURCE, FLOW, MASK, WARPED = "result", "source", "flow", "mask", "warped source"
SHARES = "warped or generated"
GUIDE_HEIGHT = 512
"""Height, in pixels, of a photograph behind the pose that was found in it."""
GUIDE_COLOR, GUIDE_SHARE = (45, 52, 66), 0.6
"""Color of the editor behind a pose, and the share of the photograph where both are."""
GUIDE_ERROR = 0.01
"""Largest distance between a fitted pose and that of the photograph behind it, as a share of the picture's height."""
COLOR_WARPED, COLOR_GENERATED = (37, 99, 235), (234, 88, 12)
"""Colors over the result where it is warped, and where it is generated."""


@dataclass(frozen=True)
class Output:
    """A result with its explanation, all of the model's size.

    Args:
        layers: pictures uint8 H W 3 by caption: the result (H W 4 in front of a transparent background), the prepared
            source and, for a model with flows, the flow in colors, the mask, the result tinted by it, and the warped
            source.
        levels: flows, masks and kernels, coarse to fine.
        prepared, made: input and output of the model.
        drawn: drawing of the target structure.
        sample: the source.
    """

    layers: dict[str, np.ndarray]
    levels: list[Level]
    prepared: Prepared
    made: Transfer
    drawn: np.ndarray
    sample: Sample

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.layers[RESULT].shape[:2]
        return height, width

    @property
    def is_part(self) -> bool:
        """Return whether the model saw only a part of the photograph."""
        height, width = self.prepared.photograph.image.shape[:2]
        return self.prepared.window != Window(0, 0, width, height)

    def in_photograph(self) -> np.ndarray:
        """Return the photograph, uint8 H W 3 or H W 4, with the result in the place of what the model saw."""
        one = self.prepared if self.sample.photograph is None else _in_photograph(self.prepared, self.sample)
        return generated_picture(one, self.made, resize_back=True, keep_alpha=self.sample.is_transparent)

    @property
    def has_detail(self) -> bool:
        """Return whether there is a photograph with more pixels than the model's picture of it."""
        return _has_detail(self.sample, self.size)

    def in_detail(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the result, uint8 H W 3 or H W 4, and the source, H W 3, with the photograph's detail.

        They are made from a photograph that is reduced to what is shown.
        """
        reduced = replace(self, sample=_shown_part(self.sample))
        window, image = reduced.sample.window, reduced.sample.photograph
        assert window is not None
        assert image is not None
        return window.cut(reduced.in_photograph()), window.cut(image)

    def mark(self, resize_back: bool) -> Mark:
        """Return what the metadata of the result, or of the photograph with it, say."""
        return mark_of(self.prepared.cutout, resize_back)


class PageModel:
    """A model of single images or of clips. Thread-safe; the model works for one thread at a time.

    A model of clips generates a single picture as the first frame of a clip whose frame before is the source; the
    explanation is that of the motion from the source.

    Args:
        inferencer: the model.
        examples: numbers, from 0, of the samples read from the config's test set, of which too large ones are left
            out; or a folder as of :func:`posegen_app.gallery.read_examples`.
        name: name of the model in a comparison.

    Attributes:
        layout: layout of its key points; None: the structures are not key points.
        choices: for an encoder of class numbers, the names of the classes by choice; its structure is a tuple of one
            number for each choice. Empty: another kind of structure.
        gallery: examples from the test set.
    """

    def __init__(self, inferencer: Inferencer, examples: Sequence[int] | Path = range(8), name: str = "model") -> None:
        self.inferencer, self.name = inferencer, name
        self.encoder, self.size = inferencer.encoder, inferencer.size
        self.layout: KeypointLayout | None = self.encoder.layout
        self.choices: dict[str, tuple[str, ...]] = dict(self.encoder.choices) if self.layout is None else {}
        self._lock = threading.Lock()
        self._masking = threading.Lock()
        self._segmenter: Segment | None = None
        self._filled: tuple[np.ndarray, Cutout] | None = None  # the last picture that was filled, and its cutout
        self.gallery = Gallery()
        if isinstance(examples, Path):
            self.gallery = read_examples(inferencer, examples)
        elif examples:
            self.gallery = read_gallery(inferencer, examples)

    def __deepcopy__(self, memo: dict[int, Any]) -> PageModel:
        """Return itself: Gradio copies the first values of states for each session, and sessions share the model."""
        return self

    # Files

    def read_sample(self, paths: Sequence[Path]) -> Sample:
        """Read a picture and, if given, its key-point file: one of the page's own or one that a plugin reads.

        Args:
            paths: the files, in any order.

        Raises:
            DataError: a file is broken or too large, there is no picture among them, or more than these two.
        """
        pictures = [path for path in paths if path.suffix.lower() in PHOTOGRAPH_ENDINGS]
        others = [path for path in paths if path not in pictures]
        if len(pictures) != 1 or len(others) > 1:
            where = others[0].name if others and not pictures else "the files"
            problem = f"{len(pictures)} pictures, {len(others)} other files" if pictures else "this is no picture"
            raise DataError(where, problem, "Give one picture and, if you have it, its key-point file.")
        if others and self.layout is None:
            raise DataError(others[0].name, "the structures of this model are not key points and not read from files")
        picture = read_photograph(pictures[0], most_pixels=MAX_PIXELS).image
        return self._framed(picture, self._read_points(others[0], pictures[0], picture) if others else None)

    def _read_points(self, path: Path, image: Path, picture: np.ndarray) -> Keypoints:
        assert self.layout is not None
        points = read_keypoints(path, self.layout, image)
        if points.frame is None:
            points = in_pixels(points, (picture.shape[0], picture.shape[1]))
        return points.within((picture.shape[0], picture.shape[1]))

    def estimate(self, path: Path) -> list[Sample]:
        """Read a picture and estimate its key points: one sample for each figure, the largest first.

        Raises:
            DataError: the picture is broken.
            ConfigError, MissingWeightsError: no plugin estimates such key points, or it cannot run here.
        """
        assert self.layout is not None
        picture = read_photograph(path, most_pixels=MAX_PIXELS).image
        figures = load_estimator(self.layout)(picture)[:MAX_FIGURES]
        return [self._framed(picture, replace(figure.keypoints, frame=picture.shape[:2])) for figure in figures]

    def read_poses(self, paths: Sequence[Path]) -> tuple[list[Keypoints], list[Sample]]:
        """Read target poses, each in pixels of its ``frame``, or of the source without one.

        Args:
            paths: a key-point file, its picture, or both; for a picture alone the key points are estimated.

        Returns:
            The pose of each figure, the largest first; and the picture, cut out around each of them, or as it is if no
            figure was found in it.

        Raises:
            DataError: a file is broken, or there are others.
            ConfigError, MissingWeightsError: see :meth:`estimate`.
        """
        others = [path for path in paths if path.suffix.lower() not in PHOTOGRAPH_ENDINGS]
        if len(paths) == len(others) != 1:
            raise DataError("the files", f"{len(others)} key-point files", "Give one, and its picture if you have it.")
        if len(paths) == len(others):
            return [_only(read_clip_poses(others, self.encoder, MAX_FRAMES), others[0])], []
        sample = self.read_sample(paths)
        figures = self.estimate(paths[0]) if sample.structure is None else [sample]
        return [one.pose for one in figures], figures or [sample]

    def read_clip(self, paths: Sequence[Path], source: Sample | None, fit: str = "auto") -> list[Keypoints]:
        """Read the poses of a clip, in pixels of the model's size: one file a frame, or the page's own file.

        Args:
            paths: key-point files.
            source, fit: see :meth:`fit_motion`.

        Raises:
            DataError: files are broken, all named at once, or there are too many frames.
        """
        return self.fit_motion(read_clip_poses(paths, self.encoder, MAX_FRAMES), source, fit)

    def fit_motion(self, poses: Sequence[Keypoints], source: Sample | None, fit: str) -> list[Keypoints]:
        """Fit the poses of a clip, see :meth:`fit`; ``auto`` keeps the proportions of a face: they are its likeness."""
        assert self.layout is not None
        changes = is_motion_without_parts(poses, self.layout) and poses[0].frame != self.size
        return self.fit(poses, source, "motion" if fit == "auto" and changes else fit)

    def fit(self, poses: Sequence[Keypoints], source: Sample | None, fit: str) -> list[Keypoints]:
        """Bring the poses of one figure into pixels of the model's size, all in the same way.

        Args:
            poses: in pixels of their frame, or of the source without one.
            source: the source, to whose figure they are fitted; None: they are not.
            fit: one of :data:`posegen.inference.retarget.RETARGET`.
        """
        blank = np.zeros((*self.size, 3), np.uint8) if source is None else np.zeros_like(source.picture)
        frames = dict.fromkeys(pose.frame for pose in poses)
        places = {frame: self._place([pose for pose in poses if pose.frame == frame], source, fit) for frame in frames}

        def fitted(pose: Keypoints) -> Keypoints:
            place = places[pose.frame]
            return pose if place is None else self.prepared_points(Sample(blank, replace(place(pose), frame=None)))

        return [fitted(pose) for pose in poses]

    def _place(self, poses: Sequence[Keypoints], source: Sample | None, fit: str) -> Placement | None:
        """Return how poses of one frame come into the source's picture; None: they are prepared already."""
        assert self.layout is not None
        size = self.size if source is None else (source.picture.shape[0], source.picture.shape[1])
        ready = poses[0].frame == self.size
        if source is None or not isinstance(source.structure, Keypoints):
            return None if ready else place_frame(poses, self.layout, size)
        if fit in ("none", "auto"):
            kept = place_targets(source.structure, poses, self.layout, size, "none")
            if fit == "none" or (kept.is_alike if ready else kept.fits(poses[0].frame)):
                return None if ready else kept
            fit = "scale"
        return place_targets(source.structure, poses, self.layout, size, fit)

    def _framed(self, picture: np.ndarray, points: Keypoints | None) -> Sample:
        """Crop a photograph around its figure, or pad it to the model's proportions, and reduce it."""
        dataset, options = test_dataset(self.inferencer.config)
        proportions = dataset.proportions(self.size, options)
        size = (picture.shape[0], picture.shape[1])
        if proportions is None or (points is not None and points.listed):
            return _reduced(picture, points)
        if points is None:
            window = whole_window(size, proportions)
        else:
            assert self.layout is not None
            window = choose_window(size, proportions, points, [], "auto", self.layout.margin)
            points = window.shift(points)
        photograph = resize_image(picture, _stored_size(*size, MAX_PHOTOGRAPH))
        return replace(
            _reduced(window.cut(picture), points), photograph=photograph, window=_scaled(window, size, photograph)
        )

    # Backgrounds

    @property
    def cuts_out(self) -> bool:
        """Return whether an estimator finds the pixels of its figures."""
        try:
            return self.layout is not None and find_estimator(self.layout).load_segment is not None
        except ConfigError:
            return False

    def backdrop(self, name: str, background: Background = WHITE) -> Backdrop | None:
        """Return a background of results; None: that of the photograph.

        Args:
            name: one of :data:`posegen_app.gallery.BACKGROUNDS`.
            background: what is shown behind the figure.

        Raises:
            InputError: no such name, or the model's structures are no key points.
            ConfigError, MissingWeightsError: no estimator gives masks of such figures, or it cannot run here.
        """
        if name == OWN:
            return None
        if name not in BACKGROUNDS or self.layout is None:
            raise InputError("the page sent no background")
        with self._masking:
            self._segmenter = self._segmenter or load_segmenter(self.layout)
        return Backdrop(name, Cutout(background, self._segment, name == FILLED, self.layout.parts))

    def _segment(self, image: np.ndarray, keypoints: Keypoints) -> np.ndarray:
        """Find the pixels of a figure; the estimator works for one thread at a time."""
        assert self._segmenter is not None
        with self._masking:
            return self._segmenter(image, keypoints)

    def default_backdrop(self, sample: Sample) -> Backdrop | None:
        """Return the background for a picture: its own, filled behind the figure, if the figure can be cut out."""
        if not (self.cuts_out and isinstance(sample.structure, Keypoints)):
            return None
        try:
            backdrop = self.backdrop(FILLED)
            self._cutout(replace(sample, backdrop=backdrop))  # which is kept for the first result
        except PosegenError:  # the picture stays as it is, and the choice of a background says what is missing
            return None
        return backdrop

    def in_front_of(self, sample: Sample, backdrop: Backdrop | None) -> Sample:
        """Return a sample with a background, if its figure can be cut out; else with its own."""
        try:
            self.check_figure(replace(sample, backdrop=backdrop))
        except PosegenError:
            return replace(sample, backdrop=None)
        return replace(sample, backdrop=backdrop)

    def read_backdrop(self, path: Path) -> Backdrop | None:
        """Read the picture of a background.

        Raises:
            DataError: the file is broken or too large.
            ConfigError, MissingWeightsError: see :meth:`backdrop`.
        """
        picture = read_photograph(path, most_pixels=MAX_PIXELS).image
        size = _stored_size(picture.shape[0], picture.shape[1], MAX_PHOTOGRAPH)
        return self.backdrop(PICTURE, resize_image(picture, size))

    def check_figure(self, sample: Sample) -> None:
        """Raise InputError if a sample has a background, and no figure is found that could be cut out."""
        if sample.backdrop is not None:
            sample.backdrop.cutout.cut(Photograph(sample.picture), sample.structure, NAME)

    # Structures

    def guide(self, seen: Sample, fitted: Keypoints) -> np.ndarray | None:
        """Return the photograph of a target's figure as it lies behind its fitted pose: uint8 H W 3, pale.

        Args:
            seen: the picture with the pose that was found in it.
            fitted: the same pose as it was fitted to the source, in pixels of the model's size.

        Returns:
            None if no scaling and moving of the photograph brings its pose there, since limbs were fitted too.
        """
        found = seen.structure if seen.photograph is None else seen.points_in_photograph()
        both = found.present & fitted.present
        before, after = found.points[both], fitted.points[both]
        height, width = self.size
        if not both.any() or np.ptp(before, axis=0).min() < 1:
            return None
        fits = np.array([np.polyfit(before[:, axis], after[:, axis], 1) for axis in range(2)])  # scale and offset
        if np.abs(before * fits[:, 0] + fits[:, 1] - after).max() > GUIDE_ERROR * height:
            return None
        zoom = GUIDE_HEIGHT / height
        middle = (zoom * (fits[:, 1] + 0.5)) - 0.5  # of pixels
        matrix = np.array([[zoom * fits[0, 0], 0, middle[0]], [0, zoom * fits[1, 0], middle[1]]])
        size = (round(width * zoom), GUIDE_HEIGHT)
        photograph = seen.picture if seen.photograph is None else seen.photograph
        moved = cv2.warpAffine(photograph, matrix, size, borderValue=GUIDE_COLOR)
        return (GUIDE_SHARE * moved + (1 - GUIDE_SHARE) * np.array(GUIDE_COLOR)).round().astype(np.uint8)

    def prepared_points(self, sample: Sample) -> Keypoints:
        """Return a sample's key points in pixels of the model's size, prepared as the data set does."""
        assert isinstance(sample.structure, Keypoints)
        return prepare_subject(self.inferencer.config, sample.picture, sample.structure)[1]

    def neutral(self, frame: tuple[int, int]) -> Keypoints:
        """Return the layout's rest pose in a picture of that size (H, W), or one in the shape of its graph."""
        assert self.layout is not None
        return rest_pose(self.layout, frame) if self.layout.rest else neutral_pose(self.layout, frame)

    def draw(self, structure: Structure) -> np.ndarray:
        """Draw a prepared structure: uint8 H W 3."""
        return self.encoder.draw(self._encode(structure))

    def interpolate(self, sample: Sample, target: Keypoints, frames: int) -> list[Keypoints]:
        """List poses from a sample's own to a target, both included, with ease-in and ease-out.

        Raises:
            InputError: fewer than 2 frames, or more than :data:`MAX_FRAMES`.
        """
        assert self.layout is not None
        if not 2 <= frames <= MAX_FRAMES:
            raise InputError(f"a clip has 2 to {MAX_FRAMES} frames, got {frames}")
        start, layout = self.prepared_points(sample), self.layout
        times = np.linspace(0, 1, frames)
        return [interpolate_keypoints(start, target, layout, float(t * t * (3 - 2 * t))) for t in times]

    def turn(self, choice: str, numbers: Sequence[int]) -> list[tuple[int, ...]]:
        """List structures through all classes of a choice, starting at *numbers*; the other choices stay."""
        place, count = list(self.choices).index(choice), len(self.choices[choice])
        around = [(numbers[place] + step) % count for step in range(count)]
        return [(*numbers[:place], number, *numbers[place + 1 :]) for number in around[:MAX_FRAMES]]

    # Results

    def generate(self, sample: Sample, target: Structure) -> Output:
        """Move a sample into a structure.

        Args:
            sample: a picture with its structure.
            target: key points are in pixels of the model's size.

        Raises:
            InputError: a pose has no point, or the encoder does not accept a structure.
        """
        prepared = next(self._prepare(sample, [target]))
        renderer = getattr(self.inferencer.model, "renderer", None)
        recorded = getattr(renderer, "attention_reference", self.inferencer.model)  # of clips: not of the frame before
        with self._lock, recorded_kernels(recorded) as kernels:
            _, out = next(self.inferencer.generate([prepared], 1))
        source = prepared.source[None].to(out.image.device)
        picture = generated_picture(prepared, out, keep_alpha=sample.is_transparent)
        layers = {RESULT: picture, SOURCE: to_uint8(prepared.source)}
        if out.flows:
            flow, mask = out.flows[-1].float().cpu(), out.masks[-1].float().cpu()
            layers |= {
                FLOW: resize_image(flow_to_rgb(flow[0]), self.size, "nearest"),
                MASK: resize_image(mask_to_rgb(mask[0]), self.size, "nearest"),
                WARPED: to_uint8(warp(source, out.flows[-1])[0]),
                SHARES: _tinted(picture[..., :3], mask[0, 0].numpy(), self.size),
            }
        if sample.photograph is not None and sample.window is not None:
            prepared = replace(prepared, photograph=Photograph(sample.photograph), window=sample.window)
        drawn = self.encoder.draw(prepared.target_structure)
        return Output(layers, levels_of(out, kernels), prepared, out, drawn, sample)

    def frames(self, sample: Sample, targets: Sequence[Structure], whole: bool = False) -> Iterator[np.ndarray]:
        """Generate the frames, uint8 H W 3, of a clip in which a sample moves through structures.

        Those of a photograph have its detail. A transparent background is white. Other threads may use the model
        between two frames. Errors: see :meth:`generate`.

        Args:
            sample, targets: see :meth:`generate`.
            whole: frames show the whole photograph, not only the part that the model sees.
        """
        generated = self.inferencer.generate(self._prepare(sample, targets), 1)
        within: Prepared | None = None
        is_whole = whole and sample.photograph is not None and sample.window is not None
        while True:
            with self._lock:
                frame = next(generated, None)
            if frame is None:
                return
            one, made = frame
            if not (is_whole or _has_detail(sample, self.size)):
                yield generated_picture(one, made)
                continue
            if within is None:  # its background is filled once
                within = _in_photograph(one, _photograph_of_clip(sample) if is_whole else _shown_part(sample))
            picture = generated_picture(replace(within, target=one.target), made, resize_back=True)
            yield picture if is_whole else within.window.cut(picture)

    def _prepare(self, sample: Sample, targets: Sequence[Structure]) -> Iterator[Prepared]:
        picture, own = sample.picture, sample.structure
        if isinstance(own, Keypoints):
            _check_points(own)
            cutout = self._cutout(sample)
        else:
            picture, own, cutout = resize_image(picture, self.size), self._encode(own), None
        blank = np.zeros((*self.size, 3), np.uint8)  # targets are in pixels of the model's size
        encoded = (PoseInput(blank, self._encode(target)) for target in targets)
        given = PoseInput(picture, own, NAME, cutout=cutout)
        for one, target in zip(self.inferencer.prepare_inputs(given, encoded, Framing("none")), targets, strict=True):
            yield replace(one, target=target) if isinstance(target, Keypoints) else one

    def _cutout(self, sample: Sample) -> Cutout | None:
        """Return the cutout of a sample's background; one that fills the picture does it once, not for each pose."""
        if sample.backdrop is None or not sample.backdrop.cutout.fills:
            return None if sample.backdrop is None else sample.backdrop.cutout
        if self._filled is None or self._filled[0] is not sample.picture:
            cutout = sample.backdrop.cutout.cut(Photograph(sample.picture), sample.structure, NAME)[1]
            self._filled = sample.picture, cutout
        return self._filled[1]

    def _encode(self, structure: Structure) -> Tensor:
        """Encode a structure as S H W (or S 1 1); key points are in pixels of the model's size."""
        if isinstance(structure, Tensor):
            return structure
        if isinstance(structure, Keypoints):
            _check_points(structure)
            return self.encoder.encode(structure, self.size)
        try:
            return self.encoder.encode(structure, self.size)
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{type(self.encoder).__name__} cannot encode {str(structure)[:100]}: {error}") from error


def check_comparable(models: Sequence[PageModel]) -> None:
    """Raise ConfigError naming all models that cannot take the same input as the first, and duplicate names."""
    first = models[0]
    problems = [
        f"{model.name} takes {_kind(model)}, {first.name} takes {_kind(first)}"
        for model in models[1:]
        if _kind(model) != _kind(first)
    ]
    names = [model.name for model in models]
    problems += [f"two models are called {name!r}" for name in sorted(set(names)) if names.count(name) > 1]
    if problems:
        raise ConfigError("these models cannot be compared:\n" + "\n".join(f"  - {problem}" for problem in problems))


def _kind(model: PageModel) -> str:
    if model.layout is not None:
        return f"key points of {model.layout.name}"
    if model.choices:
        return " and ".join(f"{len(names)} classes of {choice}" for choice, names in model.choices.items())
    height, width = model.size
    return f"structures of {type(model.encoder).__name__}, {model.encoder.channels} channels at {width}×{height}"


def scaled(target: Structure, main: PageModel, model: PageModel) -> Structure:
    """Convert a target of one model for another: key points to pixels of its size."""
    if not isinstance(target, Keypoints):
        return target
    return target.scale(model.size[1] / main.size[1], model.size[0] / main.size[0])


def _check_points(keypoints: Keypoints) -> None:
    if not keypoints.present.any():
        raise InputError("a pose needs at least one point")


def _only(poses: Sequence[Keypoints], path: Path) -> Keypoints:
    if len(poses) != 1:
        raise DataError(path, f"has the {len(poses)} poses of a clip", "Upload it under Clip.")
    return poses[0]


def rest_pose(layout: KeypointLayout, frame: tuple[int, int]) -> Keypoints:
    """Place the rest pose of a layout in the middle of a picture of that size (H, W), as large as its margin lets."""
    present = np.array([place is not None for place in layout.rest])
    places = np.array([place or (0, 0) for place in layout.rest], np.float64)
    low, high = places[present].min(0), places[present].max(0)
    sides = np.array([frame[1] - 1, frame[0] - 1])
    scale = ((1 - 2 * REST_MARGIN) * sides / np.maximum(high - low, 1e-6)).min()
    return Keypoints(sides / 2 + scale * (places - (low + high) / 2), present)


def neutral_pose(layout: KeypointLayout, frame: tuple[int, int]) -> Keypoints:
    """Build a symmetric pose in the shape of the layout's graph, in pixels of a picture of that size (H, W).

    Distances approximate the number of limbs between points (classical multidimensional scaling), and mirror partners
    are placed opposite each other.
    """
    steps = _graph_distances(layout)
    count = len(layout)
    centered = np.eye(count) - 1 / count
    values, vectors = np.linalg.eigh(-0.5 * centered @ steps**2 @ centered)
    axes = vectors[:, ::-1] * np.sqrt(np.maximum(values[::-1], 0))  # the longest first
    partner = list(layout.partner)
    # An axis is even or odd under the mirror: the longest even one becomes vertical, the longest odd one horizontal.
    y = max((axes[:, k] + axes[partner, k] for k in range(count)), key=np.linalg.norm)
    x = max((axes[:, k] - axes[partner, k] for k in range(count)), key=np.linalg.norm)
    side = np.sign(np.array(partner) - np.arange(count))  # of two partners, the first is on the left
    x = x * (-1 if (x * side).sum() > 0 else 1)
    y = y * (-1 if y[0] > y.mean() else 1)  # the first point is in the upper half
    across = _stretch(x, 0.25, 0.75)
    across = np.where(np.abs(across - across[partner]) < MIN_DISTANCE, 0.5 - side * MIN_DISTANCE / 2, across)
    points = np.stack([across, _stretch(y, 0.1, 0.9)], 1)
    return Keypoints(points * [frame[1] - 1, frame[0] - 1], np.ones(count, bool))


def _graph_distances(layout: KeypointLayout) -> np.ndarray:
    """Number of limbs between any two points, K K; unconnected ones are one step further apart than any others."""
    count = len(layout)
    steps = np.full((count, count), np.inf)
    np.fill_diagonal(steps, 0)
    for first, second in layout.limbs:
        steps[first, second] = steps[second, first] = 1
    for between in range(count):
        steps = np.minimum(steps, steps[:, between, None] + steps[between])
    return np.where(np.isfinite(steps), steps, steps[np.isfinite(steps)].max() + 1)


def _stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map *values* linearly to the range from *low* to *high*; equal values to its middle."""
    span = np.ptp(values)
    if span <= 1e-9:
        return np.full(len(values), (low + high) / 2)
    return low + (high - low) * (values - values.min()) / span


def _tinted(picture: np.ndarray, mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Tint a result, uint8 H W 3, by its mask h w: :data:`COLOR_WARPED` where it is 1, else :data:`COLOR_GENERATED`."""
    colors = mask[..., None] * np.array(COLOR_WARPED) + (1 - mask[..., None]) * np.array(COLOR_GENERATED)
    tint = resize_image(colors.round().clip(0, 255).astype(np.uint8), size, "nearest")
    gray = picture.mean(axis=2, keepdims=True)
    return (0.5 * gray + 0.5 * tint).round().astype(np.uint8)


def _has_detail(sample: Sample, size: tuple[int, int]) -> bool:
    """Return whether a sample has a photograph with more pixels than a model's picture (H, W) of it."""
    return sample.photograph is not None and sample.window is not None and sample.window.height > size[0]


def _shown_part(sample: Sample) -> Sample:
    """Return a sample of a photograph that is reduced to the pixels that the page shows, and extended to its window."""
    assert sample.window is not None
    image, window = _extended(*_shrunk(sample, MAX_DETAIL / max(sample.window.height, sample.window.width)))
    return replace(sample, photograph=image, window=window)


def _photograph_of_clip(sample: Sample) -> Sample:
    """Return a sample of a photograph that is reduced to the pixels of a clip."""
    assert sample.photograph is not None
    image, window = _shrunk(sample, MAX_CLIP / max(sample.photograph.shape))
    return replace(sample, photograph=image, window=window)


def _shrunk(sample: Sample, share: float) -> tuple[np.ndarray, Window]:
    """Return the photograph of a sample resized by a share, if that is below 1, and its window there."""
    assert sample.photograph is not None
    assert sample.window is not None
    size = sample.photograph.shape[0], sample.photograph.shape[1]
    image = resize_image(sample.photograph, _stored_size(*size, round(min(1.0, share) * max(size))))
    return image, _scaled(sample.window, size, image)


def _extended(image: np.ndarray, window: Window) -> tuple[np.ndarray, Window]:
    """Return an image, uint8 H W 3, that reaches as far as a window of it, and the window in it.

    Beyond the image its edge is repeated, and blurred so that it makes no streaks.
    """
    height, width = image.shape[:2]
    left, top = max(0, -window.left), max(0, -window.top)
    right, bottom = max(0, window.left + window.width - width), max(0, window.top + window.height - height)
    if not any((left, top, right, bottom)):
        return image, window
    larger = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(larger, (0, 0), SOFT_EDGE * max(window.height, window.width))
    soft[top : top + height, left : left + width] = image
    return soft, replace(window, left=window.left + left, top=window.top + top)


def _in_photograph(one: Prepared, sample: Sample) -> Prepared:
    """Return an input of the model as a part of its sample's photograph, behind whose figure is its background."""
    assert sample.photograph is not None
    assert sample.window is not None
    photograph, cutout = Photograph(sample.photograph), None
    if sample.backdrop is not None:
        photograph, cutout = sample.backdrop.cutout.cut(photograph, sample.points_in_photograph(), NAME)
    return replace(one, photograph=photograph, window=sample.window, cutout=cutout)


def _scaled(window: Window, size: tuple[int, int], photograph: np.ndarray) -> Window:
    """Return a window of a picture of that size (H, W) in pixels of the reduced photograph."""
    x, y = photograph.shape[1] / size[1], photograph.shape[0] / size[0]
    left, top = round(window.left * x), round(window.top * y)
    return Window(left, top, max(1, round(window.width * x)), max(1, round(window.height * y)))


def _stored_size(height: int, width: int, most: int = MAX_SIDE) -> tuple[int, int]:
    """Size (H, W) at which a picture is stored."""
    shrink = min(1.0, most / max(height, width))
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _reduced(picture: np.ndarray, keypoints: Keypoints | None) -> Sample:
    """Resize a picture and its points to the size at which they are stored."""
    height, width = picture.shape[:2]
    size = _stored_size(height, width)
    points = None if keypoints is None else keypoints.scale(size[1] / width, size[0] / height)
    return Sample(resize_image(picture, size), points)
