"""The page in Gradio: a source, a target, results with their explanation, and clips."""

from __future__ import annotations

import html
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from posegen.data import Keypoints
from posegen.data.images import resize_image
from posegen.errors import ConfigError, InputError, MissingWeightsError
from posegen.visualization.flow import flow_wheel

from .background_section import BackgroundSection
from .clip_section import ClipSection
from .downloads import ClipFile, SavedResult, ShownResult, archive, read_result, result_png
from .editors import build_editor
from .gallery import Sample
from .notes import Note, note, refusal, reporting_errors, without_error
from .page_model import COLOR_GENERATED, COLOR_WARPED, FLOW, MASK, SHARES, Output, PageModel, scaled
from .values import (
    FITS,
    data_address,
    detail_value,
    origins_value,
    outputs_value,
    photograph_value,
    picture_address,
    pose_points,
    selected,
    sent,
    way_to_fit,
)
from .web import component, gr, serve

SESSION_SECONDS = 3600
"""Time after which the state of an unused browser session is deleted."""
MODEL, LOADS = "model", "loads"
"""Queues whose events wait for each other: a target is fitted to the source that was given before it."""
MAX_KEPT = 12
"""Maximum number of earlier results to go back to; the viewer keeps as many."""
THUMBNAIL = 120  # pixels
CSS = (Path(__file__).parent / "components" / "page.css").read_text(encoding="utf-8")
SENTENCE = {
    "points": "Move a person or a face in a picture into another pose: choose a source, drag the points of the target, "
    "and see the result and where each part of it comes from.",
    "other": "See a picture from another side, or in another state: choose a source and the target, and see the result "
    "and where each part of it comes from.",
}
HELP = """
<p><b>Source</b>: a picture of your own, or an example. Key points are estimated; a key-point file chosen together with
the picture is used instead. <b>Target</b>: an example, a key-point file, another picture, or drag the points.
<b>Result</b>: click it to see where in the source a place comes from. What is warped is moved from there, what is
generated is made up by the model; sizes such as 16×32 are grids on which it moves the source, coarse and fine. Esc, or
“Close”, ends the explanation.</p>
<p>Nothing leaves this machine, unless whoever started the page opened a public link. The documentation of this page is
<code>docs/app.md</code> in the folder of posegen; the method is described in
<a href="https://arxiv.org/abs/2003.00696" target="_blank">arXiv 2003.00696</a>.</p>
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
    with gr.Blocks(
        title=f"posegen: {title}", analytics_enabled=False, delete_cache=(600, SESSION_SECONDS), fill_width=True
    ) as page:
        _Page(models, title)
    return page


@dataclass(frozen=True)
class Source:
    """The picture to move.

    Args:
        sample: the picture, with the structure that it came with.
        number: number of the load, which tells sources apart.
        figures: the figures of the photograph; none: it is none.
        example: number of the example that it is; None: it is none.
        is_background_chosen: whether somebody chose the sample's background, so that the next source gets it, too.
    """

    sample: Sample
    number: int
    figures: Sequence[Sample] = ()
    example: int | None = None
    is_background_chosen: bool = False


@dataclass(frozen=True)
class Target:
    """A pose that was loaded.

    Args:
        pose: in pixels of its ``frame``, or of the source without one.
        figures: the figures of its picture; none: it is of no picture.
        figure: number of the chosen one.
        example: number of the example that it is; None: it is none.
        step: the editor's step that shows it; at another one the pose was edited, or is another.
    """

    pose: Keypoints
    figures: Sequence[Sample] = ()
    figure: int = 0
    example: int | None = None
    step: str = ""


def _sample_of(source: Source | None) -> Sample | None:
    return None if source is None else source.sample


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


def _legends() -> dict[str, Any]:
    """Return the legends of layers, for the viewer."""

    def color(rgb: tuple[int, int, int]) -> str:
        return f"rgb{rgb}"

    wheel = picture_address(flow_wheel(80))
    shares = [[color(COLOR_WARPED), "warped from the source"], [color(COLOR_GENERATED), "generated"]]
    return {
        FLOW: {"picture": wheel, "swatches": [], "text": "Color: the direction in which the source is found; the "
               "stronger, the farther. White: the same place."},
        MASK: {"picture": "", "swatches": [["#fff", "warped from the source"], ["#000", "generated"]], "text": ""},
        SHARES: {"picture": "", "swatches": shares, "text": "", "picture_like": True},
    }  # fmt: skip


class _Page:
    def __init__(self, models: Sequence[PageModel], title: str) -> None:
        self.models, self.main, self.title = models, models[0], title
        self.numbers = itertools.count(1)  # of sources, of clips and of stops
        pairs = self.main.gallery.examples[:1]
        self.first = self._source(pairs[0][0], None, example=0) if pairs else None
        self._place_header()
        with gr.Column(elem_id="workspace"):
            with gr.Column(elem_id="pick"):
                self._place_source()
                self._place_target()
            with gr.Column(elem_id="edit"):
                options = self._options(self.first) if self.first else {}
                shown = self._prepared(pairs[0][1]) if pairs else None
                self.target_editor = build_editor(self.main, "pose-editor", "Target structure", True, shown, options)
                self.backgrounds = BackgroundSection(
                    self.main, self.source_editor, self.numbers, _sample_of(self.first)
                )
            with gr.Column(elem_id="see"):
                self._place_result()
        self.clips = ClipSection(models, self.source_editor, self.target_editor, self.numbers)
        self._connect()
        self.clips.connect(self.source, self.fit)

    @property
    def has_points(self) -> bool:
        """Return whether structures are key points, which can be read from files."""
        return self.main.layout is not None

    # Layout

    def _place_header(self) -> None:
        sentence = SENTENCE["points" if self.has_points else "other"]
        more = f"<details><summary>How to use this page</summary>{HELP}</details>"
        gr.HTML(
            f"<h1>{html.escape(self.title)}</h1><p>{sentence}</p>{more}",
            elem_id="head",
            js_on_load=None,
        )
        component(__package__, "drop", {"has_points": self.has_points})

    def _place_source(self) -> None:
        examples = self.main.gallery.examples
        with gr.Row(elem_classes="line"):
            gr.Markdown("## Source")
            self.source_files = _upload("Your picture …", "source-files")
            items = [[picture_address(_thumbnail(source)), f"Source {k}"] for k, (source, _) in enumerate(examples, 1)]
            self.sources = component(
                __package__, "picker", {"caption": "Example sources"}, elem_id="examples", items=items, chosen=0
            )
        self.source_note = component(__package__, "note", elem_id="source-note", value=self._note_of_examples())
        self.figures = self._place_figures("figures")
        label = "Points of the source" if self.has_points else "Structure of the source"
        with gr.Accordion(label, open=False, elem_id="source-points") as self.source_points:
            self.source_editor = build_editor(
                self.main, "source-editor", "Structure of the source", False,
                self.first and self.first.sample, self._background(self.first.sample) if self.first else {},
            )  # fmt: skip

    def _place_figures(self, name: str) -> Any:
        caption = {"caption": "People in the photograph"}
        return component(__package__, "picker", caption, elem_id=name, items=[], chosen=0, visible=self.has_points)

    def _note_of_examples(self) -> Note:
        why = self.main.gallery.note
        return note(f"Give a picture. There are no examples: {refusal(InputError(why))['text']}") if why else None

    def _place_target(self) -> None:
        examples = self.main.gallery.examples
        with gr.Row(elem_classes="line"):
            gr.Markdown("## Target")
            if self.has_points:
                self.pose_files = _upload("Picture or key points …", "pose-files")
            items = [[picture_address(self._drawn(target)), f"Target {k}"] for k, (_, target) in enumerate(examples, 1)]
            self.targets = component(
                __package__, "picker", {"caption": "Example targets"}, elem_id="targets", items=items, chosen=0
            )
        self.target_note = component(__package__, "note", elem_id="target-note", value=None)
        self.target_figures = self._place_figures("target-figures")
        if not self.has_points:
            self.fit: Any = gr.State(FITS[0])
        else:
            choices = [(f"Fit to the source: {name}", name) for name in FITS]
            self.fit = gr.Dropdown(
                choices,
                value=FITS[0],
                label="Fit of target poses to the source's figure",
                elem_id="fit",
                container=False,
                filterable=False,
            )

    def _place_result(self) -> None:
        self.made, props = None, self._viewer_props(None, "", None)
        if self.first is not None:
            values = self.source_editor.value, self.target_editor.value
            self.made = self._make(self.first, *values)
            props = self._viewer_props(self.made, self._entry(self.first, *values), None)
        self.viewer = component(
            __package__,
            "viewer",
            {"legends": _legends()},
            elem_id="viewer",
            answered=0,
            hovered=None,
            saved=None,
            **props,
        )
        self.detail = component(__package__, "detail", elem_id="detail", value=None)  # so that the viewer is not busy
        self.result_note = component(__package__, "note", elem_id="result-note", value=None)
        self.shown = gr.State(self.made, time_to_live=SESSION_SECONDS)
        self.source = gr.State(self.first, time_to_live=SESSION_SECONDS)
        self.history = gr.State(
            {} if self.first is None else {props["value"]["entry"]: (self.first, *values)}, time_to_live=SESSION_SECONDS
        )
        self.point = gr.State(None, time_to_live=SESSION_SECONDS)
        self.target = gr.State(None, time_to_live=SESSION_SECONDS)

    def _drawn(self, sample: Sample) -> np.ndarray:
        return self.main.draw(self._prepared(sample).structure)

    def _prepared(self, sample: Sample) -> Sample:
        """Return a sample whose structure is as the target editor shows it, in a picture of the model's size."""
        if not isinstance(sample.structure, Keypoints):
            return sample
        return Sample(np.zeros((*self.main.size, 3), np.uint8), self.main.prepared_points(sample))

    # Events

    def _connect(self) -> None:
        quiet: dict[str, Any] = dict(show_progress="minimal", show_progress_on=self.viewer, api_visibility="private")
        silent: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
        editors = [self.source_editor.component, self.target_editor.component]
        target = self.target_editor.component
        loaded = [
            self.source,
            *editors,
            self.figures,
            self.source_files,
            *self.backgrounds.outputs,
            self.sources,
            self.targets,
            self.target,
            self.target_note,
            self.source_note,
        ]
        posed = [target, self.target, self.target_figures, self.targets, self.source_note, self.target_note]
        made = [self.shown, self.history, self.viewer, *editors, self.source_note, self.target_note]
        given = [self.source, *editors, self.history, self.point, self.source_note]
        generate = dict(fn=self._generate, inputs=given, outputs=made, concurrency_id=MODEL) | quiet
        after = generate | {"fn": self._generate_after}
        loads = quiet | {"concurrency_id": LOADS}
        at_source = loads | {"show_progress_on": [self.viewer, self.source_note]}
        at_target = loads | {"show_progress_on": [self.viewer, self.target_note]}
        given = [self.source, target, self.target, self.fit, self.target_note]
        uploaded = [*given, self.source_files]
        self.source_files.upload(self._load_source, uploaded, loaded, **at_source).success(**after)
        self.sources.chosen(self._load_example, given, loaded, **loads).success(**after)
        if self.has_points:
            self.figures.chosen(self._load_figure, given, loaded, **loads).success(**after)
        given = [self.source, self.fit, self.source_note]
        self.targets.chosen(self._load_example_target, given, posed, **loads).success(**after)
        if self.has_points:
            outputs = [self.pose_files, *posed]
            self.pose_files.upload(self._load_pose, [*given, self.pose_files], outputs, **at_target).success(**after)
            chosen = [*given, self.target]
            self.target_figures.chosen(self._load_target_figure, chosen, posed, **loads).success(**after)
            self.fit.input(self._refit, [*chosen, target], posed, **loads).success(**after)
        for changed in (*self.source_editor.changed, *self.target_editor.changed):
            changed(**generate, trigger_mode="always_last")
        self.backgrounds.connect(self.source, quiet, after)
        # a browser forgets what the editor was given before it was first opened
        self.source_points.expand(self._show_source, [self.source], [self.source_editor.component], **silent)
        back = [self.source, *editors, *self.backgrounds.outputs, self.sources, self.result_note]
        self.viewer.back(self._go_back, [self.history], back, **quiet).success(**after)
        explained = [self.viewer, self.point, self.result_note]
        self.viewer.point(self._explain, [self.shown], explained, trigger_mode="multiple", **silent)
        self.viewer.hover(self._hover, [self.shown], [self.viewer, self.result_note], trigger_mode="multiple", **silent)
        saved = [self.viewer, self.result_note]
        self.viewer.save(self._save, [self.shown, self.clips.file], saved, **quiet)
        self.viewer.photograph(self._show_photograph, [self.shown], saved, **quiet)
        self.viewer.sharpen(self._sharpen, [self.shown], [self.detail, self.result_note], **silent)

    # Source and target

    @reporting_errors(11, clears=4)
    def _load_source(
        self, before: Source | None, value: Any, target: Target | None, fit: str, said: Any, uploaded: list[str] | None
    ) -> tuple:
        kept = value, target, fit
        paths = _paths(uploaded)
        if len(paths) == 1 and (content := read_result(paths[0])) is not None:
            return *self._load_result(content), without_error(said), note(f"Restored from {paths[0].name}.")
        sample = self.main.read_sample(paths)
        if sample.structure is not None or not self.has_points:
            text = "" if self.has_points else "Choose the structure of this picture below."
            source = self._source(sample, before)
            return *self._loaded(source, *kept), without_error(said), note(text)
        try:
            found, reason = self.main.estimate(paths[0]), "No figure was found in this picture."
        except (ConfigError, MissingWeightsError) as error:
            found, reason = [], refusal(error)["text"].splitlines()[0]
        if not found:
            rest = Source(replace(sample, structure=self.main.neutral(sample.picture.shape[:2])), next(self.numbers))
            text = f"{reason} Open “Points of the source” and drag them into place."
            return *self._loaded(rest, *kept), without_error(said), note(text)
        text = (
            "The key points are estimated."
            if len(found) == 1
            else f"{len(found)} people: the largest is chosen; choose another one below."
        )
        if not self._is_chosen(value):
            text += " Choose a target, or drag its points."
        source = self._source(found[0], before, figures=found)
        return *self._loaded(source, *kept), without_error(said), note(text)

    def _source(self, sample: Sample, before: Source | None, **options: Any) -> Source:
        """Return a new source with the background that was chosen for the one before, or with the default one.

        Args:
            sample, options: see :class:`Source`.
            before: the source before.
        """
        if before is not None and before.is_background_chosen:
            sample = self.main.in_front_of(sample, before.sample.backdrop)
            return Source(sample, next(self.numbers), is_background_chosen=True, **options)
        return Source(replace(sample, backdrop=self.main.default_backdrop(sample)), next(self.numbers), **options)

    def _load_result(self, content: SavedResult) -> tuple:
        """Go on from a result that the page saved."""
        picture = content.picture()
        source = self.source_editor.parse(content.structures["source_structure"], picture.shape[:2])
        backdrop = self.main.backdrop(content.background, content.background_picture())
        wanted = self.target_editor.parse(content.structures["target_structure"], self.main.size)
        photograph, window = content.place()
        sample = Sample(picture, source, photograph, window, backdrop)
        loaded = self._loaded(Source(sample, next(self.numbers), is_background_chosen=True))
        return *loaded[:2], loaded[2] | self.target_editor.show(wanted, self.main.size), *loaded[3:]

    @reporting_errors(11)
    def _load_figure(
        self, source: Source | None, value: Any, target: Target | None, fit: str, said: Any, event: gr.EventData
    ) -> tuple:
        figures = () if source is None else source.figures
        loaded = self._loaded(self._source(selected(figures, event), source, figures=figures), value, target, fit)
        marked = _marked(sent(event, "index"))
        told = note("The chosen person is moved.")
        return *loaded[:3], marked, *loaded[4:], without_error(said), told

    @reporting_errors(11)
    def _load_example(
        self, before: Source | None, value: Any, target: Target | None, fit: str, said: Any, event: gr.EventData
    ) -> tuple:
        sample, wanted = selected(self.main.gallery.examples, event)
        source = self._source(sample, before, example=sent(event, "index"))
        return *self._loaded(source, value, target, fit, wanted), without_error(said), None

    @reporting_errors(5)
    def _load_example_target(self, source: Source | None, fit: str, said: Any, event: gr.EventData) -> tuple:
        sample, number = selected(self.main.gallery.examples, event)[1], sent(event, "index")
        if self.has_points:
            return *self._show_pose(Target(sample.pose, example=number), source, fit), without_error(said), None
        shown = self.target_editor.show(sample.structure, self.main.size, chosen=True)
        return shown, None, gr.skip(), _marked(number), without_error(said), None

    def _show_pose(self, target: Target, source: Source | None, fit: str) -> tuple[Any, Target, Any, Any]:
        """Return the updates that show a target fitted to the source: editor, target, its figures, and examples."""
        fitted = target.example is not None and (source is None or source.example is not None)  # to its own pictures
        seen = target.figures[target.figure] if target.figures else None
        shown = self._show_fitted(target.pose, source, fit, fitted, seen)
        kept = replace(target, step=self.target_editor.step(shown["value"]))
        return shown, kept, _items(target.figures, target.figure), _marked(target.example)

    def _show_fitted(
        self, pose: Keypoints, source: Source | None, fit: str, is_fitted: bool, seen: Sample | None = None
    ) -> Any:
        """Return the update that shows a pose fitted to the source, in front of the picture in which it was *seen*."""
        how = way_to_fit(fit)
        if how == "auto" and (is_fitted or seen is not None):
            how = "none" if is_fitted else "scale"  # a place in another photograph means nothing in this one
        (pose,) = self.main.fit([pose], _sample_of(source), how)
        behind = None if seen is None else self.main.guide(seen, pose)
        background = "" if behind is None else picture_address(behind)
        return self.target_editor.show(pose, self.main.size, chosen=True, background=background)

    def _loaded(
        self,
        source: Source,
        value: Any = None,
        target: Target | None = None,
        fit: str = FITS[0],
        wanted: Sample | None = None,
    ) -> tuple:
        """Return the updates for a new source.

        A target that was loaded is fitted to it, and one that was edited stays; else it is *wanted*, or the source's
        own structure.
        """
        sample, options = source.sample, self._options(source.sample)
        targets: Any = gr.skip()
        if not self._is_chosen(value):
            shown = self._prepared(sample if wanted is None else wanted)
            options |= self._background(None)
            posed, target = self.target_editor.show(shown.structure, self.main.size, **options), None
            targets = _marked(None if wanted is None else source.example)
        elif self._is_unedited(target, value):
            posed, target, *_ = self._show_pose(target, source, fit)
            posed |= options
        else:
            posed, target = gr.update(**options) if options else gr.skip(), gr.skip()
        editor = self.source_editor.show(sample.structure, sample.picture.shape[:2], **self._background(sample))
        figures, sources = _items(source.figures), _marked(source.example)
        return source, editor, posed, figures, None, *self.backgrounds.shown(sample), sources, targets, target

    def _is_chosen(self, value: Any) -> bool:
        """Return whether somebody chose or edited the target that the editor shows."""
        return value is not None and self.target_editor.is_chosen(value)

    def _is_unedited(self, target: Target | None, value: Any) -> TypeGuard[Target]:
        """Return whether the editor shows a loaded pose as it was fitted."""
        return target is not None and target.step == self.target_editor.step(value)

    def _background(self, sample: Sample | None) -> dict[str, Any]:
        """Return the option of an editor of key points that shows a picture behind them, or none."""
        if not self.has_points:
            return {}
        return {"background": "" if sample is None else picture_address(sample.picture)}

    def _show_source(self, source: Source | None) -> Any:
        return gr.skip() if source is None else gr.update(**self._background(source.sample))

    def _options(self, source: Source | Sample) -> dict[str, Any]:
        """Start of the target editor's slider: the source's own pose."""
        sample = source.sample if isinstance(source, Source) else source
        if not (self.has_points and isinstance(sample.structure, Keypoints)):
            return {}
        return {"start": pose_points(self.main.prepared_points(sample), self.main.size)}

    @reporting_errors(6, clears=0)
    def _load_pose(self, source: Source | None, fit: str, said: Any, uploaded: list[str] | None) -> tuple:
        poses, seen = self.main.read_poses(_paths(uploaded))
        if not poses:
            background = picture_address(resize_image(seen[0].picture, self.main.size))
            rest = self.main.neutral(self.main.size)
            shown = self.target_editor.show(rest, self.main.size, chosen=True, background=background)
            told = note("No figure was found in this picture. Drag the points onto it.")
            return None, shown, None, _items(()), _marked(None), without_error(said), told
        target = Target(poses[0], seen)
        told = note(
            f"{len(poses)} people: the pose of the largest is taken; choose another one below." if len(seen) > 1 else ""
        )
        return None, *self._show_pose(target, source, fit), without_error(said), told

    @reporting_errors(5)
    def _load_target_figure(
        self, source: Source | None, fit: str, said: Any, before: Target | None, event: gr.EventData
    ) -> tuple:
        figures = () if before is None else before.figures
        number = sent(event, "index")
        target = Target(selected(figures, event).pose, figures, number)
        told = note("The pose of the chosen person is taken.")
        return *self._show_pose(target, source, fit), without_error(said), told

    @reporting_errors(5)
    def _refit(self, source: Source | None, fit: str, said: Any, before: Target | None, value: Any) -> tuple:
        """Fit the loaded pose, or the edited one as it is, to the source in another way."""
        if self._is_unedited(before, value):
            return *self._show_pose(before, source, fit), without_error(said), None
        pose = replace(self.target_editor.read(value), frame=self.main.size)
        shown = self._show_fitted(pose, source, fit, source is None or source.example is not None)
        return shown, gr.skip(), gr.skip(), gr.skip(), without_error(said), None

    # Result

    def _make(self, source: Source | None, source_value: Any, target_value: Any) -> ShownResult:
        if source is None:
            raise InputError("Give a picture first.")
        sample = replace(source.sample, structure=self.source_editor.read(source_value))
        wanted = self.target_editor.read(target_value)
        outputs = {model.name: model.generate(sample, scaled(wanted, self.main, model)) for model in self.models}
        frame = (sample.picture.shape[0], sample.picture.shape[1])
        files = {
            "source_structure": self.source_editor.file(source_value, frame),
            "target_structure": self.target_editor.file(target_value, self.main.size),
        }
        return ShownResult(outputs, sample.picture, files)

    def _viewer_props(self, shown: ShownResult | None, entry: str, point: Any) -> dict[str, Any]:
        if shown is None:
            return dict(value=None, origins=None, files=None, photograph=None, has_photograph=False)
        value = outputs_value(shown.outputs) | {"entry": entry}
        return dict(
            value=value,
            origins=origins(shown.outputs, point),
            files=shown.structures,
            photograph=None,
            has_photograph=next(iter(shown.outputs.values())).is_part,
        )

    def _entry(self, source: Source, source_value: Any, target_value: Any) -> str:
        """Key of a result in the history: the steps of one drag are one entry."""
        steps = self.source_editor.step(source_value), self.target_editor.step(target_value)
        return f"{source.number} {steps[0]} {steps[1]}"

    @reporting_errors(6)
    def _generate(
        self, source: Source | None, source_value: Any, target_value: Any, history: dict, point: Any, said: Any
    ) -> tuple:
        shown = self._make(source, source_value, target_value)
        assert source is not None
        entry = self._entry(source, source_value, target_value)
        kept = history | {entry: (source, source_value, target_value)}
        for old in list(kept)[:-MAX_KEPT]:
            del kept[old]
        sample = replace(source.sample, structure=self.source_editor.read(source_value))
        start = self._options(sample)
        return (
            shown,
            kept,
            gr.update(**self._viewer_props(shown, entry, point)),
            self.source_editor.drawn(sample.structure),
            gr.update(**start) if start else self.target_editor.drawn(self.target_editor.read(target_value)),
            without_error(said),
            None,
        )

    def _generate_after(self, *given: Any) -> tuple:
        """Generate after something was loaded, whose notes stay."""
        *shown, _, refused = self._generate(*given)
        return *shown, gr.skip(), refused or gr.skip()

    @reporting_errors(6)
    def _go_back(self, history: dict, event: gr.EventData) -> tuple:
        kept = history.get(str(sent(event, "entry")))
        if kept is None:
            raise InputError("This result is not kept any longer.")
        source, source_value, target_value = kept
        samples, values = (source.sample, None), (source_value, target_value)
        editors = (gr.update(value=value, **self._background(one)) for one, value in zip(samples, values, strict=True))
        marked = _marked(source.example)
        return source, *editors, *self.backgrounds.shown(source.sample), marked, None

    @reporting_errors(2)
    def _explain(self, shown: ShownResult | None, event: gr.EventData) -> tuple:
        if shown is None:
            return gr.skip(), gr.skip(), gr.skip()
        point, number = _event_point(event)
        return gr.update(origins=origins(shown.outputs, point), answered=number), point, None

    @reporting_errors(1)
    def _hover(self, shown: ShownResult | None, event: gr.EventData) -> tuple:
        if shown is None:
            return gr.skip(), gr.skip()
        point, number = _event_point(event)
        answer = {"number": number, "x": point[0], "y": point[1], "origins": origins(shown.outputs, point)}
        return gr.update(hovered=answer), gr.skip()

    @reporting_errors(1)
    def _save(self, shown: ShownResult | None, clip: ClipFile | None, event: gr.EventData) -> tuple:
        if shown is None:
            raise InputError("There is nothing to save yet.")
        if sent(event, "name") == "result.png":
            saved = {"name": "result.png", "address": data_address(result_png(shown, self.title), "image/png")}
            return gr.update(saved=saved), None
        made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        content = archive(shown, clip, {"page": self.title, "models": [*shown.outputs], "made at": made_at})
        return gr.update(saved={"name": "posegen.zip", "address": data_address(content, "application/zip")}), None

    @reporting_errors(1)
    def _show_photograph(self, shown: ShownResult | None) -> tuple:
        if shown is None:
            raise InputError("There is no result yet.")
        return gr.update(photograph=photograph_value(shown.outputs)), None

    @reporting_errors(1)
    def _sharpen(self, shown: ShownResult | None) -> tuple:
        return (gr.skip() if shown is None else detail_value(shown.outputs)), gr.skip()


def _marked(number: int | None) -> Any:
    """Build the update that marks an item of a picker as chosen, or none."""
    return gr.update(chosen=-1 if number is None else number)


def _items(figures: Sequence[Sample], chosen: int = 0) -> Any:
    """Build the update that shows figures to choose from, if there are several, and the number of the chosen one."""
    several = figures if len(figures) > 1 else ()
    items = [[picture_address(_thumbnail(one)), f"Person {k}"] for k, one in enumerate(several, 1)]
    return gr.update(items=items, chosen=chosen)


def _thumbnail(sample: Sample) -> np.ndarray:
    height, width = sample.picture.shape[:2]
    return resize_image(sample.picture, (THUMBNAIL, max(1, round(width * THUMBNAIL / height))))


def _upload(label: str, name: str) -> gr.UploadButton:
    return gr.UploadButton(label, file_count="multiple", elem_id=name, size="md", variant="secondary")
