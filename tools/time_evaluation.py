"""Time the scoring of image files: pairs of 256×176 through two SSIMs, PSNR and L1, and the memory it takes.

python tools/time_evaluation.py --pairs 1000
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

import posegen  # noqa: F401  torchvision beside CPU torch
from posegen import plugins
from posegen.data.images import write_image
from posegen.evaluation import ImagePair, Protocol
from posegen.evaluation.evaluate import evaluate

SIZE = (256, 176)  # H, W
METRICS = {
    "ssim": {"type": "SSIM", "variant": "uniform51"},
    "ssim_256": {"type": "SSIM", "variant": "ssim256"},
    "psnr": {"type": "PSNR"},
    "l1": {"type": "L1"},
}


def main() -> None:
    """Make pairs of JPEG (generated) and PNG (true) files, score them, print seconds and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1000)
    parsed = parser.parse_args()
    plugins.load()
    with tempfile.TemporaryDirectory() as folder:
        pairs = [_pair(Path(folder), number) for number in range(parsed.pairs)]
        start, used = time.perf_counter(), time.process_time()
        result = evaluate(pairs, Protocol("timing", "tools/time_evaluation.py", metrics=METRICS))
        seconds, work = time.perf_counter() - start, time.process_time() - used
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    scores = ", ".join(f"{name} {score.value:.4f}" for name, score in result.scores.items())
    print(
        f"{parsed.pairs} pairs: {seconds:.1f} s ({work:.1f} s of processors), peak memory {megabytes:.0f} MB; {scores}"
    )


def _pair(folder: Path, number: int) -> ImagePair:
    rng = np.random.default_rng(number)
    small = rng.random((SIZE[0] // 16, SIZE[1] // 16, 3), dtype=np.float32)
    true = (cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1) * 255).astype(np.uint8)
    noisy = (true + rng.normal(0, 10, true.shape)).clip(0, 255).astype(np.uint8)
    generated, target = folder / "generated" / f"{number}.jpg", folder / "target" / f"{number}.png"
    write_image(generated, noisy)
    write_image(target, true)
    return ImagePair(f"{number}", generated, target)


if __name__ == "__main__":
    main()
