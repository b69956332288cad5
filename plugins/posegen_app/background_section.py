"""The part of the page that chooses the background of results: the photograph's own, none, or another picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from posegen.errors import InputError, PosegenError

from .editors import Editor
from .gallery import BACKGROUNDS, OWN, PICTURE, Backdrop, Sample
from .notes import refusal
from .page_model import PageModel
from .web import component, gr

ALONE = tuple(name for name in BACKGROUNDS if name != PICTURE)
"""Backgrounds that need no picture."""


class BackgroundSection:
    """Controls of the background, shown if an estimator cuts figures out of pictures.

    Args:
        model: the model.
        source_editor: editor of the source's structure.
        numbers: numbers of sources: one with another background is another source.
        sample: the source that is shown first; None: there is none.

    Attributes:
        outputs: components that :meth:`shown` updates.
    """

    def __init__(self, model: PageModel, source_editor: Editor, numbers: Iterator[int], sample: Sample | None) -> None:
        self.model, self.source_editor, self.numbers = model, source_editor, numbers
        visible: bool | Literal["hidden"] = model.cuts_out or "hidden"
        first = OWN if sample is None else _name(sample)
        with gr.Row(elem_classes="line"):
            self.choice = gr.Dropdown(
                _choices(first),
                value=first,
                label="Background of results",
                elem_id="background",
                container=False,
                filterable=False,
                visible=visible,
            )
            self.file = gr.UploadButton(
                "Picture …", elem_id="background-file", size="md", variant="secondary", visible=visible
            )
        self.note = component(__package__, "note", elem_id="background-note", value=None)
        self.outputs = [self.choice, self.note]

    def connect(self, source: gr.State, options: dict[str, Any], after: dict[str, Any]) -> None:
        """Connect the controls to the source.

        Args:
            source: the source, whose sample gets the background.
            options: options of their events.
            after: what is done then: arguments of an event.
        """
        given, outputs = [source, self.source_editor.component], [source, *self.outputs]
        self.choice.input(self._choose, [*given, self.choice], outputs, **options).success(**after)
        self.file.upload(self._load, [*given, self.file], outputs, **options).success(**after)

    def shown(self, sample: Sample) -> Sequence[Any]:
        """Updates of :attr:`outputs` for a source."""
        name = _name(sample)
        return gr.update(choices=_choices(name), value=name), None

    def _choose(self, source: Any, value: Any, name: Any) -> tuple:
        def find() -> Backdrop | None:
            if name not in ALONE:
                raise InputError("Give a picture for the background.")
            return self.model.backdrop(name)

        return self._changed(source, value, find)

    def _load(self, source: Any, value: Any, uploaded: str | None) -> tuple:
        return self._changed(source, value, lambda: self.model.read_backdrop(Path(str(uploaded))))

    def _changed(self, source: Any, value: Any, find: Callable[[], Backdrop | None]) -> tuple:
        """Return the source with another background, or as it was with what went wrong."""
        if source is None:
            return gr.skip(), gr.skip(), refusal(InputError("Give a picture first."))
        try:
            sample = replace(source.sample, backdrop=find())
            self.model.check_figure(replace(sample, structure=self.source_editor.read(value)))
        except PosegenError as error:
            return gr.skip(), self.shown(source.sample)[0], refusal(error)
        changed = replace(source, sample=sample, number=next(self.numbers), is_background_chosen=True)
        return changed, *self.shown(sample)


def _name(sample: Sample) -> str:
    """Return the name of a sample's background."""
    return OWN if sample.backdrop is None else sample.backdrop.name


def _choices(name: str) -> list[tuple[str, str]]:
    """List the backgrounds that can be chosen if that of a name is."""
    return [(f"Background: {one}", one) for one in (*ALONE, *[PICTURE] * (name == PICTURE))]
