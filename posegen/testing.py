"""Contract checks for the parts of a plugin, and a pytest fixture that loads a plugin.

Each check raises AssertionError with a description of the problem. The checks do not need pytest. In ``conftest.py``:

    pytest_plugins = ["posegen.testing"]  # provides the fixture posegen_plugin

See docs/writing_plugins.md for examples.
"""

from __future__ import annotations

import math
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import plugins
from .data import KeypointLayout, Keypoints, StructureEncoder, require_dataset
from .errors import ConfigError
from .evaluation import PairMetric
from .ops import warp
from .plugin_access import PluginReport
from .records import Clip, Pair, PairBatch, Transfer, collate_clips, collate_pairs

PAIR_SHAPES = {
    "source": "3 H W", "source_structure": "S", "target": "3 H W", "target_structure": "S",
    "flow": "2 H W", "visible": "1 H W", "foreground": "1 H W", "matches": "M 4",
}  # fmt: skip
CLIP_SHAPES = {
    "reference": "3 H W", "reference_structure": "S", "frames": "T 3 H W", "structures": "T S",
    "flow": "T 2 H W", "visible": "T 1 H W", "flow_previous": "T 2 H W", "visible_previous": "T 1 H W",
    "foreground": "T 1 H W", "matches": "T M 4", "matches_previous": "T M 4",
}  # fmt: skip
IMAGES = ("source", "target", "reference", "frames")
MASKS = ("visible", "visible_previous", "foreground")
MATCHES = ("matches", "matches_previous")  # NaN where a point is missing
LEAST_GAIN = 0.7
"""Maximum distance of the source, warped along the exact flow, from the target, relative to that of the source itself.
Drawn data of posegen reaches 0.05 to 0.25, even at 32 pixels."""

try:
    import pytest
except ImportError:  # the checks work without
    pass
else:

    @pytest.fixture
    def posegen_plugin() -> Iterator[Callable[..., PluginReport]]:
        """Load plugins for one test; unload them afterwards.

        ``posegen_plugin(plugin)`` takes a module, an object whose methods are marked with ``hookimpl``, or the path of
        a plugin file, and optionally a name. It returns the report of the plugin, and raises ConfigError if the plugin
        fails to load.
        """
        with plugins.temporary():
            yield _load


def _load(plugin: Any, name: str = "under test") -> PluginReport:
    return plugins.load_named(plugin) if isinstance(plugin, (str, Path)) else plugins.add(plugin, name)


def check_dataset(dataset: Any, samples: int = 3) -> None:
    """Check a data set of pairs or of clips, by the type of its first record."""
    record = _record(dataset, 0)
    if isinstance(record, Pair):
        check_pair_dataset(dataset, samples)
    elif isinstance(record, Clip):
        check_clip_dataset(dataset, samples)
    else:
        raise AssertionError(f"{_name(dataset)}[0] is a {type(record).__name__}, not a posegen.records.Pair or Clip")


def check_pair_dataset(dataset: Any, samples: int = 3) -> None:
    """Check a data set of pairs (:class:`posegen.data.PairDataset`, :class:`posegen.records.Pair`).

    - Every field has the right shape, type and range, and the name can be the name of a file.
    - An index gives the same record at any time, in any order, with any global random state, and from a pickled copy,
      as in workers.
    - Records can be stacked, and an index out of range raises IndexError.
    - A data set that ``augments`` gives different records for different draws.
    - A known flow leads into the source, to pixels more similar to the target than those at the same place.

    Args:
        dataset: data set of any length.
        samples: number of records to check, evenly spaced, including the first and the last.

    Raises:
        AssertionError: describes the problem and the index.
    """
    records = _check_records(dataset, samples, Pair, PAIR_SHAPES)
    _check_flow(_name(dataset), records)
    batch = collate_pairs(records)
    _require(len(batch) == len(records), f"{_name(dataset)}: records do not stack")


def check_clip_dataset(dataset: Any, samples: int = 3) -> None:
    """Check a data set of clips like :func:`check_pair_dataset`, with flows to reference and previous frame."""
    records = _check_records(dataset, samples, Clip, CLIP_SHAPES)
    _check_flow(_name(dataset), [pair for clip in records for pair in _pairs(clip, previous=False)])
    _check_flow(_name(dataset), [pair for clip in records for pair in _pairs(clip, previous=True)])
    if len({len(clip.frames) for clip in records}) == 1:
        collate_clips(records)


def check_structure_encoder(
    encoder: Any, keypoints: Keypoints, size: tuple[int, int], mirror_tolerance: float = 0.01
) -> None:
    """Check a structure encoder (:class:`posegen.data.StructureEncoder`) and its layout.

    - Structures are S H W, float32 and finite, with S the encoder's ``channels``; a pickled copy gives the same ones.
    - Key points are not modified; points may be missing, or outside the image; other points give another structure.
    - ``draw`` gives images uint8 H W 3.
    - Mirrored points, with left and right names exchanged, give the mirrored structure: that of the encoder's
      ``mirror`` if it implements it; else with channels exchanged like points if there is one channel per point; else
      each channel is the mirror image of some channel.

    Args:
        encoder: structure encoder.
        keypoints: example key points in pixels of *size*; rounded for the mirror image.
        size: (H, W).
        mirror_tolerance: maximum mean absolute difference between the two, relative to the largest value if that is
            above 1.

    Raises:
        AssertionError: describes the problem.
    """
    name = _name(encoder)
    check_layout(encoder.layout)
    _require(len(keypoints) == len(encoder.layout), f"{len(keypoints)} points for a layout of {len(encoder.layout)}")
    whole = Keypoints(np.rint(keypoints.points), keypoints.present)
    before = (whole.points.copy(), whole.present.copy())
    structure = encoder.encode(whole, size)
    _check_structure(encoder, structure, size, "its example")
    _require(
        np.array_equal(before[0], whole.points) and np.array_equal(before[1], whole.present),
        f"{name}.encode changes the key points it is given",
    )
    for copy, what in ((encoder, "a second time"), (_pickled(encoder), "from a pickled copy")):
        _require(torch.equal(copy.encode(whole, size), structure), f"{name}.encode gives another structure {what}")
    nothing = Keypoints(whole.points, np.zeros(len(whole), bool))
    outside = Keypoints(whole.points + 10 * max(size), whole.present)
    moved = Keypoints((whole.points + 3) % min(size), whole.present)
    for points, what in ((nothing, "points all missing"), (outside, "points far outside"), (moved, "moved points")):
        _check_structure(encoder, encoder.encode(points, size), size, what)
    _require(not torch.equal(encoder.encode(moved, size), structure), f"{name} gives moved points the same structure")
    mirrored = encoder.encode(whole.mirror(size[1], encoder.layout), size)
    difference = _mirror_difference(encoder, structure, mirrored)
    _require(
        difference <= mirror_tolerance,
        f"{name}: the structure of mirrored points is not the mirrored structure: {difference:.4f} apart on average. "
        f"Look at 'partner' of the layout {encoder.layout.name!r}; or give the encoder a method mirror(structure).",
    )


def check_layout(layout: KeypointLayout) -> None:
    """Check a key-point layout: one partner and one color per point, limbs between its points, and the rest pose.

    Raises:
        AssertionError: describes the problem.
    """
    count, where = len(layout), f"layout {layout.name!r}"
    _require(len(set(layout.names)) == count, f"{where} has two points of one name")
    _require(len(layout.partner) == count, f"{where} has {len(layout.partner)} partners for {count} points")
    _require(len(layout.colors) == count, f"{where} has {len(layout.colors)} colors for {count} points")
    for index, other in enumerate(layout.partner):
        _require(
            0 <= other < count and layout.partner[other] == index,
            f"{where}: {layout.names[index]!r} is not the mirror partner of its mirror partner",
        )
    _require(
        all(0 <= k < count for limb in layout.limbs for k in limb), f"{where} draws lines between points it has not"
    )
    _require(
        all(len(color) == 3 and all(0 <= value <= 255 for value in color) for color in layout.colors),
        f"{where} has colors that are not three numbers 0..255",
    )
    _require(len(layout.rest) in (0, count), f"{where} has a rest pose of {len(layout.rest)} points for {count} points")


def check_metric(metric: PairMetric, size: tuple[int, int] = (64, 64)) -> None:
    """Check a metric of pairs (:class:`posegen.evaluation.PairMetric`) on synthetic pairs with known flow.

    - It gives one number per image, independent of the other images, and does not modify its input.
    - It works without known flow, visibility and foreground, and for a model without flows.
    - Means are finite, and by ``higher_is_better`` a perfect result is no worse than a bad one.

    Args:
        metric: metric; its collected results are dropped.
        size: (H, W) of the synthetic images.

    Raises:
        AssertionError: describes the problem.
    """
    name = _name(metric)
    _require(isinstance(metric, PairMetric), f"{name} is no posegen.evaluation.PairMetric")
    batch, perfect = _made_up(size)
    noise = torch.empty_like(perfect.image).uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(1))
    bad = Transfer((perfect.image + noise).clamp(-1, 1), [torch.zeros_like(f) for f in perfect.flows], perfect.masks)
    given = pickle.dumps((batch, bad))
    together = metric.measure(batch, bad)
    _require(isinstance(together, dict), f"{name}.measure returns no dict of tensors")
    _require(pickle.dumps((batch, bad)) == given, f"{name}.measure changes what it is given")
    for value_name, values in together.items():
        _require(
            isinstance(values, Tensor) and values.shape == (len(batch),),
            f"{name}: {value_name!r} must be a tensor of one number an image, shape ({len(batch)},)",
        )
    _check_alone(metric, name, batch, bad, together)
    unknown = replace(batch, flow=None, visible=None, foreground=None)
    _means(metric, unknown, bad, f"{name}, of a data set that knows no flow, visibility and foreground")
    _means(metric, batch, replace(bad, flows=[], masks=[]), f"{name}, of a model without flows")
    worse, best = _means(metric, batch, bad, name), _means(metric, batch, perfect, name)
    _require(bool(best), f"{name} measures nothing, though flow, visibility and foreground are known")
    for value_name, higher in metric.higher_is_better.items():
        if value_name in best and value_name in worse:
            gain = (best[value_name] - worse[value_name]) * (1 if higher else -1)
            _require(
                gain >= -1e-6,
                f"{name}: {value_name!r} is {best[value_name]:g} for a perfect result and {worse[value_name]:g} for a "
                f"bad one, and higher_is_better says {higher}",
            )


# Records


def _check_records(dataset: Any, samples: int, kind: type, shapes: dict[str, str]) -> list[Any]:
    name = _name(dataset)
    _require(len(dataset) > 0, f"{name} is empty")
    try:
        require_dataset(dataset)
    except ConfigError as error:
        raise AssertionError(str(error)) from error
    structure = dataset.structure
    _require(isinstance(structure, StructureEncoder), f"{name}.structure is no posegen.data.StructureEncoder")
    channels = structure.channels
    _require(
        isinstance(channels, int) and channels > 0, f"{name}.structure.channels must be a number; got {channels!r}"
    )
    indices = sorted({round(k * (len(dataset) - 1) / max(1, samples - 1)) for k in range(samples)})
    records = [_record(dataset, index) for index in indices]
    for index, record in zip(indices, records, strict=True):
        _require(isinstance(record, kind), f"{name}[{index}] is a {type(record).__name__}, not a {kind.__name__}")
        _check_record(f"{name}[{index}]", record, shapes, int(channels or 0))
        _check_drawing(name, structure, record)
    sizes = {tuple(getattr(record, IMAGES[0] if kind is Pair else "reference").shape) for record in records}
    _require(len(sizes) == 1, f"{name} has images of several sizes, {sorted(sizes)}: they cannot be stacked")
    _check_same_again(name, dataset, indices, records)
    _check_draws(name, dataset, indices)
    try:
        dataset[_index(dataset, len(dataset))]
    except IndexError:
        return records
    raise AssertionError(f"{name}[{len(dataset)}] must be an IndexError: there are {len(dataset)}, counted from 0")


def _check_record(where: str, record: Any, shapes: dict[str, str], channels: int) -> None:
    path = PureWindowsPath(record.name if isinstance(record.name, str) else "")
    _require(
        bool(path.name) and not path.root and not path.drive and ".." not in path.parts,
        f"{where}.name is {record.name!r}: images are written under it, so it is a text without '..' or a root",
    )
    sizes: dict[str, int] = {"S": channels}
    for field, shape in shapes.items():
        value, what = getattr(record, field), f"{where}.{field}"
        if value is None and field not in (*IMAGES, *(f for f in shapes if "structure" in f)):
            continue
        _require(isinstance(value, Tensor), f"{what} is a {type(value).__name__}, not a tensor")
        _require(value.dtype is torch.float32, f"{what} is {value.dtype}, not float32")
        wild = value.isinf().any() if field in MATCHES else not value.isfinite().all()
        _require(not wild, f"{what} has values that are not finite")
        _require(not value.requires_grad, f"{what} requires a gradient")
        _check_shape(what, value, shape, sizes)
        if field in IMAGES:
            low, high = value.min().item(), value.max().item()
            _require(low >= -1 - 1e-5 and high <= 1 + 1e-5, f"{what} is in [{low:g}, {high:g}], not in [-1, 1]")
        if field in MASKS:
            _require(bool(((value == 0) | (value == 1)).all()), f"{what} has values beside 0 and 1")


def _check_shape(what: str, value: Tensor, shape: str, sizes: dict[str, int]) -> None:
    """Compare with a shape such as "T 3 H W"; letters keep their first value. "S" is a structure S H W or S 1 1."""
    wanted = shape.split()
    if wanted[-1] == "S":
        wanted += ["1", "1"] if value.shape[-2:] == (1, 1) else ["H", "W"]
    fits = len(wanted) == value.ndim and all(
        size == (int(letter) if letter.isdigit() else sizes.setdefault(letter, size))
        for letter, size in zip(wanted, value.shape, strict=True)
    )
    known = ", ".join(f"{letter} = {size}" for letter, size in sizes.items())
    _require(fits, f"{what} has the shape {tuple(value.shape)}; it must be {' '.join(wanted)}, where {known}")


def _check_drawing(name: str, structure: Any, record: Any) -> None:
    tensor = record.source_structure if isinstance(record, Pair) else record.reference_structure
    _check_image(f"{name}.structure", structure.draw(tensor), tensor.shape[-2:])


def _check_image(name: str, image: Any, size: Sequence[int]) -> None:
    _require(
        isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3,
        f"{name}.draw returns no image, uint8 H W 3",
    )
    if tuple(size) != (1, 1):  # of a structure without place, any size
        _require(image.shape[:2] == tuple(size), f"{name}.draw returns an image of another size than the structure")


def _check_same_again(name: str, dataset: Any, indices: Sequence[int], records: Sequence[Any]) -> None:
    copy = _pickled(dataset)
    for index, record in zip(reversed(indices), reversed(records), strict=True):
        with _random_state(index):
            state = _global_state()
            again = _record(dataset, index)
            _require(
                state == _global_state(),
                f"{name}[{index}] draws from, or seeds, a global random state; "
                "draw from np.random.default_rng([seed, index])",
            )
        _check_equal(f"{name}[{index}] is another", record, again, "when it is asked for again")
        _check_equal(
            f"{name}[{index}] is another", record, _record(copy, index), "from a pickled copy, as workers have it"
        )


def _check_draws(name: str, dataset: Any, indices: Sequence[int]) -> None:
    if not dataset.augments:
        return
    for index in indices:
        _check_equal(
            f"{name}[{index}, 1] is another", dataset[index, 1], dataset[index, 1], "when it is asked for again"
        )
    same = all(_difference(dataset[index, 0], dataset[index, 1]) == "" for index in indices)
    _require(not same, f"{name}.augments is true, and the records of draws 0 and 1 are the same")


def _check_flow(name: str, pairs: Sequence[Pair]) -> None:
    """Check a known flow: it leads into the source where visible is 1, and to pixels similar to the target."""
    with_flow = without = 0.0
    for pair in pairs:
        if pair.flow is None or pair.visible is None:
            continue
        height, width = pair.flow.shape[-2:]
        rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        x, y = columns + pair.flow[0], rows + pair.flow[1]
        seen = pair.visible[0] == 1
        inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
        _require(
            bool(inside[seen].all()), f"{name}: {pair.name!r} has flow that leads out of the source where visible is 1"
        )
        moving = seen & (pair.flow.abs().amax(0) >= 1)
        warped = warp(pair.source[None], pair.flow[None])[0]
        with_flow += (warped - pair.target).abs().mean(0)[moving].sum().item()
        without += (pair.source - pair.target).abs().mean(0)[moving].sum().item()
    _require(
        with_flow <= LEAST_GAIN * without,
        f"{name}: the source warped along the flow looks hardly more like the target than the source itself. The flow "
        "is backward, in pixels, x before y: target pixel l shows source position l + flow[:, l].",
    )


def _pairs(clip: Clip, previous: bool) -> list[Pair]:
    flow, visible = (clip.flow_previous, clip.visible_previous) if previous else (clip.flow, clip.visible)
    if flow is None:
        return []
    sources = [clip.reference, *clip.frames[:-1]] if previous else [clip.reference] * len(clip.frames)
    return [
        Pair(
            source=sources[t],
            source_structure=clip.reference_structure,
            target=frame,
            target_structure=clip.structures[t],
            name=f"{clip.name}/{t:05d}",
            flow=flow[t],
            visible=None if visible is None else visible[t],
        )
        for t, frame in enumerate(clip.frames)
    ]


def _index(dataset: Any, number: int) -> Any:
    return (number, 0) if dataset.augments else number


def _record(dataset: Any, number: int) -> Any:
    return dataset[_index(dataset, number)]


def _check_equal(what: str, first: Any, second: Any, when: str) -> None:
    difference = _difference(first, second)
    _require(difference == "", f"{what} {when}: its {difference} differs. The same index must give the same record.")


def _difference(first: Any, second: Any) -> str:
    """Return the name of the first field in which two records differ."""
    for field in fields(first):
        one, other = getattr(first, field.name), getattr(second, field.name)
        both = isinstance(one, Tensor) and isinstance(other, Tensor)
        if not (_equal(one, other) if both else one == other):
            return field.name
    return ""


def _equal(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal, with NaN, a missing point, equal to NaN."""
    return torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(), other.nan_to_num())


# Structures and metrics


def _check_structure(encoder: Any, structure: Any, size: tuple[int, int], what: str) -> None:
    name = f"{_name(encoder)}, {what}"
    _require(isinstance(structure, Tensor) and structure.dtype is torch.float32, f"{name}: gives no float32 tensor")
    wanted = ((encoder.channels, *size), (encoder.channels, 1, 1))
    _require(
        tuple(structure.shape) in wanted,
        f"{name}: the structure has the shape {tuple(structure.shape)}; with its channels and this size it must be "
        f"{wanted[0]}",
    )
    _require(bool(structure.isfinite().all()), f"{name}: the structure has values that are not finite")
    _check_image(name, encoder.draw(structure), structure.shape[-2:])


def _mirror_difference(encoder: Any, structure: Tensor, mirrored: Tensor) -> float:
    """Return the mean absolute difference between the structure of mirrored points and the mirrored structure,
    relative to the largest value if that is above 1."""
    scale = max(1.0, structure.abs().max().item())
    flipped = structure.flip(-1)
    own = encoder.mirror(structure)
    if own is not None:
        flipped = own
    elif len(flipped) == len(encoder.layout):
        flipped = flipped[list(encoder.layout.partner)]
    else:  # which channels exchange is not known: to each the one that fits best
        return (
            sum((flipped - channel).abs().flatten(1).mean(1).min().item() for channel in mirrored)
            / len(mirrored)
            / scale
        )
    return (flipped - mirrored).abs().mean().item() / scale


def _made_up(size: tuple[int, int], count: int = 3) -> tuple[PairBatch, Transfer]:
    """Return pairs of smooth noise that moves by a few pixels, and a perfect result."""
    generator = torch.Generator().manual_seed(0)
    height, width = size
    coarse = torch.rand(count, 3, 8, 8, generator=generator) * 1.8 - 0.9
    source = torch.nn.functional.interpolate(coarse, size, mode="bilinear")
    shift = torch.tensor([[3.0, 0.0], [-2.0, 4.0], [1.0, -1.0]])[:count]
    flow = shift[:, :, None, None].expand(count, 2, height, width).contiguous()
    columns, rows = torch.arange(width) + shift[:, :1], torch.arange(height) + shift[:, 1:]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    visible = inside[:, None].float()
    target = warp(source, flow)
    foreground = torch.zeros_like(visible)
    foreground[..., height // 4 : -(height // 4), width // 4 : -(width // 4)] = 1
    structure = torch.rand(count, 2, height, width, generator=generator)
    names = [f"pair{k}" for k in range(count)]
    batch = PairBatch(source, structure, target, structure.flip(-1), names, flow, visible, foreground)
    return batch, Transfer(target.clone(), [flow.clone()], [torch.ones_like(visible)])


def _check_alone(metric: PairMetric, name: str, batch: PairBatch, out: Transfer, together: dict[str, Tensor]) -> None:
    def cut(record: Any, k: int) -> Any:
        parts = {field.name: getattr(record, field.name) for field in fields(record)}
        return replace(
            record,
            **{
                key: [t[k : k + 1] for t in value] if key in ("flows", "masks") else value[k : k + 1]
                for key, value in parts.items()
                if value is not None
            },
        )

    for k in range(len(batch)):
        for value_name, value in metric.measure(cut(batch, k), cut(out, k)).items():
            alone, beside = value[0].item(), together[value_name][k].item()
            _require(
                math.isclose(alone, beside, rel_tol=1e-4, abs_tol=1e-5) or (math.isnan(alone) and math.isnan(beside)),
                f"{name}: {value_name!r} of an image is {alone:g} alone and {beside:g} in a batch of others",
            )


def _means(metric: PairMetric, batch: PairBatch, out: Transfer, what: str) -> dict[str, float]:
    metric.results.clear()
    metric.process(batch, [out])
    values = metric.compute_metrics(metric.results)
    metric.results.clear()
    for name, value in values.items():
        _require(isinstance(value, (int, float)) and math.isfinite(value), f"{what}: the mean of {name!r} is {value}")
    return values


# Tools


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)  # a statement "assert" would be left out by python -O


def _name(part: Any) -> str:
    return type(part).__name__


def _pickled(part: Any) -> Any:
    try:
        return pickle.loads(pickle.dumps(part))
    except Exception as error:
        raise AssertionError(
            f"{_name(part)} cannot be pickled, which data-loader workers need: {type(error).__name__}: {error}\n"
            "Keep no open files, lambdas or local classes in it; name its class at the top of its module."
        ) from error


@contextmanager
def _random_state(seed: int) -> Iterator[None]:
    """Set other global random states, and restore them afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed + 1)
    torch.manual_seed(seed + 2)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _global_state() -> tuple[Any, ...]:
    return random.getstate(), pickle.dumps(np.random.get_state()), pickle.dumps(torch.get_rng_state().tolist())
