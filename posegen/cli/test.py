"""Test a checkpoint: a table of metrics, metrics.json, and the images where asked for."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from rich.console import Console

from ..api import load_model
from ..data.generated import write_generated
from ..data.images import to_uint8, write_image
from ..engine import build_tester, load_weights
from ..evaluation import ImagePair, metrics_table, write_metrics
from ..evaluation.pairing import find_images
from ..evaluation.report import check_report_folder
from ..records import as_pairs
from ..visualization import sample_sheet
from .common import add_config, read_config, work_dir
from .evaluate import add_scoring, check_scoring, no_empty_folder, score


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``posegen test``."""
    add_config(parser)
    parser.add_argument("checkpoint", type=Path, help="a checkpoint of ours, trained or converted")
    parser.add_argument("--work-dir", type=Path, help="where metrics.json goes; default work_dirs/CONFIG")
    parser.add_argument(
        "--save-images", type=Path, metavar="DIR", help="write each generated image, named as published"
    )
    scoring = parser.add_argument_group("scores under a protocol, beside those of the config")
    add_scoring(scoring, required=False)
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none", help="several processes")


def run(parsed: argparse.Namespace) -> int:
    """Test; returns 0, or 1 where a metric of the protocol was not computed."""
    config, folder = read_config(parsed), work_dir(parsed)
    report = folder / "protocols" / Path(parsed.protocol).stem if parsed.protocol else None
    protocol = check_scoring(parsed) if parsed.protocol else None
    load_model(config, parsed.checkpoint)  # a checkpoint that does not fit is refused before a run writes its first log
    with no_empty_folder(report or folder):
        if report is not None:
            check_report_folder(report)
        runner = build_tester(config, folder, parsed.launcher)
    load_weights(runner.model.model, parsed.checkpoint)
    if parsed.save_images is not None:
        runner.register_hook(SaveImages(parsed.save_images))
    runner.register_hook(TestSheet(folder / "test_sheet.png"))
    if report is not None:
        runner.register_hook(SaveForScoring(report / "images"))
    values = runner.test()
    barrier()  # every process has written its images
    if not is_main_process():
        return 0
    _report(parsed, folder, values, runner)
    if report is None or protocol is None:
        return 0
    # a protocol without a size takes true images as the data set gives them
    files: Mapping[str, tuple[Path, Path]] = runner.test_dataloader.dataset.files() if protocol.size else {}
    context = {"config": str(parsed.config), "checkpoint": str(parsed.checkpoint)}
    return score(parsed, saved_pairs(report / "images", files), report, context)


def _report(parsed: argparse.Namespace, folder: Path, values: dict[str, float], runner: Any) -> None:
    images = max((len(getattr(metric, "per_image", ())) for metric in runner.test_evaluator.metrics), default=0)
    Console().print(metrics_table(values, runner.test_evaluator.metrics))
    path = folder / "metrics.json"
    context = {"config": str(parsed.config), "checkpoint": str(parsed.checkpoint), "images": images}
    write_metrics(path, values, protocol=None, **context)
    print(f"{images} images scored as the model made them, under no protocol (--protocol NAME for one): {path}")
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


def saved_pairs(folder: Path, files: Mapping[str, tuple[Path, Path]]) -> list[ImagePair]:
    """The pairs that :class:`SaveForScoring` wrote; targets and sources are the originals where *files* has them."""
    generated, target, source = (folder / kind for kind in SaveForScoring.KINDS)
    pairs = []
    for path in find_images(generated):
        place = path.relative_to(generated)
        name = place.with_suffix("").as_posix()
        original = files.get(name, (source / place, target / place))
        pairs.append(ImagePair(name, path, original[1], original[0]))
    return pairs


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
