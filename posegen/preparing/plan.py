"""What a plugin says of a preparation: which files become which, each a step of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from .. import catalogue
from ..data.findings import SIZE_BEFORE
from ..data.images import read_image
from ..errors import ConfigError, DataError
from ..evaluation.images import prepare_source
from ..evaluation.protocol import Protocol
from .sources import Member, Sources


@dataclass(frozen=True)
class Step:
    """One piece of work: some files of the source become some files of the result, all of them or none.

    A subclass is a frozen dataclass whose fields say all that decides the result: a step of the same fields, on members
    that did not change, is not done again.

    Args:
        sources: the members that it reads.
        targets: paths below the result's folder, with slashes.
    """

    sources: tuple[Member, ...]
    targets: tuple[str, ...]

    @property
    def key(self) -> str:
        """SHA-256 of all that decides the result."""
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def make(self, sources: Sequence[Path], targets: Sequence[Path]) -> None:
        """Write each target, the same bytes every time. Runs in any process.

        Args:
            sources: files with what the members hold, to be read alone.
            targets: where to write; they have the endings of the step's targets, and not their names.

        Raises:
            DataError: a source cannot be used.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Copy(Step):
    """Each source becomes the target of the same number, as it is."""

    def make(self, sources: Sequence[Path], targets: Sequence[Path]) -> None:
        """Copy; nothing is looked at."""
        for source, target in zip(sources, targets, strict=True):
            if source.parent == target.parent:  # just unpacked for this step alone, and perhaps large
                os.replace(source, target)
            else:
                shutil.copyfile(source, target)


@dataclass(frozen=True)
class Write(Step):
    """A text file, UTF-8: of no member, or of what was read of them when the step was planned."""

    content: str

    def make(self, sources: Sequence[Path], targets: Sequence[Path]) -> None:
        """Write the text to the one target."""
        targets[0].write_bytes(self.content.encode())


@dataclass(frozen=True)
class CopyImage(Step):
    """An image: decoded to see that it is whole, and copied as it is, or cut and resized, and stored as PNG.

    Args:
        cut: (H, W) whose proportions the middle of the image is cut to first; None: it is not cut.
        protocol: brings it to its size, as it does true images that it scores; None: the image keeps its own.
    """

    cut: tuple[int, int] | None = None
    protocol: Protocol | None = None

    def make(self, sources: Sequence[Path], targets: Sequence[Path]) -> None:
        """See that the one source is an image, and bring it to its form."""
        image = read_image(sources[0])
        if not changes_pixels(self.cut, self.protocol):
            _check_size(image, self.protocol)
            shutil.copyfile(sources[0], targets[0])
            return
        if self.cut is not None:
            image = cut_middle(image, self.cut)
            _save(image, targets[0])
        if self.protocol is not None and self.protocol.size is not None:
            path = sources[0] if self.cut is None else targets[0]
            resized = prepare_source(path, dataclasses.replace(self.protocol, padding="none"))
            _save(resized, targets[0], before=image.shape)


def changes_pixels(cut: tuple[int, int] | None, protocol: Protocol | None) -> bool:
    """Whether :class:`CopyImage` stores its image anew: as PNG, which loses nothing, so its target ends in ``.png``."""
    return cut is not None or (protocol is not None and protocol.resize != "none")


def stored_name(name: str, changed: bool) -> str:
    """What an image called *name* is called afterwards, where its pixels are *changed* or not."""
    return f"{name.rpartition('.')[0]}.png" if changed else name


def _save(image: np.ndarray, path: Path, before: tuple[int, ...] | None = None) -> None:
    """Store an image as PNG, which says what shape it had *before*: the check then knows that it was resized so."""
    text = PngImagePlugin.PngInfo()
    if before is not None and before != image.shape:
        text.add_text(SIZE_BEFORE, f"{before[1]}x{before[0]}")
    Image.fromarray(image).save(path, format="PNG", pnginfo=text)


def _check_size(image: np.ndarray, protocol: Protocol | None) -> None:
    if protocol is not None and protocol.size is not None and image.shape[:2] != tuple(protocol.size):
        height, width = image.shape[:2]
        text = f"{width}×{height} pixels; protocol {protocol.name!r} has {protocol.size[1]}×{protocol.size[0]}"
        raise DataError("image", f"{text}, and does not resize")


def cut_middle(image: np.ndarray, proportions: tuple[int, int]) -> np.ndarray:
    """The middle of an image H W 3, as large as it can be with the *proportions* (H, W)."""
    height, width = image.shape[:2]
    new_width = min(width, round(height * proportions[1] / proportions[0]))
    new_height = min(height, round(width * proportions[0] / proportions[1]))
    left, top = (width - new_width) // 2, (height - new_height) // 2
    return image[top : top + new_height, left : left + new_width]


@dataclass(frozen=True)
class Wishes:
    """What the user asks for besides the files.

    Args:
        protocol: whose size images get; None: they keep theirs.
        make_pairs: where no list of pairs is among the files, make one.
        estimator: the name of the estimator that finds key points where none are among the files; None: no one does.
    """

    protocol: Protocol | None = None
    make_pairs: bool = False
    estimator: str | None = None

    def given(self) -> set[str]:
        """The names of the wishes that there are."""
        return {each.name for each in dataclasses.fields(self) if getattr(self, each.name)}


@dataclass(frozen=True)
class LeftOut:
    """A member that becomes nothing, and why, in a few words that others share: they are counted by them."""

    name: str
    reason: str


@dataclass
class Plan:
    """What is to be done.

    Args:
        steps: in the order in which they are done. Of steps with a target in common the first is done, and each other
            one is a problem.
        left_out: members that were looked at and are not used. What no step and no entry names is counted as unknown.
        problems: (file, text): what is wrong, and cannot be mended by leaving it out. The rest is done, and the
            command ends with 1.
        notes: what the user should know.
        then: makes the rest of the plan from the result's folder, once the steps are done: what depends on what they
            made. It has neither a *then* nor *checks* of its own. None: there is no rest.
        checks: configs of data sets by split (``train``, ``val``, ``test``) that read the result, without their
            ``root``: each group is checked together.
    """

    steps: list[Step] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    then: Callable[[Path], Plan] | None = None
    checks: list[Mapping[str, Mapping[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True)
class Preparation:
    """A way from what people download to what a loader reads.

    Args:
        name: how the command line calls it.
        summary: what it reads and makes, in a line.
        plan: makes the plan. It opens lists, and no image; it writes nothing.
        example: the rest of a command line, ``downloads/hands data/hands``.
        wishes: the names of the :class:`Wishes` that it can fulfill.
    """

    name: str
    summary: str
    plan: Callable[[Sources, Wishes], Plan]
    example: str = "SRC DST"
    wishes: frozenset[str] = frozenset()

    def check_wishes(self, wishes: Wishes) -> None:
        """Raise ConfigError for wishes that it cannot fulfill."""
        options = [f"--{name.replace('_', '-')}" for name in sorted(wishes.given() - self.wishes)]
        if options:
            raise ConfigError(f"the preparation {self.name!r} takes no {' and no '.join(options)}")


def preparations() -> dict[str, Preparation]:
    """Return all preparations that plugins bring, by name."""
    return {one.name: one for one in sorted(catalogue.all(Preparation), key=lambda one: one.name)}


def get_preparation(name: str) -> Preparation:
    """Return the preparation of a name.

    Raises:
        UnknownNameError: no plugin brings a preparation of that name.
    """
    return catalogue.get(Preparation, name)
