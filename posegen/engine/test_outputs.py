"""Hooks of the test loop that write images: for ``--save-images``, for ``--protocol``, and the test sheet."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook

from ..data.generated import write_generated
from ..data.images import to_uint8, write_image
from ..evaluation import ImagePair
from ..evaluation.pairing import find_images
from ..records import as_pairs
from ..visualization import sample_sheet


class SaveImages(Hook):
    """Write every generated image as ``SOURCE_2_TARGET_vis.jpg``, the published name; frames as ``CLIP/FRAME.jpg``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the images of one batch."""
        pairs, out = as_pairs(data_batch, outputs[0])
        for name, image in zip(pairs.names, out.image, strict=True):
            write_generated(self.folder / f"{name}.jpg", to_uint8(image), to_disk=False)


class SaveForScoring(Hook):
    """Write images for a protocol, lossless, by the pair's name: ``generated/``, ``target/`` and ``source/``."""

    KINDS = ("generated", "target", "source")

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def before_test(self, runner: Any) -> None:
        """Remove images of an earlier test, which would be scored as well."""
        if is_main_process():
            for kind in self.KINDS:
                shutil.rmtree(self.folder / kind, ignore_errors=True)
        barrier()

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the images of one batch."""
        pairs, out = as_pairs(data_batch, outputs[0])
        generated, target, source = (self.folder / kind for kind in self.KINDS)
        for name, *images in zip(pairs.names, out.image, pairs.target, pairs.source, strict=True):
            made, true, reference = map(to_uint8, images)
            write_generated(generated / f"{name}.png", made, to_disk=False)
            write_image(target / f"{name}.png", true)
            write_image(source / f"{name}.png", reference)


def saved_pairs(folder: Path, files: Mapping[str, tuple[Path, Path]]) -> list[ImagePair]:
    """Return the pairs that :class:`SaveForScoring` wrote.

    Args:
        folder: that of the hook.
        files: the original source and target files by name of the pair; they take the place of the written ones.
    """
    generated, target, source = (folder / kind for kind in SaveForScoring.KINDS)
    pairs = []
    for path in find_images(generated):
        place = path.relative_to(generated)
        name = place.with_suffix("").as_posix()
        original = files.get(name, (source / place, target / place))
        pairs.append(ImagePair(name, path, original[1], original[0]))
    return pairs


class TestSheet(Hook):
    """Draw the first test batch."""

    __test__ = False  # pytest would take it for a test class

    def __init__(self, path: Path, rows: int = 8) -> None:
        self.path, self.rows = path, rows

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Draw the first batch."""
        if batch_idx == 0 and is_main_process():
            draw = runner.test_dataloader.dataset.structure.draw
            write_image(self.path, sample_sheet(*as_pairs(data_batch, outputs[0]), draw, rows=self.rows))
