"""Hooks that a plugin can implement, one function with one docstring each.

A plugin is a module named by an entry point of group ``posegen``, or a file given with ``--plugin``. It implements any
of these functions under the same name, marked with :data:`hookimpl`:

    from posegen.hookspecs import hookimpl

    @hookimpl
    def posegen_register():
        from . import datasets  # noqa: F401  registers its classes

A plugin that sets ``posegen_hook_version`` is loaded only by a posegen of the same :data:`HOOK_VERSION`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from .data.keypoints import KeypointLayout, Keypoints
    from .data.pose_files import PoseFile

HOOK_VERSION = 2
"""Raised by one whenever plugins of the version before may fail: a hook is removed, or its arguments change."""

hookspec = pluggy.HookspecMarker("posegen")
hookimpl = pluggy.HookimplMarker("posegen")


@dataclass(frozen=True)
class Command:
    """A command of ``posegen``.

    Args:
        name: name on the command line.
        summary: one line for ``posegen --help``.
        module: dotted name of the module that implements it, imported only when the command is called. It has
            ``add_arguments(parser)``, which adds arguments to an ``argparse.ArgumentParser``, and ``run(parsed)``,
            which returns the exit status.
    """

    name: str
    summary: str
    module: str


@hookspec
def posegen_register() -> None:
    """Import the modules whose classes register themselves as parts. Called once, when the plugin is loaded."""


@hookspec
def posegen_catalogue() -> Sequence[Any]:  # type: ignore[empty-body]
    """Return the records that the plugin brings, of any of these types, in any order.

    - :class:`posegen.data.KeypointLayout`: a key-point layout, which configs name
    - :class:`posegen.data.estimators.StructureEstimator`: an estimator of key points, for ``posegen transfer``
    - :class:`posegen.preparing.Preparation`: a data set that ``posegen prepare`` can prepare
    - :class:`posegen.evaluation.Protocol`: an evaluation protocol, for ``posegen evaluate --protocol``
    - :class:`posegen.evaluation.PublishedScore`: a published score, shown in reports beside measured ones
    - :class:`posegen.evaluation.pairing.NamingConvention`: a scheme of result file names, for ``posegen evaluate``
    - :class:`posegen.weights.WeightsFile`: a file of pretrained weights, for ``posegen weights``
    - :class:`posegen.sharing.SharedModel`: a shared model inside the package, which commands take by name

    Names are unique by type across all plugins.
    """


@hookspec
def posegen_commands() -> Sequence[Command]:  # type: ignore[empty-body]
    """Return the commands that the plugin adds to ``posegen``. Called for ``posegen --help``: keep imports light."""


@hookspec
def posegen_read_keypoints(path: Path, layout: KeypointLayout, image: Path | None) -> Keypoints | PoseFile | None:
    """Read key points in *layout* from a file; return None for another format or layout.

    Return the key points of one subject; or, for a format with scores or of several images, frames or subjects, a
    :class:`posegen.data.pose_files.PoseFile`, from which posegen chooses. ``image`` is the image the points belong to;
    None if it is not known. Raise :class:`posegen.errors.DataError` with file and row for a broken file. Set ``frame``
    of the key points, the size in pixels that the coordinates refer to, if the file tells.
    """


@hookspec
def posegen_write_keypoints(path: Path, keypoints: Keypoints, layout: KeypointLayout) -> Path | None:
    """Write the key points of one subject so that posegen_read_keypoints reads them; return None for another layout.

    ``path`` has no suffix: add the suffix of the format, and return the path of the file. Coordinates are pixels of
    an image of size ``keypoints.frame``, if that is known.
    """
