"""Test a checkpoint: a table of metrics, metrics.json, and the images where asked for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from rich.console import Console

from ..data import structure_of
from ..data.images import to_uint8, write_image
from ..engine import build_tester, load_weights, unwrapped
from ..evaluation import metrics_table, write_metrics
from ..records import as_pairs
from ..visualization import sample_sheet
from .common import add_config, read_config, work_dir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen test``."""
    add_config(parser)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of ours, trained or converted")
    parser.add_argument("--work-dir", type=Path, help="where metrics.json goes; default work_dirs/CONFIG")
    parser.add_argument(
        "--save-images", type=Path, metavar="DIR", help="write each generated image, named as published"
    )
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none", help="several processes")


def run(parsed: argparse.Namespace) -> int:
    """Test; returns 0."""
    config, folder = read_config(parsed), work_dir(parsed)
    runner = build_tester(config, folder, parsed.launcher)
    load_weights(unwrapped(runner.model).model, parsed.checkpoint)
    if parsed.save_images is not None:
        runner.register_hook(SaveImages(parsed.save_images))
    runner.register_hook(TestSheet(folder / "test_sheet.png"))
    values = runner.test()
    if is_main_process():
        _report(parsed, folder, values, runner)
    return 0


def _report(parsed: argparse.Namespace, folder: Path, values: dict[str, float], runner: Any) -> None:
    images = max((len(getattr(metric, "per_image", ())) for metric in runner.test_evaluator.metrics), default=0)
    Console().print(metrics_table(values, runner.test_evaluator.metrics))
    path = folder / "metrics.json"
    write_metrics(path, values, config=str(parsed.config), checkpoint=str(parsed.checkpoint), images=images)
    print(f"{images} images scored: {path}")
    print(f"pictures: {folder / 'test_sheet.png'}")
    if parsed.save_images is not None:
        print(f"images: {parsed.save_images}")


class SaveImages(Hook):
    """Writes every generated image as ``SOURCE_2_TARGET_vis.jpg``, the name it was published under; of clips every
    frame, as ``CLIP/FRAME.jpg``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write the images of one batch."""
        pairs, out = as_pairs(data_batch, outputs[0])
        for name, image in zip(pairs.names, out.image, strict=True):
            write_image(self.folder / f"{name}.jpg", to_uint8(image))


class TestSheet(Hook):
    """Draws the first test batch, so that numbers come with pictures."""

    __test__ = False  # not a test class, whatever pytest thinks of the name

    def __init__(self, path: Path, rows: int = 8) -> None:
        self.path, self.rows = path, rows

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Draw the first batch."""
        if batch_idx == 0 and is_main_process():
            draw = structure_of(runner.test_dataloader.dataset).draw
            write_image(self.path, sample_sheet(*as_pairs(data_batch, outputs[0]), draw, rows=self.rows))
