"""Every hook a plugin can implement, one function with one docstring each.

A plugin is a module named by an entry point of group ``posegen``. It implements any of these under the same name,
marked with :data:`hookimpl`:

    from posegen.hookspecs import hookimpl

    @hookimpl
    def posegen_register():
        from . import datasets  # noqa: F401  its classes register themselves

Where such a module says ``posegen_hook_version = 1``, it is loaded by a posegen of that :data:`HOOK_VERSION` only, and
refused by any other with a message that names both versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .data.keypoints import KeypointLayout, Keypoints
    from .evaluation import Protocol, PublishedScore
    from .evaluation.pairing import NamingConvention
    from .poses import StructureEstimator
    from .preparing import Preparation
    from .weights import WeightsFile

HOOK_VERSION = 1
"""Raised by one whenever a hook is removed, or changes what it is given or must return; not when one is added."""

hookspec = pluggy.HookspecMarker("posegen")
hookimpl = pluggy.HookimplMarker("posegen")


@hookspec
def posegen_register() -> None:
    """Import the modules in which the plugin's parts register themselves. Called once, after all plugins are found."""


@hookspec
def posegen_keypoint_layouts() -> Sequence[KeypointLayout]:  # type: ignore[empty-body]
    """Return the key-point layouts the plugin brings; configs call them by name."""


@hookspec(firstresult=True)
def posegen_read_keypoints(path: Path, layout: KeypointLayout, image: Path | None) -> Keypoints | None:
    """Read one subject's key points in *layout* from a file a user has, or return None for a format that is not yours.

    ``image`` is the photograph the points belong to, for files that hold many; None where the user gave none: then a
    file of one subject is read, and one of several is an error. A file that is of your format and broken is a
    :class:`posegen.errors.DataError` that names file and row. Where the file says so, set the key points' ``frame``,
    the size of the picture whose pixels they count, and ``chosen``, which subject of several they are.
    """


@hookspec(firstresult=True)
def posegen_write_keypoints(path: Path, keypoints: Keypoints, layout: KeypointLayout) -> Path | None:
    """Write one subject's key points so that posegen_read_keypoints reads them, or return None for a layout not yours.

    ``path`` has no ending: the plugin adds that of its format, and returns where the file is. The points count pixels
    of their picture, whose size ``keypoints.frame`` is where it is known.
    """


@hookspec
def posegen_shared_models() -> Mapping[str, Path]:  # type: ignore[empty-body]
    """Return the shared models that lie in the plugin's package, folders by name; commands take the names for folders.

    A folder is as ``posegen share`` writes it. ``posegen.from_pretrained`` and ``posegen.Inferencer`` take the names,
    too; a path that exists goes before a name.
    """


@hookspec
def posegen_structure_estimators() -> Sequence[StructureEstimator]:  # type: ignore[empty-body]
    """Return what finds key points in images; ``posegen transfer`` asks it for pictures that have none beside them."""


@hookspec
def posegen_protocols() -> Sequence[Protocol]:  # type: ignore[empty-body]
    """Return the evaluation protocols the plugin brings; ``posegen evaluate --protocol`` calls them by name."""


@hookspec
def posegen_published_scores() -> Sequence[PublishedScore]:  # type: ignore[empty-body]
    """Return figures that others have published, each with its source and protocol; reports set them beside ours."""


@hookspec
def posegen_naming_conventions() -> Sequence[NamingConvention]:  # type: ignore[empty-body]
    """Return how methods name their results; ``posegen evaluate`` finds the true image of each by them."""


@hookspec
def posegen_weights() -> Sequence[WeightsFile]:  # type: ignore[empty-body]
    """Return the files of pretrained weights that its parts read; ``posegen weights`` lists and verifies them."""


@hookspec
def posegen_preparations() -> Sequence[Preparation]:  # type: ignore[empty-body]
    """Return how what people download becomes what the plugin's loaders read: ``posegen prepare``, by name."""
