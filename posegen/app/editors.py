"""Where a structure is made by hand, whatever it is: points are dragged, classes chosen, anything else written."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Any, Protocol

from ..data import Keypoints
from ..errors import InputError
from ._gradio import gr
from .gallery import Structure
from .pose_files import own_file
from .studio import Studio
from .values import keypoints_of, layout_value, numbers_of, picture_address, pose_points, pose_value

EXAMPLE = re.compile(r"\s*example (\d+), (source|target)\s*")


def component(name: str, **options: Any) -> gr.HTML:
    """A component of ours: NAME.html, NAME.css, NAME.js."""
    return gr.HTML(
        html_template=_asset(f"{name}.html"),
        css_template=_asset(f"{name}.css"),
        js_on_load=_asset(f"{name}.js"),
        apply_default_css=False,
        **options,
    )


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


class Editor(Protocol):
    """What the page asks of an editor; a value is what the browser sends, and may be anything.

    ``component``: of Gradio's. ``changed``: its events that ask for a new result.
    """

    component: Any
    changed: list[Any]

    def read(self, value: Any) -> Structure:
        """The structure. InputError: the value is none."""
        ...

    def show(self, structure: Structure, frame: tuple[int, int], **options: Any) -> Any:
        """The update that shows a structure of a picture of that size (H, W)."""
        ...

    def drawn(self, structure: Structure) -> Any:
        """The update once a result was made with a structure."""
        ...

    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        """The structure as it is downloaded, of a picture of that size (H, W)."""
        ...


class PointsEditor:
    """Key points, dragged. The source's count pixels of its picture; the target's, pixels of the model's size.

    Args:
        studio: the model.
        elem_id: of the component.
        caption: for who does not see it.
        of_target: whether it has a slider from the source's pose.
    """

    def __init__(self, studio: Studio, elem_id: str, caption: str, of_target: bool) -> None:
        assert studio.layout is not None
        self.layout, self.size, self.of_target = studio.layout, studio.size, of_target
        neutral = studio.neutral(studio.size)
        self.component = component(
            "pose_editor",
            elem_id=elem_id,
            value=pose_value(neutral, studio.size),
            start=pose_points(neutral, studio.size),
            background="",
            caption=caption,
            interpolates=of_target,
            layout=layout_value(studio.layout),
        )
        self.changed = [self.component.moved]

    def read(self, value: Any) -> Keypoints:
        """The structure. InputError: what the browser sent is none."""
        return keypoints_of(value, self.layout)

    def show(self, structure: Keypoints, frame: tuple[int, int], **options: Any) -> Any:
        """The update that shows a structure of a picture of that size (H, W)."""
        return gr.update(value=pose_value(structure, frame), **options)

    def drawn(self, structure: Structure) -> Any:
        """The update once a result was made with a structure: it is shown as it is."""
        return gr.skip()

    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        """The structure as it is downloaded, of a picture of that size (H, W)."""
        return own_file([self.read(value)], self.layout, frame)


class ChoicesEditor:
    """Classes, each chosen with a slider; arguments as of :class:`PointsEditor`."""

    def __init__(self, studio: Studio, elem_id: str, caption: str, of_target: bool) -> None:
        self.studio = studio
        numbers = [0] * len(studio.choices)
        self.component = component(
            "choices_editor",
            elem_id=elem_id,
            value={"numbers": numbers},
            choices=[[name, [*classes]] for name, classes in studio.choices.items()],
            drawn=picture_address(studio.draw(tuple(numbers))),
            caption=caption,
        )
        self.changed = [self.component.moved]

    def read(self, value: Any) -> tuple[int, ...]:
        """The structure. InputError: what the browser sent is none."""
        return numbers_of(value, self.studio.choices)

    def show(self, structure: tuple[int, ...], frame: tuple[int, int], **options: Any) -> Any:
        """The update that shows a structure."""
        drawn = picture_address(self.studio.draw(structure))
        return gr.update(value={"numbers": [int(number) for number in structure]}, drawn=drawn)

    def drawn(self, structure: tuple[int, ...]) -> Any:
        """The update once a result was made with a structure: its drawing."""
        return gr.update(drawn=picture_address(self.studio.draw(structure)))

    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        """The structure as it is downloaded."""
        numbers = dict(zip(self.studio.choices, self.read(value), strict=True))
        return {"numbers": numbers, "names": {name: self.studio.choices[name][n] for name, n in numbers.items()}}


class TextEditor:
    """Any structure, as JSON in the words of its encoder, or by the number of an example; arguments as of
    :class:`PointsEditor`."""

    def __init__(self, studio: Studio, elem_id: str, caption: str, of_target: bool) -> None:
        self.studio = studio
        words = type(studio.encoder).encode.__doc__ or ""
        self.component = gr.Textbox("", label=f"{caption}, as JSON", info=words, elem_id=elem_id)
        self.changed = [self.component.submit, self.component.blur]

    def read(self, value: Any) -> Structure:
        """The structure. InputError: no JSON, and no example."""
        text = str(value or "")
        if named := EXAMPLE.fullmatch(text):
            return self._example(int(named[1]), named[2])
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not JSON: {text[:100]!r}: {error}") from error

    def _example(self, number: int, role: str) -> Structure:
        examples = self.studio.gallery.examples
        if not 0 <= number < len(examples):
            raise InputError(f"there are {len(examples)} examples, from 0; got {number}")
        return examples[number][("source", "target").index(role)].structure

    def show(self, structure: Structure, frame: tuple[int, int], **options: Any) -> Any:
        """The update that shows a structure of an example."""
        for number, pair in enumerate(self.studio.gallery.examples):
            for role, subject in zip(("source", "target"), pair, strict=True):
                if subject.structure is structure:
                    return gr.update(value=f"example {number}, {role}")
        return gr.update(value=json.dumps(structure))

    def drawn(self, structure: Structure) -> Any:
        """The update once a result was made with a structure: it is shown as it is."""
        return gr.skip()

    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        """The structure as it is downloaded."""
        return {"structure": str(value)}


def build_editor(studio: Studio, elem_id: str, caption: str, of_target: bool) -> Editor:
    """The editor that suits a model's structures."""
    if studio.layout is not None:
        return PointsEditor(studio, elem_id, caption, of_target)
    return (ChoicesEditor if studio.choices else TextEditor)(studio, elem_id, caption, of_target)
