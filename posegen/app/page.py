"""The page, in Gradio, which is imported here alone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import wraps
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # Gradio looks when it is imported; nothing leaves this machine

try:
    import gradio as gr
except ImportError as error:
    from ..errors import ConfigError

    raise ConfigError(
        f"the page needs Gradio, which cannot be imported ({error}): pip install 'posegen[app]'"
    ) from None

from ..data import Keypoints
from ..errors import InputError, PosegenError
from .studio import Made, Studio, Subject
from .values import keypoints_of, layout_value, made_value, origins_value, picture_address, pose_points, pose_value

FORGOTTEN_AFTER = 3600
"""Seconds after which what a browser was shown, and has not touched since, is dropped."""
MODEL = "model"  # events of this kind wait in one queue
FONTS = ["system-ui", "sans-serif"]  # of the machine: none is fetched
UPLOAD_HEIGHT = 140
GALLERY_HEIGHT = 220  # two rows
CSS = ".gradio-container { max-width: 1400px !important; } #message textarea { min-height: 2.6em; }"


def build_page(studio: Studio, title: str) -> gr.Blocks:
    """The page of a model.

    Args:
        studio: the model.
        title: of the page, plain text.
    """
    with gr.Blocks(title=f"posegen: {title}", analytics_enabled=False, delete_cache=(600, FORGOTTEN_AFTER)) as page:
        gr.HTML(html_template="<h1>{{value}}</h1>", value=title, js_on_load=None)
        (_KeypointPage if studio.layout is not None else _StructurePage)(studio, page)
    return page


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _component(name: str, **options: Any) -> gr.HTML:
    """A component of ours: NAME.html, NAME.css, NAME.js."""
    return gr.HTML(
        html_template=_asset(f"{name}.html"),
        css_template=_asset(f"{name}.css"),
        js_on_load=_asset(f"{name}.js"),
        apply_default_css=False,
        **options,
    )


def _viewer() -> gr.HTML:
    return _component("viewer", elem_id="viewer", value=None, origins=None)


def _message(text: str = "") -> gr.Textbox:
    return gr.Textbox(text, label="Messages", interactive=False, elem_id="message", lines=1, max_lines=8)


def _upload(label: str, name: str) -> gr.File:
    return gr.File(label=label, file_count="multiple", elem_id=name, height=UPLOAD_HEIGHT)


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


def _without_folders(text: str, arguments: tuple) -> str:
    """An error without the folders that uploaded files happen to lie in."""
    uploaded = [Path(path) for argument in arguments if isinstance(argument, list) for path in argument]
    for path in uploaded:
        text = text.replace(f"{path.parent}{os.sep}", "")
    return text


def _paths(uploaded: list[str] | None) -> list[Path]:
    return [Path(path) for path in uploaded or []]


def _shown(made: Made, point: tuple[float, float] | None) -> Any:
    """The viewer's update: a result, and the point that was asked for before, explained anew."""
    return gr.update(value=made_value(made), origins=origins_value(made, *point) if point else None)


def _event_point(event: gr.EventData) -> tuple[float, float]:
    """The point that the viewer tells of. It comes from a browser, and may be anything.

    Raises:
        InputError: no point.
    """
    try:
        return float(event.x), float(event.y)
    except (AttributeError, TypeError, ValueError) as error:
        raise InputError("the page sent no point") from error


class _Page:
    """What pages of all structures share: the result, and a click on it."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.made = gr.State(None, time_to_live=FORGOTTEN_AFTER)
        self.point = gr.State(None, time_to_live=FORGOTTEN_AFTER)

    def _place_viewer(self) -> None:
        self.viewer = _viewer()
        self.message = _message(f"No examples: {self.studio.note}" if self.studio.note else "")

    def _explain_clicks(self) -> None:
        self.viewer.point(
            self._explain,
            [self.made],
            [self.viewer, self.point],
            show_progress="hidden",
            trigger_mode="always_last",
            api_visibility="private",
        )

    def _explain(self, made: Made | None, event: gr.EventData) -> tuple:
        if made is None:
            return gr.skip(), gr.skip()
        point = _event_point(event)
        return gr.update(origins=origins_value(made, *point)), point


class _KeypointPage(_Page):
    """The page of a model whose structures are key points: they are dragged."""

    def __init__(self, studio: Studio, page: gr.Blocks) -> None:
        super().__init__(studio)
        assert studio.layout is not None
        self.layout = studio.layout
        self.picture = gr.State(None, time_to_live=FORGOTTEN_AFTER)
        with gr.Row():
            with gr.Column():
                gr.Markdown("## 1. Source")
                self.source_files = _upload("A picture, and its key-point file if you have one", "source-files")
                self.sources = self._gallery("Examples", [source.picture for source, _ in studio.examples])
                self.source_editor = self._editor("source-editor", "Points of the source", interpolates=False)
            with gr.Column():
                gr.Markdown("## 2. Target pose")
                self.pose_files = _upload("A key-point file, and its picture if you have it", "pose-files")
                self.poses = self._gallery("Poses", [self._drawn(target) for _, target in studio.examples])
                self.pose_editor = self._editor("pose-editor", "Target pose", interpolates=True)
            with gr.Column():
                gr.Markdown("## 3. Result")
                self._place_viewer()
        self._connect(page)

    def _editor(self, elem_id: str, caption: str, interpolates: bool) -> gr.HTML:
        size = self.studio.size
        neutral = self.studio.neutral(size)
        return _component(
            "pose_editor",
            elem_id=elem_id,
            value=pose_value(neutral, size),
            start=pose_points(neutral, size),
            background="",
            caption=caption,
            interpolates=interpolates,
            layout=layout_value(self.layout),
        )

    def _gallery(self, label: str, pictures: list[np.ndarray]) -> gr.Gallery:
        return gr.Gallery(
            [(picture, None) for picture in pictures],
            label=label,
            show_label=False,
            visible=bool(pictures),
            columns=4,
            height=GALLERY_HEIGHT,
            allow_preview=False,
            object_fit="contain",
            interactive=False,
            buttons=[],
        )

    def _drawn(self, subject: Subject) -> np.ndarray:
        encoder = self.studio.inferencer.encoder
        return encoder.draw(encoder.encode(self.studio.prepared_points(subject), self.studio.size))

    def _connect(self, page: gr.Blocks) -> None:
        quiet: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
        loaded = [self.picture, self.source_editor, self.pose_editor, self.message]
        posed = [self.pose_editor, self.message]
        make = dict(
            fn=self._make,
            inputs=[self.picture, self.source_editor, self.pose_editor, self.point],
            outputs=[self.made, self.viewer, self.pose_editor, self.message],
            concurrency_id=MODEL,
            **quiet,
        )
        self.source_files.upload(self._load_source, [self.source_files], loaded, **quiet).success(**make)
        self.sources.select(self._load_example, None, loaded, **quiet).success(**make)
        self.pose_files.upload(self._load_pose, [self.picture, self.pose_files], posed, **quiet).success(**make)
        self.poses.select(self._load_example_pose, None, posed, **quiet).success(**make)
        for editor in (self.source_editor, self.pose_editor):
            editor.moved(**make, trigger_mode="always_last")
        self._explain_clicks()
        if self.studio.examples:
            page.load(self._load_first, None, loaded, **quiet).success(**make)

    @_said(3)
    def _load_source(self, uploaded: list[str] | None) -> tuple:
        subject = self.studio.read(_paths(uploaded))
        if subject.keypoints is not None:
            return *self._loaded(subject), ""
        frame = subject.picture.shape[:2]
        return (
            *self._loaded(Subject(subject.picture, self.studio.neutral(frame))),
            "No key-point file came with it: drag the points of the source to where they belong.",
        )

    def _load_first(self) -> tuple:
        return self._moved_example(*self.studio.examples[0])

    def _load_example(self, event: gr.SelectData) -> tuple:
        return self._moved_example(*self._example(event))

    def _moved_example(self, source: Subject, target: Subject) -> tuple:
        picture, editor, _ = self._loaded(source)
        start = pose_points(self.studio.prepared_points(source), self.studio.size)
        return picture, editor, self._posed(self.studio.prepared_points(target), start=start), ""

    def _load_example_pose(self, event: gr.SelectData) -> tuple:
        return self._posed(self.studio.prepared_points(self._example(event)[1])), ""

    def _example(self, event: gr.SelectData) -> tuple[Subject, Subject]:
        number = event.index if isinstance(event.index, int) else 0
        return self.studio.examples[number % len(self.studio.examples)]

    def _loaded(self, subject: Subject) -> tuple:
        """What a new source changes: it is kept, and the target pose begins at its own."""
        assert subject.keypoints is not None
        frame = subject.picture.shape[:2]
        own = self.studio.prepared_points(subject)
        source = gr.update(value=pose_value(subject.keypoints, frame), background=picture_address(subject.picture))
        return subject.picture, source, self._posed(own, start=pose_points(own, self.studio.size))

    @_said(1)
    def _load_pose(self, picture: np.ndarray | None, uploaded: list[str] | None) -> tuple:
        frame = self.studio.size if picture is None else picture.shape[:2]
        return self._posed(self.studio.read_pose(_paths(uploaded), frame)), ""

    def _posed(self, keypoints: Keypoints, **options: Any) -> Any:
        return gr.update(value=pose_value(keypoints, self.studio.size), **options)

    @_said(3)
    def _make(self, picture: np.ndarray | None, source: Any, pose: Any, point: tuple[float, float] | None) -> tuple:
        if picture is None:
            return *[gr.skip()] * 3, "Give a picture first."
        subject = Subject(picture, keypoints_of(source, self.layout))
        made = self.studio.make(subject, keypoints_of(pose, self.layout))
        start = pose_points(self.studio.prepared_points(subject), self.studio.size)
        return made, _shown(made, point), gr.update(start=start), ""


class _StructurePage(_Page):
    """The page of a model whose structures are no key points: they are given in the words of its encoder."""

    def __init__(self, studio: Studio, page: gr.Blocks) -> None:
        super().__init__(studio)
        encoder = studio.inferencer.encoder
        with gr.Row():
            with gr.Column():
                self.source_files = _upload("A picture", "source-files")
                self.own = gr.Textbox("[0, 0]", label="Structure of the source, as JSON", elem_id="own")
                self.target = gr.Textbox("[0, 0]", label="Structure of the target, as JSON", elem_id="target")
                gr.Code(type(encoder).encode.__doc__ or "", label=f"What {type(encoder).__name__} takes", language=None)
                self.button = gr.Button("Make", variant="primary")
            with gr.Column():
                self._place_viewer()
        make = dict(
            fn=self._make,
            inputs=[self.source_files, self.own, self.target, self.point],
            outputs=[self.made, self.viewer, self.message],
            concurrency_id=MODEL,
            api_visibility="private",
        )
        gr.on([self.button.click, self.own.submit, self.target.submit, self.source_files.upload], **make)
        self._explain_clicks()

    @_said(2)
    def _make(self, uploaded: list[str] | None, own: str, target: str, point: tuple[float, float] | None) -> tuple:
        subject = self.studio.read(_paths(uploaded))
        made = self.studio.make_from_structures(subject.picture, _parsed(target), _parsed(own))
        return made, _shown(made, point), ""


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {text[:100]!r}: {error}") from error
