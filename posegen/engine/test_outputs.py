"""Hooks that write the images and the sheet of ``posegen test``."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook

from ..data.generated import write_generated
from ..data.images import to_uint8, write_image
from ..records import as_pairs
from ..visualization import sample_sheet


class SaveImages(Hook):
    """Writes every generated image as ``SOURCE_2_TARGET_vis.jpg``, the name it was published under; of clips every
    frame, as ``CLIP/FRAME.jpg``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the images of one batch."""
        pairs, out = as_pairs(data_batch, outputs[0])
        for name, image in zip(pairs.names, out.image, strict=True):
            write_generated(self.folder / f"{name}.jpg", to_uint8(image), to_disk=False)


class SaveForScoring(Hook):
    """Writes what a protocol scores, without loss, by the pair's name: ``generated/``, ``target/`` and ``source/``."""

    KINDS = ("generated", "target", "source")

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def before_test(self, runner: Any) -> None:
        """Take away what an earlier test wrote there: it would be scored as well."""
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


class TestSheet(Hook):
    """Draws the first test batch, so that numbers come with pictures."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    def __init__(self, path: Path, rows: int = 8) -> None:
        self.path, self.rows = path, rows

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Draw the first batch."""
        if batch_idx == 0 and is_main_process():
            draw = runner.test_dataloader.dataset.structure.draw
            write_image(self.path, sample_sheet(*as_pairs(data_batch, outputs[0]), draw, rows=self.rows))
