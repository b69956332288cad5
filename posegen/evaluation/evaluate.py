"""Scores of image files under a protocol: the one way from pictures to numbers, whoever made them."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..data.keypoints import Keypoints
from ..errors import CheckpointError, ConfigError, MissingWeightsError, nearest
from ..registry import METRICS, STRUCTURE_ENCODERS
from ..version import __version__
from ..weights import sha256
from .images import check_images, place_points, prepare_generated, prepare_target, to_batch
from .metric import ImageBatch, ImageMetric, NotComputable, SetMetric
from .protocol import Protocol
from .real_set import real_statistics
from .results import Evaluation, ImagePair, Score

VERSIONS = ("torch", "torchvision", "numpy", "pillow", "opencv-python", "scikit-image", "lpips", "clean-fid")
MOST_SET_DRAWS = 100
"""Resamplings of a metric of sets, at most: each is a whole computation."""


@dataclass(frozen=True)
class Options:
    """How to evaluate; none of it changes a value beyond the last digits.

    Args:
        metrics: names, as the protocol reports them, of those to compute; None: all.
        real: the real images that sets are compared with; None: the targets, where the protocol says so.
        keypoints, generated_keypoints: by name of the pair, in pixels of the target's and the generated image's file.
        batch_size: images scored at a time.
        threads: that read images.
        draws: bootstrap resamplings of an interval; 0: none.
        seed: of the bootstrap.
        cache: folder for statistics of real sets; None: the default one.
        progress: called with what is done, images so far and images in all.
    """

    metrics: Sequence[str] | None = None
    real: Sequence[Path] | None = None
    keypoints: Mapping[str, Keypoints] | None = None
    generated_keypoints: Mapping[str, Keypoints] | None = None
    batch_size: int = 16
    threads: int = 2
    draws: int = 1000
    seed: int = 0
    cache: Path | None = None
    progress: Callable[[str, int, int], None] = lambda what, done, total: None


def evaluate(pairs: Sequence[ImagePair], protocol: Protocol, options: Options | None = None) -> Evaluation:
    """Score generated images against the true ones, under a protocol.

    All files are looked at before anything is computed. What cannot be computed (weights that are missing, images too
    small, no masks) is in ``not_computed`` with the reason, and the rest goes on. Memory does not grow with the number
    of images, but for a row of numbers an image and, of metrics of sets, a row of features.

    Raises:
        DataError: the images cannot be scored; says all that is wrong.
        ConfigError: the protocol has no metric of a name that was asked for.
    """
    options = options or Options()
    metrics, missing = _build(protocol, options.metrics)
    names = [pair.name for pair in pairs]
    if len(set(names)) < len(names):
        raise ConfigError("two pairs have one name: results could not be told apart")
    with ThreadPoolExecutor(options.threads) as threads:
        options.progress("looking at the files", 0, len(pairs))
        real = [] if options.real is None else list(options.real)
        if real and protocol.real == "targets" and compares_with_real(metrics):
            raise ConfigError(
                f"protocol {protocol.name!r} compares sets with the targets of the pairs, not with other real images; "
                "choose another protocol, or give none"
            )
        checked = check_images(pairs, protocol, threads, real if compares_with_real(metrics) else [])
        found = _Found(metrics, missing)
        for batch in _batches(pairs, protocol, options, checked.size, threads):
            found.add(batch)
            options.progress("scoring", len(found.names), len(pairs))
    scores = found.image_scores(options)
    notes = [*checked.notes, *found.undefined()]
    for name, metric in found.of(SetMetric):
        scores |= _set_scores(name, metric, found, protocol, pairs, options, notes)
    ordered = {name: scores[name] for name in sorted(scores, key=lambda name: _rank(name, protocol))}
    context = _context(options) | {
        "targets_digest": digest(pair.target for pair in pairs),
        "real_digest": digest(options.real) if options.real and compares_with_real(found.metrics) else None,
        "extractors": {name: metric.extractor for name, metric in found.metrics.items() if metric.extractor},
    }
    return Evaluation(protocol, ordered, found.not_computed, found.rows(), list(pairs), notes=notes, context=context)


class _Found:
    """What has been found so far: the values of each image, and the features of all."""

    def __init__(self, metrics: dict[str, Any], not_computed: dict[str, str]) -> None:
        self.metrics, self.not_computed = metrics, not_computed
        self.names: list[str] = []
        self.values: dict[str, list[float]] = {}
        self.kinds: dict[str, tuple[str, str]] = {}  # of each reported value: its metric, and its own name there
        self.features: dict[str, list[np.ndarray]] = {}
        self.real_features: dict[object, np.ndarray] = {}  # by what they come from

    def of(self, kind: type) -> list[tuple[str, Any]]:
        return [(name, metric) for name, metric in self.metrics.items() if isinstance(metric, kind)]

    def add(self, batch: _Batch) -> None:
        """Score one batch with every metric that is still in."""
        for name, metric in self.of(ImageMetric):
            try:
                values = metric.score(batch.images)
            except NotComputable as error:
                self.drop(name, str(error))
                continue
            for own, numbers in values.items():
                reported = name if len(values) == 1 else f"{name}_{own}"
                self.kinds[reported] = (name, own)
                self.values.setdefault(reported, []).extend(numbers.detach().double().tolist())
        extracted: dict[object, np.ndarray] = {}
        for name, metric in self.of(SetMetric):
            key = metric.source_of_features
            if key not in extracted:
                extracted[key] = metric.extract(batch.generated)
            self.features.setdefault(name, []).append(extracted[key])
        self.names += batch.images.names

    def drop(self, name: str, reason: str) -> None:
        """A metric turns out not to apply."""
        del self.metrics[name]
        self.not_computed[name] = reason
        for reported in [each for each in self.values if self.kinds[each][0] == name]:
            del self.values[reported]

    def image_scores(self, options: Options) -> dict[str, Score]:
        scores = {}
        for name, numbers in self.values.items():
            part, own = self.kinds[name]
            metric = self.metrics[part]
            known = np.array([number for number in numbers if not math.isnan(number)])
            if not len(known):
                self.not_computed[name] = "defined for none of the images"
                continue
            interval = bootstrap_of_mean(known, options.draws, options.seed)
            scores[name] = Score(
                math.fsum(known) / len(known), interval, len(known), metric.units.get(own, ""),
                metric.higher_is_better.get(own),
            )  # fmt: skip
        return scores

    def undefined(self) -> list[str]:
        """A note for each value that some images do not have: its mean is over the others."""
        missing = {name: [math.isnan(number) for number in numbers] for name, numbers in self.values.items()}
        return [
            f"{name} is not defined for {sum(absent)} of {len(absent)} images, such as "
            f"{self.names[absent.index(True)]}, and its mean is over the others"
            for name, absent in missing.items()
            if any(absent) and not all(absent)
        ]

    def rows(self) -> list[dict[str, Any]]:
        """One dict an image."""
        columns = self.values
        return [{"name": name, **{c: columns[c][k] for c in columns}} for k, name in enumerate(self.names)]


@dataclass
class _Batch:
    images: ImageBatch
    generated: torch.Tensor  # uint8 B 3 H W


def bootstrap_of_mean(numbers: np.ndarray, draws: int, seed: int) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of a mean; None for no draws or a single number."""
    if draws < 1 or len(numbers) < 2:
        return None
    rng = np.random.default_rng(seed)
    count = len(numbers)
    means = [numbers[rng.integers(count, size=count)].mean() for _ in range(draws)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def compares_with_real(metrics: Mapping[str, Any]) -> bool:
    """Whether any metric compares with real images."""
    return any(isinstance(metric, SetMetric) and metric.needs_real for metric in metrics.values())


def digest(files: Iterable[Path]) -> str:
    """Twelve hex digits of the bytes of a set of files, whatever they are called: scores compare on the same ones."""
    return hashlib.sha256("\n".join(sorted(sha256(path) for path in set(files))).encode()).hexdigest()[:12]


def _build(protocol: Protocol, wanted: Sequence[str] | None) -> tuple[dict[str, Any], dict[str, str]]:
    """The metrics, and of those that cannot be built for lack of weights, or with damaged ones, why."""
    unknown = [name for name in wanted or () if name not in protocol.metrics]
    if unknown:
        raise ConfigError(
            f"protocol {protocol.name!r} has no metric {', '.join(map(repr, unknown))}"
            f"{nearest(unknown[0], protocol.metrics)}\nit has: {', '.join(protocol.metrics)}"
        )
    metrics, missing = {}, {}
    for name, part in protocol.metrics.items():
        if wanted is None or name in wanted:
            try:
                metrics[name] = METRICS.build_part(dict(part))
            except (MissingWeightsError, CheckpointError) as error:
                missing[name] = str(error)
                continue
            if not isinstance(metrics[name], (ImageMetric, SetMetric)):
                raise ConfigError(
                    f"protocol {protocol.name!r}: {name} is a {part['type']}, which needs a model's outputs, not images"
                )
    return metrics, missing


def _batches(
    pairs: Sequence[ImagePair], protocol: Protocol, options: Options, size: tuple[int, int], threads: Executor
) -> Iterator[_Batch]:
    """Prepared images, the next batch read while this one is scored."""
    mask = None if protocol.mask is None else STRUCTURE_ENCODERS.build_part(dict(protocol.mask))

    def start(chunk: Sequence[ImagePair]) -> tuple[Sequence[ImagePair], Iterator[Any], Iterator[Any]]:
        generated = threads.map(lambda pair: prepare_generated(pair.generated, protocol), chunk)
        return chunk, generated, threads.map(lambda pair: prepare_target(pair.target, protocol), chunk)

    chunks = [pairs[k : k + options.batch_size] for k in range(0, len(pairs), options.batch_size)]
    waiting = start(chunks[0])
    for following in [*chunks[1:], None]:
        chunk, generated, target = waiting
        made, true = to_batch(generated), to_batch(target)
        if following is not None:
            waiting = start(following)
        points = _points(chunk, options.keypoints, protocol, lambda pair: pair.target)
        found = _points(chunk, options.generated_keypoints, protocol, lambda pair: pair.generated)
        images = ImageBatch(made.float() / 255, true.float() / 255, [pair.name for pair in chunk], None, points, found)
        if mask is not None and points is not None:
            images.mask = torch.stack([mask.encode(each, tuple(true.shape[-2:])) for each in points]).float()
        yield _Batch(images, made)


def _points(
    chunk: Sequence[ImagePair],
    known: Mapping[str, Keypoints] | None,
    protocol: Protocol,
    path: Callable[[ImagePair], Path],
) -> list[Keypoints] | None:
    if known is None:
        return None
    placed = []
    for pair in chunk:
        with Image.open(path(pair)) as image:
            size = (image.height, image.width)
        points = known[pair.name]
        placed.append(replace(points, points=place_points(points.points, size, protocol)))
    return placed


def _set_scores(
    name: str,
    metric: SetMetric,
    found: _Found,
    protocol: Protocol,
    pairs: Sequence[ImagePair],
    options: Options,
    notes: list[str],
) -> dict[str, Score]:
    generated = np.concatenate(found.features[name])
    try:
        if len(generated) < metric.least_images:
            raise NotComputable(f"needs {metric.least_images} generated images or more, there are {len(generated)}")
        real, count = _real(name, metric, found, protocol, pairs, options)
        values = metric.compare(generated, real)
    except NotComputable as error:
        found.drop(name, str(error))
        return {}
    advice = metric.advice(len(generated), count)
    notes += [f"{name}: {advice}"] if advice else []
    rng, draws = np.random.default_rng(options.seed), min(options.draws, MOST_SET_DRAWS)
    options.progress(f"interval of {name}", 0, draws)
    intervals = metric.interval(generated, real, rng, draws) if draws else {}
    return {
        name if len(values) == 1 else f"{name}_{own}": Score(
            value, intervals.get(own), len(generated), metric.units.get(own, ""), metric.higher_is_better.get(own)
        )
        for own, value in values.items()
    }


def _real(
    name: str, metric: SetMetric, found: _Found, protocol: Protocol, pairs: Sequence[ImagePair], options: Options
) -> tuple[dict[str, np.ndarray], int]:
    if not metric.needs_real:
        return {}, 0
    files = options.real
    if files is None and protocol.real != "targets":
        raise NotComputable(f"protocol {protocol.name!r} compares with {protocol.real}: give their folder with --real")
    files = list(dict.fromkeys(pair.target for pair in pairs)) if files is None else list(files)
    if len(files) < metric.least_images:
        raise NotComputable(f"needs {metric.least_images} real images or more, there are {len(files)}")
    return real_statistics(
        metric,
        files,
        lambda path: prepare_target(path, protocol),
        protocol.hash,
        options.cache,
        options.batch_size,
        lambda done: options.progress(f"real images of {name}", done, len(files)),
        found.real_features,
    )


def _rank(name: str, protocol: Protocol) -> int:
    """The place of a reported value in the protocol's order."""
    places = [k for k, known in enumerate(protocol.metrics) if name == known or name.startswith(f"{known}_")]
    return max(places, default=len(protocol.metrics))


def _context(options: Options) -> dict[str, Any]:
    versions = {"posegen": __version__, "python": platform.python_version()}
    for package in VERSIONS:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions,
        "interval": f"95 % bootstrap over images, {options.draws} draws ({MOST_SET_DRAWS} at most for sets), "
        f"seed {options.seed}",
        "real_images": "targets" if options.real is None else len(options.real),
    }
