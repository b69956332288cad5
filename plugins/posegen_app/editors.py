"""Editors of structures: points to drag, classes to choose, or text."""

from __future__ import annotations

import itertools
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from posegen.data import Keypoints
from posegen.data.pose_files import is_own, own_content, read_own
from posegen.errors import InputError
from posegen.inference.interpolation import parents_of

from .gallery import Sample, Structure
from .page_model import PageModel
from .values import keypoints_of, layout_value, numbers_of, picture_address, pose_points, pose_value
from .web import component, gr

EXAMPLE = re.compile(r"\s*example (\d+), (source|target)\s*")


class Editor(ABC):
    """An editor of structures; its values come from a browser and may be anything.

    Args:
        model: the model.
        elem_id: element ID of the component.
        caption: accessible name.
        is_target: whether it edits the target, in pixels of the model's size; the source is in pixels of its picture.
        shown: the structure shown first, with its picture; None: a neutral one.
        options: further options of :meth:`show` for it.

    Attributes:
        component: the Gradio component.
        changed: events of the component that ask for a new result.
    """

    component: Any
    changed: list[Any]

    @abstractmethod
    def __init__(
        self,
        model: PageModel,
        elem_id: str,
        caption: str,
        is_target: bool,
        shown: Sample | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.model = model

    @property
    def value(self) -> Any:
        """Value that is shown first."""
        return self.component.value

    @abstractmethod
    def is_chosen(self, value: Any) -> bool:
        """Return whether somebody chose or edited the structure of a value."""

    @abstractmethod
    def step(self, value: Any) -> str:
        """Return a short text that differs between the structures that are kept in the history."""

    @abstractmethod
    def read(self, value: Any) -> Structure:
        """Convert a value to a structure; InputError if it is none."""

    @abstractmethod
    def show(self, structure: Structure, frame: tuple[int, int], chosen: bool = False, **options: Any) -> Any:
        """Build the update that shows a structure of a picture of that size (H, W).

        Args:
            structure, frame: the structure, and the size.
            chosen: whether somebody chose it, so that it stays when another source is loaded.
            options: further properties of the component.
        """

    @abstractmethod
    def parse(self, content: Any, frame: tuple[int, int]) -> Structure:
        """Convert the content of a file of :meth:`file` to a structure of a picture of that size (H, W).

        Raises:
            PosegenError: it is none of this kind of structure.
        """

    @abstractmethod
    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        """Build the content of the structure's JSON file, for a picture of that size (H, W)."""

    def drawn(self, structure: Structure) -> Any:
        """Build the update after a result was generated with a structure."""
        return gr.skip()


class PointsEditor(Editor):
    """Key points to drag; that of the target has a slider from the source's pose to the edited one."""

    def __init__(
        self,
        model: PageModel,
        elem_id: str,
        caption: str,
        is_target: bool,
        shown: Sample | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(model, elem_id, caption, is_target)
        assert model.layout is not None
        self.layout, self._loads = model.layout, itertools.count()
        neutral = model.neutral(model.size)
        parents = [-1] * len(self.layout)
        for child, parent in parents_of(self.layout, neutral.present, neutral.present).items():
            parents[child] = -1 if parent is None else parent
        first = {"value": pose_value(neutral, model.size), "start": pose_points(neutral, model.size), "background": ""}
        if shown is not None:
            first |= {"value": pose_value(shown.structure, shown.picture.shape[:2]), **options}
        self.component = component(
            __package__,
            "pose_editor",
            {
                "caption": caption,
                "interpolates": is_target,
                "layout": layout_value(model.layout) | {"parents": parents if self.layout.parts else []},
            },
            elem_id=elem_id,
            **first,
        )
        self.changed = [self.component.moved]

    def read(self, value: Any) -> Keypoints:
        return keypoints_of(value, self.layout)

    def show(self, structure: Keypoints, frame: tuple[int, int], chosen: bool = False, **options: Any) -> Any:
        step = {"chosen": chosen, "gesture": f"loaded {next(self._loads)}"}
        return gr.update(value=pose_value(structure, frame) | step, **options)

    def is_chosen(self, value: Any) -> bool:
        return isinstance(value, dict) and value.get("chosen") is True

    def step(self, value: Any) -> str:
        return str(value.get("gesture", ""))[:40] if isinstance(value, dict) else ""

    def parse(self, content: Any, frame: tuple[int, int]) -> Keypoints:
        if not is_own(content):
            raise InputError("the file has no key points")
        (figure,) = read_own(content, "the file", self.layout).frames[0].figures(0)
        return figure.keypoints.within(frame)

    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        return own_content([self.read(value)], self.layout, frame)


class ChoicesEditor(Editor):
    """A slider for each choice of an encoder of class numbers, and a drawing of the structure."""

    def __init__(
        self,
        model: PageModel,
        elem_id: str,
        caption: str,
        is_target: bool,
        shown: Sample | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(model, elem_id, caption, is_target)
        numbers = [0] * len(model.choices) if shown is None else [int(number) for number in shown.structure]
        self.component = component(
            __package__,
            "choices_editor",
            {"caption": caption, "choices": [[name, [*classes]] for name, classes in model.choices.items()]},
            elem_id=elem_id,
            value={"numbers": numbers},
            drawn=picture_address(model.draw(tuple(numbers))),
        )
        self.changed = [self.component.moved]

    def read(self, value: Any) -> tuple[int, ...]:
        return numbers_of(value, self.model.choices)

    def show(self, structure: tuple[int, ...], frame: tuple[int, int], chosen: bool = False, **options: Any) -> Any:
        drawn = picture_address(self.model.draw(structure))
        return gr.update(value={"numbers": [int(number) for number in structure], "chosen": chosen}, drawn=drawn)

    def is_chosen(self, value: Any) -> bool:
        return isinstance(value, dict) and value.get("chosen") is True

    def step(self, value: Any) -> str:
        return str(value.get("numbers", ""))[:80] if isinstance(value, dict) else ""

    def parse(self, content: Any, frame: tuple[int, int]) -> tuple[int, ...]:
        numbers = content.get("numbers") if isinstance(content, dict) else None
        return self.read({"numbers": list(numbers.values()) if isinstance(numbers, dict) else None})

    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        numbers = dict(zip(self.model.choices, self.read(value), strict=True))
        return {"numbers": numbers, "names": {name: self.model.choices[name][n] for name, n in numbers.items()}}

    def drawn(self, structure: tuple[int, ...]) -> Any:
        return gr.update(drawn=picture_address(self.model.draw(structure)))


class TextEditor(Editor):
    """Any structure as JSON, or the number of an example."""

    def __init__(
        self,
        model: PageModel,
        elem_id: str,
        caption: str,
        is_target: bool,
        shown: Sample | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(model, elem_id, caption, is_target)
        info = type(model.encoder).encode.__doc__ or ""
        self.component = gr.Textbox(
            "" if shown is None else self._text(shown.structure),
            label=f"{caption}, as JSON",
            info=info,
            elem_id=elem_id,
        )
        self.changed = [self.component.submit, self.component.blur]

    def read(self, value: Any) -> Structure:
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

    def show(self, structure: Structure, frame: tuple[int, int], chosen: bool = False, **options: Any) -> Any:
        return gr.update(value=self._text(structure))

    def _text(self, structure: Structure) -> str:
        for number, pair in enumerate(self.model.gallery.examples):
            for role, sample in zip(("source", "target"), pair, strict=True):
                if sample.structure is structure:
                    return f"example {number}, {role}"
        return json.dumps(structure)

    def is_chosen(self, value: Any) -> bool:
        return False

    def step(self, value: Any) -> str:
        return str(value)[:80]

    def parse(self, content: Any, frame: tuple[int, int]) -> Structure:
        return self.read(content.get("structure") if isinstance(content, dict) else None)

    def file(self, value: Any, frame: tuple[int, int]) -> dict[str, Any]:
        return {"structure": str(value)}


def build_editor(model: PageModel, *arguments: Any) -> Editor:
    """Build the editor for the structures of a model; arguments as of :class:`Editor`."""
    kind: type[Editor] = PointsEditor if model.layout is not None else ChoicesEditor if model.choices else TextEditor
    return kind(model, *arguments)
