"""Editors of structures: points to drag, classes to choose, or text."""

from __future__ import annotations

import json
import re
from typing import Any, Protocol

from posegen.data import Keypoints
from posegen.errors import InputError

from .gallery import Structure
from .page_model import PageModel
from .pose_files import page_file
from .values import keypoints_of, layout_value, numbers_of, picture_address, pose_points, pose_value
from .web import component, gr

EXAMPLE = re.compile(r"\s*example (\d+), (source|target)\s*")


class Editor(Protocol):
    """An editor of structures. Values come from a browser and may be anything.

    Attributes:
        component: its Gradio component.
        changed: events of the component that ask for a new result.
    """

    component: Any
    changed: list[Any]

    def read(self, value: Any) -> Structure:
        """Convert a value to a structure; InputError if it is none."""
        ...

    def show(self, structure: Structure, frame: tuple[int, int], **options: Any) -> Any:
        """Build the update that shows a structure of a picture of that size (H, W)."""
        ...

    def drawn(self, structure: Structure) -> Any:
        """Build the update after a result was generated with a structure."""
        ...

    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        """Build the content of the structure's JSON file, for a picture of that size (H, W)."""
        ...


class PointsEditor:
    """Key points to drag: those of a source in pixels of its picture, those of a target in pixels of the model's size.

    Args:
        model: the model.
        elem_id: element ID of the component.
        caption: accessible name.
        is_target: adds a slider from the source's pose to the edited one.
    """

    def __init__(self, model: PageModel, elem_id: str, caption: str, is_target: bool) -> None:
        assert model.layout is not None
        self.layout = model.layout
        neutral = model.neutral(model.size)
        self.component = component(
            __package__,
            "pose_editor",
            elem_id=elem_id,
            value=pose_value(neutral, model.size),
            start=pose_points(neutral, model.size),
            background="",
            caption=caption,
            interpolates=is_target,
            layout=layout_value(model.layout),
        )
        self.changed = [self.component.moved]

    def read(self, value: Any) -> Keypoints:
        """See :meth:`Editor.read`."""
        return keypoints_of(value, self.layout)

    def show(self, structure: Keypoints, frame: tuple[int, int], **options: Any) -> Any:
        """See :meth:`Editor.show`."""
        return gr.update(value=pose_value(structure, frame), **options)

    def drawn(self, structure: Structure) -> Any:
        """See :meth:`Editor.drawn`: nothing changes."""
        return gr.skip()

    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        """See :meth:`Editor.file`."""
        return page_file([self.read(value)], self.layout, frame)


class ChoicesEditor:
    """A slider for each choice of an encoder of class numbers; arguments as of :class:`PointsEditor`."""

    def __init__(self, model: PageModel, elem_id: str, caption: str, is_target: bool) -> None:
        self.model = model
        numbers = [0] * len(model.choices)
        self.component = component(
            __package__,
            "choices_editor",
            elem_id=elem_id,
            value={"numbers": numbers},
            choices=[[name, [*classes]] for name, classes in model.choices.items()],
            drawn=picture_address(model.draw(tuple(numbers))),
            caption=caption,
        )
        self.changed = [self.component.moved]

    def read(self, value: Any) -> tuple[int, ...]:
        """See :meth:`Editor.read`."""
        return numbers_of(value, self.model.choices)

    def show(self, structure: tuple[int, ...], frame: tuple[int, int], **options: Any) -> Any:
        """See :meth:`Editor.show`."""
        drawn = picture_address(self.model.draw(structure))
        return gr.update(value={"numbers": [int(number) for number in structure]}, drawn=drawn)

    def drawn(self, structure: tuple[int, ...]) -> Any:
        """See :meth:`Editor.drawn`: the drawing follows."""
        return gr.update(drawn=picture_address(self.model.draw(structure)))

    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        """See :meth:`Editor.file`."""
        numbers = dict(zip(self.model.choices, self.read(value), strict=True))
        return {"numbers": numbers, "names": {name: self.model.choices[name][n] for name, n in numbers.items()}}


class TextEditor:
    """Any structure as JSON, or the number of an example; arguments as of :class:`PointsEditor`."""

    def __init__(self, model: PageModel, elem_id: str, caption: str, is_target: bool) -> None:
        self.model = model
        info = type(model.encoder).encode.__doc__ or ""
        self.component = gr.Textbox("", label=f"{caption}, as JSON", info=info, elem_id=elem_id)
        self.changed = [self.component.submit, self.component.blur]

    def read(self, value: Any) -> Structure:
        """See :meth:`Editor.read`."""
        text = str(value or "")
        if named := EXAMPLE.fullmatch(text):
            examples, number = self.model.gallery.examples, int(named[1])
            if number >= len(examples):
                raise InputError(f"there are {len(examples)} examples, numbered from 0; got {number}")
            return examples[number][("source", "target").index(named[2])].structure
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not JSON: {text[:100]!r}: {error}") from error

    def show(self, structure: Structure, frame: tuple[int, int], **options: Any) -> Any:
        """See :meth:`Editor.show`."""
        for number, pair in enumerate(self.model.gallery.examples):
            for role, sample in zip(("source", "target"), pair, strict=True):
                if sample.structure is structure:
                    return gr.update(value=f"example {number}, {role}")
        return gr.update(value=json.dumps(structure))

    def drawn(self, structure: Structure) -> Any:
        """See :meth:`Editor.drawn`: nothing changes."""
        return gr.skip()

    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        """See :meth:`Editor.file`."""
        return {"structure": str(value)}


def build_editor(model: PageModel, elem_id: str, caption: str, is_target: bool) -> Editor:
    """Build the editor for the structures of a model; arguments as of :class:`PointsEditor`."""
    kind: Any = PointsEditor if model.layout is not None else ChoicesEditor if model.choices else TextEditor
    return kind(model, elem_id, caption, is_target)
