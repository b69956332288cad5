"""The part of the page that makes clips: controls, and what they do."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from posegen.data import Keypoints
from posegen.data.images import resize_image
from posegen.data.pose_files import own_content
from posegen.data.video import VideoReader
from posegen.errors import DataError, InputError, PosegenError
from posegen.visualization.video import VideoWriter

from .downloads import ClipFile
from .driving_video import read_motion
from .editors import Editor
from .gallery import DrivingClip, Sample, Structure
from .notes import note, refusal
from .page_model import MAX_FRAMES, PageModel, scaled
from .values import data_address, picture_address, selected, way_to_fit
from .web import component, gr

CLIPS = "clips"
"""Queue of clips: they wait for each other, and leave the model to other events between two frames."""
MAX_FPS = 60
PROGRESS_SECONDS = 0.3
"""Minimum time between two progress updates of a clip."""
SESSION_SECONDS = 3600

Progress = dict[str, Any]
"""``{"done", "of", "what"}``: frames that are done, all frames, and what is done to them."""
Reading = Generator[Progress, None, tuple[Sample, Sequence[Structure]]]
"""Reads the source and the structures of a clip, and tells its progress meanwhile."""


class ClipSection:
    """Controls of clips, and the clip.

    Args:
        models: the models; the first one's size is used for all.
        source_editor, target_editor: editors of the structures.
        numbers: numbers of clips and stops: a stop ends the clips with smaller numbers.
    """

    def __init__(
        self, models: Sequence[PageModel], source_editor: Editor, target_editor: Editor, numbers: Iterator[int]
    ) -> None:
        self.models, self.main, self.numbers = models, models[0], numbers
        self.source_editor, self.target_editor = source_editor, target_editor
        gr.Markdown("## Clip")
        self.file = gr.State(None, time_to_live=SESSION_SECONDS)
        with gr.Row(elem_id="clips"):
            with gr.Column():
                self._place_controls()
            with gr.Column():
                self.clip = component(__package__, "clip", elem_id="clip", value=None, stopped=0)

    @property
    def has_points(self) -> bool:
        """Return whether structures are key points, which can be read from files."""
        return self.main.layout is not None

    def _place_controls(self) -> None:
        self.turns = {
            choice: gr.Button(f"Through every {choice}", elem_id=f"clip-turn-{number}")
            for number, choice in enumerate(self.main.choices)
        }
        with gr.Row(elem_classes="line"):
            if self.has_points:
                self.way = gr.Button("From the source's pose to the target", elem_id="clip-way")
                self.video = gr.UploadButton("Follow a video …", elem_id="clip-video")
                self.poses = gr.UploadButton("Follow key-point files …", file_count="multiple", elem_id="clip-files")
        self.whole = gr.Checkbox(
            True,
            label="Show the whole photograph",
            elem_id="clip-whole",
            container=False,
            visible=self.has_points,
        )
        self.note = component(__package__, "note", elem_id="clip-note", value=None)
        items = [[picture_address(clip.cover), _caption(clip)] for clip in self.main.gallery.clips]
        self.driving = component(
            __package__, "picker", {"caption": "Clips that drive the source"}, elem_id="clip-drives", items=items
        )
        with gr.Accordion("Length and speed", open=False, elem_id="clip-options"):
            if self.has_points:
                self.length = _slider(2, MAX_FRAMES, 24, "Frames from the source's pose to the target", "clip-length")
            self.fps = _slider(1, MAX_FPS, 12, "Frames per second, at most those of a video", "clip-fps")

    def connect(self, source: gr.State, fit: Any) -> None:
        """Connect the controls to the source, and to the choice of how poses are fitted to it."""
        outputs = [self.clip, self.file, self.note]
        given = [source, self.source_editor.component, self.fps, self.whole]
        quiet: dict[str, Any] = dict(outputs=outputs, show_progress="hidden", api_visibility="private")
        options = quiet | {"concurrency_id": CLIPS}
        target = self.target_editor.component
        events: list[Any] = [
            button.click(partial(self._turn, choice), [*given, target], **options)
            for choice, button in self.turns.items()
        ]
        events.append(self.driving.chosen(self._drive, given, **options))
        if self.has_points:
            events.append(self.way.click(self._interpolate, [*given, target, self.length], **options))
            events.append(self.poses.upload(self._drive_by_files, [*given, fit, self.poses], **options))
            events.append(self.video.upload(self._drive_by_video, [*given, fit, self.video], **options))
        self.clip.stop(self._stop, None, cancels=events, **quiet)

    # Events

    def _interpolate(
        self, source: Any, value: Any, fps: float, whole: bool, target: Any, length: float
    ) -> Iterator[tuple]:
        def read() -> tuple[Sample, Sequence[Structure]]:
            sample = self._sample(source, value)
            return sample, self.main.interpolate(sample, self.target_editor.read(target), int(length))

        yield from self._film(fps, whole, _at_once(read))

    def _turn(self, choice: str, source: Any, value: Any, fps: float, whole: bool, target: Any) -> Iterator[tuple]:
        def read() -> tuple[Sample, Sequence[Structure]]:
            return self._sample(source, value), self.main.turn(choice, self.target_editor.read(target))

        yield from self._film(fps, whole, _at_once(read))

    def _drive(self, source: Any, value: Any, fps: float, whole: bool, event: gr.EventData) -> Iterator[tuple]:
        def read() -> tuple[Sample, Sequence[Structure]]:
            clip = selected(self.main.gallery.clips, event)
            return self._sample(source, value), self.main.gallery.structures(clip, MAX_FRAMES)

        yield from self._film(fps, whole, _at_once(read))

    def _drive_by_files(
        self, source: Any, value: Any, fps: float, whole: bool, fit: str, uploaded: Any
    ) -> Iterator[tuple]:
        def read() -> tuple[Sample, Sequence[Structure]]:
            sample = self._sample(source, value)
            return sample, self.main.read_clip([Path(path) for path in uploaded or []], sample, way_to_fit(fit))

        yield from self._film(fps, whole, _at_once(read))

    def _drive_by_video(
        self, source: Any, value: Any, fps: float, whole: bool, fit: str, uploaded: Any
    ) -> Iterator[tuple]:
        def read() -> Reading:
            sample = self._sample(source, value)
            assert self.main.layout is not None
            motion = yield from read_motion(Path(str(uploaded)), self.main.layout, fps, MAX_FRAMES)
            return sample, self.main.fit_motion(motion, sample, way_to_fit(fit))

        fps = _rate(uploaded, fps)
        for shown, file, said in self._film(fps, whole, read()):
            count = 0 if file is None else VideoReader(Path(str(uploaded)), fps).count
            cut = f"The clip follows the first {MAX_FRAMES / fps:.1f} of {count / fps:.1f} seconds of the video."
            if count > MAX_FRAMES:
                said = note(cut if said is None else f"{cut} {said['text']}")
            yield shown, file, said

    def _stop(self) -> tuple:
        return gr.update(value=None, stopped=next(self.numbers)), None, note("Stopped.")

    def _sample(self, source: Any, value: Any) -> Sample:
        if source is None:
            raise InputError("Give a picture first.")
        return replace(source.sample, structure=self.source_editor.read(value))

    # Frames

    def _film(self, fps: float, whole: bool, reading: Reading) -> Iterator[tuple]:
        """Generate a clip of all models side by side: yields the progress, and at last the file or what went wrong."""
        number = next(self.numbers)
        try:
            yield {"done": 0, "of": 1, "what": "", "clip": number}, None, None
            if not 1 <= fps <= MAX_FPS:
                raise InputError(f"a clip has 1 to {MAX_FPS} frames per second, got {fps}")
            sample, targets = yield from _shown(reading, number)
            content = yield from _shown(self._encode(sample, targets, fps, whole), number)
        except PosegenError as error:
            yield None, None, refusal(error)
            return
        poses = None
        if self.main.layout is not None and all(isinstance(target, Keypoints) for target in targets):
            poses = own_content(targets, self.main.layout, self.main.size)
        names = ", ".join(model.name for model in self.models)
        caption = f"{len(targets)} frames, {fps:g} per second" + f"; from the left: {names}" * (len(self.models) > 1)
        video = data_address(content, "video/mp4")
        shown = {"video": video, "caption": caption, "poses": poses, "clip": number}
        said = note("A clip is not transparent: its background is white.") if sample.is_transparent else None
        yield shown, ClipFile(content, poses, sample.picture), said

    def _encode(
        self, sample: Sample, targets: Sequence[Structure], fps: float, whole: bool
    ) -> Generator[Progress, None, bytes]:
        with tempfile.TemporaryDirectory(prefix="posegen_clip") as folder:
            path = Path(folder, "clip.mp4")
            with VideoWriter(path, fps) as video:
                for number, frame in enumerate(self._frames(sample, targets, whole)):
                    yield {"done": number, "of": len(targets), "what": "Frame"}
                    video.write(frame)
            return path.read_bytes()

    def _frames(self, sample: Sample, targets: Sequence[Structure], whole: bool) -> Iterator[np.ndarray]:
        """Generate the frames of all models side by side, at the size of the first one's."""
        clips = [model.frames(sample, [scaled(t, self.main, model) for t in targets], whole) for model in self.models]
        for first, *others in zip(*clips, strict=True):
            size = first.shape[0], first.shape[1]
            yield np.concatenate([first, *(resize_image(frame, size) for frame in others)], axis=1)


def _slider(least: int, most: int, value: int, label: str, name: str) -> gr.Slider:
    return gr.Slider(least, most, value, step=1, label=label, elem_id=name, buttons=[])


def _at_once(read: Callable[[], tuple[Sample, Sequence[Structure]]]) -> Reading:
    """Read what needs no progress."""
    yield from ()
    return read()


def _shown(steps: Generator[Progress, None, Any], number: int) -> Generator[tuple, None, Any]:
    """Pass on the progress of a clip of that number, not more often than a page can show; return the result."""
    last = 0.0
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            return stop.value
        if time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            yield {**progress, "clip": number}, None, None


def _rate(uploaded: Any, most: float) -> float:
    """Return the frames per second of a video, at most so many; its reading reports one that cannot be read."""
    try:
        return min(most, float(VideoReader(Path(str(uploaded))).fps))
    except DataError:
        return most


def _caption(clip: DrivingClip) -> str:
    return f"{clip.name}: {clip.frames} frames"
