"""The page, in Gradio."""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Keypoints
from ..data.images import resize_image
from ..errors import InputError, PosegenError
from ..visualization.video import VideoWriter
from ._gradio import gr
from .downloads import ClipFile, Shown, archive, encoded
from .editors import PointsEditor, build_editor, component
from .gallery import Structure, Subject
from .pose_files import own_file
from .studio import MOST_FRAMES, Made, Studio, scaled
from .values import made_value, origins_value, picture_address, pose_points

FORGOTTEN_AFTER = 3600
"""Seconds after which what a browser was shown, and has not touched since, is dropped."""
MODEL, CLIPS = "model", "clips"
"""Events of one of these kinds wait in one queue; a clip leaves the model to others between two frames."""
FASTEST = 60  # frames a second
TOLD_EVERY = 0.3  # seconds, while a clip is made
UPLOAD_HEIGHT = 140
GALLERY_HEIGHT = 220  # two rows
FONTS = ["system-ui", "sans-serif"]  # of the machine: none is fetched
CSS = """
.gradio-container { max-width: 1400px !important; }
#message textarea { min-height: 2.6em; }
button:focus-visible, input:focus-visible, textarea:focus-visible {
  outline: 3px solid #3b82f6 !important; outline-offset: 1px; }
"""


def build_page(studios: Sequence[Studio], title: str) -> gr.Blocks:
    """The page of a model, or of several that are compared.

    Args:
        studios: the models; the first one's test set and size are what the page works with.
        title: of the page, plain text.
    """
    with gr.Blocks(title=f"posegen: {title}", analytics_enabled=False, delete_cache=(600, FORGOTTEN_AFTER)) as page:
        gr.HTML(html_template="<h1>{{value}}</h1>", value=title, js_on_load=None)
        _Page(studios, title, page)
    return page


def _said(outputs: int) -> Callable[[Callable[..., tuple]], Callable[..., tuple]]:
    """What is wrong goes to the last output, the message; the others, *outputs* of them, stay as they are."""

    def decorate(function: Callable[..., tuple]) -> Callable[..., tuple]:
        @wraps(function)
        def guarded(*arguments: Any) -> tuple:
            try:
                return function(*arguments)
            except PosegenError as error:
                return *[gr.skip()] * outputs, _without_folders(str(error), arguments)

        return guarded

    return decorate


def _said_meanwhile(outputs: int) -> Callable[[Callable[..., Iterator[tuple]]], Callable[..., Iterator[tuple]]]:
    """As :func:`_said`, of a function that yields."""

    def decorate(function: Callable[..., Iterator[tuple]]) -> Callable[..., Iterator[tuple]]:
        @wraps(function)
        def guarded(*arguments: Any) -> Iterator[tuple]:
            try:
                yield from function(*arguments)
            except PosegenError as error:
                yield *[gr.update(value=None)] * outputs, _without_folders(str(error), arguments)

        return guarded

    return decorate


def _without_folders(text: str, arguments: tuple) -> str:
    """An error without the folders that uploaded files happen to lie in."""
    uploaded = [Path(path) for argument in arguments if isinstance(argument, list) for path in argument]
    for path in uploaded:
        text = text.replace(f"{path.parent}{os.sep}", "")
    return text


def _paths(uploaded: list[str] | None) -> list[Path]:
    return [Path(path) for path in uploaded or []]


def _event_point(event: gr.EventData) -> tuple[tuple[float, float], int]:
    """The point that the viewer tells of, as shares of width and height, and the question's number. They come from a
    browser, and may be anything.

    Raises:
        InputError: no point.
    """
    try:
        x, y, number = float(event.x), float(event.y), int(event.number)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise InputError("the page sent no point") from error
    if not (0 <= x < 1 and 0 <= y < 1):
        raise InputError("the page sent a point outside of the picture")
    return (x, y), number


def _origins(named: Mapping[str, Made], point: tuple[float, float] | None) -> list[dict[str, Any]] | None:
    """Where a point of each result comes from."""
    if point is None:
        return None
    sizes = [made.size for made in named.values()]
    return [
        origins_value(made, point[0] * width - 0.5, point[1] * height - 0.5)
        for made, (height, width) in zip(named.values(), sizes, strict=True)
    ]


class _Page:
    """The page: a source, a target, the results and why they look so, and clips."""

    def __init__(self, studios: Sequence[Studio], title: str, page: gr.Blocks) -> None:
        self.studios, self.main, self.title = studios, studios[0], title
        self.shown = gr.State(None, time_to_live=FORGOTTEN_AFTER)
        self.point = gr.State(None, time_to_live=FORGOTTEN_AFTER)
        self.picture = gr.State(None, time_to_live=FORGOTTEN_AFTER)
        self.clip_file = gr.State(None, time_to_live=FORGOTTEN_AFTER)
        self.numbers = itertools.count(1)  # of clips that are begun, and of what stops those with smaller ones
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
                self.clip = component("clip", elem_id="clip", value=None, stopped=0)
        self._connect(page)
        self._connect_clips()

    @property
    def has_points(self) -> bool:
        """Whether structures are key points: these are read from files."""
        return self.main.layout is not None

    # What stands where ------------------------------------------------------------------------------------

    def _place_source(self) -> None:
        gr.Markdown("## 1. Source")
        files = "A picture, and its key-point file if you have one" if self.has_points else "A picture"
        self.source_files = _upload(files, "source-files")
        sources = [source.picture for source, _ in self.main.gallery.examples]
        self.sources = _gallery("Examples", "examples", [(picture, None) for picture in sources])
        self.source_editor = build_editor(self.main, "source-editor", "Structure of the source", of_target=False)

    def _place_target(self) -> None:
        gr.Markdown("## 2. Target")
        if self.has_points:
            self.pose_files = _upload("A key-point file, another picture, or both", "pose-files")
        targets = [self._drawn(target) for _, target in self.main.gallery.examples]
        self.targets = _gallery("Targets", "targets", [(picture, None) for picture in targets])
        self.target_editor = build_editor(self.main, "pose-editor", "Target structure", of_target=True)

    def _place_result(self) -> None:
        gr.Markdown("## 3. Result")
        self.viewer = component(
            "viewer", elem_id="viewer", value=None, origins=None, answered=0, hovered=None, files=None, archive=None
        )
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
            self.length = gr.Slider(2, MOST_FRAMES, 24, step=1, label="Frames on the way", elem_id="clip-length")
        self.fps = gr.Slider(1, FASTEST, 12, step=1, label="Frames a second", elem_id="clip-fps")
        if self.has_points:
            self.way = gr.Button("From the source's pose to the target", elem_id="clip-way")
        self.turns = {
            choice: gr.Button(f"Through every {choice}", elem_id=f"clip-turn-{number}")
            for number, choice in enumerate(self.main.choices)
        }
        drives = [(drive.cover, f"{drive.name}: {drive.frames} frames") for drive in self.main.gallery.drives]
        self.drives = _gallery("Clips that drive the source", "clip-drives", drives)
        if self.has_points:
            files = f"Key points of a clip: a file a frame, or a clip.json; at most {MOST_FRAMES} frames"
            self.clip_poses = _upload(files, "clip-files")
        self.stop = gr.Button("Stop", elem_id="clip-stop")

    def _drawn(self, subject: Subject) -> np.ndarray:
        structure = subject.structure
        return self.main.draw(self.main.prepared_points(subject) if isinstance(structure, Keypoints) else structure)

    # What leads where -------------------------------------------------------------------------------------

    def _connect(self, page: gr.Blocks) -> None:
        quiet: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
        editors = [self.source_editor.component, self.target_editor.component]
        loaded = [self.picture, *editors, self.message]
        posed = [self.target_editor.component, self.message]
        make = dict(
            fn=self._make,
            inputs=[self.picture, *editors, self.point],
            outputs=[self.shown, self.viewer, *editors, self.message],
            concurrency_id=MODEL,
            **quiet,
        )
        after = make | {"fn": self._make_after}
        self.source_files.upload(self._load_source, [self.source_files], loaded, **quiet).success(**after)
        self.sources.select(self._load_example, None, loaded, **quiet).success(**after)
        self.targets.select(self._load_example_target, None, posed, **quiet).success(**after)
        if self.has_points:
            files = [self.picture, self.pose_files]
            self.pose_files.upload(self._load_pose, files, posed, **quiet).success(**after)
        for changed in (*self.source_editor.changed, *self.target_editor.changed):
            changed(**make, trigger_mode="always_last")
        explained = [self.viewer, self.point, self.message]
        self.viewer.point(self._explain, [self.shown], explained, trigger_mode="multiple", **quiet)
        self.viewer.hover(self._hover, [self.shown], [self.viewer, self.message], trigger_mode="multiple", **quiet)
        self.viewer.archive(self._archive, [self.shown, self.clip_file], [self.viewer, self.message], **quiet)
        if self.main.gallery.examples:
            page.load(self._load_first, None, loaded, **quiet).success(**after)

    def _connect_clips(self) -> None:
        outputs = [self.clip, self.clip_file, self.message]
        given = [self.picture, self.source_editor.component, self.fps]
        options: dict[str, Any] = dict(
            outputs=outputs, concurrency_id=CLIPS, show_progress="hidden", api_visibility="private"
        )
        target = self.target_editor.component
        events: list[Any] = [
            button.click(partial(self._turned, choice), [*given, target], **options)
            for choice, button in self.turns.items()
        ]
        events.append(self.drives.select(self._driven, given, **options))
        if self.has_points:
            events.append(self.way.click(self._on_the_way, [*given, target, self.length], **options))
            events.append(self.clip_poses.upload(self._driven_by_files, [*given, self.clip_poses], **options))
        self.stop.click(
            lambda: (gr.update(value=None, stopped=next(self.numbers)), None, "Stopped."),
            None,
            outputs,
            cancels=events,
            show_progress="hidden",
            api_visibility="private",
        )

    # Source and target ------------------------------------------------------------------------------------

    @_said(3)
    def _load_source(self, uploaded: list[str] | None) -> tuple:
        subject = self.main.read(_paths(uploaded))
        if subject.structure is not None:
            return *self._loaded(subject), ""
        if not self.has_points:
            return subject.picture, gr.skip(), gr.skip(), "Say below what the structure of this picture is."
        try:
            return *self._loaded(self.main.read_photograph(_paths(uploaded)[0])), "Its key points are estimated."
        except PosegenError as error:
            reason = _without_folders(str(error).splitlines()[0], (uploaded,))
        neutral = self.main.neutral(subject.picture.shape[:2])
        return (
            *self._loaded(Subject(subject.picture, neutral)),
            f"{reason}\nDrag the points of the source to where they belong.",
        )

    def _load_first(self) -> tuple:
        return self._moved_example(*self.main.gallery.examples[0])

    def _load_example(self, event: gr.SelectData) -> tuple:
        return self._moved_example(*_selected(self.main.gallery.examples, event))

    def _moved_example(self, source: Subject, target: Subject) -> tuple:
        picture, editor, _ = self._loaded(source)
        return picture, editor, self._targeted(target, **self._start(source)), ""

    def _load_example_target(self, event: gr.SelectData) -> tuple:
        return self._targeted(_selected(self.main.gallery.examples, event)[1]), ""

    def _loaded(self, subject: Subject) -> tuple:
        """What a new source changes: it is kept, and the target begins as its own structure."""
        frame = subject.picture.shape[:2]
        background = {"background": picture_address(subject.picture)} if self.has_points else {}
        source = self.source_editor.show(subject.structure, frame, **background)
        return subject.picture, source, self._targeted(subject, **self._start(subject))

    def _start(self, subject: Subject) -> dict[str, Any]:
        """Where the target editor's slider begins: a subject's own pose."""
        if not isinstance(self.target_editor, PointsEditor):
            return {}
        return {"start": pose_points(self.main.prepared_points(subject), self.main.size)}

    def _targeted(self, subject: Subject, **options: Any) -> Any:
        structure = self.main.prepared_points(subject) if self.has_points else subject.structure
        return self.target_editor.show(structure, self.main.size, **options)

    @_said(1)
    def _load_pose(self, picture: np.ndarray | None, uploaded: list[str] | None) -> tuple:
        pose = self.main.read_pose(_paths(uploaded), self._frame(picture))
        return self.target_editor.show(pose, self.main.size), ""

    def _frame(self, picture: np.ndarray | None) -> tuple[int, int]:
        return self.main.size if picture is None else picture.shape[:2]

    # The result -------------------------------------------------------------------------------------------

    def _subject(self, picture: np.ndarray | None, source: Any) -> Subject:
        if picture is None:
            raise InputError("Give a picture first.")
        return Subject(picture, self.source_editor.read(source))

    @_said(4)
    def _make(self, picture: np.ndarray | None, source: Any, target: Any, point: tuple[float, float] | None) -> tuple:
        subject, wanted = self._subject(picture, source), self.target_editor.read(target)
        named = {studio.name: studio.make(subject, scaled(wanted, self.main, studio)) for studio in self.studios}
        shown = Shown(named, subject.picture, self._files(picture, source, target))
        begun = self._start(subject)
        return (
            shown,
            gr.update(value=made_value(named), origins=_origins(named, point), files=shown.structures),
            self.source_editor.drawn(subject.structure),
            gr.update(**begun) if begun else self.target_editor.drawn(wanted),
            "",
        )

    def _make_after(self, *given: Any) -> tuple:
        """As :meth:`_make`, once something was loaded: what was said of that stays."""
        *shown, message = self._make(*given)
        return *shown, message or gr.skip()

    def _files(self, picture: np.ndarray | None, source: Any, target: Any) -> dict[str, Any]:
        """The structures as they are downloaded."""
        return {
            "source_structure": self.source_editor.file(source, self._frame(picture)),
            "target_structure": self.target_editor.file(target, self.main.size),
        }

    @_said(2)
    def _explain(self, shown: Shown | None, event: gr.EventData) -> tuple:
        if shown is None:
            return gr.skip(), gr.skip(), gr.skip()
        point, number = _event_point(event)
        return gr.update(origins=_origins(shown.named, point), answered=number), point, ""

    @_said(1)
    def _hover(self, shown: Shown | None, event: gr.EventData) -> tuple:
        if shown is None:
            return gr.skip(), gr.skip()
        point, number = _event_point(event)
        answer = {"number": number, "x": point[0], "y": point[1], "origins": _origins(shown.named, point)}
        return gr.update(hovered=answer), gr.skip()

    @_said(1)
    def _archive(self, shown: Shown | None, clip: ClipFile | None) -> tuple:
        if shown is None:
            raise InputError("There is nothing to download yet.")
        made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        notes = {"page": self.title, "models": [*shown.named], "made at": made_at}
        return gr.update(archive=encoded(archive(shown, clip, notes))), ""

    # Clips ------------------------------------------------------------------------------------------------

    @_said_meanwhile(2)
    def _on_the_way(self, picture: Any, source: Any, fps: float, target: Any, length: float) -> Iterator[tuple]:
        subject = self._subject(picture, source)
        yield from self._film(subject, self.main.way(subject, self.target_editor.read(target), int(length)), fps)

    @_said_meanwhile(2)
    def _turned(self, choice: str, picture: Any, source: Any, fps: float, target: Any) -> Iterator[tuple]:
        numbers = self.target_editor.read(target)
        yield from self._film(self._subject(picture, source), self.main.turn(choice, numbers), fps)

    @_said_meanwhile(2)
    def _driven(self, picture: Any, source: Any, fps: float, event: gr.SelectData) -> Iterator[tuple]:
        subject = self._subject(picture, source)
        drive = _selected(self.main.gallery.drives, event)
        yield from self._film(subject, self.main.gallery.structures(drive, MOST_FRAMES), fps)

    @_said_meanwhile(2)
    def _driven_by_files(self, picture: Any, source: Any, fps: float, uploaded: list[str] | None) -> Iterator[tuple]:
        subject = self._subject(picture, source)
        yield from self._film(subject, self.main.read_clip(_paths(uploaded), self._frame(picture)), fps)

    def _film(self, subject: Subject, targets: Sequence[Structure], fps: float) -> Iterator[tuple]:
        """A clip of all models beside each other: how far it is, now and then, and at last the file."""
        if not 1 <= fps <= FASTEST:
            raise InputError(f"a clip has 1 to {FASTEST} frames a second, got {fps}")
        told, clip = 0.0, next(self.numbers)
        with tempfile.TemporaryDirectory(prefix="posegen_clip") as folder:
            path = Path(folder, "clip.mp4")
            with VideoWriter(path, fps) as video:
                for number, frame in enumerate(self._frames(subject, targets)):
                    if time.monotonic() - told > TOLD_EVERY:
                        told = time.monotonic()
                        yield {"done": number, "of": len(targets), "clip": clip}, None, ""
                    video.write(frame)
            content = path.read_bytes()
        poses = self._poses_file(targets)
        names = ", ".join(studio.name for studio in self.studios)
        caption = f"{len(targets)} frames, {fps:g} a second" + (f"; from the left: {names}" * (len(self.studios) > 1))
        yield (
            {"video": encoded(content), "caption": caption, "poses": poses},
            ClipFile(content, poses, subject.picture),
            "",
        )

    def _poses_file(self, targets: Sequence[Structure]) -> dict[str, Any] | None:
        """Key points as they are downloaded; None: they are something else."""
        if self.main.layout is None or not all(isinstance(target, Keypoints) for target in targets):
            return None
        return own_file(targets, self.main.layout, self.main.size)

    def _frames(self, subject: Subject, targets: Sequence[Structure]) -> Iterator[np.ndarray]:
        """The frames of all models beside each other, at the first one's size."""
        clips = [studio.frames(subject, [scaled(t, self.main, studio) for t in targets]) for studio in self.studios]
        for frames in zip(*clips, strict=True):
            yield np.concatenate([resize_image(frame, self.main.size) for frame in frames], axis=1)


def _selected(items: Sequence[Any], event: gr.SelectData) -> Any:
    """The item of a gallery that was chosen; the number comes from a browser, and may be anything."""
    number = event.index if isinstance(event.index, int) else 0
    return items[number % len(items)]


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
