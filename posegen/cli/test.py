"""Test a checkpoint: print its metrics, write metrics.json, save images, score under a protocol."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .common import add_config, read_config, work_dir
from .evaluate import add_scoring


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen test``."""
    add_config(parser)
    parser.add_argument("checkpoint", type=Path, help="a posegen checkpoint (from training or `posegen convert`)")
    parser.add_argument("--work-dir", type=Path, help="folder for metrics.json (default: work_dirs/CONFIG)")
    parser.add_argument("--save-images", type=Path, metavar="DIR", help="write each generated image to this folder")
    add_scoring(parser.add_argument_group("scores under a protocol, in addition to the config's metrics"), False)
    parser.add_argument(
        "--launcher",
        choices=("none", "pytorch", "slurm"),
        default="none",
        help="launcher of several processes (default: none)",
    )


def run(parsed: argparse.Namespace) -> int:
    """Test; returns 1 if a metric of the protocol was not computed."""
    from mmengine.dist import barrier, is_main_process

    from ..api import load_model
    from ..checkpoints import load_weights
    from ..engine import build_tester
    from ..engine.test_outputs import SaveForScoring, SaveImages, TestSheet, saved_pairs
    from ..evaluation.report import check_report_folder
    from .scoring import check_scoring, remove_if_empty, score

    config, folder = read_config(parsed), work_dir(parsed)
    report = folder / "protocols" / Path(parsed.protocol).stem if parsed.protocol else None
    protocol = check_scoring(parsed) if parsed.protocol else None
    load_model(config, parsed.checkpoint)  # refuse a checkpoint that does not fit before any file is written
    with remove_if_empty(report or folder):
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
    # A protocol without a size scores true images as the data set gives them.
    files: Mapping[str, tuple[Path, Path]] = runner.test_dataloader.dataset.files() if protocol.size else {}
    context = {"config": str(parsed.config), "checkpoint": str(parsed.checkpoint)}
    return score(parsed, saved_pairs(report / "images", files), report, context)


def _report(parsed: argparse.Namespace, folder: Path, values: dict[str, float], runner: Any) -> None:
    from rich.console import Console

    from ..evaluation import metrics_table, write_metrics

    images = max((len(getattr(metric, "per_image", ())) for metric in runner.test_evaluator.metrics), default=0)
    path = folder / "metrics.json"
    context = {"config": str(parsed.config), "checkpoint": str(parsed.checkpoint), "images": images}
    write_metrics(path, values, protocol=None, **context)
    Console().print(metrics_table(values, runner.test_evaluator.metrics))
    print(f"{images} images scored as generated, under no protocol (for one: --protocol NAME): {path}")
    print(f"pictures: {folder / 'test_sheet.png'}")
    if parsed.save_images is not None:
        print(f"images: {parsed.save_images}")
