"""Compare the project's formulations with the published one in one run: time, memory, and the same numbers.

python tools/benchmark.py --out results.json                 # docs/performance.md says how to read it
python tools/benchmark.py --rows attention-5 step --repeats 9
python tools/benchmark.py --quick                            # tiny sizes: does everything run and agree?
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler, which counts memory, talks to the terminal

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from posegen.benchmark import (
    ROWS,
    Result,
    SampleFiles,
    Settings,
    choose_rows,
    default_rows,
    machine,
    measure,
    print_results,
    write_results,
)
from posegen.benchmark.reference import PublishedSamples
from posegen.config import load_config
from posegen.data.images import write_image
from posegen.errors import ConfigError, PosegenError

CONFIGS = Path(__file__).parents[1] / "configs"
CONFIG, DRAWN = CONFIGS / "gfla_fashion.py", CONFIGS / "gfla_paperdoll.py"
SMALL = {  # what --quick makes of the configs
    "size": (32, 32),
    "levels": [2, 1],
    "kernel_sizes": [3, 3],
    "model.flow_estimator.base_width": 8,
    "model.flow_estimator.max_width": 16,
    "model.flow_estimator.depth": 3,
    "model.renderer.base_width": 8,
    "model.renderer.max_width": 16,
    "model.renderer.depth": 2,
    "model.renderer.norm": "instance",  # so few channels are no groups
    "trainer.discriminator.widths": (8, 8),
    "trainer.stages.1.losses.perceptual.layers": ["relu1_1", "relu2_1"],
    "trainer.stages.1.losses.style.layers": ["relu2_2"],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status: 1 where formulations disagree or something is not there."""
    parsed = _parser().parse_args(arguments)
    try:
        refused = _run(parsed)
    except PosegenError as error:
        refused = [str(error)]
    for problem in refused:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if refused else 0


def _parser() -> argparse.ArgumentParser:
    rows = "\n".join(f"  {name:13}{(function.__doc__ or '').splitlines()[0]}" for name, function in ROWS.items())
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=f"rows:\n{rows}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="which; default: those that take minutes")
    parser.add_argument("--compile", action="store_true", help="the row compile, too: torch.compile takes minutes")
    parser.add_argument("--repeats", type=_count, help="of each formulation, in turn; default 5, with --quick 2")
    parser.add_argument("--threads", type=_count, help="of torch; default: its own choice")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--out", type=Path, metavar="FILE", help="JSON of everything that was measured")
    parser.add_argument("--quick", action="store_true", help="tiny sizes; nothing is held against its target")
    parser.add_argument("--config", type=Path, default=CONFIG, help=f"of pairs; default {CONFIG.name}")
    parser.add_argument("--curve-config", type=Path, default=DRAWN, help=f"of drawn pairs; default {DRAWN.name}")
    parser.add_argument("--checkpoint", type=Path, help="weights of that config, for image and growth; default fresh")
    parser.add_argument("--seconds", type=float, default=120, help="most that one size of a growth may take")
    return parser


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _run(parsed: argparse.Namespace) -> list[str]:
    """Measure, print and write; returns what was refused, and why."""
    names = parsed.rows or default_rows(parsed.device)
    rows = choose_rows([*names, *(["compile"] if parsed.compile and "compile" not in names else [])])
    if parsed.device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"--device {parsed.device}: this torch finds no CUDA device")
    if parsed.threads:
        torch.set_num_threads(parsed.threads)
    # fp32 means fp32: a GPU would otherwise multiply in TF32, good to three digits
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    overrides = {"feature_weights": "random", **(SMALL if parsed.quick else {})}
    config, drawn = (load_config(path, overrides) for path in (parsed.config, parsed.curve_config))
    repeats = parsed.repeats or (2 if parsed.quick else 5)
    console = Console(width=None if sys.stdout.isatty() else 130)
    facts = machine(parsed.device)
    results: dict[str, list[Result]] = {}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            config,
            parsed.device,
            parsed.quick,
            parsed.checkpoint,
            samples=write_people,
            folder=Path(folder),
            seconds=parsed.seconds,
            drawn=drawn,
            say=lambda line: console.print(f"[dim]  {line}[/dim]"),
        )
        for name, function in rows.items():
            console.print(f"[dim]{name} …[/dim]")
            results[name] = [measure(case, repeats, parsed.device, not parsed.quick) for case in function(settings)]
            if len(rows) > 1:
                gc.collect()  # the networks of the row, before there are those of the next
    print_results(results, facts, console)
    if parsed.out:
        about = {"command": sys.argv, "config": parsed.config.name, "repeats": repeats, "quick": parsed.quick}
        write_results(parsed.out, results, facts, **about)
    return [result.refused for group in results.values() for result in group if result.refused]


# Files of people, as users have them


def write_people(folder: Path, quick: bool) -> list[SampleFiles]:
    """Drawn images and lists in the formats of Market-1501 and DeepFashion, the latter cut out and as the originals."""
    market = _write(folder / "market", "market", (128, 64), (128, 64), quick)
    cut = _write(folder / "cut", "fasion", (256, 176), (256, 176), quick)
    height, width = (276, 188) if quick else (1101, 750)
    whole = _write(folder / "whole", "fasion", (height, width), (256, 176), quick)
    originals = f"DeepFashion (originals, {width}×{height})"
    return [
        SampleFiles("Market-1501 (64×128)", *_pairs(market, "market", (128, 64), (128, 64))),
        SampleFiles("DeepFashion (cut to 176×256)", *_pairs(cut, "fasion", (256, 256), (256, 176)), rate=50),
        SampleFiles(originals, *_pairs(whole, "fasion", (256, 256), (256, 176)), rate=50),
    ]


def _write(root: Path, prefix: str, image_size: tuple[int, int], frame: tuple[int, int], quick: bool) -> Path:
    """Images of *image_size* (H, W), each in two pairs, with points in pixels of *frame*; a tenth is missing."""
    rng = np.random.default_rng(0)
    names = [f"image{number:03d}.jpg" for number in range(4 if quick else 32)]
    rows = ["name:keypoints_y:keypoints_x"]
    for name in names:
        coarse = Image.fromarray(rng.integers(0, 256, (16, 8, 3), np.uint8))
        image = np.asarray(coarse.resize((image_size[1], image_size[0]), Image.Resampling.BICUBIC))
        write_image(root / "train" / name, image)
        missing = rng.random(18) < 0.1
        y, x = (np.where(missing, -1, rng.integers(0, extent, 18)).tolist() for extent in frame)
        rows.append(f"{name}: {json.dumps(y)}: {json.dumps(x)}")
    pairs = ["from,to", *(f"{a},{b}" for a, b in zip(names, names[1:] + names[:1], strict=True))]
    for kind, lines in (("pairs", pairs), ("annotation", rows)):
        (root / f"{prefix}-{kind}-train.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def _pairs(root: Path, prefix: str, size: tuple[int, int], frame: tuple[int, int]):
    """The config of the project's data set of such files, and the published way of reading them."""
    structure = dict(type="HeatmapEncoder", layout="openpose18", sigma=6)
    config = dict(
        type="AnnotatedPairs", root=root, split="train", prefix=prefix, size=size, keypoint_frame=frame,
        structure=structure,
    )  # fmt: skip
    lists = [root / f"{prefix}-{kind}-train.csv" for kind in ("pairs", "annotation")]
    return config, PublishedSamples(*lists, root / "train", size, frame, structure["sigma"])


if __name__ == "__main__":
    sys.exit(main())
