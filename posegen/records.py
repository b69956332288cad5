"""The typed records that flow between rooms. H, W: the image's size; S: the structure's channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor


@dataclass
class Pair:
    """One training or test pair.

    Shapes: images 3 H W in [-1, 1]; structures S H W (or S 1 1); ``flow`` 2 H W, the exact backward flow in pixels of
    the image, channel 0 to the right, channel 1 down: target pixel l shows source position ``l + flow[:, l]``;
    ``visible`` 1 H W in {0, 1}, where that position shows the same thing in the source image (defined even where
    flow leads out of the image: there it is 0); ``foreground`` 1 H W in {0, 1}, the subject in the target image.
    Real data sets know none of these three: None. ``matches`` M 4: points that annotations of both images know, as
    (x, y) in the target and (x, y) in the source, in pixels of the image, NaN where a point is missing in either;
    M is one number for the whole data set. None: the annotations know none.
    """

    source: Tensor
    source_structure: Tensor
    target: Tensor
    target_structure: Tensor
    name: str
    flow: Tensor | None = None
    visible: Tensor | None = None
    foreground: Tensor | None = None
    matches: Tensor | None = None


@dataclass
class PairBatch:
    """Pairs stacked along a first dimension B; ``names`` has one name a pair. Fields as in :class:`Pair`."""

    source: Tensor
    source_structure: Tensor
    target: Tensor
    target_structure: Tensor
    names: list[str]
    flow: Tensor | None = None
    visible: Tensor | None = None
    foreground: Tensor | None = None
    matches: Tensor | None = None

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device | str) -> PairBatch:
        """The same batch with every tensor on *device*."""
        return _map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> PairBatch:
        """The same batch in page-locked memory; called by the data loader."""
        return _map_tensors(self, Tensor.pin_memory)

    def split(self, size: int) -> list[PairBatch]:
        """Batches of *size* pairs, in order, the last one of what is left; they share this one's memory."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        known = {name: value for name, value in values.items() if value is not None}
        return [
            PairBatch(**{name: value[first : first + size] for name, value in known.items()})
            for first in range(0, len(self), size)
        ]


@dataclass
class Transfer:
    """What a model makes of a batch.

    ``image`` B 3 H W in [-1, 1]; ``flows`` and ``masks``: one a level with attention, coarse to fine: B 2 h w in
    pixels of h×w, pointing from the target back to the source, and B 1 h w in [0, 1], 1 = warp, 0 = generate.
    """

    image: Tensor
    flows: list[Tensor]
    masks: list[Tensor]


@dataclass
class Clip:
    """A reference image and T frames of the same subject that follow each other.

    Shapes: ``reference`` 3 H W and ``frames`` T 3 H W in [-1, 1]; ``reference_structure`` S H W and ``structures``
    T S H W. Exact motion, as in :class:`Pair`, where it is known: ``flow`` T 2 H W and ``visible`` T 1 H W from each
    frame back to the reference; ``flow_previous`` and ``visible_previous`` from each frame back to the one before it
    (the first one: to the reference). ``foreground`` T 1 H W in {0, 1}: the subject in each frame; data sets with
    foreground masks have it too. ``matches`` T M 4, as in :class:`Pair`, of each frame and the reference, and
    ``matches_previous`` of each frame and the one before it (the first one: the reference). What is not known is None.
    """

    reference: Tensor
    reference_structure: Tensor
    frames: Tensor
    structures: Tensor
    name: str
    flow: Tensor | None = None
    visible: Tensor | None = None
    flow_previous: Tensor | None = None
    visible_previous: Tensor | None = None
    foreground: Tensor | None = None
    matches: Tensor | None = None
    matches_previous: Tensor | None = None


@dataclass
class ClipBatch:
    """Clips of one length stacked along a first dimension B; ``names``: one name a clip. Fields as in :class:`Clip`."""

    reference: Tensor
    reference_structure: Tensor
    frames: Tensor
    structures: Tensor
    names: list[str]
    flow: Tensor | None = None
    visible: Tensor | None = None
    flow_previous: Tensor | None = None
    visible_previous: Tensor | None = None
    foreground: Tensor | None = None
    matches: Tensor | None = None
    matches_previous: Tensor | None = None

    def __len__(self) -> int:
        return len(self.reference)

    def to(self, device: torch.device | str) -> ClipBatch:
        """The same batch with every tensor on *device*."""
        return _map_tensors(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> ClipBatch:
        """The same batch in page-locked memory; called by the data loader."""
        return _map_tensors(self, Tensor.pin_memory)


class Origins(NamedTuple):
    """Something for each of the two images that a frame of a clip is made from: the previous frame, the reference."""

    previous: Any
    reference: Any


@dataclass
class Frame:
    """One frame as a clip model makes it: ``image`` B 3 H W; ``flows`` and ``masks``: a list as in :class:`Transfer`
    for each origin."""

    image: Tensor
    flows: Origins
    masks: Origins


class Animation(NamedTuple):
    """A clip as a model makes it.

    ``frames`` B T 3 H W in [-1, 1]; ``flows`` and ``masks`` from both origins (``flows.previous``,
    ``flows.reference``): one tensor a level with attention, coarse to fine, B T 2 h w in pixels of h×w and B T 1 h w.
    """

    frames: Tensor
    flows: Origins
    masks: Origins


def collate_clips(clips: Sequence[Clip]) -> ClipBatch:
    """Stack clips of one length into a batch. A field that any clip lacks is None in the batch."""
    return ClipBatch(**_stack(clips))


def as_pairs(batch: PairBatch | ClipBatch, out: Transfer | Animation) -> tuple[PairBatch, Transfer]:
    """Pairs as they are; of clips every frame as a pair with its reference, so that whatever measures or draws pairs
    does so with clips.

    B clips become B·T pairs, the frames of a clip side by side. The pair of frame t is called ``NAME/t``, five digits.
    """
    if isinstance(batch, PairBatch):
        assert isinstance(out, Transfer)
        return batch, out
    assert isinstance(out, Animation)
    length = batch.frames.shape[1]

    def repeated(tensor: Tensor) -> Tensor:
        return tensor.repeat_interleave(length, dim=0)

    def flat(tensor: Tensor | None) -> Any:
        return None if tensor is None else tensor.flatten(0, 1)

    pairs = PairBatch(
        source=repeated(batch.reference),
        source_structure=repeated(batch.reference_structure),
        target=flat(batch.frames),
        target_structure=flat(batch.structures),
        names=[f"{name}/{t:05d}" for name in batch.names for t in range(length)],
        flow=flat(batch.flow),
        visible=flat(batch.visible),
        foreground=flat(batch.foreground),
        matches=flat(batch.matches),
    )
    flows, masks = map(flat, out.flows.reference), map(flat, out.masks.reference)
    return pairs, Transfer(flat(out.frames), [*flows], [*masks])


def collate(records: Sequence[Pair] | Sequence[Clip]) -> PairBatch | ClipBatch:
    """Stack pairs, or clips of one length, into a batch."""
    if isinstance(records[0], Clip):
        return collate_clips(cast("Sequence[Clip]", records))
    return collate_pairs(cast("Sequence[Pair]", records))


def collate_pairs(pairs: Sequence[Pair]) -> PairBatch:
    """Stack pairs into a batch. A field that any pair lacks is None in the batch."""
    return PairBatch(**_stack(pairs))


def _stack(records: Sequence[Any]) -> dict[str, Any]:
    stacked: dict[str, Any] = {"names": [record.name for record in records]}
    for field in fields(records[0]):
        values = [getattr(record, field.name) for record in records]
        if field.name != "name":
            stacked[field.name] = None if any(v is None for v in values) else torch.stack(values)
    return stacked


def _map_tensors(batch: Any, function: Any) -> Any:
    changed = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return replace(batch, **{k: function(v) for k, v in changed.items() if isinstance(v, Tensor)})
