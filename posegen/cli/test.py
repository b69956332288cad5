"""Test a checkpoint: a table of metrics, metrics.json, and the images where asked for."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .common import add_config, read_config, work_dir
from .evaluate import add_scoring, check_scoring, no_empty_folder, score

if TYPE_CHECKING:
    from ..evaluation import ImagePair


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
    from mmengine.dist import barrier, is_main_process

    from ..api import load_model
    from ..engine import build_tester, load_weights
    from ..engine.test_outputs import SaveForScoring, SaveImages, TestSheet
    from ..evaluation.report import check_report_folder

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
    from rich.console import Console

    from ..evaluation import metrics_table, write_metrics

    images = max((len(getattr(metric, "per_image", ())) for metric in runner.test_evaluator.metrics), default=0)
    Console().print(metrics_table(values, runner.test_evaluator.metrics))
    path = folder / "metrics.json"
    context = {"config": str(parsed.config), "checkpoint": str(parsed.checkpoint), "images": images}
    write_metrics(path, values, protocol=None, **context)
    print(f"{images} images scored as the model made them, under no protocol (--protocol NAME for one): {path}")
    print(f"pictures: {folder / 'test_sheet.png'}")
    if parsed.save_images is not None:
        print(f"images: {parsed.save_images}")


def saved_pairs(folder: Path, files: Mapping[str, tuple[Path, Path]]) -> list[ImagePair]:
    """The pairs that :class:`SaveForScoring` wrote; targets and sources are the originals where *files* has them."""
    from ..engine.test_outputs import SaveForScoring
    from ..evaluation import ImagePair
    from ..evaluation.pairing import find_images

    generated, target, source = (folder / kind for kind in SaveForScoring.KINDS)
    pairs = []
    for path in find_images(generated):
        place = path.relative_to(generated)
        name = place.with_suffix("").as_posix()
        original = files.get(name, (source / place, target / place))
        pairs.append(ImagePair(name, path, original[1], original[0]))
    return pairs
