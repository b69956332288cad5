"""Measure an estimator of key points against annotated photographs: PCK, and milliseconds.

    python tools/measure_estimator.py coco/person_keypoints.json coco/           COCO's 17 points of everybody
    python tools/measure_estimator.py market-annotation-test.csv market/test --layout lsp14 --sample 500

PCK@0.1 is the share of annotated points within 0.1 of the longer side of the person's box; in a list of images of one
person, of the image. A person who is not found, and a point that is missing, count as wrong; the last column leaves out
missing points.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from posegen_people.annotations import read_annotations

from posegen import plugins
from posegen.data import Keypoints, get_layout
from posegen.data.estimators import Figure, load_estimator
from posegen.data.images import read_image

LIMIT = 0.1
Annotated = tuple[str, np.ndarray, list[tuple[Keypoints, float]]]
"""Name, image, and of each person the points and the side of the box in pixels."""


def main() -> None:
    """Print PCK by photograph, of all, and the time for a photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path, help="COCO key points (.json), or an annotation list (.csv)")
    parser.add_argument("images", type=Path, help="folder of the images")
    parser.add_argument("--layout", help="key-point layout of the annotations (default: coco17, of a list openpose18)")
    parser.add_argument("--estimator", help="name of the estimator (default: the default one)")
    parser.add_argument("--sample", type=int, help="measure that many random images of a list")
    parser.add_argument("--seed", type=int, default=0, help="of --sample (default: 0)")
    parsed = parser.parse_args()
    plugins.load()
    is_coco = parsed.annotations.suffix == ".json"
    layout = get_layout(parsed.layout or ("coco17" if is_coco else "openpose18"))
    estimate = load_estimator(layout, parsed.estimator)
    photographs = _coco(parsed) if is_coco else _list(parsed, layout.name)
    counts, by_point, seconds = np.zeros(3, int), np.zeros((2, len(layout)), int), []
    for name, image, people in photographs:
        start = time.process_time()
        figures = estimate(image)
        seconds.append(time.process_time() - start)
        found = np.sum([_compare(points, side, figures, by_point) for points, side in people], axis=0)
        counts += found
        if is_coco:
            print(f"{name}: {len(people)} people, PCK {found[0] / found[1]:.3f} of {found[1]} points")
    print(f"all: PCK {counts[0] / counts[1]:.3f} of {counts[1]} points; where not missing {counts[0] / counts[2]:.3f}")
    shares = by_point[0] / np.maximum(by_point[1], 1)
    print("by point: " + ", ".join(f"{name} {share:.2f}" for name, share in zip(layout.names, shares, strict=True)))
    print(f"{1000 * np.median(seconds):.0f} ms of processor time a photograph (median of {len(seconds)})")


def _compare(truth: Keypoints, side: float, figures: list[Figure], by_point: np.ndarray) -> np.ndarray:
    """Return the numbers of right, annotated, and not missing points of the figure nearest to a person."""
    best = np.zeros((2, len(truth)), bool)
    for figure in figures:
        distances = np.linalg.norm(figure.keypoints.points - truth.points, axis=1)
        known = truth.present & figure.keypoints.present
        right = known & (distances <= LIMIT * side)
        if right.sum() > best[0].sum():
            best = np.stack([right, known])
    by_point += np.stack([best[0], truth.present])
    return np.array([best[0].sum(), truth.present.sum(), best[1].sum()])


def _coco(parsed: argparse.Namespace) -> Iterator[Annotated]:
    content = json.loads(parsed.annotations.read_text())
    for image in content["images"]:
        people = []
        for one in content["annotations"]:
            if one["image_id"] == image["id"] and one["num_keypoints"]:
                values = np.array(one["keypoints"], float).reshape(-1, 3)
                people.append((Keypoints(values[:, :2], values[:, 2] > 0), max(one["bbox"][2:])))
        yield image["file_name"], read_image(parsed.images / image["file_name"]), people


def _list(parsed: argparse.Namespace, layout: str) -> Iterator[Annotated]:
    annotated = read_annotations(parsed.annotations, get_layout(layout))
    names = sorted(annotated)
    if parsed.sample:
        names = random.Random(parsed.seed).sample(names, parsed.sample)
    for name in names:
        image = read_image(parsed.images / name)
        yield name, image, [(annotated[name], max(image.shape[:2]))]


if __name__ == "__main__":
    main()
