"""Sheets of sample images during training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook

from ..data.images import write_image
from ..records import Clip, as_pairs, collate
from ..registry import HOOKS
from ..visualization import sample_sheet


@HOOKS.register_module()
class SampleSheets(Hook):
    """Writes ``WORK_DIR/samples/iter_N.png``, and the same image to TensorBoard.

    A sheet shows the first validation pairs, or the first frames of the first validation clip.

    Args:
        interval: number of iterations between two sheets; another is written at the end of each stage.
        rows: number of pairs or frames on a sheet.
    """

    def __init__(self, interval: int = 1000, rows: int = 6) -> None:
        self.interval, self.rows = interval, rows
        self._batch: Any = None

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write a sheet if it is time."""
        done = runner.iter + 1
        if done % self.interval == 0 or done in runner.train_loop.trainer.stage_ends:
            self._write(runner, done)

    @master_only
    def _write(self, runner: Any, done: int) -> None:
        dataset = runner.val_dataloader.dataset
        if self._batch is None:
            first = dataset[0]
            count = 1 if isinstance(first, Clip) else min(self.rows, len(dataset))
            self._batch = collate([first, *(dataset[i] for i in range(1, count))])
        trainer = runner.train_loop.trainer
        trainer.eval()
        pairs, out = as_pairs(self._batch, trainer.val_step(self._batch)[0])
        trainer.train()
        sheet = sample_sheet(pairs, out, dataset.structure.draw, rows=self.rows)
        path = Path(runner.work_dir) / "samples" / f"iter_{done}.png"
        write_image(path, sheet)
        runner.visualizer.add_image("samples", sheet, step=done)
        runner.logger.info(f"sample sheet: {path}")
