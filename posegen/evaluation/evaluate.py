"""Scores of image files under a protocol."""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from ..data.images import read_size
from ..data.keypoints import Keypoints
from ..errors import CheckpointError, ConfigError, MissingWeightsError
from ..registry import METRICS, STRUCTURE_ENCODERS
from ..version import __version__
from ..weights import sha256
from .images import check_images, place_points, prepare_generated, prepare_target, to_batch
from .metric import OPENCV, ImageBatch, ImageMetric, NotComputable, SetMetric
from .protocol import Protocol
from .real_set import real_statistics
from .results import Evaluation, ImagePair, Score

PACKAGES = ("torch", "numpy", "pillow", *OPENCV)
"""Libraries that read and resize images; metrics name their own."""
MOST_SET_DRAWS = 100
"""Maximum bootstrap draws for a metric of sets: each draw is a whole computation."""

Metric = ImageMetric | SetMetric


@dataclass(frozen=True)
class Options:
    """Options of an evaluation; none of them changes a value beyond the last digits.

    Args:
        metrics: reported names of the metrics to compute; None: all of the protocol.
        real: real images for metrics of sets; None: the targets, if the protocol says so.
        keypoints, generated_keypoints: by name of the pair, in pixels of the target's and the generated image's file.
        batch_size: images scored at a time.
        threads: threads that read images.
        draws: bootstrap draws of an interval; 0: no intervals.
        seed: of the bootstrap.
        cache: folder for statistics of real sets; None: the default cache.
        progress: called with the kind of work, images done and images in all.
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
    progress: Callable[[str, int, int], None] = lambda kind, done, total: None


def evaluate(pairs: Sequence[ImagePair], protocol: Protocol, options: Options | None = None) -> Evaluation:
    """Score generated images against true ones under a protocol.

    All files are checked before anything is computed. A metric that cannot be computed (missing weights, images too
    small, no masks) is reported in ``not_computed`` with the reason, and the others go on. Memory grows by one row of
    numbers per image, and one row of features per image for metrics of sets.

    Raises:
        DataError: the images cannot be scored; lists all problems.
        ConfigError: the protocol has no metric of a requested name, or two pairs have one name.
    """
    options = options or Options()
    names = [pair.name for pair in pairs]
    if len(set(names)) < len(names):
        raise ConfigError("two pairs have one name: their results would be mixed up")
    state = _build(protocol, options.metrics)
    needs_real = any(isinstance(metric, SetMetric) and metric.needs_real for metric in state.metrics.values())
    if options.real and needs_real and protocol.real == "targets":
        raise ConfigError(
            f"protocol {protocol.name!r} compares sets with the targets of the pairs; omit the real images, or choose "
            "another protocol"
        )
    real = list(options.real or ()) if needs_real else []
    with ThreadPoolExecutor(options.threads) as threads:
        options.progress("checking files", 0, len(pairs))
        size, notes = check_images(pairs, protocol, threads, real)
        done = 0
        for generated, images in _batches(pairs, protocol, options, size, threads):
            _score_batch(state, generated, images)
            done += len(images)
            options.progress("scoring", done, len(pairs))
    scores = _image_scores(state, names, options, notes)
    for name, metric in list(state.metrics.items()):
        if isinstance(metric, SetMetric):
            try:
                scores |= _set_scores(name, metric, state, protocol, pairs, options, notes)
            except NotComputable as error:
                state.drop(name, str(error))
    context = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": _versions(protocol),
        "interval": f"95 % bootstrap over images, {options.draws} draws ({MOST_SET_DRAWS} at most for sets), "
        f"seed {options.seed}",
        "real_images": "targets" if options.real is None else len(options.real),
        "targets_digest": digest(pair.target for pair in pairs),
        "real_digest": digest(real) if real else None,
        "extractors": {name: metric.extractor for name, metric in state.metrics.items() if metric.extractor},
    }
    columns = {reported: state.values[key] for key, reported in state.reported().items()}
    rows = [{"name": name, **{column: columns[column][k] for column in columns}} for k, name in enumerate(names)]
    ordered = {name: scores[name] for name in sorted(scores, key=lambda name: _rank(name, protocol))}
    return Evaluation(protocol, ordered, state.not_computed, rows, list(pairs), notes=notes, context=context)


@dataclass
class _State:
    """Metrics, and the numbers computed so far."""

    metrics: dict[str, Metric]
    not_computed: dict[str, str]
    values: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """Numbers of single images, by (name of the metric in the protocol, name of the value in the metric)."""
    features: dict[str, list[np.ndarray]] = field(default_factory=dict)
    """Features of the generated images, by name of the metric."""
    real_features: dict[object, np.ndarray] = field(default_factory=dict)
    """Features of the real images, by their source."""

    def drop(self, name: str, reason: str) -> None:
        """Report a metric as not computed."""
        del self.metrics[name]
        self.not_computed[name] = reason
        self.values = {key: numbers for key, numbers in self.values.items() if key[0] != name}

    def reported(self) -> dict[tuple[str, str], str]:
        """Name each value as it is reported: as the metric, with the value's name appended if there are several."""
        return _reported(list(self.values))


def _reported(keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
    names = [name for name, _ in keys]
    return {(name, own): name if names.count(name) == 1 else f"{name}_{own}" for name, own in keys}


def _build(protocol: Protocol, wanted: Sequence[str] | None) -> _State:
    """Build the metrics; those whose weights are missing or damaged are not computed."""
    protocol.check_metrics(wanted or ())
    state = _State({}, {})
    for name, part in protocol.metrics.items():
        if wanted is not None and name not in wanted:
            continue
        try:
            metric = METRICS.build_part(dict(part))
        except (MissingWeightsError, CheckpointError) as error:
            state.not_computed[name] = str(error)
            continue
        if not isinstance(metric, (ImageMetric, SetMetric)):
            raise ConfigError(
                f"protocol {protocol.name!r}: {name} is a {part['type']}, which needs a model's outputs, not images"
            )
        state.metrics[name] = metric
    return state


def _batches(
    pairs: Sequence[ImagePair], protocol: Protocol, options: Options, size: tuple[int, int], threads: Executor
) -> Iterator[tuple[torch.Tensor, ImageBatch]]:
    """Yield generated images, uint8, and batches as they are scored; the next batch is read meanwhile."""
    mask = None if protocol.mask is None else STRUCTURE_ENCODERS.build_part(dict(protocol.mask))

    def read(chunk: Sequence[ImagePair]) -> tuple[Iterator[np.ndarray], Iterator[np.ndarray]]:
        return (
            threads.map(lambda pair: prepare_generated(pair.generated, protocol), chunk),
            threads.map(lambda pair: prepare_target(pair.target, protocol), chunk),
        )

    chunks = [pairs[k : k + options.batch_size] for k in range(0, len(pairs), options.batch_size)]
    reading = read(chunks[0])
    for chunk, following in zip(chunks, [*chunks[1:], None], strict=True):
        generated, target = map(to_batch, reading)
        if following is not None:
            reading = read(following)
        images = ImageBatch(generated.float() / 255, target.float() / 255, [pair.name for pair in chunk])
        images.keypoints = _points(options.keypoints, {pair.name: pair.target for pair in chunk}, protocol)
        images.generated_keypoints = _points(
            options.generated_keypoints, {pair.name: pair.generated for pair in chunk}, protocol
        )
        if mask is not None and images.keypoints is not None:
            masks = [mask.encode(points, tuple(target.shape[-2:])) for points in images.keypoints]
            images.mask = torch.stack(masks).float()
        yield generated, images


def _points(
    known: Mapping[str, Keypoints] | None, files: Mapping[str, Path], protocol: Protocol
) -> list[Keypoints] | None:
    if known is None:
        return None
    placed = []
    for name, path in files.items():
        points = place_points(known[name].points, read_size(path), protocol)
        placed.append(replace(known[name], points=points))
    return placed


def _score_batch(state: _State, generated: torch.Tensor, images: ImageBatch) -> None:
    extracted: dict[object, np.ndarray] = {}
    for name, metric in list(state.metrics.items()):
        if isinstance(metric, SetMetric):
            source = metric.source_of_features
            if source not in extracted:
                extracted[source] = metric.extract(generated)
            state.features.setdefault(name, []).append(extracted[source])
            continue
        try:
            values = metric.score(images)
        except NotComputable as error:
            state.drop(name, str(error))
            continue
        for own, numbers in values.items():
            state.values.setdefault((name, own), []).extend(numbers.detach().double().tolist())


def _image_scores(state: _State, names: Sequence[str], options: Options, notes: list[str]) -> dict[str, Score]:
    scores = {}
    for (name, own), reported in state.reported().items():
        numbers = np.array(state.values[name, own])
        known = numbers[~np.isnan(numbers)]
        if not len(known):
            state.not_computed[reported] = "defined for none of the images"
            continue
        if len(known) < len(numbers):
            first = names[int(np.isnan(numbers).argmax())]
            notes.append(
                f"{reported} is not defined for {len(numbers) - len(known)} of {len(numbers)} images, such as {first}; "
                "its mean is over the others"
            )
        metric, interval = state.metrics[name], bootstrap_of_mean(known, options.draws, options.seed)
        scores[reported] = _score(metric, own, math.fsum(known) / len(known), interval, len(known))
    return scores


def _set_scores(
    name: str,
    metric: SetMetric,
    state: _State,
    protocol: Protocol,
    pairs: Sequence[ImagePair],
    options: Options,
    notes: list[str],
) -> dict[str, Score]:
    generated, real, count = np.concatenate(state.features[name]), {}, 0
    if len(generated) < metric.least_images:
        raise NotComputable(f"needs {metric.least_images} generated images or more, there are {len(generated)}")
    if metric.needs_real:
        if options.real is None and protocol.real != "targets":
            raise NotComputable(
                f"protocol {protocol.name!r} compares with {protocol.real}: give their folder with --real"
            )
        files = list(dict.fromkeys(pair.target for pair in pairs) if options.real is None else options.real)
        count = len(files)
        if count < metric.least_images:
            raise NotComputable(f"needs {metric.least_images} real images or more, there are {count}")
        real = real_statistics(
            metric,
            files,
            lambda path: prepare_target(path, protocol),
            protocol.hash,
            options.cache,
            options.batch_size,
            lambda done: options.progress(f"real images of {name}", done, count),
            state.real_features,
        )
    values = metric.compare(generated, real)
    advice = metric.advice(len(generated), count)
    notes += [f"{name}: {advice}"] if advice else []
    draws = min(options.draws, MOST_SET_DRAWS)
    options.progress(f"interval of {name}", 0, draws)
    intervals = metric.interval(generated, real, np.random.default_rng(options.seed), draws) if draws else {}
    reported = _reported([(name, own) for own in values])
    return {
        reported[name, own]: _score(metric, own, value, intervals.get(own), len(generated))
        for own, value in values.items()
    }


def _score(metric: Metric, own: str, value: float, interval: tuple[float, float] | None, count: int) -> Score:
    return Score(value, interval, count, metric.units.get(own, ""), metric.higher_is_better.get(own))


def bootstrap_of_mean(numbers: np.ndarray, draws: int, seed: int) -> tuple[float, float] | None:
    """Compute the 95 % percentile bootstrap interval of a mean; None without draws or for a single number."""
    if draws < 1 or len(numbers) < 2:
        return None
    rng = np.random.default_rng(seed)
    count = len(numbers)
    means = [numbers[rng.integers(count, size=count)].mean() for _ in range(draws)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def digest(files: Iterable[Path]) -> str:
    """Return twelve hex digits over the bytes of a set of files, independent of their names."""
    return hashlib.sha256("\n".join(sorted(sha256(path) for path in set(files))).encode()).hexdigest()[:12]


def _rank(name: str, protocol: Protocol) -> int:
    """Return the position of a reported value in the protocol's order."""
    places = [k for k, known in enumerate(protocol.metrics) if name == known or name.startswith(f"{known}_")]
    return max(places, default=len(protocol.metrics))


def _versions(protocol: Protocol) -> dict[str, str]:
    """Return the versions of all libraries that decide values under a protocol."""
    packages = list(PACKAGES)
    for part in protocol.metrics.values():
        packages += METRICS.get(part["type"]).packages
    versions = {"posegen": __version__, "python": platform.python_version()}
    for package in dict.fromkeys(packages):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
