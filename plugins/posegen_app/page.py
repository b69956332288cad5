"""The page in Gradio: a source, a target, results with their explanation, and clips."""

from __future__ import annotations

import html
import inspect
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np

from posegen.data import Keypoints
from posegen.data.images import resize_image
from posegen.data.pose_files import own_content
from posegen.errors import InputError, PosegenError
from posegen.visualization.video import VideoWriter

from .downloads import ClipFile, ShownResult, archive
from .editors import PointsEditor, build_editor
from .gallery import Sample, Structure
from .page_model import MAX_FRAMES, Output, PageModel, scaled
from .values import data_address, origins_value, outputs_value, picture_address, pose_points
from .web import component, gr, serve

SESSION_SECONDS = 3600
"""Time after which the state of an unused browser session is deleted."""
MODEL, CLIPS = "model", "clips"
"""Queues: events of one wait for each other; a clip leaves the model to other events between two frames."""
MAX_FPS = 60
PROGRESS_SECONDS = 0.3
"""Minimum time between two progress updates of a clip."""
UPLOAD_HEIGHT = 140
GALLERY_HEIGHT = 220  # two rows
CSS = """
.gradio-container { max-width: 1400px !important; }
#message textarea { min-height: 2.6em; }
button:focus-visible, input:focus-visible, textarea:focus-visible {
  outline: 3px solid #3b82f6 !important; outline-offset: 1px; }
"""


def launch(
    models: Sequence[PageModel], title: str, host: str = "127.0.0.1", port: int = 0, share: bool = False
) -> tuple[gr.Blocks, str]:
    """Serve the page of models; returns the page, whose ``close()`` ends it, and its address.

    Arguments and errors: see :func:`build_page` and :func:`posegen_app.web.serve`.
    """
    page = build_page(models, title)
    return page, serve(page, host, port, CSS, share)


def build_page(models: Sequence[PageModel], title: str) -> gr.Blocks:
    """Build the page of a model, or of several that are compared.

    Args:
        models: the first one's test set and size are used for all.
        title: title of the page, plain text.
    """
    with gr.Blocks(title=f"posegen: {title}", analytics_enabled=False, delete_cache=(600, SESSION_SECONDS)) as page:
        gr.HTML(f"<h1>{html.escape(title)}</h1>", js_on_load=None)
        _Page(models, title, page)
    return page


def _reporting_errors(outputs: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate an event handler to send a PosegenError to its last output, the message, after *outputs* others.

    The others stay as they are; those of a generator, a clip in progress, are cleared.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def returning(*arguments: Any) -> tuple:
            try:
                return function(*arguments)
            except PosegenError as error:
                return *[gr.skip()] * outputs, _message(error, arguments)

        @wraps(function)
        def yielding(*arguments: Any) -> Iterator[tuple]:
            try:
                yield from function(*arguments)
            except PosegenError as error:
                yield *[gr.update(value=None)] * outputs, _message(error, arguments)

        return yielding if inspect.isgeneratorfunction(function) else returning

    return decorate


def _message(error: PosegenError, arguments: tuple) -> str:
    """Text of an error without the temporary folders of uploaded files."""
    text = str(error)
    for path in (Path(path) for argument in arguments if isinstance(argument, list) for path in argument):
        text = text.replace(f"{path.parent}{os.sep}", "")
    return text


def _paths(uploaded: list[str] | None) -> list[Path]:
    return [Path(path) for path in uploaded or []]


def _event_point(event: gr.EventData) -> tuple[tuple[float, float], int]:
    """Read a point, as fractions of width and height, and the request's number from what a browser sent.

    Raises:
        InputError: no such point.
    """
    try:
        x, y, number = float(event.x), float(event.y), int(event.number)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise InputError("the page sent no point") from error
    if not (0 <= x < 1 and 0 <= y < 1):
        raise InputError("the page sent a point outside of the picture")
    return (x, y), number


def origins(outputs: Mapping[str, Output], point: tuple[float, float] | None) -> list[dict[str, Any]] | None:
    """Find the origin of a point, given as fractions of width and height, in the output of each model."""
    if point is None:
        return None
    return [
        origins_value(output, point[0] * output.size[1] - 0.5, point[1] * output.size[0] - 0.5)
        for output in outputs.values()
    ]


class _Page:
    def __init__(self, models: Sequence[PageModel], title: str, page: gr.Blocks) -> None:
        self.models, self.main, self.title = models, models[0], title
        self.shown = gr.State(None, time_to_live=SESSION_SECONDS)
        self.point = gr.State(None, time_to_live=SESSION_SECONDS)
        self.picture = gr.State(None, time_to_live=SESSION_SECONDS)
        self.clip_file = gr.State(None, time_to_live=SESSION_SECONDS)
        self.numbers = itertools.count(1)  # of clips and stops: a stop ends the clips with smaller numbers
        with gr.Row():
            with gr.Column():
                self._place_source()
            with gr.Column():
                self._place_target()
            with gr.Column():
                self._place_result()
        with gr.Row():
            with gr.Column():
                self._place_clip_controls()
            with gr.Column():
                self.clip = component(__package__, "clip", elem_id="clip", value=None, stopped=0)
        self._connect(page)
        self._connect_clips()

    @property
    def has_points(self) -> bool:
        """Return whether structures are key points, which can be read from files."""
        return self.main.layout is not None

    # Layout

    def _place_source(self) -> None:
        gr.Markdown("## 1. Source")
        files = "A picture, and its key-point file if you have one" if self.has_points else "A picture"
        self.source_files = _upload(files, "source-files")
        sources = [source.picture for source, _ in self.main.gallery.examples]
        self.sources = _gallery("Examples", "examples", [(picture, None) for picture in sources])
        self.source_editor = build_editor(self.main, "source-editor", "Structure of the source", is_target=False)

    def _place_target(self) -> None:
        gr.Markdown("## 2. Target")
        if self.has_points:
            self.pose_files = _upload("A key-point file, another picture, or both", "pose-files")
        targets = [self._drawn(target) for _, target in self.main.gallery.examples]
        self.targets = _gallery("Targets", "targets", [(picture, None) for picture in targets])
        self.target_editor = build_editor(self.main, "pose-editor", "Target structure", is_target=True)

    def _place_result(self) -> None:
        gr.Markdown("## 3. Result")
        props = dict(value=None, origins=None, answered=0, hovered=None, files=None, archive=None)
        self.viewer = component(__package__, "viewer", elem_id="viewer", **props)
        note = self.main.gallery.note
        self.message = gr.Textbox(
            f"No examples: {note}" if note else "",
            label="Messages",
            interactive=False,
            elem_id="message",
            lines=1,
            max_lines=8,
        )

    def _place_clip_controls(self) -> None:
        gr.Markdown("## 4. Clip")
        if self.has_points:
            self.length = gr.Slider(2, MAX_FRAMES, 24, step=1, label="Frames", elem_id="clip-length")
        self.fps = gr.Slider(1, MAX_FPS, 12, step=1, label="Frames per second", elem_id="clip-fps")
        if self.has_points:
            self.way = gr.Button("From the source's pose to the target", elem_id="clip-way")
        self.turns = {
            choice: gr.Button(f"Through every {choice}", elem_id=f"clip-turn-{number}")
            for number, choice in enumerate(self.main.choices)
        }
        clips = [(clip.cover, f"{clip.name}: {clip.frames} frames") for clip in self.main.gallery.clips]
        self.driving_clips = _gallery("Clips that drive the source", "clip-drives", clips)
        if self.has_points:
            files = f"Key points of a clip: one file a frame, or a clip.json; at most {MAX_FRAMES} frames"
            self.clip_poses = _upload(files, "clip-files")
        self.stop = gr.Button("Stop", elem_id="clip-stop")

    def _drawn(self, sample: Sample) -> np.ndarray:
        structure = sample.structure
        return self.main.draw(self.main.prepared_points(sample) if isinstance(structure, Keypoints) else structure)

    # Events

    def _connect(self, page: gr.Blocks) -> None:
        quiet: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
        editors = [self.source_editor.component, self.target_editor.component]
        loaded = [self.picture, *editors, self.message]
        posed = [self.target_editor.component, self.message]
        generate = dict(
            fn=self._generate,
            inputs=[self.picture, *editors, self.point],
            outputs=[self.shown, self.viewer, *editors, self.message],
            concurrency_id=MODEL,
            **quiet,
        )
        after = generate | {"fn": self._generate_after}
        self.source_files.upload(self._load_source, [self.source_files], loaded, **quiet).success(**after)
        self.sources.select(self._load_example, None, loaded, **quiet).success(**after)
        self.targets.select(self._load_example_target, None, posed, **quiet).success(**after)
        if self.has_points:
            files = [self.picture, self.pose_files]
            self.pose_files.upload(self._load_pose, files, posed, **quiet).success(**after)
        for changed in (*self.source_editor.changed, *self.target_editor.changed):
            changed(**generate, trigger_mode="always_last")
        explained = [self.viewer, self.point, self.message]
        self.viewer.point(self._explain, [self.shown], explained, trigger_mode="multiple", **quiet)
        self.viewer.hover(self._hover, [self.shown], [self.viewer, self.message], trigger_mode="multiple", **quiet)
        self.viewer.archive(self._archive, [self.shown, self.clip_file], [self.viewer, self.message], **quiet)
        if self.main.gallery.examples:
            page.load(self._load_first, None, loaded, **quiet).success(**after)

    def _connect_clips(self) -> None:
        outputs = [self.clip, self.clip_file, self.message]
        given = [self.picture, self.source_editor.component, self.fps]
        quiet: dict[str, Any] = dict(outputs=outputs, show_progress="hidden", api_visibility="private")
        options = quiet | {"concurrency_id": CLIPS}
        target = self.target_editor.component
        events: list[Any] = [
            button.click(partial(self._turn, choice), [*given, target], **options)
            for choice, button in self.turns.items()
        ]
        events.append(self.driving_clips.select(self._drive, given, **options))
        if self.has_points:
            events.append(self.way.click(self._interpolate, [*given, target, self.length], **options))
            events.append(self.clip_poses.upload(self._drive_by_files, [*given, self.clip_poses], **options))
        self.stop.click(self._stop, None, cancels=events, **quiet)

    # Source and target

    @_reporting_errors(3)
    def _load_source(self, uploaded: list[str] | None) -> tuple:
        sample = self.main.read_sample(_paths(uploaded))
        if sample.structure is not None:
            return *self._loaded(sample), ""
        if not self.has_points:
            return sample.picture, gr.skip(), gr.skip(), "Choose the structure of this picture below."
        try:
            return *self._loaded(self.main.estimate(_paths(uploaded)[0])), "The key points are estimated."
        except PosegenError as error:
            reason = _message(error, (uploaded,)).splitlines()[0]
        neutral = self.main.neutral(sample.picture.shape[:2])
        return *self._loaded(Sample(sample.picture, neutral)), f"{reason}\nDrag the points of the source into place."

    def _load_first(self) -> tuple:
        return self._show_example(*self.main.gallery.examples[0])

    def _load_example(self, event: gr.SelectData) -> tuple:
        return self._show_example(*_selected(self.main.gallery.examples, event))

    def _show_example(self, source: Sample, target: Sample) -> tuple:
        picture, editor, _ = self._loaded(source)
        return picture, editor, self._show_target(target, **self._start(source)), ""

    def _load_example_target(self, event: gr.SelectData) -> tuple:
        return self._show_target(_selected(self.main.gallery.examples, event)[1]), ""

    def _loaded(self, sample: Sample) -> tuple:
        """Picture and updates of both editors for a new source; the target starts as its own structure."""
        frame = sample.picture.shape[:2]
        background = {"background": picture_address(sample.picture)} if self.has_points else {}
        source = self.source_editor.show(sample.structure, frame, **background)
        return sample.picture, source, self._show_target(sample, **self._start(sample))

    def _start(self, sample: Sample) -> dict[str, Any]:
        """Start of the target editor's slider: the source's own pose."""
        if not isinstance(self.target_editor, PointsEditor):
            return {}
        return {"start": pose_points(self.main.prepared_points(sample), self.main.size)}

    def _show_target(self, sample: Sample, **options: Any) -> Any:
        structure = self.main.prepared_points(sample) if self.has_points else sample.structure
        return self.target_editor.show(structure, self.main.size, **options)

    @_reporting_errors(1)
    def _load_pose(self, picture: np.ndarray | None, uploaded: list[str] | None) -> tuple:
        pose = self.main.read_pose(_paths(uploaded), self._frame(picture))
        return self.target_editor.show(pose, self.main.size), ""

    def _frame(self, picture: np.ndarray | None) -> tuple[int, int]:
        return self.main.size if picture is None else picture.shape[:2]

    # Result

    def _sample(self, picture: np.ndarray | None, source: Any) -> Sample:
        if picture is None:
            raise InputError("Give a picture first.")
        return Sample(picture, self.source_editor.read(source))

    @_reporting_errors(4)
    def _generate(
        self, picture: np.ndarray | None, source: Any, target: Any, point: tuple[float, float] | None
    ) -> tuple:
        sample, wanted = self._sample(picture, source), self.target_editor.read(target)
        outputs = {model.name: model.generate(sample, scaled(wanted, self.main, model)) for model in self.models}
        files = {
            "source_structure": self.source_editor.file(source, self._frame(picture)),
            "target_structure": self.target_editor.file(target, self.main.size),
        }
        start = self._start(sample)
        return (
            ShownResult(outputs, sample.picture, files),
            gr.update(value=outputs_value(outputs), origins=origins(outputs, point), files=files),
            self.source_editor.drawn(sample.structure),
            gr.update(**start) if start else self.target_editor.drawn(wanted),
            "",
        )

    def _generate_after(self, *given: Any) -> tuple:
        """Generate after something was loaded, whose message stays."""
        *shown, message = self._generate(*given)
        return *shown, message or gr.skip()

    @_reporting_errors(2)
    def _explain(self, shown: ShownResult | None, event: gr.EventData) -> tuple:
        if shown is None:
            return gr.skip(), gr.skip(), gr.skip()
        point, number = _event_point(event)
        return gr.update(origins=origins(shown.outputs, point), answered=number), point, ""

    @_reporting_errors(1)
    def _hover(self, shown: ShownResult | None, event: gr.EventData) -> tuple:
        if shown is None:
            return gr.skip(), gr.skip()
        point, number = _event_point(event)
        answer = {"number": number, "x": point[0], "y": point[1], "origins": origins(shown.outputs, point)}
        return gr.update(hovered=answer), gr.skip()

    @_reporting_errors(1)
    def _archive(self, shown: ShownResult | None, clip: ClipFile | None) -> tuple:
        if shown is None:
            raise InputError("There is nothing to download yet.")
        made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        content = archive(shown, clip, {"page": self.title, "models": [*shown.outputs], "made at": made_at})
        return gr.update(archive=data_address(content, "application/zip")), ""

    # Clips

    @_reporting_errors(2)
    def _interpolate(self, picture: Any, source: Any, fps: float, target: Any, length: float) -> Iterator[tuple]:
        sample = self._sample(picture, source)
        poses = self.main.interpolate(sample, self.target_editor.read(target), int(length))
        yield from self._film(sample, poses, fps)

    @_reporting_errors(2)
    def _turn(self, choice: str, picture: Any, source: Any, fps: float, target: Any) -> Iterator[tuple]:
        numbers = self.target_editor.read(target)
        yield from self._film(self._sample(picture, source), self.main.turn(choice, numbers), fps)

    @_reporting_errors(2)
    def _drive(self, picture: Any, source: Any, fps: float, event: gr.SelectData) -> Iterator[tuple]:
        sample = self._sample(picture, source)
        clip = _selected(self.main.gallery.clips, event)
        yield from self._film(sample, self.main.gallery.structures(clip, MAX_FRAMES), fps)

    @_reporting_errors(2)
    def _drive_by_files(self, picture: Any, source: Any, fps: float, uploaded: list[str] | None) -> Iterator[tuple]:
        sample = self._sample(picture, source)
        yield from self._film(sample, self.main.read_clip(_paths(uploaded), self._frame(picture)), fps)

    def _stop(self) -> tuple:
        return gr.update(value=None, stopped=next(self.numbers)), None, "Stopped."

    def _film(self, sample: Sample, targets: Sequence[Structure], fps: float) -> Iterator[tuple]:
        """Generate a clip of all models side by side: yields the progress, and at last the file."""
        if not 1 <= fps <= MAX_FPS:
            raise InputError(f"a clip has 1 to {MAX_FPS} frames per second, got {fps}")
        last, clip = 0.0, next(self.numbers)
        with tempfile.TemporaryDirectory(prefix="posegen_clip") as folder:
            path = Path(folder, "clip.mp4")
            with VideoWriter(path, fps) as video:
                for number, frame in enumerate(self._frames(sample, targets)):
                    if time.monotonic() - last > PROGRESS_SECONDS:
                        last = time.monotonic()
                        yield {"done": number, "of": len(targets), "clip": clip}, None, ""
                    video.write(frame)
            content = path.read_bytes()
        poses = None
        if self.main.layout is not None and all(isinstance(target, Keypoints) for target in targets):
            poses = own_content(targets, self.main.layout, self.main.size)
        names = ", ".join(model.name for model in self.models)
        caption = f"{len(targets)} frames, {fps:g} per second" + f"; from the left: {names}" * (len(self.models) > 1)
        video_address = data_address(content, "video/mp4")
        yield (
            {"video": video_address, "caption": caption, "poses": poses},
            ClipFile(content, poses, sample.picture),
            "",
        )

    def _frames(self, sample: Sample, targets: Sequence[Structure]) -> Iterator[np.ndarray]:
        """Generate the frames of all models side by side, at the first one's size."""
        clips = [model.frames(sample, [scaled(t, self.main, model) for t in targets]) for model in self.models]
        for frames in zip(*clips, strict=True):
            yield np.concatenate([resize_image(frame, self.main.size) for frame in frames], axis=1)


def _selected(items: Sequence[Any], event: gr.SelectData) -> Any:
    """Return the selected item of a gallery; the index comes from a browser and may be anything."""
    index = event.index if isinstance(event.index, int) else 0
    return items[index % len(items)]


def _upload(label: str, name: str) -> gr.File:
    return gr.File(label=label, file_count="multiple", elem_id=name, height=UPLOAD_HEIGHT)


def _gallery(label: str, name: str, items: Sequence[tuple[np.ndarray, str | None]]) -> gr.Gallery:
    return gr.Gallery(
        list(items),
        label=label,
        show_label=False,
        visible=bool(items),
        elem_id=name,
        columns=3,
        height=GALLERY_HEIGHT,
        allow_preview=False,
        object_fit="contain",
        interactive=False,
        buttons=[],
    )
