"""Compare the project's formulations with the published one in one run: time and memory, after a check of the numbers.

python tools/benchmark/run.py --out results.json           # docs/experiments/performance.md says how to read it
python tools/benchmark/run.py --rows attention step --repeats 9
python tools/benchmark/run.py --rows configs --configs configs/ablations/*.py
python tools/benchmark/run.py --quick                      # tiny sizes: does everything run and agree?
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from rich.console import Console
from rich.table import Table

from benchmark.measure import Result, measure
from benchmark.rows import ROWS, Settings
from posegen import plugin_access
from posegen.acceleration import native_bfloat16
from posegen.config import load_config
from posegen.errors import PosegenError
from posegen.version import __version__

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "gfla_fashion.py"
SMALL = {  # overrides of --quick
    "size": (32, 32),
    "levels": [2, 1],
    "kernel_sizes": [3, 3],
    "model.flow_estimator.base_width": 8,
    "model.flow_estimator.max_width": 16,
    "model.flow_estimator.depth": 3,
    "model.renderer.base_width": 8,
    "model.renderer.max_width": 16,
    "model.renderer.depth": 2,
    "trainer.discriminator.widths": (8, 8),
    "trainer.stages.1.losses.perceptual.layers": ["relu1_1", "relu2_1"],
    "trainer.stages.1.losses.style.layers": ["relu2_2"],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit status: 1 if formulations disagree or an argument is wrong."""
    parsed = parser().parse_args(arguments)
    if parsed.threads:
        torch.set_num_threads(parsed.threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False  # fp32 in all digits
    console = Console(width=None if sys.stdout.isatty() else 130)
    results: dict[str, list[Result]] = {}
    try:
        plugin_access.load()
        overrides = {"feature_weights": "random", **(SMALL if parsed.quick else {})}
        others = {path.stem: load_config(path, {"feature_weights": "random"}) for path in parsed.configs}
        with tempfile.TemporaryDirectory() as folder:
            config = load_config(parsed.config, overrides)
            settings = Settings(config, Path(folder), others, parsed.device, parsed.quick)
            for name in parsed.rows:
                console.print(f"[dim]{name} …[/dim]")
                cases = ROWS[name](settings)
                results[name] = [measure(case, parsed.repeats, parsed.device) for case in cases]
    except PosegenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    console.print(table([result for row in results.values() for result in row]))
    facts = machine(parsed.device)
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()))
    if parsed.out:
        rows = {name: [asdict(result) for result in row] for name, row in results.items()}
        content = {"machine": facts, "config": parsed.config.name, "quick": parsed.quick, "rows": rows}
        parsed.out.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    rows = "\n".join(f"  {name:11}{(row.__doc__ or '').splitlines()[0]}" for name, row in ROWS.items())
    made = argparse.ArgumentParser(
        description=__doc__, epilog=f"rows:\n{rows}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), help="rows to run (default: all)")
    made.add_argument("--repeats", type=int, default=5, help="timed calls of each formulation, in turn (default: 5)")
    made.add_argument("--threads", type=int, help="threads of torch (default: torch's choice)")
    made.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    made.add_argument("--config", type=Path, default=CONFIG, help=f"config of pairs (default: {CONFIG.name})")
    made.add_argument("--configs", type=Path, nargs="+", default=[], help="configs that the row configs compares")
    made.add_argument("--out", type=Path, metavar="FILE", help="write all measurements as JSON")
    made.add_argument("--quick", action="store_true", help="use tiny sizes, to see that everything runs and agrees")
    return made


def table(results: Sequence[Result]) -> Table:
    """Format results as a table: a line for each formulation, ratios to the first one."""
    shown = Table(
        "work", "formulation", "time: median (min to max)", "time ÷ first", "peak memory", "memory ÷ first", ""
    )
    for result in results:
        for index, (name, seconds) in enumerate(result.seconds.items()):
            ratios = result.ratios.get(name, {})
            shown.add_row(
                "" if index else result.name,
                name,
                f"{statistics.median(seconds):.4g} s ({min(seconds):.4g} to {max(seconds):.4g})",
                f"{ratios['time']:.2f}" if "time" in ratios else "",
                f"{result.peak_bytes[name] / 1e6:,.1f} MB" if name in result.peak_bytes else "",
                f"{ratios['memory']:.2f}" if "memory" in ratios else "",
                f"{result.rates[name]:.3g}/s" if name in result.rates else "",
            )
        for what, value in result.exponents.items():
            shown.add_row("", f"exponent of {what} in pixels", f"{value:.2f}")
        shown.add_section()
    return shown


def machine(device: str) -> dict[str, Any]:
    """Collect the facts that times depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16": native_bfloat16(),
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "torch": torch.__version__,
        "posegen": __version__,
    }


if __name__ == "__main__":
    sys.exit(main())
